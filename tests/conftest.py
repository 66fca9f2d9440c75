"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real media and weights that stands beside the checkout."""
    folder = Path(os.environ.get("CLIPLAB_SHARED", ROOT.parent / "shared"))
    if not (folder / "media").is_dir():
        pytest.skip(f"no media in {folder}: set CLIPLAB_SHARED to the folder that holds media/ and weights/")
    return folder


@pytest.fixture(scope="session")
def lite0_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all tests that use the pretrained Lite0, so that its backbone is converted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPLAB_CACHE", str(tmp_path_factory.mktemp("lite0_cache")))
        yield
