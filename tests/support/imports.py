"""Reads the imports of a source tree, without running it, and holds them against rules."""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard


@dataclass(frozen=True)
class Import:
    """One imported name; ``from a.b import c`` counts as a.b.c."""

    name: str
    line: int
    at_load: bool
    """Whether importing the file imports it: not inside functions, nor for type checkers only."""


Tree = Mapping[str, tuple[Import, ...]]
"""Module name to what it imports."""


def within(name: str, packages: Collection[str]) -> bool:
    """Whether `name` is one of the modules or below one of them."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imports_of(source: str, module: str, is_package: bool = False) -> tuple[Import, ...]:
    """All imports of one file; uses of ``os.environ`` and ``os.getenv`` count as imports."""
    package = module if is_package else module.rpartition(".")[0]
    return tuple(_walk(ast.parse(source), package, at_load=True))


def tree_of(package: Path) -> dict[str, tuple[Import, ...]]:
    """The imports of every file below the folder of a package, by links as well."""
    found = {}
    for folder in [package, *(link for link in package.iterdir() if link.is_symlink())]:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            found[module] = imports_of(path.read_text(encoding="utf-8"), module, is_package)
    return found


def loaded_by(tree: Tree, roots: Collection[str]) -> dict[str, str]:
    """Every name of any distribution imported when `roots` are, with the module that does it."""
    found: dict[str, str] = {}
    waiting = [module for module in tree if within(module, roots)]
    seen = set(waiting)
    while waiting:
        module = waiting.pop()
        for each in tree[module]:
            if not each.at_load:
                continue
            found.setdefault(each.name, module)
            # Importing a.b.c loads a and a.b as well.
            parts = each.name.split(".")
            for end in range(1, len(parts) + 1):
                inner = ".".join(parts[:end])
                if inner in tree and inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
    return found


def is_standard(name: str) -> bool:
    """Whether it is in the standard library."""
    return name.partition(".")[0] in sys.stdlib_module_names


def _walk(node: ast.AST, package: str, at_load: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, at_load)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Import(f"{_origin(node, package)}.{alias.name}", node.lineno, at_load)
    elif isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
        if isinstance(node.value, ast.Name) and node.value.id == "os":
            yield Import(f"os.{node.attr}", node.lineno, at_load)
    elif _is_dynamic(node):
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield Import(name.value, node.lineno, at_load)
    if isinstance(node, ast.If) and _for_type_checkers(node.test):
        for statement in node.body:
            yield from _walk(statement, package, at_load=False)
        for statement in node.orelse:
            yield from _walk(statement, package, at_load)
        return
    inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for each in ast.iter_child_nodes(node):
        yield from _walk(each, package, at_load and not inside)


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")
    base = base[: len(base) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def _is_dynamic(node: ast.AST) -> TypeGuard[ast.Call]:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in ("import_module", "__import__")


def _for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
