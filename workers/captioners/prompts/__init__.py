"""Prompts: what captioners ask a vision-language model, in which order, and those of users."""

from kaption.workers.captioners.prompts._chain import SAMPLE, Chain, Question
from kaption.workers.captioners.prompts._prompt import Prompt
from kaption.workers.captioners.prompts._sets import PROMPT_SETS, prompt_set

__all__ = ["PROMPT_SETS", "SAMPLE", "Chain", "Prompt", "Question", "prompt_set"]
