"""Captions by a vision model behind an OpenAI-compatible server: vLLM, SGLang, TGI or hosted."""

from kaption.workers.captioners.openai._captioner import OpenAICaptioner, build

__all__ = ["OpenAICaptioner", "build"]
