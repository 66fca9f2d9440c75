"""highlights.json as it is read: best first, whatever order its rows have."""

from __future__ import annotations

import json
from pathlib import Path

from reel_helpers import highlights

from cliplab.library import read_highlights


def test_rows_in_another_order_are_read_best_first(tmp_path: Path) -> None:
    path = highlights(tmp_path / "h.json", *((tmp_path / f"{n}.mp4", 0.0, 2.0) for n in range(3)))
    content = json.loads(path.read_text())
    for row, score in zip(content["highlights"], (0.5, 0.9, 0.7), strict=True):
        row["score"] = score
    path.write_text(json.dumps(content))
    assert [row["score"] for row in read_highlights(path)["highlights"]] == [0.9, 0.7, 0.5]
