"""A source is found by its name or recognised by its location; wrong names are errors that help."""

from pathlib import Path

import pytest

from kaption.producers.sources import SourceError, open_source
from kaption.producers.sources.table import Table


def test_a_format_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("url,text\n")

    assert isinstance(open_source(str(path), "table"), Table)


@pytest.mark.parametrize(
    ("format_", "options", "error"),
    [
        (None, {}, "give --format, one of"),
        (
            "no-such",
            {},
            "there is no format 'no-such': in --format write one of folder, ",
        ),
        ("table", {"color": "red"}, "table has no option color: it has columns, delimiter"),
        (
            "jsonl",
            {"color": "red"},
            "jsonl has no option color: it has encoding, image_column",
        ),
        ("webdataset", {"store": "s3://"}, "webdataset has no option store: it has source"),
    ],
)
def test_an_unknown_format_or_option_is_named_in_the_error(
    tmp_path: Path, format_: str | None, options: dict[str, str], error: str
) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("")

    with pytest.raises(SourceError) as raised:
        open_source(str(path), format_, options)

    assert error in str(raised.value)


def test_a_missing_file_is_named_in_the_error() -> None:
    with pytest.raises(SourceError, match=r"name of the source is empty"):
        open_source("")  # as an unset variable of the shell; not the present folder
    with pytest.raises(SourceError, match=r"there is no file none\.jsonl"):
        open_source("none.jsonl")
