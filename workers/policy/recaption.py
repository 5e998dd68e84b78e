"""The settings of the captioners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from kaption.workers.policy import Policy, PositiveFloat, PositiveInt


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


def _name_or_tables(value: object) -> object:
    listed = isinstance(value, list | tuple) and all(isinstance(it, Mapping) for it in value)
    if not isinstance(value, str) and not listed:
        raise ValueError("give the name of a set, a TOML file, or a list of tables")
    return value


Prompts = Annotated[str | tuple[Mapping[str, Any], ...], BeforeValidator(_name_or_tables)]
"""A name, a file, or the prompts themselves; the captioner checks them."""


class TransformersPolicy(Policy):
    """The captioner `transformers`: a vision-language model that this worker loads."""

    model: str = ""
    """The model: a folder, or a name on the Hugging Face hub. Unset, it is that of the preset that
    `models` names. ``demo`` is the toy in this package, which knows the demo's images alone."""
    revision: str | None = None
    """The commit, branch or tag on the hub; unset, the newest one. Set a commit, so that all
    workers load the same weights."""
    device: str = "auto"
    """Device of torch, such as cuda:1 or cpu; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the model; auto takes bf16 on GPUs that have it, fp16 on others and fp32 on
    CPUs."""
    quantization: Literal["int8", "int4"] | None = None
    """Weights of the linear layers as integers, for a model that does not fit in bf16. It needs the
    packages of kaption[large]."""
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    """How accelerate spreads the layers over the GPUs of the machine, in place of device. It needs
    the packages of kaption[large]. Not for BLIP, BLIP-2, InstructBLIP, PaliGemma and Florence-2."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Processor threads of torch; 0 leaves the choice to torch. The chart sets it to the processors
    that the container asks for."""
    prompts: Prompts = "auto"
    """Name of a prompt set, a TOML file with prompts of your own (its name ends in .toml), or those
    prompts as a list of tables; docs/captioners.md explains both. auto takes the set of the model's
    family."""
    sampling: SamplingPolicy = SamplingPolicy()
    second_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a second in which the model works on a batch, in the currency that you count costs
    in: that of the machine's hour, divided by 3,600."""


class OpenAIPolicy(Policy):
    """The captioner `openai`: a vision model behind an OpenAI-compatible server, such as vLLM."""

    base_url: str = ""
    """URL of the server up to its version, such as http://vllm:8000/v1. Captioning adds
    /chat/completions."""
    model: str = ""
    """The model, by the name that the server knows it by."""
    revision: str | None = None
    """The revision that is recorded with each caption; unset, it is what the server's list of
    models says, else the name. Change it when the model behind a name changes: captions are cached
    by it."""
    api_key: SecretStr | None = None
    """The key, where the server asks for one; it is sent as a bearer token."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the server's certificate. Unset, those of the system
    are trusted."""
    prompts: Prompts = "chat"
    """Name of a prompt set, a TOML file with prompts of your own (its name ends in .toml), or those
    prompts as a list of tables; docs/captioners.md explains both."""
    sampling: SamplingPolicy = SamplingPolicy()
    request: Mapping[str, Any] = {}
    """Fields of a request besides ours, such as chat_template_kwargs of vLLM. They go before ours,
    and null leaves one of ours out."""
    longest_side: PositiveInt = 1024
    """Images are sent scaled down to this many pixels on their longer side. Smaller ones are sent
    as they are stored. Lower it to spend fewer tokens on an image."""
    concurrency: PositiveInt = 32
    """Requests that one worker has under way at once. Raise it, and recaption.batch_records, until
    the server is busy; lower it where a hosted server answers with status 429."""
    connect_timeout_s: PositiveFloat = 10.0
    """Time to connect, TLS included."""
    read_timeout_s: PositiveFloat = 120.0
    """Longest silence of the server while it makes an answer. Most servers are silent until the
    answer is whole. The default is room for sampling.max_new_tokens (60) of a model that makes one
    in a second, as a large one on a CPU, after as long a wait behind other requests.
    Raise it for longer captions or a longer queue."""
    total_timeout_s: PositiveFloat = 300.0
    """Time for one request, from its sending to the last byte of its answer. A request that takes
    longer is sent again. The default is for servers that are never silent and yet do not end; it is
    over twice the read_timeout_s, which ends those that are silent."""
    input_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million input tokens, in the currency that you count costs in."""
    output_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million output tokens, in the same currency."""
    second_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a second in which the server works on a batch of one worker, in the same currency:
    for a server that is paid by the hour."""

    @model_validator(mode="after")
    def _has_plain_url(self) -> Self:
        parts = urlsplit(self.base_url)
        if self.base_url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("base_url begins with http:// or https:// and names a server")
        if "@" in parts.netloc:
            raise ValueError("base_url must not hold a user or password: api_key holds the secret")
        if self.ca_file and parts.scheme != "https":
            raise ValueError("ca_file needs a base_url that begins with https://")
        return self


class DailyBudgetPolicy(Policy):
    """What captioners may take in a day of UTC, over all workers. Captioners other than ``rules``
    are not asked for the rest of a day in which one of the limits is reached."""

    cost: PositiveFloat | None = None
    """Most cost of a day, by the prices of the captioners. Unset, there is no limit."""
    tokens: PositiveInt | None = None
    """Most tokens of a day, read and written. Unset, there is no limit."""
    model_seconds: PositiveFloat | None = None
    """Most time of a day in which captioners work, in seconds, summed over all workers. Unset,
    there is no limit."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: value for name, value in self if value is not None}


class RecaptionPolicy(Policy):
    """The recaption stage: writes candidate captions."""

    captioners: tuple[str, ...] = ("rules", "transformers")
    """Captioners that write candidates for each image: ``rules``, ``transformers``, ``openai``, or
    your own as ``package.module:Name``. Leave out transformers to run without a caption model."""
    large: tuple[str, ...] = ()
    """Captioners that are asked only about images for which `captioners` wrote nothing that reaches
    `bar`. Name dear ones here. The stage then loads the scorer, too."""
    bar: float | None = None
    """Cosine from which a caption of `captioners` is good enough, if it also passes the checks of
    select. Unset, it is the threshold of select. Lower it to spend less on the large captioners."""
    daily_budget: DailyBudgetPolicy = DailyBudgetPolicy()
    settings: Mapping[str, Mapping[str, Any]] = {}
    """Settings of your own captioners, by the names above; each captioner checks its own."""
    ocr: Literal["rapidocr"] | None = None
    """Reads the text in images that need a caption, for the captioners. ``rapidocr`` needs the
    extra ``ocr`` and takes about 0.4 seconds of a core for an image. Unset, nothing is read."""
    transformers: TransformersPolicy = TransformersPolicy()
    openai: OpenAIPolicy = OpenAIPolicy()
    batch_records: PositiveInt = 16
    """Images that the model computes at once, each with all its candidates. Raise it until the GPU
    is busy or its memory full."""

    @model_validator(mode="after")
    def _asks_each_once(self) -> Self:
        if twice := sorted({name for name in self.named if self.named.count(name) > 1}):
            raise ValueError(f"captioners and large name {twice[0]!r} twice: leave out one")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """All captioners, in the order in which they are asked."""
        return (*self.captioners, *self.large)
