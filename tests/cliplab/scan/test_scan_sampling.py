"""Which moments a scan scores, and what it makes of many scores: times, windows, highlights.json, all exact."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from media_patterns import number_of, write_numbered

from adapters.errors import ConfigError, MediaError, StorageError
from adapters.media import VideoFile, open_video
from adapters.records import InputSpec
from cliplab.scan import choose_sampling, read_rows
from cliplab.scan.report import HighlightCriteria, all_failures, require_replaceable, write_highlights
from cliplab.scan.sampling import Sampling, best_windows
from cliplab.scan.score_rows import Scores
from cliplab.scan.store import open_store


def model(scores_frames: bool = True, own_fps: float | None = None, **spec: Any) -> Any:
    made = InputSpec(64, 96, **{"n_frames": 8, **spec})
    return SimpleNamespace(scores_frames=scores_frames, fps=own_fps or made.fps, input_spec=made)


# Options


@pytest.mark.parametrize(
    ("options", "sampling"),
    [
        ((None, False, None), Sampling("fps", fps=1.0)),
        ((0.25, False, None), Sampling("fps", fps=0.25)),
        ((None, True, None), Sampling("keyframes", fps=1.0)),
        ((2.0, True, None), Sampling("keyframes", fps=2.0)),
        ((None, False, 1), Sampling("frames", frames=1)),
    ],
)
def test_what_is_sampled_for_a_model_of_frames(options: Any, sampling: Sampling) -> None:
    assert choose_sampling(model(), *options) == sampling


@pytest.mark.parametrize(
    "options",
    [(0.0, False, None), (-1.0, False, None), (float("inf"), False, None), (None, False, 0), (None, False, 2.5),
     (1.0, False, 3), (None, True, 3)],
)  # fmt: skip
def test_options_that_contradict(options: Any) -> None:
    with pytest.raises(ConfigError):
        choose_sampling(model(), *options)
    for one in ((1.0, False, None), (None, True, None), (None, False, 3)):
        with pytest.raises(ConfigError, match="uses clips of 8 frames"):
            choose_sampling(model(scores_frames=False), *one)


@pytest.mark.parametrize(
    ("adapter", "window", "stride"),
    [
        (model(False), None, None),
        (model(False, window_seconds=2.0), 2.0, None),
        (model(False, window_seconds=2.0, stride_seconds=0.5), 2.0, 0.5),
        (model(False, sampling="rate", fps=4.0), None, 2.0),
        (model(False, sampling="rate", fps=4.0, stride_seconds=1.0), None, 1.0),
        (model(False, own_fps=5.0), 1.6, 1.6),
        (model(False, own_fps=5.0, window_seconds=4.0), 4.0, None),
    ],
)
def test_the_windows_of_a_model_of_clips(adapter: Any, window: float | None, stride: float | None) -> None:
    """The config's, else such as its frames last at its rate, one after the other."""
    found = choose_sampling(adapter, None, False, None)
    assert found == Sampling("clips", window_seconds=window, stride_seconds=stride)


def test_what_is_said_of_a_sampling() -> None:
    assert Sampling("fps", fps=1.0).to_json() == {"mode": "fps", "fps": 1.0}
    assert Sampling("clips", window_seconds=2.0).to_json() == {"mode": "clips", "window_seconds": 2.0}


# Rows


