"""Large images go to the blob store, and their records name them by their sha256."""

import sys
from pathlib import Path

import pytest

from kaption.connections.settings import StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError, TooLargeError
from kaption.producers.identity import pair_id
from kaption.producers.image import ClaimCheck
from kaption.schemas import ImageSource
from kaption.schemas.limits import INLINE_IMAGE_BYTES

LARGE = b"x" * (INLINE_IMAGE_BYTES + 1)


@pytest.fixture
def store(tmp_path: Path) -> StoreConnection:
    return StoreConnection(url=str(tmp_path / "store"))


@pytest.mark.parametrize("as_path", [False, True])
def test_a_large_image_is_named_by_its_content(
    store: StoreConnection, tmp_path: Path, as_path: bool
) -> None:
    claims = ClaimCheck(store)
    path = tmp_path / "large.tif"
    path.write_bytes(LARGE)

    source, content = claims.source(path if as_path else LARGE)
    assert content == LARGE
    claims.store(content)

    assert source.blob is not None
    assert BlobStore(open_store(store)).get(source.blob) == LARGE


def test_what_fits_stays_inline_and_needs_no_store() -> None:
    fits = LARGE[:-1]

    assert ClaimCheck(None).source(fits) == (ImageSource(inline=fits), None)
    assert ClaimCheck(None).source("https://a.example/1") == (
        ImageSource(url="https://a.example/1"),
        None,
    )


def test_the_pair_is_the_same_inline_and_stored(store: StoreConnection) -> None:
    stored = ClaimCheck(store).reference(b"bytes")

    assert pair_id("s", "p", stored) == pair_id("s", "p", ImageSource(inline=b"bytes"))


def test_without_a_store_it_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "large.tif").write_bytes(LARGE)

    for image in (LARGE, tmp_path / "large.tif"):
        with pytest.raises(TooLargeError, match=r"4194305 bytes.*URL.*store=StoreConnection"):
            ClaimCheck(None).source(image)


def test_s3_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(PublishError, match="pip install boto3"):
        ClaimCheck(StoreConnection(url="s3://bucket/prefix")).store(b"bytes")


def test_a_store_that_fails_says_that_nothing_was_sent() -> None:
    claims = ClaimCheck(StoreConnection(url=__file__))

    with pytest.raises(PublishError, match=r"its record was not sent: store\.url .* is a file"):
        claims.store(b"bytes")
