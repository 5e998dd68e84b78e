"""From the key press of a person in Chromium to the batch of a training."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.training.batches import TrainingBatches
from kaption.consumers.training.examples import ExampleMaker
from kaption.consumers.training.images import ImageTransform
from kaption.consumers.training.tokens import TextTokens
from kaption.objectstore import ObjectStore, open_store
from kaption.objectstore.dataset.index import last_manifests
from kaption.schemas import CleanPair
from kaption.schemas.letterbox import Letterbox
from kaption.schemas.topics import AUDITED
from kaption.workers.local.server import free_ports
from support.auditing import TOKENS, AuditSite, audit_site
from support.engine import until
from support.program import PROGRAM, kaption
from support.replicas import Replica
from support.reporting import chromium
from support.tiny_models import tiny_clip
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

expect.set_options(timeout=60_000)  # a busy machine

BOX = Letterbox(32, 32, "bicubic", (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
WRITTEN = "a person saw a plain square"
FAULTS: list[str] = []
"""What Chromium's console told of errors."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _console() -> Iterator[None]:
    FAULTS.clear()
    yield
    assert FAULTS == []


@pytest.fixture
def site(apache_kafka: ApacheKafka, topic_prefix: str, redis_url: str, tmp_path: Path) -> AuditSite:
    return audit_site(apache_kafka.bootstrap, topic_prefix, redis_url, tmp_path)


def environment(site: AuditSite, folder: Path) -> dict[str, str]:
    return site.environment | {
        "KAPTION_AUDIT__TOKENS": " ".join(f"{it}={TOKENS[it]}" for it in TOKENS),
        "KAPTION_AUDIT__DOUBLE_FRACTION": "0",
        "KAPTION_HEALTH__PORT": "0",
        "KAPTION_SINK__SHARD_AGE_S": "1",
        "KAPTION_SINK__SPOOL": str(folder),
    }


