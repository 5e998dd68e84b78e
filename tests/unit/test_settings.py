"""Settings: where each comes from, that errors are reported, and what documents say of them."""

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import settings_docs
from kaption.connections.settings import StoreConnection
from kaption.workers.cli.app import app
from kaption.workers.runtime.policy import RuntimePolicy, RuntimeSettings
from kaption.workers.settings import (
    InvalidSettingsError,
    UserError,
    describe,
    explain,
    load_settings,
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("KAPTION_"):
            monkeypatch.delenv(name)


def _write(folder: Path, text: str) -> Path:
    path = folder / "kaption.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file and a variable for the same setting
    config = _write(tmp_path, '[kafka]\nbootstrap = "file:1"\ntopic_prefix = "f."\n')
    monkeypatch.setenv("KAPTION_KAFKA__BOOTSTRAP", "environment:2")
    # When both are read
    settings = load_settings(config)
    # Then the variable holds, and what only the file says holds too
    assert settings.kafka.bootstrap == "environment:2"
    assert settings.kafka.topic_prefix == "f."


def test_one_nested_setting_leaves_its_neighbours_at_their_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAPTION_INGEST__FETCH__PER_HOST", "3")
    fetch = load_settings().ingest.fetch
    assert (fetch.per_host, fetch.attempts) == (3, 3)


@pytest.mark.parametrize("model", ["demo", "local-dir:/models/clip", "hf-hub:timm/ViT-B-16"])
def test_pretrained_is_refused_beside_a_model_with_its_own_weights(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTION_CLIP__MODEL", model)
    monkeypatch.setenv("KAPTION_CLIP__PRETRAINED", "openai")
    with pytest.raises(InvalidSettingsError, match=f"'{model}' has its own weights"):
        load_settings()
    monkeypatch.setenv("KAPTION_CLIP__MODEL", "ViT-B-32")
    assert load_settings().clip.pretrained == "openai"


def test_the_source_of_each_setting_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _write(tmp_path, "[sink]\nshard_records = 5\n[Ingest]\nbatch_records = 5\n")
    monkeypatch.setenv("KAPTION_CLIP__DEVICE", "cpu")
    sources = {row.setting.name: row.source for row in explain(load_settings(config), config)}
    assert sources["sink.shard_records"] == f"file {config}"
    assert sources["ingest.batch_records"] == f"file {config}"
    assert sources["clip.device"] == "environment KAPTION_CLIP__DEVICE"
    assert sources["sink.prefix"] == "default"


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTION_REDIS__URL", "redis://:hunter2@cache:6379/0")
    monkeypatch.setenv("KAPTION_REDIS__PASSWORD", "hunter3")
    monkeypatch.setenv("KAPTION_STORE__ACCESS_KEY", "us")
    monkeypatch.setenv("KAPTION_STORE__SECRET_KEY", "hunter4")
    monkeypatch.setenv("KAPTION_KAFKA__PASSWORD", "hunter5")
    monkeypatch.setenv("KAPTION_KAFKA__KEY_PASSWORD", "hunter6")
    monkeypatch.setenv("KAPTION_KAFKA__OAUTH_CLIENT_SECRET", "hunter7")
    shown = " ".join(row.value for row in explain(load_settings()))
    assert "hunter" not in shown


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("KAPTION_KAFKA__BOTSTRAP", "x", "kafka.botstrap"),
        ("KAPTION_BOOTSTRAP", "x", "KAPTION_BOOTSTRAP"),
        ("KAPTION_SCORE__BATCH_RECORDS", "0", "score.batch_records"),
        ("KAPTION_SELECT__KEEP", "two", "select.keep"),
        ("KAPTION_KAFKA", "{", "KAPTION_KAFKA.*as JSON"),
        ("KAPTION_STORE", "/data", "KAPTION_STORE.*as JSON"),
        ("KAPTION_INGEST__TEXT__LANGUAGES", "en", "KAPTION_INGEST__TEXT__LANGUAGES.*as JSON"),
        ("KAPTION_RECAPTION__CAPTIONERS", "rules", "KAPTION_RECAPTION__CAPTIONERS.*as JSON"),
    ],
)
def test_an_error_names_the_wrong_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettingsError, match=expected):
        load_settings()


