"""One prediction of a whole video: of its pieces, and of a model that follows it frame by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.inference import merge_frames, predict_videos
from adapters.inference.whole_video import whole_videos
from adapters.media import MediaLimits, open_video
from adapters.records import Prediction, VideoResult

LABELS = ("a", "b")


def piece(start: float, *rows: tuple[float, float]) -> Prediction:
    frames = np.array(rows, np.float32)
    return Prediction(frames.mean(axis=0), LABELS, start, start + len(rows), "v.mp4", frames)


class Merging(TinyAdapter):
    merges_pieces = True

    def merge(self, pieces: Any) -> Prediction:
        return merge_frames(pieces, lambda frames: frames.max(axis=0))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_video(tmp_path_factory.mktemp("video") / "clip.mp4", "warm", 1, seconds=2.5, fps=8, size=48)


def test_all_frames_of_all_pieces_count_alike() -> None:
    pieces = [piece(1.0, (0.1, 0.9), (0.3, 0.7)), piece(3.0, (0.8, 0.2))]
    seen = []

    def clip_scores(frames: Any) -> Any:
        seen.append(frames)
        return frames.mean(axis=0)

    found = merge_frames(pieces, clip_scores)
    np.testing.assert_allclose(seen[0], [[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    np.testing.assert_allclose(found.scores, [0.4, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(found.frame_scores, seen[0])
    assert (found.start, found.end, found.labels, found.source) == (1.0, 4.0, LABELS, "v.mp4")


@pytest.mark.parametrize(
    "changes, merged", [({}, True), ({"window_seconds": 2.0}, False), ({"sampling": "rate"}, False)]
)
def test_pieces_are_merged_where_every_frame_of_the_whole_video_is_looked_at(
    changes: dict[str, Any], merged: bool
) -> None:
    adapter = Merging({})
    spec = replace(adapter.input_spec, sampling="every", fps=5.0, window_seconds=None)
    result = VideoResult("v.mp4", (piece(0, (0.1, 0.9)), piece(1, (0.5, 0.5))), warnings=("damaged",))
    failed = VideoResult("x.mp4", error="broken")
    found = list(whole_videos(adapter, replace(spec, **changes), iter([result, failed])))
    assert [len(item.predictions) for item in found] == [1 if merged else 2, 0]
    assert found[0].warnings == ("damaged",)
    assert found[1] == failed
    if merged:
        np.testing.assert_allclose(found[0].predictions[0].scores, [0.5, 0.9], rtol=1e-6)
    assert next(whole_videos(TinyAdapter({}), spec, iter([result]))) is result  # which cannot merge


# Models that stream -------------------------------------------------------------------------------------------------


class Follower(TinyAdapter):
    """Notes the frames of each video, and answers with how many there were."""

    streams, fps = True, 4.0

    def __init__(self, **keys: Any) -> None:
        super().__init__({"imgz": 32, **keys})
        self.seen: dict[str, list[tuple[float, Any]]] = {}
        self.ends: dict[str, float | None] = {}

    def predict_stream(self, frames: Iterable[tuple[float, Any]], source: str, end: float | None = None) -> Prediction:
        self.seen[source], self.ends[source] = list(frames), end
        return Prediction(np.array([0.25, 0.75], np.float32), self.labels, 0.0, end or 0.0, source)


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_a_streaming_model_is_given_every_frame_at_its_rate_and_size(video: Path, aspect: str) -> None:
    model = Follower(aspect=aspect)
    [result] = predict_videos(model, [video])
    with open_video(video) as opened:
        expected = list(opened.frames(height=32, width=32, aspect=aspect, fps=4.0))  # type: ignore[arg-type]
    found = model.seen[str(video)]
    assert [seconds for seconds, _ in found] == [seconds for seconds, _ in expected]
    assert len(found) == 10
    for (_, got), (_, wanted) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert model.ends[str(video)] == pytest.approx(2.5)
    assert (result.path, result.predictions[0].end) == (str(video), pytest.approx(2.5))


def test_windows_of_a_streaming_model_are_clips(video: Path) -> None:
    model = Follower()
    [result] = predict_videos(model, [video], window_seconds=1.0)
    assert len(result.predictions) == 3
    assert model.seen == {}


def test_progress_and_errors_of_streams(video: Path, shared: Path, tmp_path: Path) -> None:
    model, calls = Follower(), []
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "folder.mp4").mkdir()
    damaged = shared / "media" / "odd" / "decord_corrupted.mp4"
    sources = [video, tmp_path / "bad.mp4", tmp_path / "folder.mp4", tmp_path / "missing.mp4", damaged]
    found = list(predict_videos(model, sources, on_progress=lambda *call: calls.append(call)))
    assert [item.path for item in found] == [str(path) for path in sources]
    assert [item.error is None for item in found] == [True, False, False, False, True]
    assert "bad.mp4" in str(found[1].error)
    assert any("decode" in warning for warning in found[4].warnings)
    assert [call[3:] for call in calls] == [(number, 5) for number in range(1, 6)]
    assert calls[0][:3] == (str(video), pytest.approx(2.5), pytest.approx(2.5))
    assert calls[1][:3] == (str(tmp_path / "bad.mp4"), 0.0, 0.0)
    calls.clear()
    list(predict_videos(model, iter([video, video]), on_progress=lambda *call: calls.append(call)))
    assert calls[-1][3:] == (2, 2)


def test_limits_hold_for_streams_and_clips(video: Path) -> None:
    for model in (Follower(), TinyAdapter({"imgz": 32})):
        [result] = predict_videos(model, [video], limits=MediaLimits(48 * 48 - 1))
        assert "48x48" in str(result.error)
        [result] = predict_videos(model, [video], limits=MediaLimits(48 * 48))
        assert result.error is None


def test_what_a_streaming_model_raises_is_raised(video: Path) -> None:
    def fail(*_: Any) -> Prediction:
        raise ZeroDivisionError("the model's own fault")

    model = Follower()
    model.predict_stream = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        list(predict_videos(model, [video]))