class AuditServer:
    """A process of `kaption audit serve`."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        (port,) = free_ports(1)
        self.url, self._log = f"http://127.0.0.1:{port}/", log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [PROGRAM, "audit", "serve", "--port", str(port)],
                env=os.environ | variables,
                stdout=file,
                stderr=file,
            )
        assert until(lambda: "the audit is at" in log.read_text()), log.read_text()


@contextmanager
def serving(variables: dict[str, str], log: Path, browser: Browser) -> Iterator[AuditServer]:
    server = AuditServer(variables, log)
    try:
        yield server
    finally:
        leave(browser)
        server.process.terminate()
        server.process.wait(30)


def log_in(browser: Browser, url: str, name: str = "ana", **context: Any) -> Page:
    page = browser.new_context(**context).new_page()
    page.on("console", _note)
    page.on("pageerror", lambda error: FAULTS.append(str(error)))
    page.goto(url)
    # The browser gives the field the focus some time after the page is loaded.
    expect(page.locator("input[name=token]")).to_be_focused()
    page.keyboard.type(TOKENS[name])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("describe the image")
    # The heading is there before the style sheet and the image are.
    page.wait_for_load_state()
    return page


def leave(browser: Browser) -> None:
    """Close all pages. Chromium asks for the icon of a page only after it has loaded the page."""
    for context in browser.contexts:
        context.close()


def _note(message: ConsoleMessage) -> None:
    if message.type == "error":
        FAULTS.append(f"{message.text} at {message.location['url']}")


def shown(page: Page) -> str:
    text = page.locator(".best .text").text_content() or ""
    return f"pair-{text.rpartition(' ')[2]}"


def waits(page: Page, pairs: int) -> None:
    """Wait for the page that tells this number, and for its script."""
    expect(page.locator("#waiting")).to_have_text(f"{pairs} waiting")
    page.wait_for_load_state()


def run(variables: dict[str, str], *words: str) -> str:
    done = kaption(*words, settings=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_of_a_person_change_what_a_training_reads(
    site: AuditSite, browser: Browser, tmp_path: Path
) -> None:
    # Given three pairs that are in a shard already
    variables = environment(site, tmp_path)
    pairs = [site.publish(number) for number in range(3)]
    sink = Replica("sink", 0, variables, tmp_path)
    sink.start()
    objects = open_store(site.settings.store)

    def written() -> int:
        return sum(it.end for it in last_manifests(objects, "dataset").values())

    try:
        assert until(lambda: written() >= 3), sink.log.read_text()[-3000:]
        # When a person corrects, rejects and accepts one each, by keys alone
        with serving(variables, tmp_path / "audit.log", browser) as server:
            page = log_in(browser, server.url)
            waits(page, 3)
            corrected = shown(page)
            page.keyboard.press("e")
            page.keyboard.press("ControlOrMeta+A")
            page.keyboard.type(WRITTEN)
            page.keyboard.press("Control+Enter")
            waits(page, 2)
            rejected = shown(page)
            page.keyboard.press("r")
            waits(page, 1)
            page.keyboard.press("a")
            waits(page, 0)
        assert until(lambda: _version_two(objects)), sink.log.read_text()[-3000:]
    finally:
        sink.stop()
    # Then batches, compaction and `consume` have the new text and lack the rejected pair
    left = {pair.pair_id for pair in pairs} - {rejected}
    make = _maker(tmp_path)

    def texts() -> dict[str, str]:
        stream = ShardStream(objects, options=ShardOptions(buffer=4))
        batches = [*TrainingBatches(stream, make, batch_size=2)]
        return {
            name: text for it in batches for name, text in zip(it.pair_ids, it.texts, strict=True)
        }

    found = texts()
    assert found.keys() == left
    assert found[corrected] == WRITTEN
    told = run(variables, "compact", "--grace", "0s")
    assert "replaced" in told
    assert "taken down" in told
    assert texts() == found
    run(variables, "consume", str(tmp_path / "pairs.jsonl"))
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    consumed = {it.pair_id: it for it in map(CleanPair.model_validate_json, lines)}
    assert consumed.keys() == left
    assert consumed[corrected].captions[0].text == WRITTEN


def test_what_a_person_types_and_presses_does_what_was_meant(
    site: AuditSite, browser: Browser, tmp_path: Path
) -> None:
    site.publish(1)
    with serving(environment(site, tmp_path), tmp_path / "audit.log", browser) as server:
        page = log_in(browser, server.url)
        waits(page, 1)
        # A session that ends in the middle of a text costs no word of it
        page.keyboard.press("e")
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.type(WRITTEN)
        page.context.clear_cookies()
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
        expect(page.get_by_role("link", name="Back to the pair")).to_be_focused()
        FAULTS.clear()  # Chromium tells the status of that answer
        page.keyboard.press("Enter")
        expect(page.get_by_label("Your token")).to_be_focused()
        page.keyboard.type(TOKENS["ana"])
        page.keyboard.press("Enter")
        waits(page, 1)
        field = page.get_by_label("Your text", exact=True)
        expect(field).to_have_value(WRITTEN)
        # Enter in the reason decides nothing, Escape leaves it, and the result is told
        page.keyboard.press("e")
        page.keyboard.press("Tab")
        page.keyboard.type("blurred")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        waits(page, 0)
        expect(page.get_by_role("status")).to_have_text("Your last decision: refused. 0 waiting.")
        page.keyboard.press("u")
        waits(page, 1)
        # On a keyboard of another script the key with the A accepts, and the one with the R rejects
        page.evaluate("sessionStorage.clear()")
        page.reload()
        waits(page, 1)
        page.evaluate(
            """document.body.dispatchEvent(
                new KeyboardEvent("keydown", {key: "\u0444", code: "KeyA", bubbles: true}))"""
        )
        waits(page, 0)
        expect(page.get_by_role("status")).to_contain_text("accepted")
    decided = [it for it in site.read(AUDITED) if isinstance(it, CleanPair)]
    assert [it.audit.state.value for it in decided] == ["refused", "sampled", "accepted"]
    assert decided[0].audit.note == "blurred"


def test_nothing_is_lost_when_a_server_is_killed_and_people_go_on_at_another(
    site: AuditSite, browser: Browser, tmp_path: Path
) -> None:
    variables = environment(site, tmp_path)
    for number in range(4):
        site.publish(number)
    first, second = (AuditServer(variables, tmp_path / f"{n}.log") for n in (1, 2))
    try:
        ana, ben = log_in(browser, first.url), log_in(browser, second.url, "ben")
        assert shown(ana) != shown(ben)
        ana.keyboard.press("a")
        waits(ana, 3)
        claimed = shown(ana)
        ana.close()
        first.process.kill()
        first.process.wait()

        ana = log_in(browser, second.url)

        assert shown(ana) == claimed
        waits(ana, 3)
        for left in (2, 1, 0):
            page = ben if left else ana
            page.keyboard.press("a")
            waits(page, left)
    finally:
        leave(browser)
        for server in (first, second):
            server.process.kill()
            server.process.wait()
    assert len(site.read(AUDITED)) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_the_window_and_names_its_parts(
    site: AuditSite, browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    long = "word" * 60 + " a dog on the grass"
    site.publish(1, text=long, clean_text=long, source="s" * 200)
    with serving(environment(site, tmp_path), tmp_path / "audit.log", browser) as server:
        size = {"width": width, "height": 900}
        page = log_in(browser, server.url, viewport=size, color_scheme=scheme)

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.get_by_label("Your text", exact=True).is_visible()
        for name in ("Accept", "Save your text", "Reject", "Skip", "Log out"):
            assert page.get_by_role("button", name=re.compile(f"^{name}")).is_visible()
        assert page.evaluate("document.images[0].naturalWidth") > 0
        assert _contrast(page, ".texts .text") >= 7
        assert _contrast(page, "button.accept") >= 4.5
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{width}-{scheme}.png", full_page=True)


def _contrast(page: Page, selector: str) -> float:
    """The ratio of WCAG 2 between the colours of an element and of what is behind it."""
    colours = page.locator(selector).first.evaluate(
        """(element) => {
            const ink = getComputedStyle(element).color;
            for (let it = element; it; it = it.parentElement) {
                const back = getComputedStyle(it).backgroundColor;
                if (back !== "rgba(0, 0, 0, 0)") return [ink, back];
            }
        }"""
    )
    lights = sorted(_luminance(colour) for colour in colours)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(it) / 255 for it in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _version_two(objects: ObjectStore) -> bool:
    stream = ShardStream(objects, options=ShardOptions(shuffle=False))
    return any(sample.pair.version == 2 for sample in stream)


def _maker(folder: Path) -> ExampleMaker:
    clip = tiny_clip(folder / "clip", context=48)
    tokenizer: Callable[..., object] = open_clip.get_tokenizer(f"local-dir:{clip}")
    return ExampleMaker(TextTokens(tokenizer), ImageTransform(BOX))
