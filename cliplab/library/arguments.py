"""Which videos the arguments of a command mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from adapters.media import videos_below


def find_videos(arguments: Iterable[str | Path]) -> list[str]:
    """Paths for files, folders and patterns: a folder means every video below it, a pattern every file it matches.

    The order is that of the arguments, and within one that of ``videos_below`` or of the names. What a folder has that
    cannot be read is in the result too, and so is an argument that finds nothing: whoever opens them reports them. A
    file is taken whatever its name is.
    """
    found: list[str] = []
    for argument in map(str, arguments):
        path, inside = Path(argument), list[str]()
        if path.is_dir():
            base = os.path.abspath(argument)
            inside = [str(path / os.path.relpath(item.path, base)) for item in videos_below(path)]
        elif not path.exists() and glob.has_magic(argument):
            inside = sorted(name for name in glob.glob(argument, recursive=True) if os.path.isfile(name))
        found += inside or [argument]
    return found
