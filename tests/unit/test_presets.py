"""Presets: models by one word, below what the user names, and each known to the libraries."""

from pathlib import Path

import open_clip
import pytest
from transformers import CONFIG_MAPPING

from kaption.workers.policy.score import ClipPolicy
from kaption.workers.presets import PRESETS
from kaption.workers.settings import Settings, UserError, load_settings, require_models

REAL = [name for name in PRESETS if name != "demo"]
KINDS = {"SmolVLM": "idefics3", "SmolVLM2": "smolvlm", "Qwen3": "qwen3_vl"}
"""The model type of each captioner, by the first part of its name."""


@pytest.mark.parametrize("name", REAL)
def test_a_preset_names_models_that_the_libraries_know(name: str) -> None:
    preset = PRESETS[name]  # type: ignore[index]  # a name of the table
    assert open_clip.get_pretrained_cfg(preset.scorer, preset.pretrained)
    kind = KINDS[preset.captioner.partition("/")[2].partition("-")[0]]
    assert kind in CONFIG_MAPPING


@pytest.mark.parametrize("stages", [["score"], ["select"], ["recaption"], ["ingest", "score"]])
def test_without_models_the_presets_are_named(stages: list[str]) -> None:
    with pytest.raises(UserError, match=r"--models .*small .*balanced .*best"):
        require_models(Settings(), stages)


def test_stages_without_models_need_none() -> None:
    require_models(Settings(), ["ingest", "sink"])
    require_models(load_settings(models="small"), ["score", "recaption", "select"])


def test_what_the_user_names_goes_before_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a preset in the environment and a scorer in the file
    config = tmp_path / "kaption.toml"
    config.write_text('[clip]\nmodel = "ViT-B-32"\npretrained = "openai"\nthreads = 3\n')
    monkeypatch.setenv("KAPTION_MODELS", "small")
    monkeypatch.setenv("KAPTION_RECAPTION__TRANSFORMERS__SAMPLING__CANDIDATES", "7")
    # When they are loaded
    loaded = load_settings(config)
    # Then the preset gives the captioner alone, and nothing else is lost
    assert (loaded.clip.model, loaded.clip.pretrained) == ("ViT-B-32", "openai")
    assert loaded.clip.threads == 3
    assert loaded.recaption.transformers.model == PRESETS["small"].captioner
    assert loaded.recaption.transformers.sampling.candidates == 7
    # And the command line goes before both
    assert load_settings(config, "best").recaption.transformers.model == PRESETS["best"].captioner


def test_a_preset_does_not_touch_settings_that_are_objects() -> None:
    settings = Settings(models="demo", clip=ClipPolicy(model="local-dir:/m", threads=2))
    assert (settings.clip.model, settings.clip.threads) == ("local-dir:/m", 2)
    assert settings.recaption.transformers.model == "demo"
