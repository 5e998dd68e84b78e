"""The settings of the stages and their parts, as frozen data.

The docstring of a field is its description everywhere: in `kaption settings`, in docs/settings.md
and in the schema of the chart's values. A name that ends in a unit (`_s`, `_bytes` ...) has it.
Nothing heavy is imported here, so that a light install can read settings. A stage's policy is
hashed into the provenance of what the stage made.
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
DECODE_WALL_FACTOR = 12
"""A loaded machine makes decoding slow; only a decoder that hangs takes this many times longer."""


class Policy(BaseModel):
    """Frozen settings of one part; unknown names are refused: a typo must not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FetchPolicy(Policy):
    """How ingest gets an image from a URL."""

    allow_networks: tuple[Network, ...] = ()
    """Private networks that ingest may fetch from, as CIDR such as 10.1.0.0/16. Every private,
    local and metadata address is refused otherwise. Set it when images lie on servers of yours."""
    total_timeout_s: PositiveFloat = 30.0
    """Time for one attempt, redirects included, from the look-up of the name to the last byte.
    Raise it for slow or distant web servers."""
    max_bytes: PositiveInt = 32 * 1024 * 1024
    """Largest body that is read, after decompression. Lower it to save traffic."""
    per_host: PositiveInt = 8
    """Connections that one worker has to one host at once. Lower it to spare small web servers."""
    attempts: PositiveInt = 3
    """Tries of one URL after transient failures: connection reset, time-out, status 429, 500, 502,
    503 or 504. Lower it when many servers of the crawl are gone for good."""
    user_agent: str = "kaption/0.1 (+image-text dataset crawler)"
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

    near_distance: Annotated[int, Field(ge=0, le=7)] = 7
    """Hamming distance of the 64-bit hashes up to which two images are compared. Their sketches
    then decide whether they are the same image. Lower it to compare fewer images; more copies are
    then missed."""
    text_uses: Annotated[int, Field(ge=0)] = 100
    """An alt text on more images than this describes none of them and is dropped; 0 sets no limit.
    Raise it for crawls where one text rightly stands at many images."""


class TextPolicy(Policy):
    """How ingest cleans alt texts."""

    max_chars: PositiveInt = 8_192
    """Longer texts are cut at the end of a sentence or clause."""
    languages: tuple[str, ...] = ()
    """Languages of accepted texts, as BCP 47 primary tags such as en; empty accepts all. A text
    whose language is unsure is accepted if one of them uses its script."""
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
    """Reject pairs that carry an opt-out signal of their web site. Switch it off only for images
    that you hold the rights to."""
    answers_ttl_s: PositiveInt = 24 * 3600
    """Time that Redis remembers what a URL gave, about 570 bytes for each URL. It must be longer
    than ingest may stand still with uncommitted records: those are delivered again."""
    batch_records: PositiveInt = 64
    """Records of a batch. Batches that are ready share a transaction; there is seldom a reason to
    change it."""


class ClipPolicy(Policy):
    """The scorer: an open_clip model, or your own."""

    scorer: str = "open_clip"
    """Name of the scorer: ``open_clip``, or your own as ``package.module:Name``. The fields about
    a model, device and precision are those of ``open_clip``."""
    settings: Mapping[str, Any] = {}
    """What your own scorer takes as settings."""
    model: str = "demo"
    """The model: ``local-dir:DIR``, ``hf-hub:ORG/NAME``, or the name of an open_clip architecture
    with `pretrained`. ``demo`` is the small model in this package, which knows the demo's images
    alone: name a real one for a real crawl."""
    pretrained: str | None = None
    """An open_clip pretrained tag or a file of weights; only with the name of an architecture."""
    revision: str | None = None
    """The revision that is recorded with each score; unset, it is a digest of the weights."""
    recommended_score: float | None = None
    """Cosine that separates right from wrong texts for this model. Unset, it is the published one
    (OpenAI ViT-B-32: 0.28) or the one in the folder's kaption.json. A model with neither does not
    load: measure it for a model of your own."""
    device: str = "auto"
    """Device of torch, such as cuda:1 or cpu; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model; auto takes bf16 on GPUs that have it, fp16 on others and fp32 on
    CPUs. Set fp32 to compare scores across devices."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads of torch; 0 leaves the choice to torch. Set it when several workers share a
    machine. The chart sets it to the processors that the container asks for."""

    @model_validator(mode="after")
    def _names_its_weights_once(self) -> Self:
        # open_clip would ignore `pretrained`, and scores would carry the name of another model.
        if self.pretrained and (self.model == "demo" or ":" in self.model):
            raise ValueError(
                f"pretrained goes with an architecture's name: {self.model!r} has its own weights"
            )
        return self


