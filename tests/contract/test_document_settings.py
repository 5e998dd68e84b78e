"""The settings in the documents exist, and files of settings are accepted."""

import re
from pathlib import Path

import pytest

from kaption.workers.settings import Settings, load_settings
from support.documents import (
    DOCUMENTS,
    ROOT,
    SETTINGS,
    blocks,
    each_document,
    inline_code,
    is_setting,
)

# `models` is a setting without a section; models.volume is a value of the chart.
SECTIONS = "|".join(Settings.model_fields.keys() - {"models"})


@each_document
def test_settings_that_are_named_exist(document: Path) -> None:
    for code in inline_code(document):
        for name in re.findall(rf"(?<![\w./])((?:{SECTIONS})\.[a-z_]+(?:\.[a-z_]+)*)", code):
            assert name in SETTINGS or (ROOT / name).exists(), code
    for variable in re.findall(r"\bKAPTION_[A-Z_]+[A-Z]\b", document.read_text("utf-8")):
        assert is_setting(variable), variable


def test_files_of_settings_are_accepted(tmp_path: Path) -> None:
    files = [
        each
        for document in DOCUMENTS
        for each in blocks(document)
        if each.text.startswith("# kaption.toml\n")
    ]
    assert files
    for block in files:
        path = tmp_path / "kaption.toml"
        path.write_text(block.text, "utf-8")
        load_settings(path)


@pytest.mark.parametrize("name", ["KAPTION_CLIP__MODLE", "KAPTION_CLIPS", "KAPTION_SINK__A__B"])
def test_a_setting_that_does_not_exist_is_seen(name: str) -> None:
    assert not is_setting(name)
