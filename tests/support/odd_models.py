"""Tiny models that cannot be used as they are, or need more than the usual ones.

Each maker writes a folder, as `support.tiny_models` does.
"""

import json
from pathlib import Path
from typing import Any

import torch

from support.tiny_models import (
    IDS,
    LIBRARY,
    OPEN_CLIP_VISION,
    OPT,
    SHARED,
    SPECIAL,
    SQUARE,
    VISION,
    save_open_clip,
    saved,
    tiny_blip,
    tiny_llava,
    tokenizer_in,
    word_tokenizer,
)


def git(folder: Path) -> Path:
    """GIT: there is no chat template, and none fits."""
    size = word_tokenizer(folder)
    config = LIBRARY.GitConfig(
        vision_config=VISION,
        vocab_size=size,
        num_hidden_layers=1,
        max_position_embeddings=64,
        **SHARED,
        **IDS,
    )
    images = LIBRARY.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    processor = LIBRARY.GitProcessor(images, tokenizer_in(folder))
    return saved(folder, LIBRARY.GitForCausalLM(config), processor)


def instruct_blip(folder: Path) -> Path:
    """InstructBLIP: its Q-Former reads the prompt, too."""
    torch.manual_seed(11)
    size = word_tokenizer(folder, add_end=False)
    opt = LIBRARY.OPTConfig(
        vocab_size=size, num_hidden_layers=1, max_position_embeddings=128, **OPT
    )
    config = LIBRARY.InstructBlipConfig(
        vision_config=VISION | {"initializer_range": 0.02},
        qformer_config=SHARED
        | {"vocab_size": size, "num_hidden_layers": 1, "encoder_hidden_size": 32},
        text_config=opt,
        num_query_tokens=4,
        image_token_index=SPECIAL.index("<image>"),
    )
    tokenizer, images = tokenizer_in(folder), LIBRARY.BlipImageProcessor(size=SQUARE)
    processor = LIBRARY.InstructBlipProcessor(images, tokenizer, tokenizer, num_query_tokens=4)
    model = LIBRARY.InstructBlipForConditionalGeneration(config)
    model.query_tokens.data.normal_()
    model.language_projection.weight.data.mul_(20)  # look at the image
    return saved(folder, model, processor)


