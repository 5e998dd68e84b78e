"""The settings: environment before one TOML file before defaults.

``KAPTION_KAFKA__BOOTSTRAP=host:9092`` sets ``kafka.bootstrap``; in TOML that is ``[kafka]`` and
``bootstrap = "host:9092"``. ``KAPTION_CONFIG`` or ``--config`` names the file. Nothing else in
Kaption reads the environment.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.schemas.faults import fault_text
from kaption.workers.policy import Policy
from kaption.workers.policy.audit import AuditPolicy
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.policy.outputs import SinkPolicy, TakedownPolicy
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.policy.score import ClipPolicy, ScorePolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.presets import PresetName, no_model, with_preset
from kaption.workers.runtime.policy import RuntimeSettings
from kaption.workers.safety.policy import SafetyPolicy

PREFIX = "KAPTION_"
DELIMITER = "__"
CONFIG_VARIABLE = "KAPTION_CONFIG"
# By the last word of a name.
_UNITS = {
    "s": "seconds",
    "bytes": "bytes",
    "chars": "characters",
    "fraction": "share",
    "pixels": "pixels",
    "processes": "processes",
    "rate": "share",
    "records": "records",
    "side": "pixels",
    "threads": "threads",
    "tokens": "tokens",
    "words": "words",
}
# Kubernetes puts these into every pod for a Service named kaption-...
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")


class UserError(Exception):
    """A mistake that the user can correct. The command prints one line and exits with status 1."""


class InvalidSettingsError(ValueError):
    """Settings that cannot be used; the message names each one and where it was looked for."""


class HealthPolicy(Policy):
    """The HTTP server of a worker: /healthz, /readyz and /metrics."""

    host: str = "0.0.0.0"  # noqa: S104  # probes and scrapers come from outside the pod
    """Address to listen on; :: listens on IPv6 too."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one. Give each worker its own on a shared machine."""


