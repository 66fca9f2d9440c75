"""Videos to predictions: order, windows, batches over files, errors set aside, bounded memory, progress."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_adapter import TinyAdapter
from tiny_videos import render_video
from waiting import until

from adapters.data import Example
from adapters.errors import ConfigError
from adapters.inference import predict_examples, predict_videos
from adapters.inference.predict import FILES_AHEAD
from adapters.litert import available_cores
from adapters.media import read_clip
from adapters.records import Clip, Prediction

ADAPTER = "tiny_adapter:TinyAdapter"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    kinds = ("warm", "cold", "warm", "cold")
    return [render_video(folder / f"{i}_{kind}.mp4", kind, i, seconds=2 + i) for i, kind in enumerate(kinds)]


def tiny(**keys: object) -> TinyAdapter:
    return TinyAdapter({"schema_version": 2, "adapter": ADAPTER, **keys})


class Recording(TinyAdapter):
    """The tiny adapter, noting how many clips each call of predict was given."""

    def __init__(self, **keys: object) -> None:
        super().__init__({"schema_version": 2, "adapter": ADAPTER, **keys})
        self.sizes: list[int] = []

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        self.sizes.append(len(batch))
        return super().predict(batch)


def test_each_video_in_order(videos: list[Path]) -> None:
    results = list(predict_videos(tiny(), videos))
    assert [item.path for item in results] == [str(path) for path in videos]
    assert [item.predictions[0].top_k(1)[0].label for item in results] == ["warm", "cold", "warm", "cold"]
    assert [len(item.predictions) for item in results] == [1] * 4


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64])
def test_windows_score_the_same_whatever_the_batch(videos: list[Path], batch_size: int) -> None:
    adapter = tiny(batch_size=batch_size)
    for result in predict_videos(adapter, videos, window_seconds=1.0, stride_seconds=0.5):
        assert result.error is None
        starts = [item.start for item in result.predictions]
        assert starts == sorted(starts)
        assert max(np.diff(starts)) <= 0.5 + 1e-6
        alone = read_clip(result.path, adapter.input_spec, starts[1], starts[1] + 1.0)
        np.testing.assert_allclose(result.predictions[1].scores, adapter.predict([alone])[0].scores, atol=1e-6)


def test_batches_reach_over_files(videos: list[Path]) -> None:
    adapter = Recording(batch_size=3)
    list(predict_videos(adapter, videos))
    assert adapter.sizes == [3, 1]


def test_a_bad_file_is_set_aside(videos: list[Path], tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("this is not a video")
    sources = [empty, videos[0], tmp_path / "missing.mp4", text, videos[1], tmp_path]
    results = list(predict_videos(tiny(batch_size=4), sources))
    assert [item.path for item in results] == [str(path) for path in sources]
    assert [item.error is None for item in results] == [False, True, False, False, True, False]
    for item in results:
        assert (item.error is None) != (item.predictions == ())
    assert "missing.mp4" in str(results[2].error)


def test_a_file_that_fails_midway_has_no_predictions(videos: list[Path]) -> None:
    adapter = tiny(batch_size=2, short_clip="error", sampling="rate", fps=4.0, n_frames=40)
    results = list(predict_videos(adapter, videos))
    assert all(item.error and not item.predictions for item in results)


def test_what_the_model_raises_is_raised(videos: list[Path]) -> None:
    class Broken(TinyAdapter):
        def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
            raise ZeroDivisionError("the model's own fault")

    with pytest.raises(ZeroDivisionError):
        list(predict_videos(Broken({"schema_version": 2, "adapter": ADAPTER}), videos))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_windows_that_are_none(videos: list[Path], seconds: float) -> None:
    with pytest.raises(ConfigError, match="window_seconds"):
        list(predict_videos(tiny(), videos, window_seconds=seconds))


def test_a_stride_needs_a_window(videos: list[Path]) -> None:
    with pytest.raises(ConfigError, match='"stride_seconds" needs "window_seconds"'):
        list(predict_videos(tiny(), videos, stride_seconds=1.0))


def test_progress_ends_at_the_last_file(videos: list[Path], tmp_path: Path) -> None:
    calls: list[tuple[str, float, float | None, int, int]] = []
    sources = [*videos, tmp_path / "missing.mp4"]
    list(predict_videos(tiny(), sources, window_seconds=1.0, on_progress=lambda *call: calls.append(call)))
    done = [call[3] for call in calls]
    assert done == sorted(done)
    assert done[-1] == len(sources)
    assert {call[4] for call in calls} == {len(sources)}
    for _, seconds, length, _, _ in calls:
        assert seconds >= 0
        assert length is None or seconds <= length + 1e-6


def test_memory_is_bounded_however_long_the_video(tmp_path: Path) -> None:
    """While a slow model runs, the clips alive are those of its batch, of a queue and in the decoder's hands."""
    alive: list[int] = []

    class Slow(TinyAdapter):
        def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
            time.sleep(0.02)
            alive.append(sum(isinstance(item, Clip) for item in gc.get_objects()))
            return super().predict(batch)

    gc.freeze()  # what other tests left is not looked through each time, and not counted

    path = render_video(tmp_path / "long.mp4", "warm", 0, seconds=30)
    adapter = Slow({"schema_version": 2, "adapter": ADAPTER, "batch_size": 2})
    [result] = predict_videos(adapter, [path], window_seconds=0.5)
    gc.unfreeze()
    assert len(result.predictions) == 60
    assert 2 <= max(alive) <= 8


