"""Which videos the arguments of a command mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from adapters.media import videos_below
from adapters.system import in_own_form


def find_videos(arguments: Iterable[str | Path]) -> list[str]:
    """The videos that the arguments of a command name.

    A folder stands for every video below it, and a pattern for every file that it matches; a file is used whatever its
    name is. What a folder contains that cannot be read is in the result too, and so is an argument that finds nothing:
    opening them reports the error.

    Args:
        arguments: Files, folders and glob patterns.

    Returns:
        Paths in the order of the arguments; within one, in that of ``videos_below`` or of the names.
    """
    found: list[str] = []
    for argument in (in_own_form(str(one)) for one in arguments):
        path, inside = Path(argument), list[str]()
        if path.is_dir():
            base = os.path.abspath(argument)
            inside = [str(path / os.path.relpath(item.path, base)) for item in videos_below(path)]
        elif not path.exists() and glob.has_magic(argument):
            inside = sorted(name for name in glob.glob(argument, recursive=True) if os.path.isfile(name))
        found += inside or [argument]
    return found
