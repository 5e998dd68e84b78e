"""The settings: environment before one TOML file before defaults.

``KAPTION_KAFKA__BOOTSTRAP=host:9092`` sets ``kafka.bootstrap``; in TOML that is ``[kafka]`` and
``bootstrap = "host:9092"``. ``KAPTION_CONFIG`` or ``--config`` names the file. Nothing else in
Kaption reads the environment.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.workers import policy
from kaption.workers.runtime.policy import RuntimeSettings

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


class InvalidSettingsError(ValueError):
    """Settings that cannot be used; the message names each one and where it was looked for."""


class HealthPolicy(policy.Policy):
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

    kafka: KafkaConnection = KafkaConnection()
    redis: RedisConnection = RedisConnection()
    store: StoreConnection = StoreConnection()
    runtime: RuntimeSettings = RuntimeSettings()
    health: HealthPolicy = HealthPolicy()
    ingest: policy.IngestPolicy = policy.IngestPolicy()
    clip: policy.ClipPolicy = policy.ClipPolicy()
    score: policy.ScorePolicy = policy.ScorePolicy()
    recaption: policy.RecaptionPolicy = policy.RecaptionPolicy()
    select: policy.SelectPolicy = policy.SelectPolicy()
    sink: policy.SinkPolicy = policy.SinkPolicy()
    takedown: policy.TakedownPolicy = policy.TakedownPolicy()
    stages: policy.PluginSettings = {}
    """What stages of your own take as settings, by the names given to `kaption work`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over what `load_settings` passes in from the file."""
        return env_settings, init_settings


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting means."""

    name: str
    """With its sections, such as ``ingest.fetch.attempts``."""
    description: str
    unit: str
    """Empty where it has none."""
    default: object
    """None: unset, as the description says."""
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


def load_settings(config: Path | None = None) -> Settings:
    """Read and validate the settings. Raises InvalidSettingsError."""
    path = _config_path(config)
    _refuse_unknown_variables()
    try:
        return Settings(**_read_file(path))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        looked_in = f"environment {PREFIX}*{f' and {path}' if path else ''}"
        raise InvalidSettingsError(f"invalid settings: {faults} ({looked_in})") from error
    except SettingsError as error:
        raise InvalidSettingsError(f"invalid settings in the environment: {error}") from error


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
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettingsError(f"settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettingsError(f"settings file {path} is not TOML: {error}") from error


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
            sections = ", ".join(Settings.model_fields)
            raise InvalidSettingsError(
                f"the environment variable {variable} sets nothing: names are "
                f"{PREFIX}SECTION{DELIMITER}NAME, and the sections are {sections}; "
                "`kaption settings` lists all settings"
            )


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
        return json.dumps(value)  # as a variable would have it
    return "" if value is None else str(value)
