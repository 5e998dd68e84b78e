"""`kaption caption`: what models say about an image, without any server of the stream."""

import json
import os
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from kaption.workers.cli.app import app
from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import random_scene
from support.caption_server import TransformersServe
from support.tiny_models import tiny_llava

pytestmark = pytest.mark.slow

PROMPTS = """
[[prompt]]
id = "dense"
aspect = "context"
template = ["describe the picture", "text {ocr}"]

[[prompt]]
id = "short"
aspect = "appearance"
template = "caption {dense}"
"""


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTION_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("KAPTION_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("KAPTION_STORE__URL", "s3://nowhere")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.jpg"
    render(random_scene(random.Random(1)), 256, random.Random(1)).save(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["caption", *map(str, arguments)])


def shown(*arguments: object) -> dict[str, Any]:
    ended = run("--json", "--models", "demo", *arguments)
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def columns(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in line)


def test_all_candidates_are_shown_and_those_that_select_keeps_come_first(scene: Path) -> None:
    found = shown(scene, "--alt", "a red star on the beach", "--tag", "star")

    captions = found["captions"]
    assert [each["kept"] for each in captions] == [1, 2] + [None] * (len(captions) - 2)
    assert {each["kind"] for each in captions} == {"original", "rule", "vlm"}
    assert all(each["score"] >= found["min_score"] for each in captions[:2])
    assert all(each["why_not"] for each in captions[2:])
    (rule,) = (each for each in captions if each["kind"] == "rule")
    assert rule["why_not"].startswith("fails length (2 words")
    (original,) = (each for each in captions if each["kind"] == "original")
    assert original["why_not"] == f"score below {found['min_score']:.3f}"
    vlm = [each for each in captions if each["kind"] == "vlm"]
    assert all(each["prompt_id"] and each["tokens"] > 2 and each["seconds"] > 0 for each in vlm)
    assert {each["captioner"] for each in found["captioners"]} == {"rules", "transformers"}


def test_the_table_fits_80_columns_and_needs_no_colour(scene: Path) -> None:
    alt = "一只红色的星星在沙滩上。" * 12 + "\x1b[31mred\x07 " + "long" * 40

    ended = run(scene, "--models", "demo", "--alt", alt, "--ocr", "SALE")

    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert max(map(columns, lines)) <= 80
    assert "\x1b" not in ended.output
    assert sum(line.startswith("KEPT ") for line in lines) == 2
    assert sum(line.startswith("    not kept: ") for line in lines) >= 2
    assert "a toy that knows the rendered scenes" in ended.stderr


def _text(path: Path) -> None:
    path.write_text("no image")


def _tiny(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, "PNG")


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "No such file"),
        (_folder, "this is not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "this is not a file"),
        (os.mkfifo, "this is not a file"),
        (_text, "not_an_image"),
        (lambda path: path.touch(), "not_an_image"),
        (_tiny, "too_small"),
    ],
)
def test_an_image_that_cannot_be_used_costs_one_line_and_the_others_are_shown(
    scene: Path, tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    bad = tmp_path / "bad"
    make(bad)

    ended = run(bad, scene, "--json", "--models", "demo")

    assert ended.exit_code == 1
    assert isinstance(ended.exception, SystemExit)
    (line,) = (each for each in ended.stderr.splitlines() if str(bad) in each)
    assert told in line
    assert json.loads(ended.stdout)["image"] == str(scene)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/a.jpg", "fetch_denied"),
        ("file:///etc/passwd", "fetch_denied"),
        ("ftp://example.org/a.jpg", "fetch_denied"),
        ("http://", "fetch_"),
    ],
)
def test_an_address_that_ingest_refuses_is_refused_before_a_model_is_loaded(
    url: str, told: str
) -> None:
    ended = run(url, "--models", "demo")

    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"kaption: {url}: {told}")
    assert len(ended.stderr.splitlines()) == 1
    assert not ended.stdout


@pytest.fixture
def site(scene: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=scene.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_image_comes_from_a_url_of_a_network_that_is_allowed(
    site: str, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTION_INGEST__FETCH__ALLOW_NETWORKS", '["127.0.0.0/8"]')

    local, remote = shown(scene), shown(f"{site}/scene.jpg")

    assert _said(local) == _said(remote)
    ended = run(f"{site}/nothing.jpg", "--models", "demo")
    assert "answered 404" in ended.stderr


def _said(found: dict[str, Any]) -> Sequence[Any]:
    return [(each["text"], each["score"], each["kept"]) for each in found["captions"]]


def test_prompts_of_ones_own_are_tried_with_a_model_of_ones_own(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tmp_path / "own.toml"
    prompts.write_text(PROMPTS)
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__MODEL", str(tiny_llava(tmp_path / "m")))
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__PROMPTS", str(prompts))
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__SAMPLING__MAX_NEW_TOKENS", "5")

    found = shown(scene, "--ocr", "SALE")

    asked = [it["prompt_id"] for it in found["captions"] if it["captioner"] == "transformers"]
    assert {name.partition("@")[0] for name in asked} == {"dense", "short"}


def test_a_mistake_in_prompts_or_settings_is_one_line(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = run(scene)
    prompts = tmp_path / "own.toml"
    prompts.write_text(PROMPTS.replace("{ocr}", "{orc}"))
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__PROMPTS", str(prompts))

    wrong = run(scene, "--models", "demo")

    assert "no model is chosen" in str(unset.exception)
    assert "prompt 'dense' has the unknown placeholder {orc}" in str(wrong.exception)


def test_tokens_and_cost_of_a_caption_server_are_told(
    scene: Path, caption_server: TransformersServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTION_RECAPTION__CAPTIONERS", '["openai"]')
    for name, value in {
        "BASE_URL": caption_server.url,
        "MODEL": caption_server.model,
        "INPUT_PRICE": "1000000",
        "SAMPLING__MAX_NEW_TOKENS": "4",
    }.items():
        monkeypatch.setenv(f"KAPTION_RECAPTION__OPENAI__{name}", value)

    ended = run(scene, "--models", "demo", "--alt", "a red star in the sky")

    assert ended.exit_code == 0, ended.output
    assert "openai chat/fused" in ended.stdout
    told = re.search(
        r"^openai: 5 captions in .+ s, ([\d,]+) tokens, cost (\S+)$", ended.stdout, re.M
    )
    assert told is not None, ended.stdout
    assert float(told[2]) > 100
