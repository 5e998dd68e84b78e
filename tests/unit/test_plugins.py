"""The one loader: what a name may be, what a plug-in is called with, and what errors say."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from kaption.connections.errors import Fatal
from kaption.connections.settings import StoreConnection
from kaption.producers.sources import SourceError, open_source
from kaption.testing.records import caption
from kaption.workers.plugins import load_captioners, load_checks, load_scorer
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.settings import Settings, load_settings
from kaption.workers.wiring import build_stage, require_stage

Write = Callable[[str, str], None]
"""Puts a module of a user's where Python finds it."""

CHECK = """
    from kaption.schemas import Caption, CheckResult
    from pydantic import BaseModel

    class Shout:
        name = "shout"

        def check(self, caption: Caption) -> CheckResult:
            return CheckResult(name=self.name, passed=not caption.text.isupper())
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.syspath_prepend(tmp_path)

    def module(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(dedent(source))

    return module


def names(policy: SelectPolicy) -> list[str]:
    return [check.name for check in load_checks(policy)]


@pytest.mark.parametrize(
    "name",
    [
        "rules",
        "kaption.workers.captioners.rules",
        "kaption.workers.captioners.rules:build",
        "kaption.workers.captioners.rules:RulesCaptioner",
        "kaption.workers.captioners.rules.RulesCaptioner",
    ],
)
def test_a_name_is_a_module_of_ours_or_a_path_to_a_class_or_function(name: str) -> None:
    (captioner,) = load_captioners(RecaptionPolicy(captioners=(name,)))

    assert captioner.name == "rules"


def test_all_checks_of_the_package_are_used_without_naming_them() -> None:
    ours = ["language", "leakage", "length", "prose", "repetition", "whole"]
    assert names(SelectPolicy()) == ours


def test_a_check_of_the_user_comes_beside_ours(write: Write) -> None:
    write("one", CHECK)

    assert names(SelectPolicy(checks=("all", "one:Shout")))[-1] == "shout"
    assert names(SelectPolicy(checks=("length", "one:Shout"))) == ["length", "shout"]


def test_an_installed_package_offers_a_short_name(write: Write, tmp_path: Path) -> None:
    # Given an installed package with an entry point
    write("two", CHECK)
    info = tmp_path / "two-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: two\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kaption.checks]\nloud = two:Shout\n")

    # When the settings write its short name, then it is found, and offered where one is wrong
    assert names(SelectPolicy(checks=("loud",))) == ["shout"]
    with pytest.raises(Fatal, match="one of the installed loud, or your own as"):
        load_checks(SelectPolicy(checks=("lout",)))


def test_settings_are_checked_by_the_plug_in_s_own_model(write: Write) -> None:
    # Given a check whose argument is a pydantic model
    write(
        "three",
        """
        from __future__ import annotations
        from kaption.schemas import Caption, CheckResult
        from pydantic import BaseModel

        class Rare:
            class Words(BaseModel, extra="forbid"):
                least: int = 1

            name = "rare"

            def __init__(self, settings: Words) -> None:
                self.least = settings.least

            def check(self, caption: Caption) -> CheckResult:
                return CheckResult(name=self.name, passed=len(caption.text) >= self.least)
        """,
    )

    def least(**settings: object) -> object:
        policy = SelectPolicy(checks=("three:Rare",), settings={"three:Rare": settings})
        return vars(load_checks(policy)[0])["least"]

    # When settings are given under its name, then it gets them, converted
    assert least() == 1
    assert least(least="7") == 7

    # And what is wrong names the plug-in and the field
    with pytest.raises(Fatal, match=r"settings of the check 'three:Rare': least: Input should be"):
        least(least="many")
    with pytest.raises(Fatal, match=r"'three:Rare': most: Extra inputs are not permitted"):
        least(most=3)


def test_settings_that_nobody_takes_are_an_error(write: Write) -> None:
    write("four", CHECK)

    policy = SelectPolicy(checks=("four:Shout",), settings={"four:Shout": {"least": 1}})
    with pytest.raises(Fatal, match=r"'four:Shout' takes no settings of its own, but .* least"):
        load_checks(policy)
    policy = SelectPolicy(checks=("length",), settings={"four:Shout": {}})
    with pytest.raises(Fatal, match=r"'four:Shout', which is not in use: select.checks names len"):
        load_checks(policy)
    with pytest.raises(Fatal, match="'open_clip' takes no settings of its own, but is given size"):
        load_scorer(ClipPolicy(settings={"size": 1}))


@pytest.mark.parametrize("name", ["no_such", "captioner", "_blip"])
def test_a_wrong_short_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(Fatal) as raised:
        load_captioners(RecaptionPolicy(captioners=(name,)))

    assert str(raised.value) == (
        f"there is no captioner {name!r}: in recaption.captioners write one of openai,"
        ' rules, transformers, or your own as "package.module:Name"'
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_such_package.checks:X", "cannot be imported: No module named 'no_such_package'"),
        ("broken:X", "cannot be imported: No module named 'no_such_dependency'"),
        ("broken.X", "cannot be imported: No module named 'no_such_dependency'"),
        ("good:Shuot", "cannot be found: good has no Shuot; it has Shout"),
        ("good.Shuot", "cannot be found: good has no Shuot; it has Shout"),
        ("kaption.workers.checks.words", "is a module without a plug-in: write"),
        ("good:Shout.name", "is 'shout': name a class or a function"),
        ("many:Many", "needs first, second: a plug-in takes nothing, or one argument"),
        ("keyworded:build", "needs first: a plug-in takes nothing, or one argument"),
        ("typed:Typed", "cannot be read: name 'Policy' is not defined"),
        ("empty:Empty", r"makes lacks check, name: see kaption.workers.checks.check.Check"),
    ],
)
def test_a_wrong_path_says_what_is_wrong_with_it(write: Write, name: str, error: str) -> None:
    write("good", CHECK)
    write("broken", "import no_such_dependency")
    write("many", "class Many:\n    def __init__(self, first, second): ...")
    write("keyworded", "def build(*, first): ...")
    write("typed", "class Typed:\n    def __init__(self, policy: 'Policy'): ...")
    write("empty", "class Empty: ...")

    with pytest.raises(Fatal, match=error) as raised:
        load_checks(SelectPolicy(checks=(name,)))

    assert repr(name) in str(raised.value)


def test_two_checks_of_one_name_are_refused(write: Write) -> None:
    write("five", CHECK)

    with pytest.raises(Fatal, match="two checks that call themselves 'shout'"):
        load_checks(SelectPolicy(checks=("five:Shout", "five:Shout")))


def test_wrong_names_of_scorers_stages_and_formats_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"no scorer 'clap': in clip.scorer write one of open_clip, or"):
        load_scorer(ClipPolicy(scorer="clap"))
    with pytest.raises(Fatal, match="no stage 'polish': in `kaption work` write one of ingest, sc"):
        require_stage("polish")
    with pytest.raises(Fatal, match="no stage 'polish'"):
        build_stage("polish", Settings())
    with pytest.raises(SourceError, match=r"no format 'rss': in --format write one of folder, hu"):
        open_source(str(tmp_path), "rss")


def test_a_source_of_the_user_recognises_what_none_of_ours_does(
    write: Write, tmp_path: Path
) -> None:
    # Given an installed source for a kind of file that nobody else reads
    write(
        "feeds",
        """
        from kaption.producers.sources import Source

        class Feed(Source):
            def __init__(self, location, *, language=None): self.language = language

            @classmethod
            def recognises(cls, location): return location.endswith(".rss")

            identity = "feed"

            def read(self, after=None): return iter(())
        """,
    )
    info = tmp_path / "feeds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: feeds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kaption.sources]\nrss = feeds:Feed\n")
    path = tmp_path / "news.rss"
    path.touch()

    # When its location is opened with and without its name, then it is taken, options and all
    for format_ in (None, "rss", "feeds:Feed"):
        assert vars(open_source(str(path), format_, {"language": "en"})) == {"language": "en"}
    with pytest.raises(SourceError, match="is not a source: write a class that has"):
        open_source(str(path), "feeds:Source.read")


def test_a_stage_may_ask_for_all_settings(write: Write, tmp_path: Path) -> None:
    write(
        "sixth",
        """
        from __future__ import annotations
        from own_stage import SplitSettings, SplitStage
        from kaption.workers.settings import Settings

        def build(settings: Settings) -> SplitStage:
            stage = SplitStage(SplitSettings())
            stage.store = settings.store.url
            return stage
        """,
    )

    stage = build_stage("sixth:build", Settings(store=StoreConnection(url=str(tmp_path))))

    assert vars(stage)["store"] == str(tmp_path)


def test_settings_of_plug_ins_may_come_from_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTION_SELECT__CHECKS", '["own_check:BannedWords"]')
    monkeypatch.setenv("KAPTION_SELECT__SETTINGS", '{"own_check:BannedWords": {"words": ["cat"]}}')

    (check,) = load_checks(load_settings().select)

    assert not check.check(caption("a cat on a sofa")).passed
