"""Neighbours of a frame that look nearly the same, so that one key labels them all."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from adapters.errors import AdapterError
from adapters.records import UInt8Array
from cliplab.studio.context import Studio

# Difference hash: whether each pixel of a 9x8 grey picture is brighter than its right neighbour (N. Krawetz, "Kind of
# like that", 2013). Frames of one still shot differ in 0 to 4 of its 64 bits, others in 20 to 40.
MOST_BITS = 5
MOST_NEIGHBOURS = 200
_THUMBNAIL_HEIGHT = 128
_known: dict[tuple[str, int], int] = {}
_MOST_KNOWN = 200_000
_lock = threading.Lock()


def alike_items(studio: Studio, number: int) -> list[int]:
    """Return the items before and after an item that look nearly the same as it, without a gap.

    Args:
        studio: The studio.
        number: The item.

    Raises:
        AdapterError: The item's picture cannot be decoded.
    """
    own = _hash(studio, number)
    before = [row.id for row in studio.store.items(max(0, number - MOST_NEIGHBOURS - 1), MOST_NEIGHBOURS)]
    after = [row.id for row in studio.store.items(number, MOST_NEIGHBOURS)]
    found = []
    for side in ([one for one in reversed(before) if one < number], after):
        for other in side:
            try:
                near = (_hash(studio, other) ^ own).bit_count() <= MOST_BITS
            except AdapterError:
                near = False
            if not near:
                break
            found.append(other)
    return sorted(found)


def difference_hash(picture: UInt8Array) -> int:
    """Return 64 bits that say where a picture gets darker from left to right.

    Args:
        picture: [height, width] or [height, width, 3] uint8.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    # A difference of one level is noise of the compression, also where all of the picture is of one colour.
    return int.from_bytes(np.packbits(small[:, :-1] > small[:, 1:] + 1).tobytes(), "big")


def _hash(studio: Studio, number: int) -> int:
    key = (studio.identity, number)
    found = _known.get(key)
    if found is None:
        data = studio.frames.thumbnail(number, _THUMBNAIL_HEIGHT)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        found = difference_hash(np.asarray(picture, np.uint8))
        with _lock:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = found
    return found
