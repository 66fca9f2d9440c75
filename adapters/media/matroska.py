"""Whether the bytes between two frames of a Matroska file are whole.

FFmpeg passes over a block that it cannot read, or over the rest of a cluster, without an error. So the elements of the
file (RFC 9559) are followed from each block of a track to the next.
"""

from __future__ import annotations

from pathlib import Path

_BLOCK_HEADER_BYTES = 4  # track number, time and flags, for track numbers up to 127
_MOST_FAILURES = 3
# Elements that are followed for each block, and at first: a file of empty ones alone costs no more than these.
_ELEMENTS_PER_BLOCK, _FREE_ELEMENTS = 1000, 200_000
_MASTERS = {0x1F43B675, 0xA0}  # Cluster and BlockGroup: what is inside follows their header
_BLOCKS = {0xA3, 0xA1}  # SimpleBlock and Block
# Others in a cluster or between clusters: time, sizes, durations, references, discard padding, additions, cues, tags,
# chapters, attachments, seek heads, void, CRC-32, silent tracks, encrypted blocks, codec state, reference priority.
_OTHERS = {
    0xE7, 0xA7, 0xAB, 0x9B, 0xFB, 0xFD, 0xA4, 0xFA, 0x75A2, 0x75A1, 0x8E, 0x5854, 0xAF, 0xA2, 0xEC, 0xBF, 0x1C53BB6B,
    0x1254C367, 0x1043A770, 0x1941A469, 0x114D9B74, 0x1549A966, 0x1654AE6B,
}  # fmt: skip


class MatroskaBlocks:
    """Follows the elements of a local Matroska file from block to block of one track."""

    def __init__(self, path: Path, tracks: int) -> None:
        """Open the file.

        Args:
            path: Of the file.
            tracks: How many tracks it has.
        """
        self._file = path.open("rb", buffering=0)
        self._size, self._tracks = path.stat().st_size, tracks
        self._place: int | None = None  # where the last block ends
        self._known: bool | None = None  # whether blocks are stored as is; None: not seen yet
        self._failures = 0
        self._elements_left = _FREE_ELEMENTS

    def begin(self) -> None:
        """Begin again at any block."""
        self._place = None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def follow(self, position: int | None, size: int) -> bool:
        """Whether the elements since the last block, of which this was called before, lead to this one.

        Args:
            position: Of the block, as of FFmpeg's packets; None: the end of the file.
            size: Of its packet, in bytes.
        """
        place, self._place = self._place, None if position is None else position + _BLOCK_HEADER_BYTES + size
        if place is None or self._known is False or (position is not None and position < place):
            return True
        self._elements_left += _ELEMENTS_PER_BLOCK
        whole = self._leads(place, self._size if position is None else position)
        if self._elements_left < 0:  # nothing more is said of such a file
            self._known = False
            return True
        if whole and self._known is None:
            self._known = True
            return not self._failures
        if self._known is None:
            self._failures += 1
            # Where none leads to the next, frames are compressed or laced, and their sizes say nothing.
            self._known = False if self._failures == _MOST_FAILURES else None
            return True
        return whole

    def _leads(self, place: int, target: int) -> bool:
        while place < target or target < self._size:
            element = self._element(place)
            self._elements_left -= 1
            if self._elements_left < 0:
                return True
            if element is None:
                return False
            name, start, length = element
            if start == target:
                return True
            if start > target or not (name in _MASTERS or name in _BLOCKS or name in _OTHERS):
                return False
            if name in _BLOCKS and (start + length > self._size or not self._is_of_a_track(start)):
                return False
            place = start if name in _MASTERS else start + length
        return True

    def _element(self, place: int) -> tuple[int, int, int] | None:
        """The ID of an element, where its content starts, and its length; None where there is no element."""
        head = self._read(place, 12)
        if not head or not head[0]:
            return None
        width = 9 - head[0].bit_length()
        if width > 4 or len(head) <= width or not head[width]:
            return None
        more = 9 - head[width].bit_length()
        length = int.from_bytes(head[width : width + more], "big") & ((1 << 7 * more) - 1)
        return int.from_bytes(head[:width], "big"), place + width + more, length

    def _is_of_a_track(self, place: int) -> bool:
        head = self._read(place, 1)
        return bool(head) and 0x80 < head[0] <= 0x80 + max(self._tracks, 8)

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)