@pytest.fixture(scope="module")
def video_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds, a key frame each half."""
    folder = tmp_path_factory.mktemp("rows")
    return write_numbered(folder / "v.mp4", 100, gop=12, b_frames=0, options={"preset": "ultrafast"})


def rows(path: Path, sampling: Sampling, **spec: Any) -> list[tuple[float, float, list[int]]]:
    with open_video(path) as video:
        found = list(read_rows(video, InputSpec(64, 96, **{"n_frames": 4, **spec}), sampling))
    return [(round(c.start, 6), round(c.end, 6), [number_of(frame) for frame in c.frames]) for c in found]


def test_the_frames_that_are_scored(video_path: Path) -> None:
    each = rows(video_path, Sampling("fps", fps=2.0), window_seconds=3.0, stride_seconds=1.0)
    assert each == [(0.5 * i, 0.5 * i + 0.5, [int(12.5 * i)]) for i in range(8)]
    thirds = rows(video_path, Sampling("frames", frames=3))
    assert [start for start, _, _ in thirds] == pytest.approx([0, 4 / 3, 8 / 3], abs=1e-5)
    assert [end for _, end, _ in thirds] == pytest.approx([4 / 3, 8 / 3, 4], abs=1e-5)
    assert [numbers for _, _, numbers in thirds] == [[16], [50], [83]]
    keys = rows(video_path, Sampling("keyframes", fps=1.0))
    assert [numbers for _, _, numbers in keys] == [[0], [36], [72]]
    keys = rows(video_path, Sampling("keyframes", fps=99.0))
    assert [numbers for _, _, numbers in keys] == [[12 * i] for i in range(9)]
    clips = rows(video_path, Sampling("clips", window_seconds=2.0, stride_seconds=1.0))
    assert clips == [(i, i + 2.0, [6 + 25 * i, 18 + 25 * i, 31 + 25 * i, 43 + 25 * i]) for i in range(3)]
    whole = rows(video_path, Sampling("clips"))
    assert whole == [(0, 4, [12, 37, 62, 87])]


def test_frames_of_a_video_of_unknown_length_are_refused() -> None:
    video: Any = SimpleNamespace(info=SimpleNamespace(duration_seconds=None, path="v.ts"))
    with pytest.raises(MediaError, match="duration is unknown"):
        read_rows(video, InputSpec(64, 96, 1), Sampling("frames", frames=3))


# Best windows


def spans_of(count: int, length: float = 1.0, first: float = 0.0) -> Any:
    starts = first + length * np.arange(count)
    return np.stack([starts, starts + length], axis=1)


def best(scores: list[float], window: float, **options: Any) -> list[tuple[float, float, float]]:
    found = best_windows(spans_of(len(scores)), np.array(scores, np.float32), window, **options)
    return [tuple(round(value, 6) for value in row) for row in found]  # type: ignore[misc]


def test_of_equal_windows_the_earliest_and_three_at_most() -> None:
    assert best([0.5] * 12, 2.0) == [(0, 2, 0.5), (2, 4, 0.5), (4, 6, 0.5)]
    assert best([0.5] * 12, 2.0, most=1) == [(0, 2, 0.5)]
    assert best([0.5] * 12, 2.0, most=9) == [(2 * i, 2 * i + 2, 0.5) for i in range(6)]
    assert best([0.1, 0.9, 0.1, 0.9], 1.0) == [(1, 2, 0.9), (3, 4, 0.9), (0, 1, 0.1)]


def test_a_window_as_long_as_the_video_or_longer_is_the_video() -> None:
    for window in (4.0, 5.0, 1e9):
        assert best([0.2, 0.4, 0.6, 0.8], window) == [(0, 4, 0.5)]
    assert best_windows(np.array([[3.0, 3.0]]), np.array([0.25], np.float32), 5.0) == [(3.0, 3.0, 0.25)]


def test_a_row_counts_for_what_is_nearest_to_its_middle() -> None:
    """Windows that overlap: the border between two is midway between their middles."""
    spans = np.array([[10.0, 14.0], [12.0, 16.0], [14.0, 18.0]])
    found = best_windows(spans, np.array([0.0, 1.0, 0.0], np.float32), 2.0)
    assert found[0] == pytest.approx((13, 15, 1))
    (whole,) = best_windows(spans, np.array([0.0, 1.0, 0.0], np.float32), 8.0)
    assert whole == pytest.approx((10, 18, 0.25))


# highlights.json


def criteria(**more: Any) -> HighlightCriteria:
    values = {"label": "y", "column": 1, "aggregation": "mean", "top_fraction": 0.25, "min_score": 0.5}
    return HighlightCriteria(**{**values, "window_seconds": 2.0, **more})


def scored(*column: float, duration: float = 4.0, warnings: tuple[str, ...] = ()) -> Scores:
    values = np.array(column, np.float32)
    return Scores(duration, spans_of(len(column)), np.stack([1 - values, values], axis=1), None, warnings)


def test_a_score_is_of_the_label_to_six_places() -> None:
    scores = scored(0.1, 0.2, 0.9, 0.123456789).scores
    assert scores is not None
    assert criteria().score(scores) == 0.330864
    assert criteria(column=0).score(scores) == 0.669136
    assert criteria(aggregation="max").score(scores) == 0.9
    assert criteria(aggregation="top_mean", top_fraction=0.5).score(scores) == 0.55


LISTED = """{
  "format": "f",
  "version": 1,
  "total_scanned": 9,
  "highlights_found": 4,
  "failed": 3,
  "highlights": [
    {"path": "/v/b.mp4", "score": 0.8, "duration": 4.0, "windows": [{"start": 0.0, "end": 2.0, "score": 0.9}, \
{"start": 2.0, "end": 4.0, "score": 0.7}]},
    {"path": "/v/Z.mp4", "score": 0.6, "duration": 1.235, "windows": [{"start": 0.0, "end": 1.0, "score": 0.6}], \
"warnings": ["damaged"]},
    {"path": "/v/a.mp4", "score": 0.6, "duration": 4.0, "windows": [{"start": 0.0, "end": 1.0, "score": 0.6}]},
    {"path": "/v/edge.mp4", "score": 0.5, "duration": 4.0, "windows": [{"start": 0.0, "end": 1.0, "score": 0.5}]}
  ],
  "failures": [
    {"path": "/v/aside", "error": "closed"},
    {"path": "/v/zz", "error": "pipe"},
    {"path": "/v/bad.mp4", "error": "no video"}
  ]
}
"""


def test_highlights_line_by_line(tmp_path: Path) -> None:
    videos = {
        "/v/a.mp4": scored(0.6),
        "/v/Z.mp4": scored(0.6, duration=1.23456, warnings=("damaged",)),
        "/v/b.mp4": scored(0.8, 1.0, 0.7, 0.7),
        "/v/edge.mp4": scored(0.5),
        "/v/low.mp4": scored(0.499),
        "/v/bad.mp4": Scores(None, None, None, "no video"),
    }
    with open_store(tmp_path / "scan.db") as store:
        run, _ = store.run({})
        store.begin_scan()
        store.record_files(VideoFile(path, 1, 1) for path in videos)
        for path, result in videos.items():
            store.identify(path, path.encode())
            store.keep(path.encode(), run, result)
        store.add_problem("/v/zz", "pipe")
        store.add_problem("/v/aside", "closed")
        target = tmp_path / "out" / "h.json"
        counts = write_highlights(target, store, run, criteria(), {"format": "f", "version": 1}, 9)
        assert (counts.videos, counts.highlights, counts.failed) == (9, 4, 3)
        assert target.read_text(encoding="utf-8") == LISTED
        assert [path for path, _ in all_failures(store, run)] == ["/v/aside", "/v/zz", "/v/bad.mp4"]
        os.chmod(target, 0o640)
        none = write_highlights(target, store, run, criteria(min_score=1.0), {"format": "f"}, 9)
        assert none.highlights == 0
        assert '"highlights": [],\n' in target.read_text()
        assert target.stat().st_mode & 0o777 == 0o640, "the rights of the file that was there stay"
    assert [path.name for path in target.parent.iterdir()] == ["h.json"]


def test_which_file_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    require_replaceable(path)
    for text in ("", '{\n  "format": "cliplab-highlights",\n  "version": 1,'):
        path.write_text(text)
        require_replaceable(path)
    for text in ("{}", '{"format": "other"}', " " * 80 + '"format": "cliplab-highlights"'):
        path.write_text(text)
        with pytest.raises(StorageError, match="not replaced"):
            require_replaceable(path)
    with pytest.raises(StorageError, match="is a folder"):
        require_replaceable(tmp_path)


def test_scores_of_another_tolerance_are_another_sampling() -> None:
    exact, near = (
        choose_sampling(model(sampling_tolerance_seconds=seconds), None, False, None) for seconds in (0, 0.1)
    )
    assert exact.to_json() == {"mode": "fps", "fps": 1.0}  # as in stores of earlier versions
    assert near.to_json() == {"mode": "fps", "fps": 1.0, "tolerance_seconds": 0.1}
