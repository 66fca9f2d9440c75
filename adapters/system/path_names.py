"""Names of files as people write them: URLs among paths, and letters in another normal form than on disk."""

from __future__ import annotations

import os
import re
import unicodedata

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def is_url(text: str) -> bool:
    """Whether a text is a URL, also where a path was made of it, which leaves one slash.

    Args:
        text: A path or an address.
    """
    return _URL.match(text) is not None and not os.path.lexists(text)


def in_own_form(path: str) -> str:
    """The path as it is on disk where it differs only by the normal form of its letters; otherwise the path.

    An ``é`` may be one character or an e with an accent. Where two entries of a folder fit, the path stays as it is.

    Args:
        path: A path; a relative one starts at the working directory.
    """
    if path.isascii() or os.path.lexists(path) or "\0" in path:
        return path
    found = os.sep if os.path.isabs(path) else ""
    for part in path.split(os.sep):
        if not part:
            continue
        step = os.path.join(found, part)
        if not part.isascii() and not os.path.lexists(step):
            wanted = unicodedata.normalize("NFC", part)
            try:
                fitting = [name for name in os.listdir(found or ".") if unicodedata.normalize("NFC", name) == wanted]
            except OSError:
                return path
            if len(fitting) != 1:
                return path
            step = os.path.join(found, fitting[0])
        found = step
    return found