class ScorePolicy(Policy):
    """The score stage: scores alt texts and decides which pairs need a caption."""

    good_score: float | None = None
    """Cosine from which an alt text is good and the pair skips the captioners, if select accepts
    the text too. Unset, it is the model's recommended score. Lower it to spend less on captions."""
    batch_records: PositiveInt = 64
    """Images that the model computes at once. Raise it until the GPU is busy or its memory full."""


class SamplingPolicy(Policy):
    """How a caption model draws its candidates."""

    candidates: Annotated[int, Field(ge=1, le=32)] = 5
    """Captions drawn for each image, over all prompts. More cost more time and find better ones."""
    temperature: PositiveFloat = 0.8
    """Randomness of each token. Raise it when candidates are too alike, lower it when they say what
    the image does not show."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Probability mass of the tokens that are drawn from (nucleus sampling)."""
    repetition_penalty: PositiveFloat = 1.1
    """Divides the score of tokens that occurred already; 1 is no penalty. Raise it when captions
    loop."""
    max_new_tokens: PositiveInt = 60
    """Most tokens of a caption. Raise it for models that write long descriptions."""
    seed: int = 0
    """Seed of the random draws. Change it to get other candidates for the same images."""


class TransformersPolicy(Policy):
    """The captioner `transformers`: a model of the BLIP, BLIP-2, LLaVA or Idefics3 family."""

    model: str = "demo"
    """The model: a folder, or a name on the Hugging Face hub. ``demo`` is the small model in this
    package, which knows the demo's images alone: name a real one for a real crawl."""
    revision: str | None = None
    """The commit, branch or tag on the hub; unset, the newest one. Set a commit, so that all
    workers load the same weights."""
    device: str = "auto"
    """Device of torch, such as cuda:1 or cpu; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model; auto takes bf16 on GPUs that have it, fp16 on others and fp32 on
    CPUs."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads of torch; 0 leaves the choice to torch. The chart sets it to the processors
    that the container asks for."""
    prompts: str = "auto"
    """Name of a prompt set; auto takes the one of the model's family."""
    sampling: SamplingPolicy = SamplingPolicy()


class RecaptionPolicy(Policy):
    """The recaption stage: writes candidate captions."""

    captioners: tuple[str, ...] = ("rules", "transformers")
    """Captioners that write candidates for each image: ``rules``, ``transformers``, or your own as
    ``package.module:Name``. Leave out transformers to run without a caption model."""
    settings: PluginSettings = {}
    """Settings of your own captioners, by the names above; each captioner checks its own."""
    transformers: TransformersPolicy = TransformersPolicy()
    batch_records: PositiveInt = 16
    """Images that the model computes at once, each with all its candidates. Raise it until the GPU
    is busy or its memory full."""


class SelectPolicy(Policy):
    """The select stage: keeps the best captions."""

    min_score: float | None = None
    """Cosine below which a caption is not kept; a pair without one is rejected. Unset, it is the
    model's recommended score. Raise it for fewer, better pairs."""
    margin: Annotated[float, Field(ge=0)] = 0.01
    """Cosine by which a candidate must score higher than the original text to be placed before
    it. Raise it to keep more of what people wrote."""
    keep: PositiveInt = 2
    """Most captions kept for a pair."""
    min_words: PositiveInt = 3
    """Least words of a kept caption."""
    max_words: PositiveInt = 256
    """Most words of a kept caption. Lower it to what the model that you train reads."""
    checks: tuple[str, ...] = ("all",)
    """Checks that a caption must pass: ``all`` stands for every check of this package; your own are
    written ``package.module:Name``."""
    settings: PluginSettings = {}
    """Settings of your own checks, by the names above; each check reads its own."""
    audit_fraction: Fraction = 0.05
    """Share of the clean pairs that also go to pairs.audit, for people to look at."""
    batch_records: PositiveInt = 64
    """Pairs that the model scores at once. Raise it until the GPU is busy or its memory full."""


class SinkPolicy(Policy):
    """The sink stage: writes shards. It closes a shard at the first of three limits."""

    shard_bytes: PositiveInt = 256 * 1024 * 1024
    """Size of a shard. The workers need twice as much local disk for each partition."""
    shard_records: PositiveInt = 10_000
    """Pairs of a shard."""
    shard_age_s: PositiveFloat = 300.0
    """Time from a shard's first pair to its end. Raise it for fewer, larger shards; lower it to see
    pairs sooner."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]+(/[A-Za-z0-9_=-]+)*$")] = "dataset"
    """Where the data set lies below store.url. Each data set needs its own."""
    spool: str | None = None
    """Local folder for images that wait for their shard: `shard_bytes` for each partition, twice
    that while a shard is written. Unset, it is the system's folder for temporary files: set it when
    that is in memory."""


class TakedownPolicy(Policy):
    """The command `kaption takedown`."""

    settle_s: Annotated[float, Field(ge=0)] = 5.0
    """Wait between the refusal of a pair and the search for it. A batch that a worker computed
    meanwhile is found if the worker commits it in this time: raise it above the time of a batch."""
