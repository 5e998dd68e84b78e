"""Finds the images of a web page with their texts, licences and opt-outs.

Needs parsel (extra `scrapy`).
"""

from kaption.producers.web.opt_out import opt_out_signals
from kaption.producers.web.pairs import image_pairs
from kaption.producers.web.tdm_rep import TdmRep

__all__ = ["TdmRep", "image_pairs", "opt_out_signals"]
