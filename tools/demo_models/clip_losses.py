"""The losses of the demo CLIP: attributes first, then true texts against nearly true ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from kaption.workers.demo.scenes import COLORS, SHAPES, SIZES, TEXTURES
from tools.demo_models.wording import ALL_FACTS

NONE = len(SHAPES)  # the shape label of a patch that shows no object
IGNORED = -100  # the label that cross_entropy ignores


class FactHead(nn.Module):
    """A training-only head that predicts all facts of a scene from an embedding.

    Images and texts share it, which puts both towers into one space before they are compared.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.facts = nn.Linear(embed_dim, ALL_FACTS)
        # Most facts are false for most scenes, and from 0 Adam takes thousands of steps to that.
        nn.init.constant_(self.facts.bias, -4.0)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Multi-label loss of unit vectors (B, embed_dim) for targets (B, ALL_FACTS) of 0 and 1."""
        logits = self.facts(embedding * self.scale)
        loss = binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (loss * target).sum() / target.sum() + (loss * (1 - target)).sum(1).mean() / 15


class PatchHeads(nn.Module):
    """Training-only heads that predict what a patch shows, and where in the object it lies.

    A vision transformer of this size learns shape last, because a patch must find the rest of its
    object. The loss on the offset to the object's centre teaches that: with it shape is learned
    from a fifth of the images that a loss on the attributes alone needs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attributes = nn.ModuleList(
            nn.Linear(width, n) for n in (NONE + 1, len(COLORS), len(TEXTURES), len(SIZES))
        )
        self.offset = nn.Linear(width, 3)
        # Four of five patches show no object. They are easy and must not dominate the loss.
        self._shape_weight = torch.tensor([1.0] * NONE + [0.1])

    def forward(self, tokens: Tensor, labels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, accuracies (4,)) of tokens (B, P, width).

        `labels` has shape (B, P, 4), `offsets` (B, P, 3).
        """
        tokens = self.norm(tokens)
        loss, hits = torch.zeros(()), []
        for at, head in enumerate(self.attributes):
            logits, wanted = head(tokens).flatten(0, 1), labels[..., at].flatten()
            weight, share = (self._shape_weight, 2.0) if at == 0 else (None, 1.0)
            loss = loss + share * cross_entropy(logits, wanted, weight, ignore_index=IGNORED)
            shown = (wanted != IGNORED) & ((wanted != NONE) | (at > 0))
            hits.append((logits.detach().argmax(-1) == wanted)[shown].float().mean())
        known = ~offsets.isnan()
        # In units of a quarter of the image this loss is as large as the others.
        loss = loss + 2 * (self.offset(tokens) - 4 * offsets)[known].abs().mean()
        return loss, torch.stack(hits)


def truth_table(claims: Tensor, facts: Tensor) -> Tensor:
    """(T, B) bool: whether every claim of text t is a fact of image b.

    `claims` has shape (T, ALL_FACTS), `facts` (B, ALL_FACTS). A text without claims is not true.
    """
    return (claims @ (1 - facts).T == 0) & (claims.sum(1, keepdim=True) > 0)


def contrastive_loss(cosine: Tensor, truth: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The loss of cosines (B, T). The first B texts are the images' own, the rest are negatives.

    It is the softmax loss in both directions (CLIP) plus a sigmoid loss over all pairs (SigLIP).
    The softmax leaves out the texts that happen to be true of an image. The sigmoid loss pulls all
    true pairs, also those with short texts, over one threshold, which a filter needs.
    """
    count = cosine.shape[0]
    own = torch.eye(count, cosine.shape[1], dtype=torch.bool)
    also_true = truth.T & ~own
    logits = (cosine * scale).masked_fill(also_true, float("-inf"))
    target = torch.arange(count)
    # A short text is true of other images too, so the columns are masked in the same way.
    softmax = cross_entropy(logits, target) + cross_entropy(logits[:, :count].T, target)
    label = truth.T.float()
    each = binary_cross_entropy_with_logits((cosine + bias) * scale, label, reduction="none")
    true = (each * label).sum() / label.sum()
    false = (each * (1 - label)).sum(1).mean() / 4  # a few hard texts of each image carry the loss
    return softmax + 0.5 * (true + false)