@pytest.mark.parametrize("text", ["[kafka", '[kafka]\nbotstrap = "x"\n', "kafka = 3\n"])
def test_an_error_names_the_wrong_file(tmp_path: Path, text: str) -> None:
    config = _write(tmp_path, text)
    with pytest.raises(InvalidSettingsError, match=r"kaption\.toml"):
        load_settings(config)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SINK__SHARD_BYTES", "256MiB", r"sink\.shard_bytes \(in bytes\): .*given '256MiB'"),
        ("SINK__SHARD_AGE_S", "5m", r"sink\.shard_age_s \(in seconds\): .*given '5m'"),
        ("CLIP__THREADS", "two", r"clip\.threads .*integer.*given 'two'"),
        ("HEALTH__PORT", "99999", r"health\.port: .* 65535 \(given '99999'\)"),
    ],
)
def test_an_error_shows_unit_and_value(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KAPTION_{variable}", value)
    with pytest.raises(InvalidSettingsError, match=told):
        load_settings()


def test_an_error_about_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTION_KAFKA", '{"password": 4711}')
    with pytest.raises(InvalidSettingsError, match=r"kafka\.password: Input should be") as raised:
        load_settings()
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize("agent", ["a\nb", "a\rX: y", "  ", "M\u00fcller", "a \u2014 b", "a\tb"])
def test_a_user_agent_that_no_header_takes_is_refused(agent: str, tmp_path: Path) -> None:
    config = _write(tmp_path, f"[ingest.fetch]\nuser_agent = {json.dumps(agent)}\n")
    with pytest.raises(InvalidSettingsError, match=r"ingest\.fetch\.user_agent: a header"):
        load_settings(config)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    config = _write(tmp_path, '\ufeff[kafka]\nbootstrap = "file:1"\n')
    assert load_settings(config).kafka.bootstrap == "file:1"


def test_a_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    config = tmp_path / "kaption.toml"
    config.write_bytes('[kafka]\ntopic_prefix = "crédit"'.encode("latin-1"))
    with pytest.raises(InvalidSettingsError, match=r"kaption\.toml is not in UTF-8 .*save it as"):
        load_settings(config)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml")


def test_service_links_of_kubernetes_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the variables that Kubernetes sets for a Service named kaption-score
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"):
        monkeypatch.setenv(f"KAPTION_SCORE_{name}", "10.0.0.1")
    # Then the settings are those without these variables
    assert load_settings().score == type(load_settings().score)()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTION_STORE__CA_FILE", "")
    assert load_settings(None).store.ca_file is None


def test_each_setting_says_what_it_means() -> None:
    lacking = [it.name for it in describe() if not it.description.endswith(".")]

    assert lacking == []


def test_the_document_is_generated_from_the_present_settings() -> None:
    assert settings_docs.DOCUMENT.read_text("utf-8") == settings_docs.document(), (
        f"run `{settings_docs.COMMAND}` and commit the change"
    )


def test_the_command_shows_value_unit_source_and_meaning_in_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAPTION_RUNTIME__GRACE_S", "45")

    shown = CliRunner().invoke(app, ["settings", "runtime"]).stdout

    assert "runtime.grace_s = 45.0 (seconds; environment KAPTION_RUNTIME__GRACE_S)\n" in shown
    assert "    Time that a batch in compute has to finish" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_command_shows_one_setting() -> None:
    shown = CliRunner().invoke(app, ["settings", "ingest.fetch.attempts"]).stdout

    assert shown.startswith("ingest.fetch.attempts = 3 (default)\n")
    assert shown.count(" = ") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ingets", "there is no setting ingets: did you mean ingest?"),
        ("clip.modle", "there is no setting clip.modle: did you mean clip.model?"),
        ("zzz", "the sections are .*`kaption settings` lists all"),
    ],
)
def test_the_command_says_which_setting_was_meant(name: str, said: str) -> None:
    refused = CliRunner().invoke(app, ["settings", name]).exception

    assert isinstance(refused, UserError)
    assert re.search(said.replace("?", "[?]"), str(refused))


def test_the_engine_takes_the_settings_and_adds_its_own_limits() -> None:
    policy = RuntimePolicy.of(RuntimeSettings(transaction_deadline_s=60.0))

    assert policy.transaction_deadline_s == 60.0
    # The broker must not abort a transaction that its worker still commits.
    assert policy.transaction_timeout_s > 60.0


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("KAPTION_KAFKA_BOOTSTRAP", "KAPTION_KAFKA__BOOTSTRAP"),
        ("KAPTION_MODEL", "KAPTION_MODELS"),
        ("KAPTION_KAFKA__BOOTSTRP", "kafka.bootstrap"),
        ("KAPTION_CLIPP__MODEL", "KAPTION_CLIP__MODEL"),
        ("KAPTION_INGEST__FETCH__ATTEMPT", "ingest.fetch.attempts"),
        ("KAPTION_CONFG", "KAPTION_CONFIG"),
    ],
)
def test_a_misspelt_variable_is_answered_with_the_one_that_was_meant(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(InvalidSettingsError, match=rf"did you mean {meant}\?"):
        load_settings()


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("[kafak]\nbootstrap = 'x'", "kafka"),
        ("[ingest.fetch]\nper_hots = 3", "ingest.fetch.per_host"),
        ("model = 'small'", "models"),
        ("[sink]\nshard_age = 3", "sink.shard_age_s"),
    ],
)
def test_a_misspelt_line_of_the_file_is_answered_too(line: str, meant: str, tmp_path: Path) -> None:
    config = tmp_path / "kaption.toml"
    config.write_text(line)
    with pytest.raises(InvalidSettingsError, match=rf"did you mean {meant}\?"):
        load_settings(config)


@pytest.mark.parametrize(
    "url",
    ["s3:/bucket", "s3:bucket", "s3://", "s3:///x", "S3://b", "s3/b", "file:///x", "gs://b", ""],
)
def test_a_store_that_looks_like_an_address_is_no_folder(url: str) -> None:
    with pytest.raises(ValidationError, match="neither a folder nor s3://bucket/prefix"):
        StoreConnection(url=url)


@pytest.mark.parametrize("url", ["s3://b", "s3://b/p", "data", "/data", "./s3:x", "~/d", "a/b:c"])
def test_folders_and_buckets_are_stores(url: str) -> None:
    assert StoreConnection(url=url).url == url
