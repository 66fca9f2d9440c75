"""Labelled clips as arrays for any network: a map-style dataset as PyTorch takes it, and a tf.data.Dataset.

Clips are decoded, sampled and preprocessed by the functions that training and prediction use, so that a network trained
on these arrays sees what the project's own models see.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, get_args

import numpy as np
import numpy.typing as npt

from adapters.data.checks import Task
from adapters.data.dataset import read_dataset
from adapters.data.examples import SPLITS, Dataset, Example, Split, describe, match_labels
from adapters.data.prepared_frames import prefer_video, read_example
from adapters.errors import AdapterError, ConfigError, DatasetError, MediaError, MissingExtraError, describe_failure
from adapters.media import PerChannel, fit_frames, to_model_input
from adapters.records import Clip, Float32Array, InputSpec, UInt8Array

if TYPE_CHECKING:
    import tensorflow as tf

PixelType = Literal["float32", "uint8"]
Target = int | Float32Array
_THREADS = 2  # that decode at a time where all clips are checked; each decoder has FFmpeg's own besides


@dataclass(frozen=True)
class UnreadableClip:
    """A clip that cannot be read.

    Attributes:
        index: Its place in the dataset.
        path: Its video.
        reason: Why, for people.
    """

    index: int
    path: Path
    reason: str


class ClipDataset:
    """Labelled clips by number: ``clips[i]`` is ``(frames, target)``, decoded when it is asked for.

    It has ``__len__`` and ``__getitem__`` and can be pickled, which is all that ``torch.utils.data.DataLoader`` asks of
    a map-style dataset, also with worker processes. PyTorch is not needed. Each clip is read as a labelled clip in
    training is: ``input_spec.n_frames`` frames of its stretch, whatever windows the spec has.

    Attributes:
        examples: The labelled clips, in the order of the dataset.
        labels: The C classes in the order of the targets.
        input_spec: How clips are sampled, and the size of the frames.
    """

    def __init__(
        self,
        dataset: Dataset | str | Path,
        input_spec: InputSpec,
        *,
        split: Split | None = None,
        labels: Sequence[str] | None = None,
        task: Task = "single_label",
        dtype: PixelType = "float32",
        mean: PerChannel = 0.0,
        scale: PerChannel = 255.0,
        prepared_frames: bool = False,
    ) -> None:
        """Take labelled clips. No video is opened yet.

        Args:
            dataset: The clips, or a path that ``read_dataset`` reads.
            input_spec: The size, frames, rate and aspect, such as a model's ``input_spec``.
            split: Take the clips of this split only; None: all.
            labels: The order of the classes, such as a model's ``labels``; None: the dataset's.
            task: "single_label" for one class index for each clip, "multi_label" for a multi-hot array.
            dtype: "float32" for ``(pixel - mean) / scale``, "uint8" for the pixels as they are.
            mean: In levels (0..255), one number or one each for R, G and B. Of a model: its config's ``mean``.
            scale: In levels, likewise. The default gives 0..1. Of a model: its config's ``scale``.
            prepared_frames: Whether frames that ``cliplab dataset prepare`` wrote stand in for a video that is gone, as
                they do in training for networks that see single frames.

        Raises:
            DatasetError: The dataset cannot be read, has labels that are not among ``labels``, or no clip of the split.
            ConfigError: ``dtype``, ``mean`` or ``scale`` is not allowed, or the spec is that of several models.
        """
        if dtype not in get_args(PixelType):
            raise ConfigError(f"dtype must be one of {', '.join(get_args(PixelType))}, got {dtype!r}")
        if input_spec.parts:
            raise ConfigError(
                "input_spec: belongs to several models that share decoding, whose clips differ in their number of "
                "frames. Use the input_spec of one of them"
            )
        found = dataset if isinstance(dataset, Dataset) else read_dataset(dataset)
        chosen = _of_split(found, split)
        if labels is not None:
            chosen = match_labels(chosen, labels)
        self.labels = chosen.labels if labels is None else tuple(labels)
        _check_labels(chosen, self.labels, task)
        self.input_spec = input_spec
        self.examples = tuple(prefer_video(item, prepared_frames) for item in chosen.examples)
        self._task, self._dtype, self._mean, self._scale = task, dtype, mean, scale
        self._positions = {label: place for place, label in enumerate(self.labels)}
        self._check_pixels()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: SupportsIndex) -> tuple[Float32Array | UInt8Array, Target]:
        """One clip, decoded now, and its target.

        Args:
            index: From 0, or from -1 for the last and on backwards.

        Returns:
            Frames [n_frames, height, width, 3] RGB of the dataset's dtype, and the class index; for multi_label float32
            [C], 1 for each class of the clip.

        Raises:
            IndexError: There is no such clip, so that iteration ends.
            TypeError: The index is not a whole number, such as a slice.
            MediaError: The clip cannot be read; the message names its file.
        """
        place = self._place(index)
        return self._pixels(self._read(self.examples[place])), self.target(place)

    def __repr__(self) -> str:
        spec = self.input_spec
        return (
            f"ClipDataset({len(self)} clips, {len(self.labels)} labels, {self._dtype} "
            f"[{spec.n_frames}, {spec.height}, {spec.width}, 3])"
        )

    def target(self, index: SupportsIndex) -> Target:
        """The target of one clip; nothing is decoded.

        Args:
            index: As for ``clips[index]``.

        Returns:
            The class index; for multi_label float32 [C], 1 for each class of the clip.
        """
        example = self.examples[self._place(index)]
        if self._task == "single_label":
            return self._positions[example.label]
        hot = np.zeros(len(self.labels), np.float32)
        hot[[self._positions[label] for label in example.labels]] = 1
        return hot

    @property
    def targets(self) -> npt.NDArray[np.int64] | Float32Array:
        """Every target, for sampling by class: int64 [N], or for multi_label float32 [N, C]. Nothing is decoded."""
        found = [self.target(index) for index in range(len(self))]
        return np.array(found, np.int64) if self._task == "single_label" else np.array(found, np.float32)

    def unreadable(self, on_progress: Callable[[int, int], object] | None = None) -> tuple[UnreadableClip, ...]:
        """Read every clip and list those that cannot be read, so that they can be left out before training.

        Args:
            on_progress: Receives clips done and clips in all.

        Returns:
            In the order of the dataset.
        """
        found = []
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="check") as pool:
            for index, reason in enumerate(pool.map(self._failure, self.examples)):
                if reason is not None:
                    found.append(UnreadableClip(index, self.examples[index].path, reason))
                if on_progress is not None:
                    on_progress(index + 1, len(self))
        return tuple(found)

    def without(self, indices: Iterable[SupportsIndex]) -> ClipDataset:
        """The same dataset without some clips. Labels and their order stay.

        Args:
            indices: As for ``clips[index]``.
        """
        left_out = {self._place(index) for index in indices}
        made = object.__new__(ClipDataset)
        made.__dict__.update(self.__dict__)
        made.examples = tuple(item for place, item in enumerate(self.examples) if place not in left_out)
        return made

    def to_tf_dataset(
        self, *, shuffle: bool = False, seed: int | None = None, parallel_calls: int | None = None
    ) -> tf.data.Dataset:
        """A ``tf.data.Dataset`` of single clips, for ``batch`` and ``prefetch``. Imports TensorFlow.

        Args:
            shuffle: Whether to take the clips in another order in each epoch.
            seed: Of that order; None: a new one in each process.
            parallel_calls: Clips decoded at the same time; None: TensorFlow's choice. The order stays the same.

        Returns:
            Elements (frames, target): frames [n_frames, height, width, 3] of the dataset's dtype, and an int64 scalar
            or, for multi_label, float32 [C]. A clip that cannot be read ends the iteration with a TensorFlow error
            whose text names the file.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        try:
            import tensorflow as tf
        except ImportError:
            raise MissingExtraError("tensorflow", "train") from None
        single = self._task == "single_label"
        kinds = [tf.as_dtype(self._dtype), tf.int64 if single else tf.float32]
        spec = self.input_spec

        def read(index: Any) -> tuple[Any, Any]:
            frames, target = self[int(index)]
            return frames, np.int64(target) if single else target

        def shaped(index: Any) -> tuple[Any, Any]:
            frames, target = tf.numpy_function(read, [index], kinds, stateful=False)
            frames.set_shape([spec.n_frames, spec.height, spec.width, 3])
            target.set_shape([] if single else [len(self.labels)])
            return frames, target

        numbers = tf.data.Dataset.range(len(self))
        if shuffle and len(self):
            numbers = numbers.shuffle(len(self), seed=seed, reshuffle_each_iteration=True)
        return numbers.map(shaped, num_parallel_calls=parallel_calls or tf.data.AUTOTUNE, deterministic=True)

    def _place(self, index: SupportsIndex) -> int:
        if isinstance(index, slice):
            raise TypeError(
                "a ClipDataset takes one clip at a time, not a slice: [clips[i] for i in range(...)] reads several, "
                "and torch.utils.data.Subset(clips, range(...)) or clips.without(...) makes a smaller dataset"
            )
        number = operator.index(index)
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"clip {number} was requested, but the dataset has {len(self)} clips")
        return place

    def _read(self, example: Example) -> Clip:
        try:
            return read_example(example, self.input_spec, example.start_seconds, example.end_seconds)
        except AdapterError:
            raise
        except Exception as error:
            raise MediaError(describe_failure(example.path, error)) from error

    def _pixels(self, clip: Clip) -> Float32Array | UInt8Array:
        if self._dtype == "uint8":
            return np.ascontiguousarray(fit_frames(clip.frames, self.input_spec))
        return to_model_input(clip, self.input_spec, self._mean, self._scale)

    def _failure(self, example: Example) -> str | None:
        try:
            self._read(example)
        except AdapterError as error:
            return str(error)
        return None

    def _check_pixels(self) -> None:
        """ConfigError where mean or scale is not allowed, before the first clip is read."""
        spec = replace(self.input_spec, height=1, width=1, crop_fraction=1.0)
        try:
            to_model_input(np.zeros((1, 1, 1, 3), np.uint8), spec, self._mean, self._scale)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _of_split(dataset: Dataset, split: Split | None) -> Dataset:
    """The clips of one split. DatasetError where it has none."""
    chosen = dataset if split is None else dataset.of_split(split)
    if chosen.examples:
        return chosen
    if split is None or not dataset.examples:
        raise DatasetError(f"{dataset.root}: the dataset holds no clips")
    counts = {name: len(dataset.of_split(name).examples) for name in (*SPLITS, None)}
    has = ", ".join(f"{count} {name or 'without a split'}" for name, count in counts.items() if count)
    raise DatasetError(
        f"{dataset.root}: no clip is in the split {split!r} (it has {has}). Use another split, or assign splits first "
        "(cliplab dataset split, or adapters.data.split_dataset)"
    )


def _check_labels(dataset: Dataset, labels: Sequence[str], task: Task) -> None:
    """DatasetError where a clip has no target."""
    if task not in get_args(Task):
        raise DatasetError(f"task must be one of {', '.join(get_args(Task))}, got {task!r}")
    if len(set(labels)) != len(labels):
        raise DatasetError(f"labels: a label occurs twice in {', '.join(labels)}")
    for item in dataset.examples:
        unknown = [name for name in item.labels if name not in labels]
        if unknown:
            raise DatasetError(
                f"{describe(item)}: its label {unknown[0]!r} is not one of the given labels: {', '.join(labels)}. Add "
                "it there, or correct the dataset"
            )
        if task == "single_label":
            _ = item.label  # which refuses any other number of labels
