"""What the small CLIP is trained to do: attributes first, then true against nearly true."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from kaption.workers.demo.scenes import COLORS, SHAPES, SIZES, TEXTURES
from tools.demo_models.wording import ALL_FACTS

NONE = len(SHAPES)  # the shape label of a patch that shows no object
IGNORED = -100  # cross_entropy's own mark


class FactHead(nn.Module):
    """Training-only head: all facts of a scene from its embedding, shared by images and texts.

    Sharing puts the two towers in one space before they are ever compared.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.facts = nn.Linear(embed_dim, ALL_FACTS)
        # Most facts are false of most scenes; learning that takes Adam thousands of steps.
        nn.init.constant_(self.facts.bias, -4.0)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Multi-label loss of (B, embed_dim) unit vectors on (B, ALL_FACTS) in {0, 1}."""
        logits = self.facts(embedding * self.scale)
        loss = binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (loss * target).sum() / target.sum() + (loss * (1 - target)).sum(1).mean() / 15


class PatchHeads(nn.Module):
    """Training-only heads: what a patch shows, and where in the object it lies.

    Shape is what a vision transformer this small learns last: it needs patches to find the rest of
    their object. Asking each patch for the way to its object's centre teaches that, and made shape
    learn in a fifth of the images that a loss on attributes alone took.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attributes = nn.ModuleList(
            nn.Linear(width, n) for n in (NONE + 1, len(COLORS), len(TEXTURES), len(SIZES))
        )
        self.offset = nn.Linear(width, 3)
        # Four of five patches show no object; they are easy and must not drown the others.
        self._shape_weight = torch.tensor([1.0] * NONE + [0.1])

    def forward(self, tokens: Tensor, labels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, width) tokens, (B, P, 4) labels, (B, P, 3) offsets: (loss, accuracies (4,))."""
        tokens = self.norm(tokens)
        loss, hits = torch.zeros(()), []
        for at, head in enumerate(self.attributes):
            logits, wanted = head(tokens).flatten(0, 1), labels[..., at].flatten()
            weight, share = (self._shape_weight, 2.0) if at == 0 else (None, 1.0)
            loss = loss + share * cross_entropy(logits, wanted, weight, ignore_index=IGNORED)
            shown = (wanted != IGNORED) & ((wanted != NONE) | (at > 0))
            hits.append((logits.detach().argmax(-1) == wanted)[shown].float().mean())
        known = ~offsets.isnan()
        # Quarters of the image as the unit make this loss as large as the others.
        loss = loss + 2 * (self.offset(tokens) - 4 * offsets)[known].abs().mean()
        return loss, torch.stack(hits)


def truth_table(claims: Tensor, facts: Tensor) -> Tensor:
    """(T, B) bool: all of text t's claims (T, ALL_FACTS) are facts (B, ALL_FACTS) of image b."""
    return (claims @ (1 - facts).T == 0) & (claims.sum(1, keepdim=True) > 0)


def contrastive_loss(cosine: Tensor, truth: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Loss of cosines (B, T) whose first B texts are the images' own; the others are negatives.

    Softmax both ways (CLIP), with texts that happen to be true of an image left out of its
    negatives, plus a sigmoid loss (SigLIP) over all pairs: it pulls all true pairs, short texts as
    well, over one threshold, which is what a filter needs.
    """
    count = cosine.shape[0]
    own = torch.eye(count, cosine.shape[1], dtype=torch.bool)
    also_true = truth.T & ~own
    logits = (cosine * scale).masked_fill(also_true, float("-inf"))
    target = torch.arange(count)
    # A short own text is true of other images too, so its column is masked the same way.
    softmax = cross_entropy(logits, target) + cross_entropy(logits[:, :count].T, target)
    label = truth.T.float()
    each = binary_cross_entropy_with_logits((cosine + bias) * scale, label, reduction="none")
    true = (each * label).sum() / label.sum()
    false = (each * (1 - label)).sum(1).mean() / 4  # a few hard ones per image carry the loss
    return softmax + 0.5 * (true + false)
