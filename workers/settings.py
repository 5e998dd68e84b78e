"""The settings: environment over one TOML file over defaults. The only reader of the environment.

``KAPTION_KAFKA__BOOTSTRAP=host:9092`` sets ``kafka.bootstrap``; the same in TOML is ``[kafka]``
``bootstrap = "host:9092"``. The file is named by ``KAPTION_CONFIG`` or ``--config``.
"""

from __future__ import annotations

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
from kaption.workers.policy import (
    ClipPolicy,
    IngestPolicy,
    PluginSettings,
    Policy,
    RecaptionPolicy,
    ScorePolicy,
    SelectPolicy,
    SinkPolicy,
    TakedownPolicy,
)
from kaption.workers.runtime.policy import RuntimePolicy

PREFIX = "KAPTION_"
DELIMITER = "__"
CONFIG_VARIABLE = "KAPTION_CONFIG"
# Kubernetes puts these into every pod for a Service named kaption-...
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")


class InvalidSettingsError(ValueError):
    """Settings that cannot be used; the message names each one and where it came from."""


class HealthPolicy(Policy):
    """The HTTP server for /healthz, /readyz and /metrics."""

    host: str = "0.0.0.0"  # noqa: S104  # probes and scrapers come from outside the pod
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free port."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,  # a variable set to nothing, as Compose does, is not set
        hide_input_in_errors=True,
    )

    kafka: KafkaConnection = KafkaConnection()
    redis: RedisConnection = RedisConnection()
    store: StoreConnection = StoreConnection()
    runtime: RuntimePolicy = RuntimePolicy()
    health: HealthPolicy = HealthPolicy()
    ingest: IngestPolicy = IngestPolicy()
    clip: ClipPolicy = ClipPolicy()
    score: ScorePolicy = ScorePolicy()
    recaption: RecaptionPolicy = RecaptionPolicy()
    select: SelectPolicy = SelectPolicy()
    sink: SinkPolicy = SinkPolicy()
    takedown: TakedownPolicy = TakedownPolicy()
    stages: PluginSettings = {}
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
class Sourced:
    """One setting with its value as shown (secrets hidden) and where it came from."""

    name: str
    value: str
    source: str


def load_settings(config: Path | None = None) -> Settings:
    """Read and validate. Raises InvalidSettingsError."""
    path = _config_path(config)
    _refuse_unknown_variables()
    try:
        return Settings(**_read_file(path))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise InvalidSettingsError(f"invalid settings: {faults}{_looked_in(path)}") from error
    except SettingsError as error:
        raise InvalidSettingsError(f"invalid settings in the environment: {error}") from error


def explain(settings: Settings, config: Path | None = None) -> Iterator[Sourced]:
    """Every setting with its source, in the order of the classes."""
    path = _config_path(config)
    from_file = _read_file(path)
    from_environment = EnvSettingsSource(Settings)()
    for parts, value in _leaves(settings):
        if _has(from_environment, parts):
            source = f"environment {PREFIX}{DELIMITER.join(parts).upper()}"
        elif _has(from_file, parts):
            source = f"file {path}"
        else:
            source = "default"
        yield Sourced(".".join(parts), _shown(value), source)


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
    # pydantic-settings passes over variables whose first part is no field: a typo would be silent.
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
                f"unknown variable {variable}: names are {PREFIX}SECTION{DELIMITER}NAME with a "
                f"section of {sections}; `kaption settings` lists all"
            )


def _looked_in(path: Path | None) -> str:
    return f" (environment {PREFIX}*{f' and {path}' if path else ''})"


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
    return "" if value is None else str(value)
