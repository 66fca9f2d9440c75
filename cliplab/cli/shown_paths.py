"""Paths in messages, as short as they can be from where the user is."""

from __future__ import annotations

import os
import re


def from_here(message: str) -> str:
    """A message whose absolute paths below the current folder are relative to it.

    Paths elsewhere, addresses such as file:///..., and the current folder itself stay as they are.

    Args:
        message: Text for people.
    """
    try:
        here = os.getcwd()
    except OSError:  # the folder was removed
        return message
    if here == os.sep or here not in message:
        return message
    # Not in the middle of a path or an address; a name that begins with - would look like an option.
    start = rf"(?<![\w/\\.:~-]){re.escape(here + os.sep)}"
    return re.sub(rf"{start}(?=-)", f".{os.sep}", re.sub(rf"{start}(?=[^\s/\\-])", "", message))