def test_closing_ends_the_decoders(videos: list[Path]) -> None:
    iterator = predict_videos(tiny(batch_size=1), videos * 3, window_seconds=0.5, stride_seconds=0.1)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    until(
        lambda: not any(thread.name.startswith("decode-") for thread in threading.enumerate()),
        what="decoder threads go on after close",
    )


def test_damage_is_a_warning(shared: Path) -> None:
    [result] = predict_videos(tiny(), [shared / "media" / "odd" / "decord_corrupted.mp4"], window_seconds=0.5)
    assert result.error is None
    assert result.predictions
    assert any("decode" in warning for warning in result.warnings)


def test_progress_counts_what_is_predicted_up_to_its_end(videos: list[Path]) -> None:
    seen: list[float] = []
    [result] = predict_videos(
        tiny(batch_size=1), videos[:1], window_seconds=0.5, on_progress=lambda path, done, *_: seen.append(done)
    )
    ends = [item.end for item in result.predictions]
    assert len(ends) > 1
    assert seen[: len(ends)] == ends


class Streaming(TinyAdapter):
    streams, fps = True, 5.0

    def predict_stream(self, frames: Any, source: str, duration: float | None) -> Prediction:
        pictures = [picture for _, picture in frames]
        scores = np.zeros(len(self.labels), np.float32)
        return Prediction(scores, self.labels, 0.0, len(pictures) / self.fps, source)


def test_damage_of_a_streamed_file_is_a_warning(shared: Path) -> None:
    [result] = predict_videos(Streaming({}), [shared / "media" / "odd" / "decord_corrupted.mp4"])
    assert result.error is None
    assert any("decode" in warning for warning in result.warnings)


def test_a_file_that_fails_keeps_what_was_said_of_it_before(shared: Path) -> None:
    """Damage that is passed over, until too few frames are left."""
    path = shared / "media" / "odd" / "decord_corrupted.mp4"
    short = tiny(sampling="rate", fps=5.0, n_frames=1000, short_clip="error")
    [result] = predict_videos(short, [path])
    assert result.error is not None
    assert "1000" in result.error
    assert result.predictions == ()
    assert any("decode" in warning for warning in result.warnings)


