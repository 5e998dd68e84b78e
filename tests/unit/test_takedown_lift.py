"""`kaption takedown --lift` ends what a takedown refuses, for workers and readers."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kaption.objectstore.dataset.takedowns import (
    Takedowns,
    add_takedown,
    lifted_ids,
    read_takedowns,
    takedown_keys,
)
from kaption.objectstore.folder import FolderStore
from kaption.schemas import RawPair, Takedown, TakedownKind, encode
from kaption.schemas.takedown import own_rules
from kaption.workers.cli.app import app
from kaption.workers.settings import Settings, UserError, load_settings
from kaption.workers.wiring import build_takedowns
from support.ingest_bench import raw

pytestmark = pytest.mark.slow

PAGE = "https://www.example.org/page"
NAMES = {
    TakedownKind.PAIR: ["raw-1"],
    TakedownKind.URL: [PAGE, "HTTPS://WWW.example.org:443/page#top"],
    TakedownKind.DOMAIN: ["example.org", "EXAMPLE.org."],
    TakedownKind.SHA256: ["A" * 64],
}


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAPTION_REDIS__URL", redis_url)
    monkeypatch.setenv("KAPTION_STORE__URL", str(tmp_path / "store"))
    return load_settings(None)


def pair() -> RawPair:
    return raw(b"", 1).record.model_copy(update={"pair_id": "raw-1", "page_url": PAGE})


def takedown(kind: TakedownKind, value: str) -> Takedown:
    return Takedown(kind=kind, value=value, requested_at=datetime.now(UTC))


def take_down(settings: Settings, *takedowns: Takedown) -> FolderStore:
    """Refuse them as the command does, for workers and readers."""
    objects = FolderStore(Path(settings.store.url))
    for each in takedowns:
        add_takedown(objects, settings.sink.prefix, each)
    build_takedowns(settings).add([each.takedown_id for each in takedowns])
    return objects


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["takedown", *arguments])


@pytest.mark.parametrize("name", [name for names in NAMES.values() for name in names])
def test_a_lifted_takedown_refuses_nobody(settings: Settings, name: str) -> None:
    # Given a takedown, the image that it led to, and another takedown
    kind = next(kind for kind, names in NAMES.items() if name in names)
    made = takedown(kind, NAMES[kind][0])
    picture, other = made.of_image("b" * 64), takedown(TakedownKind.PAIR, "other")
    objects = take_down(settings, made, picture, other)

    # When it is lifted, in any spelling
    ended = run(name, "--lift")

    # Then neither workers nor readers apply it, and the other one holds
    assert ended.exit_code == 0, ended.output
    assert f"takedown {made.takedown_id}, and 1 images that it led to" in ended.output
    others = pair().model_copy(update={"pair_id": "other", "page_url": None})
    found = build_takedowns(settings).covering([pair(), others])
    assert found == [None, other.takedown_id]
    readers = Takedowns(objects, settings.sink.prefix)
    assert not readers.hold([made.rule, picture.rule])
    assert readers.hold(own_rules(others))


def test_a_takedown_of_an_earlier_prefix_is_lifted_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = takedown(TakedownKind.DOMAIN, "example.org")
    take_down(settings, made)
    monkeypatch.setenv("KAPTION_SINK__PREFIX", "dataset-2")
    later = load_settings(None)
    assert build_takedowns(later).covering([pair()]) == [made.takedown_id]

    ended = run("example.org", "--lift")

    assert "it was not among those below 'dataset-2'" in ended.output
    for _ in range(2):  # the second worker compares anew
        assert build_takedowns(later).covering([pair()]) == [None]


def test_what_was_never_taken_down_is_told_and_the_others_are_lifted(settings: Settings) -> None:
    # Given one takedown
    objects = take_down(settings, takedown(TakedownKind.DOMAIN, "example.org"))
    # When it and a misspelt name are lifted, twice
    first, second = (run("exmaple.org", "example.org", "--lift") for _ in range(2))
    # Then the command fails and names the misspelt one alone, of which nothing is written
    for ended in (first, second):
        assert isinstance(ended.exception, UserError)
        assert "nothing was lifted: domain exmaple.org." in str(ended.exception)
        assert "domain example.org is lifted" in ended.output
    assert not read_takedowns(objects, takedown_keys(objects, "dataset"))
    assert len(lifted_ids(objects, "dataset")) == 1


def test_a_takedown_in_a_file_with_another_name_is_lifted(settings: Settings) -> None:
    made = takedown(TakedownKind.DOMAIN, "example.org")
    objects = FolderStore(Path(settings.store.url))
    objects.put("dataset/takedown/by-hand.json", encode(made))
    assert build_takedowns(settings).covering([pair()]) == [made.takedown_id]

    run("example.org", "--lift")

    assert not read_takedowns(objects, takedown_keys(objects, "dataset"))
    assert build_takedowns(settings).covering([pair()]) == [None]


@pytest.mark.parametrize("arguments", [["--lift"], ["example.org", "--lift", "--dry-run"]])
def test_a_lift_without_names_or_as_a_trial_is_refused(
    settings: Settings, arguments: list[str]
) -> None:
    objects = take_down(settings, takedown(TakedownKind.DOMAIN, "example.org"))

    ended = run(*arguments)

    assert ended.exit_code != 0
    assert len(takedown_keys(objects, settings.sink.prefix)) == 1
