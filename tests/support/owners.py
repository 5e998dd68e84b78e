"""What owners of images say against their use: in files, and on web servers."""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Self

import cbor2
from PIL import Image, TiffImagePlugin

from support.ingest_bench import image_bytes

PROHIBITED = "http://ns.useplus.org/LDF/vocab/DMI-PROHIBITED-AIMLTRAINING"
PLUS = 'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\x00"


def xmp(value: str = PROHIBITED, body: str | None = None) -> bytes:
    """A packet with one property, as an element or as the `body` given."""
    said = f"<plus:DataMining>{value}</plus:DataMining>" if body is None else body
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {RDF}><rdf:Description rdf:about="" {PLUS}>{said}</rdf:Description></rdf:RDF>'
        f'</x:xmpmeta>{" " * 200}<?xpacket end="w"?>'
    ).encode()


def plain(kind: str, seed: int = 1) -> bytes:
    """An image without metadata."""
    return image_bytes(seed, kind=kind)


def jpeg_with(*segments: tuple[int, bytes], seed: int = 1) -> bytes:
    """A JPEG with segments of these markers after its first one."""
    data = plain("JPEG", seed)
    parts = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(parts) + data[2:]


def png_with(*chunks: tuple[bytes, bytes], seed: int = 1) -> bytes:
    """A PNG with chunks before its pixels."""
    data = plain("PNG", seed)
    return data[:33] + b"".join(map(png_chunk, chunks)) + data[33:]


def png_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, body = chunk
    crc = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", crc)


def webp_with(name: bytes, body: bytes) -> bytes:
    """A WebP in the simple format, with a chunk that its header does not announce."""
    data = plain("WEBP") + struct.pack("<4sI", name, len(body)) + body + b"\x00" * (len(body) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def saved_with_xmp(kind: str, packet: bytes, tiff_type: int = 7) -> bytes:
    """An image whose packet Pillow writes (JPEG, WEBP, AVIF, TIFF). Type 7: undefined, 2: text."""
    out = BytesIO()
    with Image.open(BytesIO(plain("PNG"))) as image:
        if kind == "TIFF":
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[700] = packet if tiff_type == 7 else packet.decode()
            tags.tagtype[700] = tiff_type
            image.save(out, kind, tiffinfo=tags)
        else:
            image.convert("RGB").save(out, kind, xmp=packet)
    return out.getvalue()


def extended_xmp(packet: bytes, part: int = 100) -> list[tuple[int, bytes]]:
    """APP1 segments of an extended packet, last part first."""
    head = b"http://ns.adobe.com/xmp/extension/\x00" + b"A" * 32
    parts = [
        (0xE1, head + struct.pack(">II", len(packet), at) + packet[at : at + part])
        for at in range(0, len(packet), part)
    ]
    return parts[::-1]


def gif_with_xmp(packet: bytes) -> bytes:
    data = plain("GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    return data[:-1] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + b"\x3b"


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, name) + body


def superbox(label: str, *parts: bytes, kind: bytes = b"c2as") -> bytes:
    uuid = kind + bytes.fromhex("00110010800000aa00389b71")
    return box(b"jumb", box(b"jumd", uuid, b"\x03", label.encode(), b"\x00"), *parts)


def manifest(
    content: Any = None,
    label: str = "c2pa.training-mining",
    as_json: bool = False,
    raw: bytes | None = None,
) -> bytes:
    """A manifest store with one training assertion, between two others."""
    if content is None:
        content = entries(use="notAllowed")
    if raw is None:
        raw = json.dumps(content).encode() if as_json else cbor2.dumps(content)
    kind = b"json" if as_json else b"cbor"
    claim = cbor2.dumps({"assertions": [{"url": f"self#jumbf=c2pa.assertions/{label}"}]})
    assertions = superbox(
        "c2pa.assertions",
        superbox("c2pa.actions", box(b"cbor", cbor2.dumps({"actions": []})), kind=b"cbor"),
        superbox(label, box(kind, raw), kind=kind),
        superbox("c2pa.hash.data", box(b"cbor", cbor2.dumps({"pad": bytes(300)})), kind=b"cbor"),
    )
    claims = superbox("c2pa.claim", box(b"cbor", claim), kind=b"c2cl")
    one = superbox("urn:uuid:1", assertions, claims, kind=b"c2ma")
    return superbox("c2pa", one, kind=b"c2pa")


def entries(name: str = "c2pa.ai_training", **entry: str) -> dict[str, Any]:
    return {"entries": {name: entry, "c2pa.data_mining": {"use": "allowed"}}}


def app11(boxes: bytes, part: int = 64_000) -> list[tuple[int, bytes]]:
    """APP11 segments, each with the header of the box."""
    head, body = boxes[:8], boxes[8:]
    pieces = [body[at : at + part] for at in range(0, len(body), part)]
    return [
        (0xEB, b"JP" + struct.pack(">HI", 1, number) + head + piece)
        for number, piece in enumerate(pieces, start=1)
    ]


@dataclass(frozen=True)
class Said:
    """One answer of `OwnersWeb`."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class OwnersWeb:
    """A web server on loopback that answers by path, else with 404. It counts its requests."""

    def __init__(self, **answers: Said) -> None:
        self.answers: dict[str, Said] = {f"/{path}": said for path, said in answers.items()}
        self.requests: Counter[str] = Counter()
        self.came: list[float] = []
        """When each request came, in seconds of a monotonic clock."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests[self.path] += 1
                web.came.append(time.monotonic())
                said = web.answers.get(self.path, Said(status=404))
                time.sleep(said.delay_s)
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that give up
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
