"""Measures the cost of an image: fetch, decode, scale to 512, encode, sha256, perceptual hash.

JPEGs of one megapixel and about 200 kB come from a web server on loopback. Each contender runs in
its own process, once over few images and once over many: the difference excludes the start. CPU is
user and system time of that process and its children, without the server. All rows are from one run
on one machine, so compare the ratios and not the milliseconds.

img2dataset and OpenCV need their own environment, because img2dataset 1.47 needs an old version of
albumentations. `make bench` makes it from bench/peers.txt. Without it their rows are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from pathlib import Path

_HERE = Path(sys.executable)
_PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"
SIDE = 512
QUALITY = 90
SIZES = ((1152, 864), (864, 1152), (1024, 1024), (1280, 800))
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg", "retina.jpg")


def kaption(urls: Sequence[str], threads: int) -> None:
    """Fetch with every check, decode in confined child processes, with the difference hash."""
    from kaption.workers.decode.pool import DecodePool
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.policy.ingest import FetchPolicy, ImagePolicy

    fetcher = Fetcher(FetchPolicy(allow_networks=("127.0.0.0/8",), per_host=threads))
    with DecodePool(ImagePolicy(longest_side=SIDE, quality=QUALITY)) as pool:
        _each(urls, threads, lambda url: pool.decode(fetcher.fetch(url).data))


def fetch_alone(urls: Sequence[str], threads: int) -> None:
    """Fetch as kaption does, and drop the bytes."""
    from kaption.workers.fetch.fetcher import Fetcher
    from kaption.workers.policy.ingest import FetchPolicy

    fetcher = Fetcher(FetchPolicy(allow_networks=("127.0.0.0/8",), per_host=threads))
    _each(urls, threads, fetcher.fetch)


def requests_pillow(urls: Sequence[str], threads: int) -> None:
    """A plain script: requests, decode, resize, save, sha256. It has no perceptual hash."""
    import requests
    from PIL import Image

    session = requests.Session()

    def one(url: str) -> None:
        data = session.get(url, timeout=30).content
        image = Image.open(BytesIO(data)).convert("RGB")
        scale = SIDE / max(image.size)
        out = BytesIO()
        size = (round(image.width * scale), round(image.height * scale))
        image.resize(size).save(out, "JPEG", quality=QUALITY)
        hashlib.sha256(data).hexdigest()
        hashlib.sha256(out.getvalue()).hexdigest()

    _each(urls, threads, one)


def requests_thumbnail(urls: Sequence[str], threads: int) -> None:
    """The plain script with Image.thumbnail, which decodes JPEGs at a reduced scale."""
    import requests
    from PIL import Image

    session = requests.Session()

    def one(url: str) -> None:
        data = session.get(url, timeout=30).content
        image = Image.open(BytesIO(data))
        image.thumbnail((SIDE, SIDE))
        out = BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=QUALITY)
        hashlib.sha256(data).hexdigest()
        hashlib.sha256(out.getvalue()).hexdigest()

    _each(urls, threads, one)


def img2dataset(urls: Sequence[str], threads: int) -> None:
    """img2dataset with one process, sha256, no EXIF and webdataset output."""
    from img2dataset import download

    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "urls.txt"
        listed.write_text("\n".join(urls))
        download(
            url_list=str(listed),
            output_folder=str(Path(folder) / "out"),
            image_size=SIDE,
            resize_mode="keep_ratio_largest",
            resize_only_if_bigger=True,
            encode_quality=QUALITY,
            processes_count=1,
            thread_count=threads,
            output_format="webdataset",
            compute_hash="sha256",
            extract_exif=False,
            enable_wandb=False,
        )
        written = sum(
            json.loads(path.read_text())["successes"]
            for path in (Path(folder) / "out").glob("*_stats.json")
        )
    if written != len(urls):
        raise SystemExit(f"img2dataset wrote {written} of {len(urls)}")


def opencv(urls: Sequence[str], threads: int) -> None:
    """OpenCV on files, one thread: reduced decode, resize, encode, sha256; no fetch, no checks."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    for url in urls:
        data = Path(url).read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
        assert image is not None
        scale = SIDE / max(image.shape[:2])
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        hashlib.sha256(data).hexdigest()
        hashlib.sha256(jpeg).hexdigest()


CONTENDERS: dict[str, Callable[[Sequence[str], int], None]] = {
    "kaption": kaption,
    "img2dataset": img2dataset,
    "requests + Pillow thumbnail": requests_thumbnail,
    "requests + Pillow": requests_pillow,
    "fetch alone": fetch_alone,
    "OpenCV alone": opencv,
}


def _each(urls: Sequence[str], threads: int, work: Callable[[str], object]) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, urls):
            pass


