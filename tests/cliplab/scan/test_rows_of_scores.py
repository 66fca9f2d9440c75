"""Scores as a store keeps them: in 32 bits for few classes, in 16 for many, and rows without scores."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import numpy as np
import pytest

from cliplab.scan.score_rows import COLUMNS, crc_of, pack, remove_damaged, unpack

SPANS = np.array([[0.0, 1.5], [1.5, 3.0]])
TIMES = SPANS.tobytes()


@pytest.mark.parametrize(("classes", "size", "error"), [(1, 4, 0.0), (16, 4, 0.0), (17, 2, 5e-4), (600, 2, 5e-4)])
def test_scores_come_back_as_exact_as_they_were_kept(classes: int, size: int, error: float) -> None:
    scores = np.random.default_rng(classes).random((2, classes)).astype(np.float32)
    data = pack(scores)
    assert len(data) == 2 * classes * size
    path, found = unpack((b"/a.mp4", 3.0, classes, SPANS.tobytes(), data, None, '["damaged"]'))
    assert (path, found.duration, found.error, found.warnings) == ("/a.mp4", 3.0, None, ("damaged",))
    assert found.scores is not None
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(found.scores, scores, atol=error)
    np.testing.assert_array_equal(found.spans, SPANS)


def test_a_video_without_scores_has_its_reason() -> None:
    _, found = unpack((b"/a.mp4", None, None, None, None, "no frames", "[]"))
    assert (found.spans, found.scores, found.error, found.warnings) == (None, None, "no frames", ())


def test_rows_whose_content_is_not_what_was_stored_are_removed() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"CREATE TABLE scores ({COLUMNS}, crc)")
    good = pack(np.array([[0.25], [0.5]], np.float32))
    endless = pack(np.array([[0.25], [np.inf]], np.float32))

    def row(number: int, scores: Any = good, spans: Any = TIMES, error: Any = None, **more: Any) -> None:
        classes = None if scores is None else 1
        values = (b"%03d" % number, 1, 3.0, classes, spans, scores, error, more.get("warnings", json.dumps([])))
        crc = crc_of(values) if more.get("crc", True) is True else more["crc"]
        connection.execute(f"INSERT INTO scores ({COLUMNS}, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, crc))

    row(0)
    row(1, None, None, "no frames")
    row(2, crc=5)  # damaged
    # Of older versions, without a CRC: what can be read is believed.
    row(3, crc=None)
    row(4, None, None, "no frames", crc=None)
    row(5, None, None, None, crc=None)  # neither scores nor a reason
    row(6, endless, crc=None)
    row(7, good[:-1], crc=None)
    row(8, crc=None, warnings="[")
    for number in range(9, 300):
        row(number)
    assert remove_damaged(connection) == 5
    left = [int(found) for (found,) in connection.execute("SELECT fingerprint FROM scores ORDER BY fingerprint")]
    assert left == [0, 1, 3, 4, *range(9, 300)]
    assert remove_damaged(connection) == 0
