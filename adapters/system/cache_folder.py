"""The folder for files that can be downloaded or made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder for downloaded weights and converted programs, which may not exist yet.

    It is $CLIPLAB_CACHE if set, otherwise $XDG_CACHE_HOME/cliplab, otherwise ~/.cache/cliplab. An empty variable
    counts as unset. A relative XDG_CACHE_HOME is ignored (XDG Base Directory Specification 0.8).
    """
    if own := os.environ.get("CLIPLAB_CACHE"):
        return Path(own).expanduser()
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "cliplab"
