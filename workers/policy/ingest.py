"""The settings of ingest: fetching, images, duplicates and alt texts."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kaption.workers.policy import Fraction, Policy, PositiveFloat, PositiveInt

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"]
OptOut = Literal[
    "robots_meta",
    "x_robots_tag",
    "tdm_reservation",
    "content_usage",
    "content_signal",
    "robots_txt",
    "robots_txt_unreachable",
    "rsl_licence",
    "rsl_licence_unread",
    "xmp_data_mining",
    "c2pa_training_mining",
    "declared",
]
"""The kinds of opt-out signals; docs/output.md explains them."""
Network = Annotated[str, AfterValidator(lambda text: str(ip_network(text)))]
"""A CIDR network, such as ``127.0.0.0/8``."""
DECODE_WALL_FACTOR = 12
"""A loaded machine makes decoding slow; only a decoder that hangs takes this many times longer."""


def _header_value(text: str) -> str:
    # Without this every request would fail, each with an error of its own.
    if not (text.isascii() and text.isprintable() and text.strip()):
        raise ValueError("a header has printable ASCII characters in one line, and is not empty")
    return text


class FetchPolicy(Policy):
    """How ingest gets an image from a URL."""

    allow_networks: tuple[Network, ...] = ()
    """Private networks that ingest may fetch from, as CIDR such as 10.1.0.0/16. Every private,
    local and metadata address is refused otherwise. Set it when images lie on servers of yours."""
    total_timeout_s: PositiveFloat = 30.0
    """Time for one URL, all attempts and redirects together, from the look-up of the name to the
    last byte. Raise it for slow or distant web servers."""
    answer_timeout_s: PositiveFloat = 10.0
    """Time in which a server must answer, from the look-up of its name to the last header, and then
    for each further 8 KiB of the body. The records behind the first one of a silent server wait so
    long for their commit. img2dataset waits as long. Raise it for servers that make images when
    asked."""
    max_bytes: PositiveInt = 32 * 1024 * 1024
    """Largest body that is read, after decompression. Lower it to save traffic."""
    per_host: PositiveInt = 8
    """Connections that one worker has to one host at once. Lower it to spare small web servers."""
    attempts: PositiveInt = 3
    """Tries of one URL after failures that may pass: connection reset, status 408, 425, 429, 500,
    502, 503, 504 or 52x. There is none after a time-out. Lower it when many servers of the crawl
    are gone for good."""
    send_referer: bool = False
    """Send the Referer header that a browser sends for an image on page_url. Some servers refuse
    images without it."""
    user_agent: Annotated[str, AfterValidator(_header_value)] = (
        "kaption/0.1 (+image-text dataset crawler)"
    )
    """The User-Agent header. Name your organisation and an address for complaints."""


class ImagePolicy(Policy):
    """Which images are accepted, and how they are stored."""

    formats: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
    """Accepted formats. Remove those that your data set must not hold."""
    max_pixels: PositiveInt = 64_000_000
    """Most pixels of an accepted image, judged by its header before it is decoded. Raise it
    together with decode_memory_bytes."""
    min_side: PositiveInt = 64
    """Least length of the shorter side, in pixels, of the image as delivered. Raise it to the input
    size of the model that you train."""
    max_ratio: PositiveFloat = 3.0
    """Largest ratio of the longer to the shorter side. DataComp filters at 3."""
    longest_side: PositiveInt = 512
    """Stored images are scaled down to this many pixels on their longer side; smaller ones keep
    their size. Raise it when the model that you train needs larger images."""
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    """JPEG quality of stored images. Lower it to save storage."""
    decode_cpu_s: PositiveInt = 10
    """Processor time for decoding one image, in whole seconds. It is not wall-clock time: on a
    loaded machine that would refuse good images. Raise it together with max_pixels."""
    decode_memory_bytes: PositiveInt = 2 * 1024**3
    """Address space of one decoding process. Raise it together with max_pixels."""
    decode_processes: Annotated[int, Field(ge=0)] = 0
    """Images that one worker decodes at once; 0 takes one per core. The chart sets it to the
    processors that the container asks for."""

    @property
    def decode_wall_s(self) -> float:
        """Wall-clock time for one image: stops a decoder that hangs and uses no processor."""
        return float(DECODE_WALL_FACTOR * self.decode_cpu_s)


class DedupPolicy(Policy):
    """What counts as the same image or the same text."""

    near_distance: Annotated[int, Field(ge=0, le=16)] = 16
    """Hamming distance of the 64-bit hashes up to which two images are compared. Lower it to
    compare fewer images; more copies are then missed."""
    text_uses: Annotated[int, Field(ge=0)] = 100
    """An alt text on more images than this describes none of them and is dropped; 0 sets no limit.
    Raise it for crawls where one text rightly stands at many images."""
    copy_texts: Annotated[int, Field(ge=0, le=32)] = 8
    """Different alt texts of refused copies that compete with the text of the kept image, for each
    image. Redis keeps them for 7 days. 0 keeps none."""
    later_texts: bool = False
    """Publish a new version of a pair when a copy brings a better alt text within 7 days. It costs
    1.2 kB of Redis for each image meanwhile, and readers of pairs.clean get some pairs again.
    select.margin says how much better the text must be."""


class TextPolicy(Policy):
    """How ingest cleans alt texts."""

    max_chars: PositiveInt = 8_192
    """Longer texts are cut at the end of a sentence or clause."""
    languages: tuple[str, ...] = ()
    """Languages of accepted texts, as BCP 47 primary tags such as en; empty accepts all. A text
    whose language is unsure is accepted unless both detectors find each of them unlikely."""
    detect_languages: tuple[str, ...] = (
        *("ar", "cs", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it"),
        *("ja", "ko", "nl", "pl", "pt", "ru", "sv", "th", "tr", "uk", "vi", "zh"),
    )
    """Languages that the detector tells apart (ISO 639-1), besides those of `languages`. Each costs
    about 20 MB of memory: shorten the list to what your crawl holds."""
    language_confidence: Fraction = 0.6
    """Confidence of the detector below which no language is recorded. Raise it when wrong languages
    are recorded."""


class IngestPolicy(Policy):
    """The ingest stage: fetches, decodes and deduplicates images, and cleans alt texts."""

    fetch: FetchPolicy = FetchPolicy()
    image: ImagePolicy = ImagePolicy()
    dedup: DedupPolicy = DedupPolicy()
    text: TextPolicy = TextPolicy()
    respect_opt_out: bool = True
    """Reject pairs whose page, image, image server or image file carries an opt-out signal. Switch
    it off only for images that you hold the rights to."""
    ignore_opt_outs: tuple[OptOut, ...] = ()
    """Kinds of opt-out signals that do not reject a pair. Those of the page, of the image's answer
    and of its file are recorded; those of files of a server (robots.txt, tdmrep.json, licences) are
    passed over."""
    answers_ttl_s: PositiveInt = 24 * 3600
    """Time that Redis remembers what a URL gave, about 570 bytes for each URL. It must be longer
    than ingest may stand still with uncommitted records: those are delivered again."""
    batch_records: PositiveInt = 64
    """Records of a batch. Batches that are ready share a transaction; there is seldom a reason to
    change it."""
