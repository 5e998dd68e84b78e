"""Plug-ins by name: the one loader for captioners, checks, scorers, sources and stages.

A name is one of three:

``rules``
    A module of the family's own folder. A new file there is found without editing a list.
``my_name``
    An entry point that an installed package declares in the family's group.
``my_package.module:Attribute`` (or ``my_package.module.Attribute``)
    A class or function in any module that Python can import.

A plug-in is a class or function that is called to make the thing. It takes nothing, or one argument
whose type is a pydantic model: its settings. The loader reads that type from the signature, checks
what the user wrote against it, and passes the model.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from kaption.connections.errors import Fatal


class PluginError(Fatal):
    """A plug-in cannot be found or made; the message says which, why and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFamily:
    """One kind of plug-in."""

    noun: str
    """For messages, such as ``captioner``."""
    group: str
    """Entry points of this group belong to the family, such as ``kaption.captioners``."""
    setting: str
    """Where a user names plug-ins of this family, such as ``recaption.captioners``."""
    package: str | None = None
    """The folder whose modules are plug-ins of ours; None: there is no such folder."""
    others: tuple[str, ...] = ()
    """Names that a user may write as well and that are found without this loader."""
    protocol: type | None = None
    """What a plug-in makes has the members of this class; None: it is not looked at."""
    plugin_of: Callable[[ModuleType], object | None] = lambda module: getattr(module, "build", None)
    """The plug-in that a module holds: its ``build``, unless the family says otherwise."""

    def names(self) -> tuple[str, ...]:
        """Plug-ins of our own folder, sorted."""
        found = _modules(self.package) if self.package else ()
        return tuple(name for name in found if self._ours(name) is not None)

    def installed(self) -> tuple[str, ...]:
        """Entry points of the group, sorted by name."""
        return tuple(sorted(entry_points(group=self.group).names))

    def find(self, name: str) -> Any:
        """The class or function of that name, not called yet. Raises PluginError."""
        if ":" in name or "." in name:
            return self._by_path(name)
        if self.package and name in _modules(self.package) and (ours := self._ours(name)):
            return ours
        for entry in entry_points(group=self.group, name=name):
            where = f"the entry point {entry.name!r} ({entry.value}) of {self.group}"
            return self._loaded(where, entry.load)
        raise PluginError(f"there is no {self.noun} {name!r}: {self._choices()}")

    def make(
        self, name: str, settings: Mapping[str, Any] | None = None, *policies: BaseModel
    ) -> Any:
        """Call the plug-in `name` with its settings.

        Where its argument has the type of one of `policies`, it gets that policy as it is. Any
        other pydantic model is made from `settings`. Raises PluginError, and what the plug-in
        itself raises.
        """
        plugin = self.find(name)
        if not callable(plugin):
            raise PluginError(f"the {self.noun} {name!r} is {plugin!r}: name a class or a function")
        model = self._settings_type(name, plugin)
        policy = next((each for each in policies if type(each) is model), None)
        if model is None or policy is not None:
            if settings:
                raise PluginError(
                    f"the {self.noun} {name!r} takes no settings of its own, but is given "
                    f"{', '.join(settings)}"
                )
            made = plugin() if policy is None else plugin(policy)
        else:
            made = plugin(self._checked(name, model, settings or {}))
        self._require(name, made)
        return made

    def make_all(
        self, names: Sequence[str], settings: Mapping[str, Mapping[str, Any]], policy: BaseModel
    ) -> tuple[Any, ...]:
        """Make the plug-ins `names`. Settings for another one are a typo: raises PluginError."""
        if strangers := sorted(set(settings) - set(names)):
            raise PluginError(
                f"there are settings for the {self.noun} {strangers[0]!r}, which is not in use: "
                f"{self.setting} names {', '.join(names) or 'none'}"
            )
        return tuple(self.make(name, settings.get(name), policy) for name in names)

    def _checked(self, name: str, model: type[BaseModel], settings: Mapping[str, Any]) -> BaseModel:
        try:
            return model(**settings)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise PluginError(f"settings of the {self.noun} {name!r}: {faults}") from error

    def _require(self, name: str, made: object) -> None:
        if self.protocol is None:
            return
        members = {
            *inspect.get_annotations(self.protocol),
            *(key for key, value in vars(self.protocol).items() if inspect.isfunction(value)),
        }
        wanted = (member for member in members if not member.startswith("_"))
        if missing := sorted(member for member in wanted if not hasattr(made, member)):
            raise PluginError(
                f"what the {self.noun} {name!r} makes lacks {', '.join(missing)}: "
                f"see {self.protocol.__module__}.{self.protocol.__qualname__}"
            )

    def _ours(self, name: str) -> object | None:
        # An ImportError goes through: on a light install the command line names the extra.
        return self.plugin_of(import_module(f"{self.package}.{name}"))

    def _by_path(self, name: str) -> object:
        path, colon, attribute = name.partition(":")
        if not colon and not _is_module(path):
            path, _, attribute = name.rpartition(".")
        where = f"the {self.noun} {name!r}"
        module = self._loaded(where, lambda: import_module(path))
        found = module if attribute else self.plugin_of(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part, None)
        if found is None:
            fault = f"cannot be found: {path} has no {attribute}"
            if not attribute:
                fault = f"is a module without a plug-in: write {path}:Name"
            raise PluginError(f"{where} {fault}; {_offered(module)}")
        return found

    def _loaded(self, where: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except (ImportError, AttributeError, SyntaxError) as error:
            raise PluginError(
                f"{where} cannot be imported: {error}. The module must be installed, or be in a"
                " folder of PYTHONPATH, wherever this runs"
            ) from error

    def _settings_type(self, name: str, plugin: Callable[..., Any]) -> type[BaseModel] | None:
        """The model that the plug-in takes, or None where it is called without an argument."""
        scope = vars(plugin) if inspect.isclass(plugin) else {}
        try:
            parameters = inspect.signature(plugin, locals=scope, eval_str=True).parameters.values()
        except NameError as error:
            raise PluginError(
                f"the types in the signature of the {self.noun} {name!r} cannot be read: {error};"
                " import them outside `if TYPE_CHECKING`"
            ) from error
        named = [each for each in parameters if each.kind not in _ANY_NUMBER]
        first = named[0].annotation if named and named[0].kind in _POSITIONAL else None
        model = first if inspect.isclass(first) and issubclass(first, BaseModel) else None
        rest = named if model is None else named[1:]
        if needed := [each.name for each in rest if each.default is inspect.Parameter.empty]:
            raise PluginError(
                f"the {self.noun} {name!r} needs {', '.join(needed)}: a plug-in takes nothing, or"
                " one argument whose type is a pydantic model, its settings"
            )
        return model

    def _choices(self) -> str:
        parts = []
        if names := (*self.others, *self.names()):
            parts.append(f"write one of {', '.join(names)}")
        if installed := self.installed():
            parts.append(f"one of the installed {', '.join(installed)}")
        parts.append('your own as "package.module:Name"')
        return f"in {self.setting} {', or '.join(parts)}"


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _modules(package: str) -> tuple[str, ...]:
    path = import_module(package).__path__
    return tuple(sorted(m.name for m in iter_modules(path) if not m.name.startswith("_")))


def _is_module(path: str) -> bool:
    if path in sys.modules:
        return True
    try:
        return find_spec(path) is not None
    except ModuleNotFoundError:  # of a part before the last dot
        return False
    except (ImportError, SyntaxError):
        return True  # a package above it is broken: importing it says how


def _offered(module: ModuleType) -> str:
    names = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )
    return f"it has {', '.join(names) or 'nothing of its own'}"
