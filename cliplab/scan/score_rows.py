"""Rows of scores as a scan's store keeps them: packed, and each with a CRC, by which a damaged row is known."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.records import Float32Array, Float64Array

# More classes than this are kept as float16, of 11 bits: a Kinetics model gives 600 scores for every window.
FLOAT32_CLASSES = 16
COLUMNS = "fingerprint, run, duration, classes, spans, scores, error, warnings"


@dataclass(frozen=True)
class Scores:
    """A model's scores of one video, or why there are none.

    Attributes:
        duration: Length of the video in seconds; None if unknown.
        spans: float64 [N, 2], start and end in seconds of what each row of scores covers, in order of time; None with
            an error.
        scores: float32 [N, C] in 0..1; None with an error.
        error: Why the video could not be scored; None if it was.
        warnings: Damage that decoding passed over.
    """

    duration: float | None
    spans: Float64Array | None
    scores: Float32Array | None
    error: str | None = None
    warnings: tuple[str, ...] = ()


def remove_damaged(connection: sqlite3.Connection) -> int:
    """Delete rows of scores whose content is not what was stored.

    Args:
        connection: The open database.

    Returns:
        How many there were.
    """
    last: tuple[bytes, int] = (b"", 0)
    damaged: list[tuple[bytes, int]] = []
    query = f"SELECT {COLUMNS}, crc FROM scores WHERE (fingerprint, run) > (?, ?) ORDER BY fingerprint, run LIMIT 256"
    while rows := connection.execute(query, last).fetchall():
        damaged += [(row[0], row[1]) for row in rows if not _is_sound(row)]
        last = rows[-1][:2]
    if damaged:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM scores WHERE fingerprint = ? AND run = ?", damaged)
        connection.execute("COMMIT")
    return len(damaged)


def pack(scores: Float32Array) -> bytes:
    """Scores as they are stored.

    Args:
        scores: float32 [N, C].
    """
    return np.ascontiguousarray(scores, "<f4" if scores.shape[1] <= FLOAT32_CLASSES else "<f2").tobytes()


def crc_of(row: Sequence[Any]) -> int:
    """The CRC of a row of scores.

    Args:
        row: The values of ``COLUMNS``.
    """
    crc = 0
    for value in row:
        is_bytes = isinstance(value, bytes)
        head = f"{len(value)} bytes" if is_bytes else json.dumps(value)
        crc = zlib.crc32(f"{head}\n".encode(), crc)
        crc = zlib.crc32(value, crc) if is_bytes else crc
    return crc


def _is_sound(row: Sequence[Any]) -> bool:
    """Whether a row of scores, with its CRC last, can be used. Those of older versions have none."""
    *values, crc = row
    try:
        if crc is not None:
            return bool(crc == crc_of(values))
        _, found = unpack((b"", *values[2:]))
    except (ArithmeticError, TypeError, ValueError, RecursionError):
        return False
    if found.scores is None or found.spans is None:
        return found.error is not None
    return bool(np.isfinite(found.scores).all() and np.isfinite(found.spans).all())


def unpack(row: Any) -> tuple[str, Scores]:
    """The path and the scores of a stored row.

    Args:
        row: (path as bytes, duration, classes, spans, scores, error, warnings).
    """
    path, duration, classes, spans, scores, error, warnings = row
    notes = tuple(json.loads(warnings))
    if classes is None:
        return os.fsdecode(path), Scores(duration, None, None, error, notes)
    times = np.frombuffer(spans, "<f8").reshape(-1, 2)
    kind = f"<f{len(scores) // (len(times) * classes)}"
    values = np.frombuffer(scores, kind).reshape(-1, classes).astype(np.float32)
    return os.fsdecode(path), Scores(duration, times, values, error, notes)
