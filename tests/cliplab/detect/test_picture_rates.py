"""Pictures of high frame rates: fewer are measured, and what happens in them is found all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highlight_files
import pytest
from highlight_files import write_recording

from cliplab.detect import HighlightOptions, find_highlights
from cliplab.detect.highlights.watching import Watching

OPTIONS = HighlightOptions(clip_seconds=10.0, min_gap_seconds=12.0)


@pytest.mark.parametrize(("rate", "most_per_second"), [(10, 10), (15, 15), (25, 15), (60, 17)])
def test_at_most_some_fifteen_pictures_per_second_are_measured(
    rate: int, most_per_second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(highlight_files, "FPS", rate)
    recording = write_recording(tmp_path / "rush.mp4", 60.0, [(40.0, "rush")])
    measured, add = list[float](), Watching.add

    def counted(self: Watching, seconds: float, picture: Any) -> None:
        measured.append(seconds)
        add(self, seconds, picture)

    monkeypatch.setattr(Watching, "add", counted)
    (found,) = find_highlights(recording, OPTIONS).candidates
    assert (found.kind, found.event) == ("video", "motion")
    assert 39.0 <= found.peak <= 45.0
    assert min(rate, 12) * 58 <= len(measured) <= most_per_second * 60 + 1
    assert measured == sorted(measured)
