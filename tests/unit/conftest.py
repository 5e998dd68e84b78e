"""Fixtures of the unit tests."""

from pathlib import Path

import pytest

from support.model_stages import FolderBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)