def test_examples_are_one_prediction_each(videos: list[Path], tmp_path: Path) -> None:
    examples = [
        Example(videos[0], ("warm",), 0.5, 1.5),
        Example(tmp_path / "missing.mp4", ("warm",)),
        Example(videos[1], ("cold",)),
    ]
    adapter = tiny(window_seconds=0.5)
    first, missing, last = predict_examples(adapter, examples)
    assert [(p.start, p.end) for p in first.predictions] == [(0.5, 1.5)]
    assert missing.error is not None
    assert len(last.predictions) == 1
    spec = replace(adapter.input_spec, window_seconds=None)
    expected = adapter.predict([read_clip(videos[0], spec, 0.5, 1.5)])[0].scores
    np.testing.assert_allclose(first.predictions[0].scores, expected, atol=1e-6)


# Sources that come one after another ---------------------------------------------------------------------------------


def test_sources_are_pulled_as_they_are_needed(videos: list[Path]) -> None:
    pulled: list[Path] = []

    def endless() -> Iterator[Path]:
        while True:
            pulled.append(videos[len(pulled) % len(videos)])
            yield pulled[-1]

    results = predict_videos(tiny(batch_size=1), endless())
    for count in range(1, 6):
        assert next(results).path == str(videos[(count - 1) % len(videos)])
        assert len(pulled) <= count + FILES_AHEAD
    results.close()  # type: ignore[attr-defined]


def test_a_source_that_is_waited_for_holds_up_no_other(videos: list[Path]) -> None:
    """The first video is answered although the second is never let through until then."""
    answered = threading.Event()

    def slow() -> Iterator[Path]:
        yield videos[0]
        assert answered.wait(120), "the first result waits for the second source"
        yield videos[1]

    results = predict_videos(tiny(batch_size=1), slow())
    assert next(results).error is None
    answered.set()
    assert next(results).path == str(videos[1])
    assert next(results, None) is None


def test_what_the_sources_raise_is_raised(videos: list[Path]) -> None:
    def broken() -> Iterator[Path]:
        yield videos[0]
        raise ZeroDivisionError("the list broke off")

    results = predict_videos(tiny(batch_size=1), broken())
    assert next(results).error is None
    with pytest.raises(ZeroDivisionError, match="broke off"):
        next(results)


def test_progress_counts_sources_of_unknown_number(videos: list[Path]) -> None:
    calls: list[tuple[str, float, float | None, int, int]] = []
    list(predict_videos(tiny(), iter(videos), on_progress=lambda *call: calls.append(call)))
    assert calls[-1][3:] == (len(videos), len(videos))
    assert all(done <= files for _, _, _, done, files in calls)


def test_closing_ends_the_thread_of_the_sources(videos: list[Path]) -> None:
    iterator = predict_videos(tiny(batch_size=1), iter(videos * 3))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    until(
        lambda: not any(thread.name.startswith("decode-") for thread in threading.enumerate()),
        what="threads go on after close",
    )


def test_a_streaming_model_pulls_its_sources_as_they_are_needed(videos: list[Path]) -> None:
    class Streaming(TinyAdapter):
        streams, fps = True, 4.0

        def predict_stream(
            self, frames: Iterator[tuple[float, Any]], source: str, end: float | None = None
        ) -> Prediction:
            seen = [(seconds, frame) for seconds, frame in frames]
            times = np.array([seconds for seconds, _ in seen])
            clip = Clip(np.stack([frame for _, frame in seen]), times, source, 0.0, end or float(times[-1]))
            return self.predict([clip])[0]

    pulled: list[Path] = []

    def endless() -> Iterator[Path]:
        while True:
            pulled.append(videos[len(pulled) % len(videos)])
            yield pulled[-1]

    results = predict_videos(Streaming({"schema_version": 2, "adapter": ADAPTER}), endless())
    kinds = [next(results) for _ in range(6)]
    assert [item.path for item in kinds] == [str(videos[i % 4]) for i in range(6)]
    assert [item.predictions[0].top_k(1)[0].label for item in kinds] == ["warm", "cold"] * 3
    assert len(pulled) <= 6 + 2 * available_cores()
    results.close()  # type: ignore[attr-defined]