class Settings(BaseSettings):
    """Everything that can be set, a field for each section."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,  # Compose sets variables that its own .env lacks to nothing
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    models: PresetName | None = None
    """A scorer and a captioner that go together: ``small`` for a CPU, ``balanced`` or ``best`` for
    a GPU, ``demo`` for the toys of the demo. clip.model and
    recaption.transformers.model override it. Workers and `kaption run` need one or the
    other."""
    kafka: KafkaConnection = KafkaConnection()
    redis: RedisConnection = RedisConnection()
    store: StoreConnection = StoreConnection()
    runtime: RuntimeSettings = RuntimeSettings()
    health: HealthPolicy = HealthPolicy()
    ingest: IngestPolicy = IngestPolicy()
    clip: ClipPolicy = ClipPolicy()
    score: ScorePolicy = ScorePolicy()
    recaption: RecaptionPolicy = RecaptionPolicy()
    select: SelectPolicy = SelectPolicy()
    sink: SinkPolicy = SinkPolicy()
    takedown: TakedownPolicy = TakedownPolicy()
    audit: AuditPolicy = AuditPolicy()
    stages: Mapping[str, Mapping[str, Any]] = {}
    """What stages of your own take as settings, by the names given to `kaption work`."""
    safety: SafetyPolicy = SafetyPolicy()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the arguments: `load_settings` reads the environment."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _takes_preset(cls, given: dict[str, Any]) -> dict[str, Any]:
        return with_preset(given)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting means."""

    name: str
    """The name with its sections, such as ``ingest.fetch.attempts``."""
    description: str
    unit: str
    """Empty where it has none."""
    default: object
    """The default value; None: the setting is unset."""
    schema: Mapping[str, Any]
    """Its JSON Schema: type, bounds, allowed values."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", DELIMITER).upper()


@dataclass(frozen=True, slots=True)
class Sourced:
    """A setting with its value as shown (secrets hidden) and where it came from."""

    setting: Setting
    value: str
    source: str


def load_settings(config: Path | None = None, models: str | None = None) -> Settings:
    """Read and validate the settings; `models` goes before all. Raises InvalidSettingsError."""
    path = _config_path(config)
    _refuse_unknown_variables()
    try:
        given = _over(_read_file(path), EnvSettingsSource(Settings)())
        return Settings(**given if models is None else given | {"models": models})
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors(include_url=False, include_context=False)))
        looked_in = f"environment {PREFIX}*{f' and {path}' if path else ''}"
        raise InvalidSettingsError(f"invalid settings: {faults} ({looked_in})") from error
    except SettingsError as error:
        names = ", ".join(_not_json()) or str(error)
        raise InvalidSettingsError(
            f"invalid settings in the environment: {names}: a list or a section is written as JSON,"
            """ such as '["one", "two"]' or '{"name": 1}'"""
        ) from error


def require_models(settings: Settings, stages: Iterable[str]) -> None:
    """Raise UserError where one of `stages` needs a model and none is chosen."""
    clip, recaption = settings.clip, settings.recaption
    scores = not {"score", "select"}.isdisjoint(stages) or (
        "recaption" in stages and bool(recaption.large)
    )
    if scores and clip.scorer == "open_clip" and not clip.model:
        raise UserError(no_model("clip.model"))
    captions = "recaption" in stages and "transformers" in recaption.named
    if captions and not recaption.transformers.model:
        raise UserError(no_model("recaption.transformers.model"))


def explain(settings: Settings, config: Path | None = None) -> Iterator[Sourced]:
    """Yield every setting with its source, in the order of the classes."""
    path = _config_path(config)
    from_file = _read_file(path)
    from_environment = EnvSettingsSource(Settings)()
    meanings = {setting.name: setting for setting in describe()}
    for parts, value in _leaves(settings):
        name = ".".join(parts)
        if _has(from_environment, parts):
            source = f"environment {meanings[name].variable}"
        elif _has(from_file, parts):
            source = f"file {path}"
        elif value != meanings[name].default and not isinstance(value, SecretStr):
            source = f"models {settings.models}"
        else:
            source = "default"
        yield Sourced(meanings[name], _shown(value), source)


def describe() -> Iterator[Setting]:
    """Yield what each setting means, in the order of the classes."""
    schema = Settings.model_json_schema()
    for parts, value in _leaves(Settings.model_construct()):
        node: Mapping[str, Any] = schema
        for part in parts:
            node = node["properties"][part]
            if "$ref" in node:
                node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **node}
        *_, last = parts[-1].split("_")
        yield Setting(
            ".".join(parts),
            " ".join(node["description"].split()),
            _UNITS.get(last, ""),
            value.get_secret_value() if isinstance(value, SecretStr) else value,
            node,
        )


def _config_path(config: Path | None) -> Path | None:
    if config is not None:
        return config
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else None


def _read_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InvalidSettingsError(f"settings file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettingsError(
            f"settings file {path} is not in UTF-8 (byte {error.start}): save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingsError(f"settings file {path} is not TOML: {error}") from error
    return {name.lower(): value for name, value in found.items()}  # pydantic takes any case


def _not_json() -> Iterator[str]:
    """The variables whose value should be JSON and is not; pydantic-settings names the section."""
    source = EnvSettingsSource(Settings)
    for name, value in source.env_vars.items():
        source.env_vars = {name: value}
        try:
            source()
        except SettingsError:
            yield name.upper()


def _refuse_unknown_variables() -> None:
    # pydantic-settings ignores variables whose first part is no field: a typo would be silent.
    known = tuple(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        if DELIMITER not in name and _SERVICE_LINK.search(name):
            continue
        if not any(name == field or name.startswith(field + DELIMITER) for field in known):
            meant = [setting.variable for setting in describe()] + [CONFIG_VARIABLE]
            raise InvalidSettingsError(
                f"the environment variable {variable} sets nothing{_meant(name, meant)}"
            )


def _fault(fault: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("model_type", "model_attributes_type"):
        first = next(each.name for each in describe() if each.name.startswith(f"{name}."))
        return f"{name} is a section and has no value: set one of its settings, such as {first}"
    settings = {setting.name: setting for setting in describe()}
    if fault["type"] != "extra_forbidden":
        schema = settings[name].schema if name in settings else {}
        kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
        if not kinds <= {"integer", "number", "boolean", "null"}:
            return f"{name}: {fault_text({**fault, 'input': {}})}"  # it may be a secret
        unit = settings[name].unit
        return f"{name}{f' (in {unit})' * bool(unit)}: {fault_text(fault)}"
    return no_such_setting(name)


def no_such_setting(name: str) -> str:
    """Say that no setting or section has this name, and which was probably meant."""
    names = [setting.name for setting in describe()]
    meant = [*names, *(each.rpartition(".")[0] for each in names)]
    return f"there is no setting {name}{_meant(name, meant)}"


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [each for each in known if each], 1)
    if close:
        return f": did you mean {close[0]}?"
    sections = ", ".join(Settings.model_fields)
    return f": the sections are {sections}; `kaption settings` lists all settings"


def _over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, where those of `high` go before those of `low`."""
    merged = dict(low) | dict(high)
    for name in low.keys() & high.keys():
        if isinstance(low[name], dict) and isinstance(high[name], dict):
            merged[name] = _over(low[name], high[name])
    return merged


def _leaves(model: BaseModel, parts: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*parts, name))
        else:
            yield (*parts, name), value


def _has(data: Mapping[str, Any], parts: tuple[str, ...]) -> bool:
    node: Any = data
    for part in parts:
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "**********" if value.get_secret_value() else ""
    if isinstance(value, tuple | bool):
        return json.dumps(value, default=_shown)  # as a variable would have it
    return "" if value is None else str(value)
