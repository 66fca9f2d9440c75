"""Which clip of a video is explained: a window that ``cliplab predict`` answers for, or a range that was asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, MediaError
from adapters.inference import OnVideoProgress, predict_videos
from adapters.records import Clip, InputSpec, Prediction, UInt8Array
from adapters.system import nearest_hint
from cliplab.models.explain_report import WindowScore
from cliplab.models.source import name_list

if TYPE_CHECKING:
    from adapters.media import Video

# Of a recording that is followed as a stream: each mask follows all of it again. 26 seconds at 5 frames per second.
MOST_STREAM_FRAMES = 128
# Of a video all of whose frames are scored one by one.
MOST_PIECE_FRAMES = 32
# The whole picture is kept at this size at most; it is drawn smaller.
LONGEST_PICTURE_SIDE = 720
# An end that is asked for may lie this far past the video's end, as tools round lengths.
END_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class ChosenClip:
    """The clip that is explained.

    Attributes:
        clip: Its frames as media delivers them.
        label: The class that is explained; None for the best of the clip.
        as_stream: Whether the model follows it from its first frame, as a recording.
        windows: Every window that predict answers for; empty where a range was asked for.
        picture: uint8 [H, W, 3] RGB, the whole picture that is shown in the middle of the clip.
        video_size: Width and height of the video's picture as shown, in pixels.
        notes: What to know, in sentences.
    """

    clip: Clip
    label: str | None
    as_stream: bool
    windows: tuple[WindowScore, ...]
    picture: UInt8Array
    video_size: tuple[int, int]
    notes: tuple[str, ...]


def check_label(adapter: BaseModelAdapter, label: str | None) -> None:
    """Refuse a label that the model does not know.

    Args:
        adapter: The model.
        label: The label; None for none.

    Raises:
        ConfigError: It is unknown; the message has the nearest one and the model's labels.
    """
    if label is not None and label not in adapter.labels:
        raise ConfigError(
            f"label: {label!r} is not a label of this model{nearest_hint(label, adapter.labels)}. Its labels: "
            f"{name_list(adapter.labels)}"
        )


def choose_clip(
    adapter: BaseModelAdapter,
    video: str | Path,
    label: str | None,
    start_seconds: float | None,
    end_seconds: float | None,
    on_progress: OnVideoProgress | None = None,
) -> ChosenClip:
    """Read the clip that is to be explained.

    Without a range it is the window that scores highest for the label, of all that ``cliplab predict`` answers for;
    without a label, for the label that scores highest over all windows. With a range it is one clip of that range, as
    training samples a labelled stretch; a model that streams follows the range frame after frame.

    Args:
        adapter: The model.
        video: The video.
        label: A class of the model; None for the best.
        start_seconds: Where the range begins, in seconds since the video's first frame; None: at the video's start.
        end_seconds: Where it ends; None: at the video's end.
        on_progress: As for ``predict_videos``.

    Raises:
        MediaError: The video cannot be read, or the range is outside it.
    """
    from adapters.media import open_video

    spec, ranged = adapter.input_spec, start_seconds is not None or end_seconds is not None
    as_stream = adapter.streams and (ranged or spec.window_seconds is None)
    predicted = () if ranged else _predicted(adapter, video, on_progress)
    if predicted:
        label = label or _best_label(predicted)
    windows = _windows(predicted, label)
    notes: list[str] = []
    with open_video(video) as opened:
        _check_range(video, opened.info.duration_seconds, start_seconds, end_seconds)
        if as_stream:
            whole = predicted[0] if predicted else None
            clip = _stream_clip(adapter, opened, start_seconds, end_seconds, whole, label, notes)
        elif ranged:
            clip = _ranged_clip(opened, spec, start_seconds, end_seconds, notes)
        else:
            clip = _window_clip(adapter, opened, predicted, label or "", windows, notes)
        picture = _picture(opened, clip)
        notes += [f"{video}: {warning}" for warning in opened.warnings]
        size = opened.info.width, opened.info.height
    return ChosenClip(clip, label, as_stream, windows, picture, size, tuple(notes))


def _predicted(
    adapter: BaseModelAdapter, video: str | Path, on_progress: OnVideoProgress | None
) -> tuple[Prediction, ...]:
    result = next(predict_videos(adapter, [video], on_progress=on_progress))
    if result.error is not None:
        raise MediaError(result.error)
    return result.predictions


def _best_label(predictions: tuple[Prediction, ...]) -> str:
    mean = np.mean([item.scores for item in predictions], axis=0, dtype=np.float64)
    return predictions[0].labels[int(mean.argmax())]


def _windows(predictions: tuple[Prediction, ...], label: str | None) -> tuple[WindowScore, ...]:
    """Every window; the first of those that score highest is explained."""
    if label is None:
        return ()
    scores = [item.score_of(label) for item in predictions]
    best = int(np.argmax(scores)) if scores else 0
    return tuple(
        WindowScore(item.start, item.end, score, place == best)
        for place, (item, score) in enumerate(zip(predictions, scores, strict=True))
    )


def _check_range(video: str | Path, length: float | None, start: float | None, end: float | None) -> None:
    """MediaError where the range is not inside the video."""
    for name, value in (("--start", start), ("--end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise MediaError(f"{video}: {name} is {value:g}; it must be a number of seconds of at least 0")
        if value is not None and length is not None and value > length + END_TOLERANCE_SECONDS:
            raise MediaError(
                f"{video}: {name} is {value:g} s, but the video ends at {length:.2f} s. Use a range inside the video"
            )
    if end is not None and not end > (start or 0.0):
        raise MediaError(f"{video}: --end is {end:g} s; it must be after --start, {start or 0.0:g} s")


def _ranged_clip(video: Video, spec: InputSpec, start: float | None, end: float | None, notes: list[str]) -> Clip:
    clip = video.clip(spec, start, end)
    asked = video.info.duration_seconds if end is None else end
    if asked is not None and clip.end < asked - END_TOLERANCE_SECONDS:
        notes.append(
            f"the model takes {len(clip.frames)} frames at {spec.fps or 0:g} per second, so it sees the range up to "
            f"{clip.end:.2f} s only"
        )
    return clip


def _window_clip(
    adapter: BaseModelAdapter,
    video: Video,
    predicted: tuple[Prediction, ...],
    label: str,
    windows: Sequence[WindowScore],
    notes: list[str],
) -> Clip:
    """The clip of the window that is explained."""
    spec = adapter.input_spec
    best = next(place for place, window in enumerate(windows) if window.explained)
    in_pieces = spec.sampling == "every" and spec.window_seconds is None and spec.stride_seconds is None
    if in_pieces and adapter.merges_pieces:
        spec = replace(spec, n_frames=MOST_PIECE_FRAMES)
        best, note = _best_piece(predicted[0], label)
        notes += note
    return next(islice(video.clips(spec), best, None))


def _best_piece(whole: Prediction, label: str) -> tuple[int, list[str]]:
    """Of a video all of whose frames are scored: the full piece whose frames score highest, and what to say."""
    rows, size = whole.frame_scores, MOST_PIECE_FRAMES
    if rows is None or len(rows) <= size:
        return 0, []
    column = rows[:, whole.labels.index(label)]
    means = [float(column[first : first + size].mean()) for first in range(0, len(column) - size + 1, size)]
    note = (
        f"predict scores the whole video from {len(rows)} frames (score {whole.score_of(label):.3f}); explained "
        f"are the {size} consecutive frames with the highest score. Choose another range with --start and --end"
    )
    return int(np.argmax(means)), [note]


def _stream_clip(
    adapter: BaseModelAdapter,
    video: Video,
    start: float | None,
    end: float | None,
    whole: Prediction | None,
    label: str | None,
    notes: list[str],
) -> Clip:
    """Every frame of a range at the model's rate; of a long recording those before the label's highest score."""
    spec, fps = adapter.input_spec, adapter.fps or 1.0
    first, last = start or 0.0, end
    rows = None if whole is None else whole.frame_scores
    if whole is not None and label is not None and rows is not None and len(rows) > MOST_STREAM_FRAMES:
        peak = int(rows[:, whole.labels.index(label)].argmax())
        begin = max(0, peak + 1 - MOST_STREAM_FRAMES)
        first, last = begin / fps, (begin + MOST_STREAM_FRAMES) / fps
        notes.append(
            f"of {len(rows)} frames the {MOST_STREAM_FRAMES} up to the highest score of {label} are explained, as if "
            "the stream started with them. Choose another range with --start and --end"
        )
    frames = video.frames(
        height=spec.height, width=spec.width, aspect=spec.aspect, fps=fps, start_seconds=first, end_seconds=last
    )
    taken = list(islice(frames, MOST_STREAM_FRAMES + 1))
    length = video.info.duration_seconds
    stop = min(math.inf if last is None else last, math.inf if length is None else length)
    if len(taken) > MOST_STREAM_FRAMES:
        taken, stop = taken[:MOST_STREAM_FRAMES], taken[MOST_STREAM_FRAMES][0]
        if whole is None:
            notes.append(f"the first {MOST_STREAM_FRAMES} frames of the range are explained. Use a shorter range")
    times = np.array([seconds for seconds, _ in taken], np.float64)
    stop = times[-1] + 1 / fps if math.isinf(stop) else max(stop, times[-1])
    return Clip(np.stack([picture for _, picture in taken]), times, str(video.info.path), first, float(stop))


def _picture(video: Video, clip: Clip) -> UInt8Array:
    """The whole picture that is shown in the middle of a clip, uint8 [H, W, 3] RGB, scaled down if it is large."""
    width, height = video.info.width, video.info.height
    factor = min(1.0, LONGEST_PICTURE_SIDE / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    # The times of a short clip that is wrapped around go on past the video's end.
    seconds = float(clip.times[len(clip.times) // 2]) if clip.times[-1] < clip.end else clip.start
    return next(video.frames(width=size[0], height=size[1], aspect="stretch", start_seconds=seconds))[1]
