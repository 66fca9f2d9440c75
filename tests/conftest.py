"""Fixtures that every test may use."""

from __future__ import annotations

import os
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
