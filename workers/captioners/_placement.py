"""Where a model's weights lie, and as what: integers, and layers on several GPUs."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.workers.models.device import torch_dtype
from kaption.workers.policy.recaption import TransformersPolicy

if TYPE_CHECKING:
    import torch


def placement(policy: TransformersPolicy, device: torch.device, precision: str) -> dict[str, Any]:
    """Arguments of from_pretrained for the policy's precision, quantization and device map.

    Raises Fatal where a package is missing.
    """
    import transformers

    library: Any = transformers  # its configurations have no types
    found: dict[str, Any] = {"dtype": torch_dtype(precision)}
    if policy.device_map is not None:
        _require("recaption.transformers.device_map", "accelerate")
        found["device_map"] = policy.device_map
    if policy.quantization is not None:
        _require("recaption.transformers.quantization", "accelerate", "bitsandbytes")
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of each product
        four = policy.quantization == "int4"
        found["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=four,
            load_in_8bit=not four,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=found["dtype"],
        )
    return {"device_map": {"": device}} | found if len(found) > 1 else found


def placed(what: str, model: Any, given: dict[str, Any], device: torch.device) -> torch.device:
    """Move a model to `device`, unless `placement` placed it. Returns the device of its inputs.

    Raises Fatal where parts of it were left out of the GPUs, which would take minutes for a batch.
    """
    if "device_map" not in given:
        model.to(device)
        return device
    # Layers that fit on no GPU are on "cpu" or "disk"; GPUs are numbers or devices.
    spread = {str(at) for at in getattr(model, "hf_device_map", {}).values()}
    if len(spread) > 1 and spread & {"cpu", "disk"}:
        raise Fatal(
            f"{what} does not fit into the memory of the GPUs: set recaption.transformers"
            ".quantization, take a smaller model, or add GPUs"
        )
    first: torch.device = model.get_input_embeddings().weight.device
    return first


def _require(setting: str, *packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise Fatal(
            f"{setting} needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}:"
            " pip install 'kaption[large]', or unset it"
        )
