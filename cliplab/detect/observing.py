"""One pass over a recording: its key frames, scored and measured, and its sound, to observations on a grid of 1 s."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, MediaError
from adapters.inference import ClipFunction, FailedClip, read_ahead
from adapters.media import Video, open_video, require_footage
from adapters.records import Clip, InputSpec, UInt8Array
from cliplab.detect.adapting import Float16Array, short_features
from cliplab.detect.gathering import HOLD_SECONDS, Seen, gather, join_stretches
from cliplab.detect.logo import LogoFinder
from cliplab.detect.looks import Looks
from cliplab.detect.observations import GRID_SECONDS, Observations
from cliplab.detect.sound import hear

OnProgress = Callable[[str, float, float], object]
FRAMES_PER_BATCH = 32
# Without a model frames are measured at this size.
_OWN_SPEC = InputSpec(height=144, width=256, n_frames=1, aspect="stretch")
# Between key frames that are further apart frames are decoded too: x264 has one each 10 s and at each cut.
_MOST_KEY_SECONDS = 5.0
_AD_WORDS = ("ad", "ads", "advert", "adverts", "advertisement", "commercial", "commercials", "ad_break", "break")
_DAMAGE_SECONDS = 1.0  # before and after a frame that did not decode


def ad_index(adapter: BaseModelAdapter, label: str | None = None) -> int:
    """Which of a model's labels means "ad".

    Args:
        adapter: The model.
        label: Its name; None: the model's positive label, or one of the usual names.

    Returns:
        Its index among the labels.

    Raises:
        ConfigError: The model has no such label.
    """
    names, positive = adapter.labels, adapter.config.get("positive_label")
    wanted = label if label is not None else positive
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(f"the label {wanted!r} is unknown to the model. It has {', '.join(names[:20])}")
        return names.index(wanted)
    found = [place for place, name in enumerate(names) if name.lower().replace(" ", "_") in _AD_WORDS]
    if len(found) != 1:
        raise ConfigError(
            f"it is unknown which label of the model means an ad. Give it with --label; the model has "
            f"{', '.join(names[:20])}"
        )
    return found[0]


def observe(
    path: str | Path,
    adapter: BaseModelAdapter | None = None,
    *,
    label: str | None = None,
    audio_stream: int | None = None,
    cues: Sequence[tuple[float, float]] | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Observations, list[float]]:
    """Watch and listen to a recording once. Memory does not grow with its length, but for some bytes per second.

    Args:
        path: The video.
        adapter: The model; None: evidence only.
        label: Which of the model's labels means "ad"; None: its positive label.
        audio_stream: Which sound stream is heard, from 0; None: FFmpeg's choice.
        cues: Breaks (start, end) in seconds that the stream itself announces; None: it announces none.
        on_progress: Called with "watch", the seconds done and the seconds in all.

    Returns:
        The observations, with edges exact to a key frame, and when key frames are shown.

    Raises:
        MediaError: The video cannot be opened or has no frame that decodes.
        ConfigError: The model has no label for ads, or the file no such sound stream.
    """
    index = None if adapter is None else ad_index(adapter, label)
    with open_video(path) as video, ThreadPoolExecutor(1) as beside:
        duration = video.info.duration_seconds or _counted_duration(video)
        require_footage(path, duration)
        listening = beside.submit(hear, path, video.info.start_seconds, duration, audio_stream)
        with LogoFinder() as logo:
            seen = watch(video, adapter, index, logo, duration, on_progress)
            seen.logo = logo.find()
        sound = listening.result()
        damaged = _damaged(video, seen, duration)
        notes = [*video.warnings, *seen.notes, *sound.notes]
    return gather(seen, sound, duration, damaged, cues, notes), seen.key_times


def watch(
    video: Video,
    adapter: BaseModelAdapter | None,
    index: int | None,
    logo: LogoFinder,
    duration: float,
    on_progress: OnProgress | None = None,
) -> Seen:
    """Decode the key frames of a video, at most one per second, and where they are far apart a frame each second.

    Args:
        video: The open video.
        adapter: The model; None: no scores.
        index: Of the model's label for ads.
        logo: Receives each frame.
        duration: Length of the video in seconds.
        on_progress: As for ``observe``.
    """
    seen, by_frame = Seen(), adapter is not None and adapter.scores_frames
    spec = frame_spec(adapter)
    scorer = (
        FrameScorer(adapter, index, seen.scores, seen.features)
        if adapter is not None and index is not None and by_frame
        else None
    )

    def take(clips: Iterable[Clip], keys: bool) -> None:
        for clip in _ahead(clips):
            if keys:
                seen.key_times.append(clip.start)
            logo.add(clip.start, seen.looks.add(clip.start, clip.frames[0]))
            if scorer is not None:
                scorer.add(clip)
            if on_progress is not None:
                on_progress("watch", min(clip.start, duration), duration)

    keys = set[float]()
    take(video.key_frames(spec, GRID_SECONDS, keys.add), True)
    seen.all_keys = sorted(keys)
    gaps = _gaps(seen.key_times, duration)
    if gaps:
        seen.looks.restart()
        take(_frames_of(video, spec, gaps, seen.key_times), False)
        _sort(seen.looks)
    if scorer is not None:
        scorer.finish()
    elif adapter is not None and index is not None:
        _score_windows(video, adapter, index, seen, duration, on_progress)
    if not seen.looks.seconds:
        raise MediaError(f"{video.info.path}: contains no frames.")
    return seen


def frame_spec(adapter: BaseModelAdapter | None) -> InputSpec:
    """The frames to decode: those of the model where it scores frames, so that they are decoded once.

    Args:
        adapter: The model; None: none.
    """
    if adapter is None or not adapter.scores_frames:
        return _OWN_SPEC
    spec = adapter.input_spec
    return InputSpec(
        height=spec.height, width=spec.width, n_frames=1, aspect=spec.aspect, crop_fraction=spec.crop_fraction
    )


class FrameScorer:
    """Scores clips of one frame in batches. A frame on which the model fails has no score."""

    def __init__(
        self,
        adapter: BaseModelAdapter,
        index: int,
        scores: list[tuple[float, float, float]],
        features: list[tuple[float, Float16Array]] | None = None,
    ) -> None:
        """Begin with an empty batch.

        Args:
            adapter: The model.
            index: Of its label for ads.
            scores: (start, end, score) of each clip is appended.
            features: (start, features) of each clip that has some is appended, as ``short_features`` returns them;
                None: they are not wanted.
        """
        self._predict = ClipFunction(adapter.predict_with_features)
        self._index, self._scores, self._features = index, scores, features
        self._batch: list[Clip] = []

    def add(self, clip: Clip) -> None:
        """Score a clip, perhaps later."""
        self._batch.append(clip)
        if len(self._batch) >= FRAMES_PER_BATCH:
            self.finish()

    def finish(self) -> None:
        """Score what waits."""
        batch, self._batch = self._batch, []
        results = self._predict(batch) if batch else []
        for clip, result in zip(batch, results, strict=True):
            score = math.nan
            if not isinstance(result, FailedClip):
                prediction, features = result
                score = float(prediction.scores[self._index])
                if features is not None and self._features is not None:
                    self._features.append((clip.start, short_features(features)))
            self._scores.append((clip.start, clip.end, min(max(score, 0.0), 1.0) if math.isfinite(score) else math.nan))


def _ahead(clips: Iterable[Clip]) -> Iterator[Clip]:
    """Clips decoded in a thread while the ones before are scored."""
    for _, clip in read_ahead([None], lambda _: clips, threads=1, limit=FRAMES_PER_BATCH, name="ads-decode"):
        if clip is not None:
            yield clip


def _counted_duration(video: Video) -> float:
    """The length of a video that does not say: by its frames."""
    last = max((seconds for seconds, _ in video.frames(height=16, width=16, aspect="stretch")), default=0.0)
    return last + 1 / (video.info.fps or 25.0)


def _gaps(keys: Sequence[float], duration: float) -> list[tuple[float, float]]:
    """Stretches between key frames that are too far apart, without the key frames."""
    bounds = [*keys, duration]
    return [
        (start + GRID_SECONDS, end - GRID_SECONDS / 2)
        for start, end in pairwise(bounds)
        if end - start > _MOST_KEY_SECONDS
    ]


def _frames_of(video: Video, spec: InputSpec, gaps: list[tuple[float, float]], keys: Sequence[float]) -> Iterator[Clip]:
    for seconds, picture in video.stretches(gaps, spec, fps=1 / GRID_SECONDS, key_times=keys):
        yield one_frame(video, seconds, picture)


def one_frame(video: Video, seconds: float, picture: UInt8Array) -> Clip:
    """A clip of one frame.

    Args:
        video: Where it is from.
        seconds: When it is shown.
        picture: uint8 [H, W, 3].
    """
    return Clip(picture[None], np.array([seconds]), video.info.path, seconds, seconds + GRID_SECONDS)


def _sort(looks: Looks) -> None:
    """Frames in the order of time. Those between key frames were measured after them."""
    order = np.argsort(looks.seconds, kind="stable")
    for name in ("seconds", "black", "uniform", "aspect", "moved", "recolored"):
        values = getattr(looks, name)
        values[:] = [values[place] for place in order]


def _score_windows(
    video: Video,
    adapter: BaseModelAdapter,
    index: int,
    seen: Seen,
    duration: float,
    on_progress: OnProgress | None,
) -> None:
    """Scores of a model that sees clips: windows of its length, at least a second from one to the next."""
    spec, fps = adapter.input_spec, adapter.fps
    window = spec.window_seconds or (spec.n_frames / fps if fps else 2.0)
    spec = spec.with_windows(None if spec.sampling == "rate" else window, max(GRID_SECONDS, window / 2))
    scorer = FrameScorer(adapter, index, seen.scores)
    try:
        for clip in _ahead(video.clips(spec)):
            scorer.add(clip)
            if on_progress is not None:
                on_progress("score", min(clip.start, duration), duration)
    except MediaError as error:
        seen.notes.append(f"the model could not score the whole recording ({error})")
    scorer.finish()


def _damaged(video: Video, seen: Seen, duration: float) -> list[tuple[float, float]]:
    """Stretches that could not be read, joined where they meet."""
    stretches = [
        (max(start - _DAMAGE_SECONDS, 0.0), min(end + _DAMAGE_SECONDS, duration))
        for start, end in video.damaged_stretches
        if start < duration
    ]
    last = max(seen.looks.seconds)
    # What was declared and is missing at the end: nothing was seen there, and it is not programme.
    declared = video.info.duration_seconds
    if declared is not None and any("cut short" in note for note in video.warnings) and last < declared - HOLD_SECONDS:
        stretches.append((last + GRID_SECONDS, declared))
    return join_stretches(stretches)
