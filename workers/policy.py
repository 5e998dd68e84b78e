"""Every tunable of the pipeline as frozen data, with its default, unit and source.

Nothing heavy is imported here, so that settings can be read on a light install. A stage's policy is
hashed into the provenance of what it made.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"]
Network = Annotated[str, AfterValidator(lambda text: str(ip_network(text)))]
"""A CIDR network, such as ``127.0.0.0/8``."""
PluginSettings = Mapping[str, Mapping[str, Any]]
"""Settings of plug-ins by their names; each plug-in checks its own."""


class Policy(BaseModel):
    """Frozen settings of one part; unknown names are refused, so that a typo is not silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FetchPolicy(Policy):
    """Getting an image from a URL."""

    allow_networks: tuple[Network, ...] = ()
    """Networks admitted although they are private; the demo serves from 127.0.0.0/8."""
    total_timeout_s: PositiveFloat = 30.0
    """One attempt, redirects included, from the first look-up to the last byte."""
    connect_timeout_s: PositiveFloat = 5.0
    max_bytes: PositiveInt = 32 * 1024 * 1024
    """After decompression."""
    max_redirects: Annotated[int, Field(ge=0)] = 5
    per_host: PositiveInt = 8
    """Connections at once to one host."""
    attempts: PositiveInt = 3
    """For transient failures: connection reset, time-out, 429, 500, 502, 503, 504."""
    max_retry_after_s: PositiveFloat = 30.0
    """A server that asks to wait longer is not asked again."""
    user_agent: str = "kaption/0.1 (+image-text dataset crawler)"


class ImagePolicy(Policy):
    """What is an acceptable image and how it is stored."""

    formats: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
    max_pixels: PositiveInt = 64_000_000
    min_side: PositiveInt = 64
    """Pixels, of the image as delivered."""
    max_ratio: PositiveFloat = 3.0
    """Longer side over shorter side (DataComp filters at 3)."""
    min_deviation: Annotated[float, Field(ge=0)] = 2.0
    """Standard deviation of the luma (0-255) under which an image counts as a single colour."""
    longest_side: PositiveInt = 512
    """Stored images are scaled down to this; smaller ones keep their size."""
    background: tuple[int, int, int] = (255, 255, 255)
    """Shown under transparency (web pages are white)."""
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    """JPEG quality of stored images."""
    decode_cpu_s: PositiveInt = 10
    """Processor time for one image; whole seconds, as the system counts them. Not wall-clock: on
    a loaded machine that would refuse good images."""
    decode_wall_s: PositiveFloat = 120.0
    """Backstop for a decoder that hangs without using the processor: many times `decode_cpu_s`."""
    decode_memory_bytes: PositiveInt = 2 * 1024**3
    """Address space limit of one decoding process."""
    decode_processes: Annotated[int, Field(ge=0)] = 0
    """0: one per core."""


class DedupPolicy(Policy):
    """What counts as the same image or the same text."""

    near_distance: Annotated[int, Field(ge=0, le=7)] = 6
    """Hamming distance of the 64-bit dHash; 6: recall 1.00, no false merge on photographs."""
    text_uses: Annotated[int, Field(ge=0)] = 100
    """An alt text on more images than this describes none of them: dropped; 0: no limit."""


