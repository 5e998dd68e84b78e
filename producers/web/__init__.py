"""What a web page says about its images, as fields of raw pairs; needs parsel (extra `scrapy`)."""

from producers.web.opt_out import opt_out_signals
from producers.web.pairs import image_pairs
from producers.web.tdm_rep import TdmRep

__all__ = ["TdmRep", "image_pairs", "opt_out_signals"]
