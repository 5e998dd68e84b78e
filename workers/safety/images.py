"""The checks of images that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from kaption.workers.safety.block_list import BlockLists
from kaption.workers.safety.documents import Documents, TextReader
from kaption.workers.safety.faces import Faces
from kaption.workers.safety.image_check import ImageCheck
from kaption.workers.safety.nsfw import Nsfw
from kaption.workers.safety.policy import SafetyPolicy


def image_checks(policy: SafetyPolicy, reader: Callable[[], TextReader]) -> list[ImageCheck]:
    """The checks that are switched on, not yet set up.

    Checks that refuse an image come before those that change it.

    `reader` makes the OCR.
    """
    checks: list[ImageCheck] = []
    if policy.block_lists.exact or policy.block_lists.perceptual:
        checks.append(BlockLists(policy.block_lists))
    if policy.nsfw.action != "off":
        checks.append(Nsfw(policy.nsfw))
    if policy.documents.action != "off":
        checks.append(Documents(policy.documents, reader))
    if policy.faces.action != "off":
        checks.append(Faces(policy.faces))
    return checks