def make_images(folder: Path, count: int) -> None:
    """Write JPEGs of about 200 kB: crops of photographs, scaled to one megapixel."""
    import numpy as np
    from PIL import Image

    chance = random.Random(7)  # the same images in each run
    noise = np.random.default_rng(7)
    photographs = [
        Image.open(BytesIO((files("skimage") / "data" / name).read_bytes())).convert("RGB")
        for name in PHOTOGRAPHS
    ]
    for number in range(count):
        image = photographs[number % len(photographs)]
        size = SIZES[number % len(SIZES)]
        share = chance.uniform(0.7, 1.0)
        width, height = round(image.width * share), round(image.height * share)
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        scaled = image.crop((left, top, left + width, top + height)).resize(size)
        grain = noise.normal(0, 4, (size[1], size[0], 1))
        pixels = (np.asarray(scaled) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=85)


def serve(folder: Path) -> None:
    """Serve the files of a folder from memory. Prints the port."""
    contents = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = contents.get(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)  # there is no robots.txt
            body = body or b""
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run `serve` in a process. Yields its base URL."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def measure(name: str, urls: Sequence[str], threads: int, python: Path) -> tuple[float, float]:
    """CPU seconds and wall-clock seconds of one contender over `urls`, with its start."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
        json.dump(urls, listed)
        listed.flush()
        command = [str(python), __file__, "--contender", name, "--threads", str(threads)]
        started = time.monotonic()
        child = subprocess.Popen(
            [*command, "--urls", listed.name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert child.stderr is not None
        complaint = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{name} failed:\n{complaint.decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started


def main() -> None:
    """Print CPU per image and images per second of each contender, with ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=600, help="images in the long run")
    parser.add_argument("--threads", type=int, default=4, help="preparation threads")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, help="contenders to run")
    parser.add_argument("--peers", type=Path, default=_PEERS, help="Python with bench/peers.txt")
    for hidden in ("--serve", "--contender", "--urls"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Path(given.serve))
        return
    if given.contender:
        CONTENDERS[given.contender](json.loads(Path(given.urls).read_text()), given.threads)
        return

    few = 40
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), few)
        paths = sorted(Path(folder).iterdir())
        size = sum(path.stat().st_size for path in paths) / len(paths)
        cpu: dict[str, float] = {}
        wall: dict[str, float] = {}
        with serving(Path(folder)) as base:
            chosen = {}
            for name in given.only or CONTENDERS:
                python = given.peers if name in ("img2dataset", "OpenCV alone") else _HERE
                if python.exists():
                    chosen[name] = python
                else:
                    print(f"{name}: left out, because {python} does not exist")
            runs: dict[tuple[str, bool], list[tuple[float, float]]] = {}
            # In turns, so that a busy minute of the machine meets all of them.
            for _ in range(given.rounds):
                for name, python in chosen.items():
                    places = [
                        str(paths[n % few])
                        if name == "OpenCV alone"
                        else f"{base}/{paths[n % few].name}?{n}"
                        for n in range(given.images + few)
                    ]
                    for long in (False, True):
                        urls = places if long else places[:few]
                        cost = measure(name, urls, given.threads, python)
                        runs.setdefault((name, long), []).append(cost)
            # Take each minimum, then the difference: the smallest difference would pick noise.
            for name in chosen:
                for at, cost_of in enumerate((cpu, wall)):
                    least = [min(run[at] for run in runs[name, long]) for long in (True, False)]
                    cost_of[name] = (least[0] - least[1]) / given.images
    _print(cpu, wall, size, given)


def _print(
    cpu: dict[str, float], wall: dict[str, float], size: float, given: argparse.Namespace
) -> None:
    if {"fetch alone", "OpenCV alone"} <= cpu.keys():
        cpu["OpenCV alone + fetch alone"] = cpu["OpenCV alone"] + cpu["fetch alone"]
    ours = cpu.get("kaption")
    print(f"{given.images} JPEGs of 1 MP, {size / 1000:.0f} kB on average; {given.threads} threads")
    print(f"{'':28} {'CPU ms/image':>12} {'images/s':>9} {'CPU vs kaption':>15}")
    for name, seconds in cpu.items():
        speed = f"{1 / wall[name]:9.0f}" if name in wall else " " * 9
        ratio = f"{seconds / ours:14.2f}x" if ours else ""
        print(f"{name:28} {seconds * 1e3:12.2f} {speed} {ratio}")
    limit = cpu.get("OpenCV alone + fetch alone")
    if ours and limit:
        print(f"kaption / (OpenCV + fetch) = {ours / limit:.2f}, aim 1.3")
    if ours and "img2dataset" in cpu:
        print(f"kaption / img2dataset = {ours / cpu['img2dataset']:.2f}, aim 0.6")


if __name__ == "__main__":
    main()
