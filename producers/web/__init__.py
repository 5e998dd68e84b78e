"""Finds the images of a web page with their texts, licences and opt-outs.

Needs parsel (extras `scrapy` and `sources`).
"""

from kaption.producers.web.opt_out import image_signals, opt_out_signals
from kaption.producers.web.pairs import image_pairs
from kaption.schemas.opt_outs.tdm_rep import TdmRep

__all__ = ["TdmRep", "image_pairs", "image_signals", "opt_out_signals"]
