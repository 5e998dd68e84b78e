"""`kaption sources`: the summary, the Croissant description and the card of a data set."""

import json
import re
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt
from typer.testing import CliRunner, Result

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CaptionKind
from kaption.schemas.counts import Refusals
from kaption.testing.records import caption
from kaption.workers.cli.app import app
from kaption.workers.origin.refusals import store_refusals
from support.sink_records import now, open_sink, run, stored

pytestmark = pytest.mark.slow

EVIL = "a | b\n<script>*x*"


@pytest.fixture
def dataset(objects: FolderStore, blobs: BlobStore, tmp_path: Path) -> Path:
    """Forty pairs from forty sites; one is much larger than the others."""
    messages = [
        stored(
            blobs,
            number,
            page_url=f"https://site{number}.example/",
            source=EVIL if number else "plain",
            licence=EVIL,
            detected_language="pt-BR" if number else "en",
            captions=(caption("größer", kind=CaptionKind.FUSED, model="org/m", revision="1" * 40),),
        )
        for number in range(40)
    ]
    run(open_sink(objects, tmp_path, "w1"), messages)
    return tmp_path / "store"


def sources(store: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["sources", str(store), *arguments])


def summary(store: Path, *arguments: str) -> dict[str, Any]:
    result = sources(store, "--to", "json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_tenth_of_the_domains_is_listed_and_fewer_for_small_providers(dataset):
    # Given forty domains
    large, small = summary(dataset)["domains"], summary(dataset, "--sme")["domains"]

    # Then
    assert (large["all"], len(large["top"]), len(small["top"])) == (40, 4, 2)
    sizes = [row["bytes"] for row in large["top"]]
    assert sizes == sorted(sizes, reverse=True)


def test_sizes_languages_and_writers_are_told(dataset):
    # When
    told = summary(dataset)

    # Then
    assert told["pairs"] == 40
    assert told["exact"] is True
    assert told["images"]["range"] == "less than 1 million images"
    assert (told["text"]["captions"], told["text"]["characters"]) == (40, 240)
    assert [row["language"] for row in told["text"]["languages"]] == ["pt-BR", "en"]
    (writer,) = told["captions"]
    assert (writer["kind"], writer["model"], writer["revision"]) == ("fused", "org/m", "1" * 40)
    assert told["opt_outs"]["honoured"] is None  # nobody counted pairs.rejected


def test_rejections_that_were_counted_are_told(dataset, objects):
    # Given
    counted = Refusals(
        counted_at=now(), reasons={"ingest.opted_out": 3, "select.low_alignment": 5},
        opt_outs={"robots_meta": 2, "c2pa": 1},
    )  # fmt: skip
    store_refusals(objects, "dataset", counted)

    # Then
    assert summary(dataset)["opt_outs"]["honoured"] == counted.opt_outs
    assert "Honoured" in sources(dataset).stdout
    assert "select.low\\_alignment 5" in sources(dataset).stdout


SECTIONS = ("1", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3", "3.1")


def test_the_summary_has_every_section_of_the_template_in_its_order(dataset: Path) -> None:
    told = sources(dataset).stdout

    assert tuple(re.findall(r"^#+ ([\d.]+?)\.? ", told, re.MULTILINE)) == (*SECTIONS, "3.2", "3.3")
    for number in ("2.2.1", "2.2.2"):
        assert f"- {number} " in told
    assert re.search(r"Latest date of data acquisition: (\d{4}-\d\d|not known)", told)


def test_names_from_the_web_do_not_break_the_markdown(dataset):
    # When a Markdown parser reads the summary
    html = MarkdownIt().enable("table").render(sources(dataset).stdout)

    # Then each name is text in its own cell
    assert "<script>" not in html
    assert "<td>a | b &lt;script&gt;*x*</td>" in html


def test_the_croissant_description_is_valid_and_reads_the_pairs(dataset):
    # When
    assert sources(dataset, "--write").exit_code == 0

    # Then MLCommons' library accepts it and finds the pairs by it
    described = mlcroissant.Dataset(str(dataset / "dataset" / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    records = list(described.records("pairs"))
    assert len(records) == 40
    assert {record["pairs/caption"] for record in records} == {"größer".encode()}


def test_the_card_is_read_by_the_hub_s_library(dataset):
    # When
    assert sources(dataset, "--write").exit_code == 0

    # Then
    card = DatasetCard.load(dataset / "dataset" / "README.md")
    assert card.data.language == ["en", "pt"]
    assert card.data.size_categories == ["n<1K"]
    assert (card.data.license, card.data.license_name) == ("other", "several")
    assert card.data.configs[0]["data_files"] == "data/*/*.parquet"


def test_compaction_keeps_the_files_current(dataset, monkeypatch, blobs, objects, tmp_path):
    # Given files that a small provider wrote, and a pair that came since
    assert sources(dataset, "--write", "--sme").exit_code == 0
    sink = open_sink(objects, tmp_path, "w2")
    sink.resume("pairs.clean", 0, 0)
    run(sink, [stored(blobs, 50, page_url="https://new.example/")])
    monkeypatch.setenv("KAPTION_STORE__URL", str(dataset))

    # When
    compacted = CliRunner().invoke(app, ["compact"])

    # Then
    assert compacted.exit_code == 0, compacted.output
    told = json.loads((dataset / "dataset" / "sources.json").read_text("utf-8"))
    assert (told["pairs"], told["small_provider"], told["exact"]) == (41, True, True)
    assert "41 image-text pairs" in (dataset / "dataset" / "README.md").read_text("utf-8")


def test_a_store_without_shards_is_one_clear_line(tmp_path):
    # When
    result = sources(tmp_path / "nothing")

    # Then
    assert result.exit_code == 1
    assert "holds no shards below dataset/: set store.url" in str(result.exception)


def test_the_folder_of_a_run_is_told_where_its_data_set_is(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    result = CliRunner().invoke(app, ["sources", str(tmp_path)])
    assert str(result.exception).endswith(f"below dataset/: give {tmp_path / 'store'}")
