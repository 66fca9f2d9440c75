"""The contract that every model keeps and every host calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from adapters.config import Config, adapter_class, check_config
from adapters.errors import AdapterError, ConfigError
from adapters.records import (
    Clip,
    ConversionReport,
    Devices,
    EpochLog,
    Float32Array,
    InputSpec,
    Precision,
    Prediction,
    RequestedPrecision,
    TrainReport,
)

OnEpochEnd = Callable[[EpochLog], object]
OnProgress = Callable[[str, int, int], object]
OnNote = Callable[[str], object]


@dataclass(frozen=True)
class TrainOptions:
    """How a training reports, and what it computes on. None of it is part of what the model becomes.

    on_progress: called with (stage, done, total) by long work other than epochs.
    on_note: receives a line of text about what training goes by, such as how many clips it found.
    devices: how many devices share each batch, or "all"; see ``adapters.training.devices``.
    """

    on_progress: OnProgress | None = None
    on_note: OnNote | None = None
    devices: Devices = 1


class LiteRTProgram(Protocol):
    """The LiteRT program of a model, as its file and in memory."""

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]: ...

    @property
    def model_bytes(self) -> bytes: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def precision(self) -> Precision: ...


class StoredModel(Protocol):
    """A model on disk as it was read and verified: a bundle, or a .tflite that describes itself."""

    @property
    def path(self) -> Path: ...

    @property
    def config(self) -> Config:
        """Complete and checked."""

    @property
    def programs(self) -> Mapping[str, Path]:
        """LiteRT files by the name of the program."""

    @property
    def metrics(self) -> Mapping[str, Any]: ...

    @property
    def has_weights(self) -> bool: ...

    def weights(self) -> dict[str, Any]:
        """Variable name -> array; BundleError where there are none."""


class OpenStream(Protocol):
    """A live stream that a model follows: frames go in as they come, and a running prediction comes out."""

    @property
    def fps(self) -> float:
        """Frames per second that the model consumes, whatever the source's rate."""

    def push(self, frames: Any, time_seconds: float | Sequence[float]) -> Prediction:
        """The prediction after the next frame or frames; the same object where none of them was consumed.

        frames: uint8 [H, W, 3] or [n, H, W, 3] RGB of any size, or a function that gives one frame, called only if it
            is consumed. time_seconds: when they are shown, at least 0: one number, or one each.
        The prediction's frame_scores [k, C] are those after each frame that this call consumed.
        """

    def reset(self) -> None:
        """Forget everything: the next frame is a stream's first."""


