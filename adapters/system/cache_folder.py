"""The folder of what can be fetched or made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Where fetched weights and converted programs are kept: $CLIPLAB_CACHE, else $XDG_CACHE_HOME/cliplab, else
    ~/.cache/cliplab. The folder may not exist yet. An empty variable counts as unset; XDG asks for absolute paths, so a
    relative XDG_CACHE_HOME is passed over (XDG Base Directory Specification 0.8)."""
    if own := os.environ.get("CLIPLAB_CACHE"):
        return Path(own).expanduser()
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "cliplab"
