"""Backbone features of labelled clips: computed once through LiteRT, kept by weights, preprocessing and clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from adapters.config import Config
from adapters.data import Example, read_example
from adapters.errors import ConfigError, MediaError, ScoresError, describe_failure
from adapters.inference import ClipFunction, FailedClip, map_ahead
from adapters.records import Clip, Float32Array, InputSpec
from adapters.system import file_fingerprint, value_digest
from adapters.training.augmentation import augment, time_shift_seconds
from adapters.training.feature_store import FeatureStore

# Clips decoded and run together: enough to keep the cores busy, few enough that a kill loses seconds.
CHUNK_CLIPS = 16


@dataclass(frozen=True)
class ExampleView:
    """One example seen one way.

    Attributes:
        example: The labelled clip.
        number: 0 is plain, the others are augmented, each with its own seed.
    """

    example: Example
    number: int


@dataclass(frozen=True)
class CachedFeatures:
    """The backbone's features of many views, as rows of a memory-mapped array.

    Attributes:
        store: The file with the rows.
        keys: The key of a view's row.
        skipped: Why a clip has no features, by path.
        decoded: How many views were decoded now.
    """

    store: FeatureStore
    keys: dict[ExampleView, str]
    skipped: dict[str, str]
    decoded: int

    def of(self, views: Sequence[ExampleView]) -> Float32Array:
        """Read the features of views.

        Args:
            views: Any that have a key.

        Returns:
            float32 [len(views), *row_shape].
        """
        return np.asarray(self.store.array()[self.store.rows([self.keys[view] for view in views])], np.float32)


def cached_features(
    folder: Path,
    identity: Config,
    spec: InputSpec,
    views: Sequence[ExampleView],
    augmentation: Config,
    seed: int,
    compute: Callable[[list[Clip]], list[Float32Array]],
    row_shape: Sequence[int],
    on_progress: Callable[[str, int, int], object] | None = None,
) -> CachedFeatures:
    """The backbone's features of every view; those that are not in the cache are computed and stored.

    Args:
        folder: The cache of all features.
        identity: What the features follow from beside the clip: weights, preprocessing, sampling.
        spec: How clips are sampled.
        views: The views.
        augmentation: The config's ``augmentation``.
        seed: The config's seed.
        compute: Maps clips to their features, float32 of row_shape each.
        row_shape: (items, D).
        on_progress: Called with "features", views done and views in all.

    Returns:
        The features. A clip that cannot be read is in ``skipped`` with its reason.

    Raises:
        StorageError: The cache cannot be written.
    """
    store = FeatureStore(folder / value_digest(identity), row_shape)
    skipped: dict[str, str] = {}
    fingerprints = _fingerprints({view.example for view in views}, skipped)
    keys = {
        view: _view_key(view, fingerprints[_content(view.example)], augmentation, seed)
        for view in views
        if _content(view.example) in fingerprints
    }
    store.drop_damaged(list(keys.values()))
    missing = [view for view, key in keys.items() if key not in store]
    done = len(views) - len(missing)
    if on_progress:
        on_progress("features", done, len(views))
    for chunk, clips in _decoded(missing, spec, augmentation, seed, skipped):
        if clips:
            rows = {}
            for view, features in zip(chunk, ClipFunction(_finite(compute))(clips), strict=True):
                if isinstance(features, FailedClip):
                    skipped[str(view.example.path)] = features.error
                else:
                    rows[keys[view]] = features
            store.append(rows)
        done += len(chunk)
        if on_progress:
            on_progress("features", done, len(views))
    found = {view: key for view, key in keys.items() if key in store}
    return CachedFeatures(store, found, skipped, len(missing))


def _finite(compute: Callable[[list[Clip]], list[Float32Array]]) -> Callable[[list[Clip]], list[Float32Array]]:
    """The function, which raises where features are not finite numbers: ScoresError."""

    def checked(clips: list[Clip]) -> list[Float32Array]:
        features = compute(clips)
        for clip, values in zip(clips, features, strict=True):
            if not np.isfinite(values).all():
                raise ScoresError(
                    f"{clip.source}: the backbone's features are not finite numbers. Its weights may be damaged: name "
                    'others in "weights"'
                )
        return features

    return checked


def read_view(view: ExampleView, spec: InputSpec, augmentation: Config, seed: int) -> Clip:
    """Read the frames of one view: of the example's video or, if it has them, of its prepared frames.

    Args:
        view: The view.
        spec: How clips are sampled.
        augmentation: The config's ``augmentation``.
        seed: The config's seed.

    Raises:
        MediaError: They cannot be read.
    """
    example = view.example
    if view.number == 0:
        return read_example(example, spec, example.start_seconds, example.end_seconds)
    # By content and not by path: the same clips in another folder are changed alike and train the same model.
    drawn_for = [_readable_fingerprint(example), example.start_seconds, example.end_seconds]
    rng = np.random.default_rng([seed, view.number, *value_digest(drawn_for).encode()])
    start, end = example.start_seconds, example.end_seconds
    if start is not None and end is not None:
        shift = time_shift_seconds(augmentation, (end - start) / spec.n_frames, rng)
        start, end = max(0.0, start + shift), max(0.0, end + shift)
    try:
        clip = read_example(example, spec, start, end)
    except MediaError:  # shifted past the end of the video
        clip = read_example(example, spec, example.start_seconds, example.end_seconds)
    frames = augment(clip.frames, augmentation, rng)
    return Clip(frames, clip.times, clip.source, clip.start, clip.end)


def _decoded(
    views: Sequence[ExampleView], spec: InputSpec, augmentation: Config, seed: int, skipped: dict[str, str]
) -> Iterator[tuple[list[ExampleView], list[Clip]]]:
    """Chunks of views with their clips, the next chunk being decoded while the caller works on one."""

    def read(view: ExampleView) -> Clip | MediaError:
        try:
            return read_view(view, spec, augmentation, seed)
        except ConfigError:  # of the run
            raise
        except Exception as error:
            return MediaError(describe_failure(view.example.path, error))

    results = map_ahead(views, read, threads=2, ahead=2 * CHUNK_CLIPS, name="decode")
    with closing(results):
        while chunk := list(islice(results, CHUNK_CLIPS)):
            for view, result in chunk:
                if isinstance(result, MediaError):
                    skipped[str(view.example.path)] = str(result)
            kept = [(view, result) for view, result in chunk if isinstance(result, Clip)]
            yield [view for view, _ in kept], [clip for _, clip in kept]


def _view_key(view: ExampleView, fingerprint: str, augmentation: Config, seed: int) -> str:
    example = view.example
    own: list[Any] = [fingerprint, example.start_seconds, example.end_seconds, view.number]
    return value_digest(own if view.number == 0 else [*own, augmentation, seed])


def _content(example: Example) -> Path:
    """Where the pictures of an example are: its file, or the folder of its frames."""
    return example.path if example.frames is None or example.is_picture else example.frames.folder


def _fingerprints(examples: set[Example], skipped: dict[str, str]) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for place, example in {_content(example): example for example in examples}.items():
        try:
            found[place] = _fingerprint(example)
        except OSError as error:
            skipped[str(example.path)] = f"{error.filename or place}: cannot be read ({error.strerror})"
    return found


def _readable_fingerprint(example: Example) -> str:
    try:
        return _fingerprint(example)
    except OSError as error:
        raise MediaError(f"{error.filename or example.path}: cannot be read ({error.strerror})") from None


def _fingerprint(example: Example) -> str:
    """What tells the content of a clip's file from another's, or of its prepared frames, wherever they lie."""
    frames = example.frames
    if frames is None or example.is_picture:
        return file_fingerprint(example.path)
    return value_digest([frames.fps, *(file_fingerprint(frames.folder / name) for name in frames.names)])
