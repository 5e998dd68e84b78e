"""Prompts of users: what is accepted, what is refused and with which words."""

from pathlib import Path
from typing import Any

import pytest

from kaption.connections.errors import Fatal
from kaption.workers.captioners.prompts import Chain, Prompt, prompt_set
from kaption.workers.policy.recaption import OpenAIPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.settings import InvalidSettingsError, load_settings
from support.documents import ROOT, blocks

DENSE = {"id": "dense", "aspect": "context", "template": "Describe it."}
SHORT = {"id": "short", "aspect": "appearance", "template": "Shorten {dense}"}
FILE = """
[[prompt]]
id = "dense"
aspect = "context"
template = ["Describe it.", "Text: {ocr}."]
sampling = {max_new_tokens = 200, candidates = 1}

[[prompt]]
id = "mine/short"
aspect = "appearance"
template = "Shorten: {dense}"
"""


def read(*given: dict[str, Any]) -> tuple[Prompt, ...]:
    return prompt_set(given, "recaption.openai.prompts")


def test_a_file_gives_prompts_with_parts_and_sampling(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("\ufeff" + FILE, "utf-8")  # as some editors of Windows write it

    dense, short = prompt_set(str(path), "recaption.openai.prompts")

    assert (dense.name, dense.more) == ("dense", ("Text: {ocr}.",))
    assert (dense.drawn(SamplingPolicy()).max_new_tokens, dense.candidates) == (200, 1)
    assert short.id.startswith("mine/short@")
    assert short.needs == {"dense"}


def test_settings_take_a_name_a_file_or_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "kaption.toml"
    table = '[[recaption.transformers.prompts]]\nid = "a"\naspect = "context"\ntemplate = "b"\n'
    config.write_text(table, "utf-8")
    monkeypatch.setenv("KAPTION_RECAPTION__OPENAI__PROMPTS", '[{"id": "x"}]')

    recaption = load_settings(config).recaption

    assert recaption.transformers.prompts == ({"id": "a", "aspect": "context", "template": "b"},)
    assert recaption.openai.prompts == ({"id": "x"},)
    monkeypatch.setenv("KAPTION_RECAPTION__OPENAI__PROMPTS", "own.toml")
    assert load_settings(config).recaption.openai.prompts == "own.toml"
    assert (TransformersPolicy().prompts, OpenAIPolicy().prompts) == ("auto", "chat")


@pytest.mark.parametrize("given", ["{id = 'a'}", "7", "['chat']", "[['a']]", "true"])
def test_settings_of_another_kind_are_told_in_one_line(tmp_path: Path, given: str) -> None:
    config = tmp_path / "kaption.toml"
    config.write_text(f"recaption.openai.prompts = {given}\n", "utf-8")

    with pytest.raises(InvalidSettingsError, match="prompts: give the name of a set, a TOML"):
        load_settings(config)


def test_an_id_changes_with_its_prompt_and_with_those_it_quotes() -> None:
    ids = [prompt.id for prompt in read(DENSE, SHORT)]

    assert ids == [prompt.id for prompt in read(DENSE, SHORT)]
    longer = [prompt.id for prompt in read(DENSE | {"template": "Describe it well."}, SHORT)]
    assert not {*ids} & {*longer}
    for change in ({"aspect": "texture"}, {"sampling": {"temperature": 0.1}}, {"template": "x"}):
        dense, short = (prompt.id for prompt in read(DENSE, SHORT | change))
        assert dense == ids[0]
        assert short != ids[1]


def test_braces_of_json_in_a_template_are_plain_text() -> None:
    (prompt,) = read(DENSE | {"template": 'Answer as {"caption": "..."}'})

    assert not prompt.quotes


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([DENSE | {"template": "a {altext}"}], r"'dense' has the unknown placeholder \{altext\}"),
        ([DENSE | {"template": ["a", "b {dense}"]}], r"unknown placeholder \{dense\}"),
        ([DENSE | {"template": "a {}"}], r"unknown placeholder \{\}"),
        ([DENSE | {"template": "{alt_text!r}"}], r"unknown placeholder \{alt_text!r\}"),
        ([{"aspect": "context", "template": "a"}], "prompt 1: id: Field required"),
        ([DENSE, {"id": "b", "aspect": "context"}], r"prompt 2 \('b'\): template: Field required"),
        ([DENSE, DENSE], "two prompts have the id 'dense'"),
        ([DENSE, DENSE | {"id": "mine/dense"}], "two prompts have the id 'dense'"),
        ([DENSE | {"aspect": "mood"}], "aspect: Input should be 'appearance', 'texture'"),
        ([DENSE | {"id": "a b"}], "id: String should match pattern"),
        ([DENSE | {"id": 7}], "prompt 1: id: Input should be a valid string"),
        ([DENSE | {"id": "tags"}], r"\{tags\} stands for what is in the record"),
        ([DENSE | {"temperature": 1}], "temperature: Extra inputs are not permitted"),
        ([DENSE | {"sampling": {"seed": 1}}], "'seed': a prompt may set candidates, max_new"),
        ([DENSE | {"sampling": {"top_p": 2}}], "less than or equal to 1"),
        ([DENSE | {"sampling": 3}], "sampling: Input should be a valid dictionary"),
        ([DENSE | {"template": []}], "template: "),
        ([DENSE | {"aspect": "fused"}], r"'dense' fuses nothing: put \{alt_text\}"),
        ([DENSE | {"template": "{short}"}, SHORT], "wait for each other: .*dense.*short"),
        ([], "has no prompt: write"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(given: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(Fatal, match=f"^recaption.openai.prompts.*{told}") as caught:
        read(*given)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[[prompt]", "is not TOML"),
        (b"\xff\xfe[", "is not TOML"),
        (b"", "has no list of prompts: write"),
        (b"prompt = []", "has no prompt: write"),
        (b"prompt = 'a'", "has no list of prompts"),
        (b"[prompt]\nid = 'a'", "has no list of prompts"),
        (b"[[prompts]]\nid = 'a'", "has 'prompts', which is no prompt"),
        (b"[[prompt]]\nid = 'a'\n'b c' = 1", "prompt 1 ('a'): "),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_holds_no_prompts_is_named(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "own.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Fatal) as caught:
        prompt_set(str(path), "recaption.openai.prompts")

    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_documented_file_is_accepted_and_is_a_chain(tmp_path: Path) -> None:
    (block,) = (
        each.text
        for each in blocks(ROOT / "docs" / "captioners.md")
        if each.text.startswith("# prompts.toml\n")
    )
    path = tmp_path / "prompts.toml"
    path.write_text(block, "utf-8")

    prompts = prompt_set(str(path), "recaption.openai.prompts")

    assert [prompt.name for prompt in prompts] == ["dense", "short", "fused"]
    assert [len(link) for link in Chain(prompts, 5, str).links] == [1, 1, 1]