class TextPolicy(Policy):
    """Cleaning of alt texts."""

    max_chars: PositiveInt = 8_192
    """Longer texts are cut at a sentence or clause boundary."""
    languages: tuple[str, ...] = ()
    """Accepted languages (BCP 47 primary tags); empty: all."""
    detect_languages: tuple[str, ...] = (
        *("ar", "cs", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it"),
        *("ja", "ko", "nl", "pl", "pt", "ru", "sv", "th", "tr", "uk", "vi", "zh"),
    )
    """Told apart (ISO 639-1), the accepted ones besides: each costs about 20 MB of memory."""
    language_confidence: Fraction = 0.6
    """Under this no language is recorded."""
    drop_file_names: bool = True
    drop_boilerplate: bool = True


class IngestPolicy(Policy):
    """The ingest stage."""

    fetch: FetchPolicy = FetchPolicy()
    image: ImagePolicy = ImagePolicy()
    dedup: DedupPolicy = DedupPolicy()
    text: TextPolicy = TextPolicy()
    respect_opt_out: bool = True
    """Reject pairs that carry an opt-out signal."""
    answers_ttl_s: PositiveInt = 24 * 3600
    """What a URL gave is remembered this long, ~570 bytes of Redis each: longer than ingest may
    stand still with uncommitted records, which are then delivered again."""
    batch_records: PositiveInt = 64
    batch_wait_s: PositiveFloat = 0.5


class ClipPolicy(Policy):
    """The scorer: an open_clip model, or your own."""

    scorer: str = "open_clip"
    """Name of the scorer: ``open_clip``, or your own as ``package.module:Name``. The fields about
    a model, device and precision are those of ``open_clip``."""
    settings: Mapping[str, Any] = {}
    """What your own scorer takes as settings."""
    model: str = "demo"
    """``demo`` (the small model in this package), ``local-dir:DIR``, ``hf-hub:ORG/NAME``, or an
    open_clip architecture name with `pretrained`."""
    pretrained: str | None = None
    """open_clip pretrained tag or a file of weights; only with an architecture name."""
    revision: str | None = None
    """Recorded as the model's revision; none: a digest of the weights."""
    recommended_score: float | None = None
    """Cosine that separates right from wrong texts for this model; none: the published one (OpenAI
    ViT-B-32: 0.28) or the one in the folder's kaption.json. A model with neither does not load."""
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on GPUs that have it, fp16 on others, fp32 on CPU."""
    threads: Annotated[int, Field(ge=0)] = 0
    """torch CPU threads; 0 leaves torch's choice."""
    window_overlap_clauses: Annotated[int, Field(ge=0)] = 1
    """A text longer than the model's context is scored in windows; each repeats this many clauses
    of the one before, as far as they fit."""
    window_aggregate: Literal["mean", "max", "min"] = "mean"
    """mean: weighted by the tokens each window adds."""

    @model_validator(mode="after")
    def _names_its_weights_once(self) -> Self:
        # open_clip would pass over it, and scores would carry the name of another model.
        if self.pretrained and (self.model == "demo" or ":" in self.model):
            raise ValueError(
                f"pretrained goes with an architecture's name: {self.model!r} has its own weights"
            )
        return self


class ScorePolicy(Policy):
    """The score stage."""

    good_score: float | None = None
    """Alt texts at or above it skip the captioner; none: the model's own recommendation."""
    batch_records: PositiveInt = 64
    batch_wait_s: PositiveFloat = 1.0


class SamplingPolicy(Policy):
    """How a captioner draws its candidates."""

    candidates: Annotated[int, Field(ge=1, le=32)] = 5
    temperature: PositiveFloat = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    repetition_penalty: PositiveFloat = 1.1
    max_new_tokens: PositiveInt = 60
    seed: int = 0


class TransformersPolicy(Policy):
    """A captioner loaded through transformers (BLIP, BLIP-2, LLaVA, Idefics3 families)."""

    model: str = "demo"
    """``demo``, a folder, or a hub name."""
    revision: str | None = None
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    prompts: str = "auto"
    """Name of a prompt set, or auto: by the model's family."""
    sampling: SamplingPolicy = SamplingPolicy()


class RecaptionPolicy(Policy):
    """The recaption stage."""

    captioners: tuple[str, ...] = ("rules", "transformers")
    """Names of captioners: ``rules``, ``transformers``, or your own as ``package.module:Name``."""
    settings: PluginSettings = {}
    """What your own captioners take as settings, by the names above."""
    transformers: TransformersPolicy = TransformersPolicy()
    batch_records: PositiveInt = 16
    batch_wait_s: PositiveFloat = 2.0


class SelectPolicy(Policy):
    """The select stage."""

    min_score: float | None = None
    """Captions below it are not kept; none: the model's own recommendation."""
    margin: Annotated[float, Field(ge=0)] = 0.01
    """A candidate replaces the original only if it scores higher by this much (cosine)."""
    keep: PositiveInt = 2
    near_equal: Fraction = 0.9
    """Token Jaccard similarity at which two captions count as the same."""
    min_words: PositiveInt = 3
    max_words: PositiveInt = 256
    max_repetition: Fraction = 0.5
    """Largest share of repeated 3-grams."""
    min_letters: Fraction = 0.5
    """Least share of letters (any script) among a caption's visible characters."""
    checks: tuple[str, ...] = ("all",)
    """Names of checks: ``all`` stands for every check of this package; your own are written
    ``package.module:Name``. A caption is kept only if it passes each."""
    settings: PluginSettings = {}
    """What your own checks take as settings, by the names above."""
    audit_fraction: Fraction = 0.05
    batch_records: PositiveInt = 64
    batch_wait_s: PositiveFloat = 1.0


class SinkPolicy(Policy):
    """Shard rotation: the first limit that is reached closes a shard."""

    shard_bytes: PositiveInt = 256 * 1024 * 1024
    shard_records: PositiveInt = 10_000
    shard_age_s: PositiveFloat = 300.0
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]+(/[A-Za-z0-9_=-]+)*$")] = "dataset"
    """Below the store's root."""
    spool: str | None = None
    """Local folder for images that wait for their shard (`shard_bytes` for each partition at
    hand, twice while it is written); none: the system's folder for temporary files."""


class TakedownPolicy(Policy):
    """`kaption takedown`."""

    ask_above: Annotated[int, Field(ge=0)] = 100
    """With more pairs than this in pairs.clean it asks first, and always before a domain."""
    settle_s: Annotated[float, Field(ge=0)] = 5.0
    """Time for batches that were in a worker's hands when the takedown came: they are found, too,
    where they are committed within it."""
