"""JSON that is not one object on a line is read, or stops with what to do."""

import json
from pathlib import Path

import pytest

from kaption.producers.sources import Found, SourceError, open_source
from kaption.schemas import RawPair

ROWS = [
    {"url": f"https://cdn.example/{at}.jpg", "caption": text}
    for at, text in enumerate(["a cat }{ here", "ein Krüg [{", "红色的花瓶, x", "last"])
]
TEXTS = [row["caption"] for row in ROWS]
LINES = [json.dumps(row, ensure_ascii=False) for row in ROWS]
FORMS = {
    "comma behind each line": ",\n".join(LINES) + ",\n",
    "comma behind the last value": "\n".join(line.replace('"}', '",}') for line in LINES),
    "carriage returns": "\r".join(LINES),
    "byte order mark": "\ufeff" + "\n".join(LINES),
    "all on one line": "".join(LINES),
    "spaces between": " ".join(LINES) + " ",
    "some on one line": LINES[0] + "\n" + LINES[1] + LINES[2] + "\n" + LINES[3],
    "over several lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "text sequence": "".join(f"\x1e{line}\n" for line in LINES),
    "lines in .json": "\n".join(LINES) + "\n",
    "array without its end comma": f"[{','.join(LINES)},]",
    "a list in an object": f'{{"info": {{"n": [1, {{"a": 2}}]}}, "data": [{",".join(LINES)}]}}',
    "a list further in": json.dumps({"ok": True, "result": {"total": 4, "items": ROWS}}, indent=1),
    "two lists": json.dumps({"train": ROWS[:3], "links": [{"rel": "next"}], "val": ROWS[3:]}),
    "an object with a list on each line": "\n".join(
        json.dumps({"page": at, "items": [row]}) for at, row in enumerate(ROWS)
    ),
}


def found(path: Path, after: str | None = None) -> list[Found]:
    return list(open_source(str(path)).read(after))


def texts(items: list[Found]) -> list[str]:
    return [each.item.text if isinstance(each.item, RawPair) else "-" for each in items]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_all_pairs_and_goes_on_from_each(tmp_path: Path, form: str) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(FORMS[form], newline="")

    items = found(path)

    assert texts(items) == TEXTS
    for at, each in enumerate(items, start=1):
        assert texts(found(path, each.cursor)) == TEXTS[at:]


def test_lines_that_are_appended_behind_joined_objects_are_read_later(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(LINES[0] + "\n" + LINES[1] + LINES[2])
    last = found(path)[-1].cursor

    with path.open("a") as file:
        file.write("\n" + LINES[3] + "\n")

    assert texts(found(path, last)) == TEXTS[3:]


def test_a_damaged_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([LINES[0], "{oops}{", LINES[1] + "{", *LINES[2:]]))

    assert texts(found(path)) == [TEXTS[0], "-", "-", *TEXTS[2:]]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("\n".join(map(str, ROWS)), "as Python prints them.*json.dumps"),
        ("\n".join(str({**row, "n": None}) for row in ROWS), "as Python prints them"),
        (json.dumps({"url": {"0": "u", "1": "v"}, "caption": {"0": "a"}}), "orient='records'"),
        (json.dumps({str(at): row for at, row in enumerate(ROWS)}), "known name for the image"),
        (json.dumps({"data": ROWS})[:-9], "value 4: "),
        (json.dumps({"data": ROWS})[:-2], "inside a value"),
    ],
)
def test_what_is_no_list_of_pairs_stops_with_a_reason(
    tmp_path: Path, content: str, error: str
) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(content)

    with pytest.raises(SourceError, match=error):
        found(path)