def pali_gemma(folder: Path) -> Path:
    """PaliGemma: no chat template, and prompts that name a task."""
    torch.manual_seed(14)
    size = word_tokenizer(folder, add_end=False)
    text = SHARED | IDS | {"model_type": "gemma", "vocab_size": size + 1030, "head_dim": 16}
    config = LIBRARY.PaliGemmaConfig(
        vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text | {"num_hidden_layers": 1, "num_key_value_heads": 1},
        image_token_index=SPECIAL.index("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    images = LIBRARY.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 16
    processor = LIBRARY.PaliGemmaProcessor(images, tokenizer_in(folder))
    model = LIBRARY.PaliGemmaForConditionalGeneration(config)
    model.model.multi_modal_projector.linear.weight.data.mul_(20)  # look at the image
    return saved(folder, model, processor)


def pixtral(folder: Path) -> Path:
    """Pixtral: it calls itself a LLaVA, and an image has as many tokens as its size needs."""
    word_tokenizer(folder, add_end=False)
    tokenizer = tokenizer_in(folder)
    marks = ["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    text = LIBRARY.LlamaConfig(
        vocab_size=len(tokenizer), num_hidden_layers=1, num_key_value_heads=2, **SHARED, **IDS
    )
    config = LIBRARY.LlavaConfig(
        vision_config=LIBRARY.PixtralVisionConfig(**VISION | {"image_size": 64}),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    images = LIBRARY.PixtralImageProcessor(
        size={"longest_edge": 64}, patch_size={"height": 8, "width": 8}
    )
    processor = LIBRARY.PixtralProcessor(images, tokenizer, patch_size=8, spatial_merge_size=1)
    return saved(folder, LIBRARY.LlavaForConditionalGeneration(config), processor)


def qwen3_vl(folder: Path) -> Path:
    """Qwen3-VL: positions on three axes, and an image mark between two others."""
    word_tokenizer(folder, add_end=False, add_start=False)
    tokenizer = LIBRARY.AutoTokenizer.from_pretrained(folder)
    names = ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")
    marks = [f"<|{name}|>" for name in names]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(marks), strict=True))
    axes = {"mrope_section": [2, 3, 3], "mrope_interleaved": True, "rope_theta": 10000.0}
    config = LIBRARY.Qwen3VLConfig(
        text_config={
            **SHARED,
            **IDS,
            "vocab_size": len(tokenizer),
            "num_hidden_layers": 1,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", **axes},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    processor = LIBRARY.Qwen3VLProcessor(
        image_processor=LIBRARY.Qwen2VLImageProcessor(
            patch_size=8, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
        ),
        tokenizer=tokenizer,
        video_processor=LIBRARY.Qwen3VLVideoProcessor(patch_size=8),
        chat_template=(
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
            "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
            "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
    )
    return saved(folder, LIBRARY.Qwen3VLForConditionalGeneration(config), processor)


def drawing(folder: Path) -> Path:
    """Have the model in a folder draw its tokens, where a server says nothing else of it."""
    config = LIBRARY.GenerationConfig.from_pretrained(folder)
    config.do_sample = True
    config.save_pretrained(folder)
    return folder


def florence2(folder: Path) -> Path:
    """Florence-2: its prompts are names of tasks, without a chat template."""
    torch.manual_seed(13)
    size = word_tokenizer(folder)
    tokenizer = tokenizer_in(folder, extra_special_tokens={"image_token": "<image>"})
    text = {
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "vocab_size": size,
        "decoder_start_token_id": 2,
    }
    vision = {
        "depths": [1] * 4,
        "embed_dim": [16, 16, 16, 32],
        "num_heads": [1, 1, 1, 2],
        "num_groups": [1, 1, 1, 2],
        "projection_dim": 32,
    }
    config = LIBRARY.Florence2Config(
        text_config=text | IDS, vision_config=vision, image_token_id=SPECIAL.index("<image>")
    )
    images = LIBRARY.CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    processor = LIBRARY.Florence2Processor(images, tokenizer, num_additional_image_tokens=0)
    model = LIBRARY.Florence2ForConditionalGeneration(config)
    decoder = model.model.language_model.decoder
    decoder.layers[0].encoder_attn.out_proj.weight.data.mul_(20)  # look at the image
    return saved(folder, model, processor)


def gemma4(folder: Path) -> Path:
    """Gemma 4: its image processor takes any size and names none."""
    word_tokenizer(folder, add_start=False, add_end=False)
    marks = {
        "image_token": "<|image|>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "video_token": "<|video|>",
    }
    tokenizer = tokenizer_in(folder, extra_special_tokens=marks)
    number = {noun: tokenizer.convert_tokens_to_ids(mark) for noun, mark in marks.items()}
    text = {
        "vocab_size": len(tokenizer) + 64,
        "vocab_size_per_layer_input": len(tokenizer) + 64,
        "hidden_size_per_layer_input": 16,
        "num_hidden_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"],
        "num_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 16,
        "num_kv_shared_layers": 0,
    }
    vision = {
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
        "default_output_length": 16,
    }
    config = LIBRARY.Gemma4Config(
        text_config=SHARED | IDS | text,
        vision_config=SHARED | vision,
        audio_config=None,
        image_token_id=number["image_token"],
        boi_token_id=number["boi_token"],
        eoi_token_id=number["eoi_token"],
        audio_token_id=number["audio_token"],
        video_token_id=number["video_token"],
    )
    processor = LIBRARY.Gemma4Processor(
        feature_extractor=LIBRARY.Gemma4AudioFeatureExtractor(),
        image_processor=LIBRARY.Gemma4ImageProcessor(
            patch_size=8, max_soft_tokens=70, pooling_kernel_size=2
        ),
        tokenizer=tokenizer,
        video_processor=LIBRARY.Gemma4VideoProcessor(),
        chat_template="{% for m in messages %}<start>{% for c in m.content %}"
        "{% if c.type == 'image' %}<|image|>{% else %}{{ c.text }}{% endif %}"
        "{% endfor %}{% endfor %}",
    )
    return saved(folder, LIBRARY.Gemma4ForConditionalGeneration(config), processor)


def minicpm_v(folder: Path, version: str = "4_6") -> Path:
    """MiniCPM-V: it cuts images into tiles, and its image processor names no size."""
    word_tokenizer(folder, add_start=False, add_end=False)
    nouns = "image video image_start image_end slice_start slice_end image_id_start image_id_end"
    marks = {f"{noun}_token": f"<{noun}>" for noun in nouns.split()}
    tokenizer = tokenizer_in(folder, extra_special_tokens=marks)
    text = {
        "model_type": "qwen3_5_text",
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"],
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    linear = {f"linear_num_{part}_heads": 2 for part in ("key", "value")}
    linear |= {f"linear_{part}_head_dim": 16 for part in ("key", "value")}
    config = getattr(LIBRARY, f"MiniCPMV{version}Config")(
        text_config=SHARED | IDS | text | linear,
        vision_config=VISION | {"image_size": 64, "num_hidden_layers": 2},
        insert_layer_id=0,
        image_size=64,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
    )
    model = getattr(LIBRARY, f"MiniCPMV{version}ForConditionalGeneration")(config)
    shown = {"patch_size": 8, "scale_resolution": 64}
    processor = getattr(LIBRARY, f"MiniCPMV{version}Processor")(
        image_processor=LIBRARY.MiniCPMV4_6ImageProcessor(**shown),
        video_processor=LIBRARY.MiniCPMV4_6VideoProcessor(**shown),
        tokenizer=tokenizer,
        chat_template="{% for m in messages %}<start>{% for c in m.content %}"
        "{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}"
        "{% endfor %}{% endfor %}",
    )
    return saved(folder, model, processor)


def minicpm_v_4_7(folder: Path) -> Path:
    """The next version of MiniCPM-V."""
    return minicpm_v(folder, "4_7")


def with_code(
    folder: Path,
    ran: Path,
    model_type: str = "own_model",
    loader: str = "AutoModelForImageTextToText",
) -> Path:
    """A repository with code of its own, which would write the file `ran`."""
    tiny_blip(folder)
    for name, classes in (
        ("config.json", {"AutoConfig": "code.Config", loader: "code.Model"}),
        ("processor_config.json", {"AutoProcessor": "code.Processor"}),
        ("tokenizer_config.json", {"AutoProcessor": "code.Processor"}),
    ):
        path = folder / name
        settings = json.loads(path.read_text()) | {"auto_map": classes}
        settings.pop("processor_class", None)
        if name == "config.json":
            settings["model_type"] = model_type
        path.write_text(json.dumps(settings))
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')")
    return folder


def change_weights(folder: Path, change: Any, name: str = "model.safetensors") -> None:
    """Let `change` alter the dict of a folder's weights."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / name)
    change(weights)
    save_file(weights, str(folder / name), metadata={"format": "pt"})


def llava_with(folder: Path, template: str) -> Path:
    """A LLaVA with a chat template."""
    tiny_llava(folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def coca(folder: Path) -> Path:
    """CoCa, a scorer that also has a text decoder."""
    from open_clip.coca_model import CoCa

    size = word_tokenizer(folder)
    vision = OPEN_CLIP_VISION | {
        "attentional_pool": True,
        "attn_pooler_queries": 4,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    }
    shared = {"context_length": 16, "vocab_size": size, "width": 32, "heads": 2, "layers": 1}
    text = {"hf_tokenizer_name": "local", "embed_cls": True, "output_tokens": True, "pad_id": 0}
    config = {
        "embed_dim": 16,
        "vision_cfg": vision,
        "text_cfg": shared | text,
        "multimodal_cfg": shared,
    }
    torch.manual_seed(1)
    return save_open_clip(folder, config | {"custom_text": True}, CoCa(**config))


def transformers_text(folder: Path) -> Path:
    """A scorer whose text tower is a RoBERTa of transformers."""
    from open_clip.model import CustomTextCLIP

    size = word_tokenizer(folder)
    roberta = LIBRARY.RobertaConfig(
        vocab_size=size, num_hidden_layers=1, max_position_embeddings=40, pad_token_id=0, **SHARED
    )
    roberta.save_pretrained(folder / "text")
    text = {
        "hf_model_name": str(folder / "text"),
        "hf_tokenizer_name": "local",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 16,
    }
    config = {"embed_dim": 16, "vision_cfg": OPEN_CLIP_VISION, "text_cfg": text}
    torch.manual_seed(1)
    bare = config | {"text_cfg": text | {"hf_model_pretrained": False}}
    return save_open_clip(folder, config | {"custom_text": True}, CustomTextCLIP(**bare))