class BaseModelAdapter(ABC):
    """One video model: configured by JSON, loaded from a bundle, hosted anywhere.

    A new adapter is a subclass with a ``schema.json`` of its keys, and one JSON in ``configs/`` that names it.
    ``given`` is the config as the caller wrote it; ``config`` is the complete one, which ``load`` replaces.

    What is abstract, every model does. What a model may do besides has a default here, and callers ask for it by these
    members alone: ``scores_frames``, ``streams``, ``merges_pieces``, ``votes``, ``fps``, ``program``.
    """

    schema_path: ClassVar[Path]

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        """Keep a checked config; nothing heavy happens here. ConfigError says what is wrong with it.

        explicit: every key of config was meant, so that on ``load`` a key that belongs to the weights must agree even
        where it has the schema's default value. False suits platforms that hand over filled-in configs.
        """
        own_name = f"{type(self).__module__}:{type(self).__qualname__}"
        named = config if "adapter" in config else {"adapter": own_name, **config}
        self.config: Config = check_config(named)
        self.given: Config = self.config if self.config is named else dict(named)
        self.explicit = explicit

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between keys of a complete config, a sentence each. For adapters to extend."""
        return []

    @classmethod
    def resolve_paths(cls, config: Config, folder: Path) -> Config:
        """A config that stands in a file of this folder, with the paths in it that are relative to the file."""
        return config

    # What every model does ----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of every scores array."""

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """What media must deliver for ``predict``: frame size, frames per clip, sampling, windows, aspect."""

    @abstractmethod
    def load(self, local_path: str | Path) -> None:
        """Load a bundle directory or a self-describing .tflite. BundleError names what is damaged or foreign.

        Runtime keys of the config that the adapter was made with stay in force; others must agree (ConfigError).
        """

    def load_stored(self, stored: StoredModel) -> None:
        """``load`` for a model that ``open_model`` has read already. By default it is read again by its path."""
        self.load(stored.path)

    @abstractmethod
    def save(self, local_path: str | Path) -> None:
        """Write a bundle, into a new folder or one that exists."""

    @abstractmethod
    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        """Train on labelled clips (see ``adapters.data.dataset``) and write the bundle to output_path.

        Interrupted training resumes where it stopped when called again with the same arguments.
        """

    @abstractmethod
    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        """One prediction per clip, in order. Clips may differ in size and number of frames."""

    @abstractmethod
    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        """Write one self-describing .tflite and measure it against the present program on the calibration clips.

        int8 needs calibration clips. Fails with ConversionError where agreement is under ``min_agreement``.
        """

    @abstractmethod
    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """Features of clips: float32 [N, D]."""

    # What some models do ------------------------------------------------------------------------------------------

    @property
    def scores_frames(self) -> bool:
        """Whether the model sees single frames: a clip's scores aggregate those of its frames, and a picture is a clip
        of one frame."""
        return False

    @property
    def fps(self) -> float | None:
        """Frames per second that the model was made for; None where its config names no rate."""
        return self.input_spec.fps

    def program(self) -> LiteRTProgram | None:
        """The LiteRT program that predicts on the CPU; None for a model that has none, or several."""
        return None

    @property
    def votes(self) -> bool:
        """Whether the answer is a vote of other models, so that this one cannot be a member of an ensemble itself."""
        return False

    @property
    def merges_pieces(self) -> bool:
        """Whether ``merge`` answers for a whole video whose frames are all asked for (``sampling`` "every")."""
        return False

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """The prediction of a video from those of its pieces, in order, at least one. Where ``merges_pieces``."""
        raise AdapterError(
            f"{self.config['adapter']} cannot answer for a video in pieces. Ask for windows (window_seconds), or use a "
            "model that scores frames"
        )

    @property
    def streams(self) -> bool:
        """Whether it follows live streams (``open_stream``), and so answers for a whole video frame after frame."""
        return False

    def open_stream(
        self, fps: float | None = None, *, source: str = "", on_note: Callable[[str], object] | None = None
    ) -> OpenStream:
        """A stream of its own, which takes frames as they come. Where ``streams``; ConfigError otherwise.

        fps: what it consumes, whatever the source's rate; None for the config's. source: for predictions to name.
        on_note: receives a sentence about what the source did: a gap, time that went back, another frame size.
        """
        raise ConfigError(
            f"a model of {self.config['adapter']} with this config does not stream. Use one that does, such as a "
            'MoViNet of "model_mode" "stream", or cliplab predict with windows'
        )

    def predict_stream(self, frames: Iterable[tuple[float, Any]], source: str, end: float | None = None) -> Prediction:
        """Every frame of a recorded video, (seconds, uint8 [H, W, 3]) at the rate ``fps``, to one prediction.

        frame_scores are those after each frame; the last row is the answer. One frame is in memory at a time.
        end: the video's, in seconds. Where ``streams``.
        """
        stream, rows, last = self.open_stream(source=source), [], 0.0
        prediction: Prediction | None = None
        for seconds, picture in frames:
            latest, last = stream.push(picture, seconds), seconds
            if latest is not prediction and latest.frame_scores is not None:
                rows.append(latest.frame_scores)
            prediction = latest
        if prediction is None:
            raise AdapterError(f"{source}: has no frames to predict on")
        scores = np.concatenate(rows) if rows else None
        return Prediction(prediction.scores, self.labels, 0.0, max(last, end or 0.0), source, scores)


def model_class(name: str, where: str = "config") -> type[BaseModelAdapter]:
    """The adapter that a config's ``"module:Class"`` names. Only for configs of the person who runs the process."""
    found = adapter_class(name, where)
    if not (isinstance(found, type) and issubclass(found, BaseModelAdapter)):
        raise ConfigError(f'{where}: "adapter" names {name!r}, which is not a subclass of BaseModelAdapter')
    return found
