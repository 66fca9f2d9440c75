"""Which pictures look alike: a perceptual hash, and a stated threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adapters.records import UInt8Array

# dHash (N. Krawetz, "Kind of Like That", hackerfactor.com, 2013): of 9x8 grey levels, which is brighter than its right
# neighbour. Two pictures are nearly identical where at most this many of its 64 bits differ and the mean colour of
# each of R, G and B differs by at most this many levels: bits alone would call all plain grounds alike.
ALIKE_BITS = 6
ALIKE_LEVELS = 8
# Smaller differences are noise of plain grounds, and count as none.
_LEAST_STEP = 2.0


def picture_hash(picture: UInt8Array) -> str:
    """A hash that is alike for pictures that look alike.

    Args:
        picture: uint8 [H, W, 3] RGB.

    Returns:
        22 hexadecimal digits: 64 bits of dHash, and the mean of R, G and B.
    """
    import cv2

    small = cv2.resize(picture, (9, 8), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = small @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    bits = np.packbits((grey[:, :-1] - grey[:, 1:]) > _LEAST_STEP)
    means = np.rint(small.mean((0, 1))).astype(np.uint8)
    return bytes(bits.tobytes() + means.tobytes()).hex()


class DistinctPictures:
    """The pictures that were kept, by their hashes."""

    def __init__(self) -> None:
        self._count = 0
        self._bits = np.zeros((64, 8), np.uint8)
        self._means = np.zeros((64, 3), np.int16)

    def add(self, hash: str) -> None:
        """Remember a picture that is kept.

        Args:
            hash: By ``picture_hash``; another text is passed over.
        """
        found = _parsed(hash)
        if found is None:
            return
        if self._count == len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            self._means = np.concatenate([self._means, np.zeros_like(self._means)])
        self._bits[self._count], self._means[self._count] = found
        self._count += 1

    def has_like(self, hash: str) -> bool:
        """Whether a picture that was kept is nearly identical to this one.

        Args:
            hash: By ``picture_hash``.
        """
        found = _parsed(hash)
        if found is None or not self._count:
            return False
        close = np.abs(self._means[: self._count] - found[1]).max(1) <= ALIKE_LEVELS
        differing = np.unpackbits(self._bits[: self._count][close] ^ found[0], axis=1).sum(1)
        return bool((differing <= ALIKE_BITS).any())


def _parsed(hash: str) -> tuple[UInt8Array, npt.NDArray[np.int16]] | None:
    try:
        data = np.frombuffer(bytes.fromhex(hash), np.uint8)
    except ValueError:
        return None
    return (data[:8], data[8:].astype(np.int16)) if len(data) == 11 else None
