"""The contract that every model keeps and every host calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from adapters.config import Config, check_config
from adapters.records import (
    Clip,
    ConversionReport,
    EpochLog,
    Float32Array,
    InputSpec,
    Prediction,
    Quantize,
    TrainReport,
)
from adapters.training import Devices

OnEpochEnd = Callable[[EpochLog], object]
OnProgress = Callable[[str, int, int], object]
OnNote = Callable[[str], object]


class BaseModelAdapter(ABC):
    """One video model: configured by JSON, loaded from a bundle, hosted anywhere.

    A new adapter is a subclass with a ``schema.json`` of its keys, and one JSON in ``configs/`` that names it.
    ``given`` is the config as the caller wrote it; ``config`` is the complete one, which ``load`` replaces.
    ``on_progress(stage, done, total)``, where set, is told how far long work other than epochs has come.
    ``on_note(text)``, where set, is told what training goes by, such as how many clips it found, in a line of text.
    ``train_devices`` is how many devices share each batch in training, or "all"; see ``adapters.training.devices``.
    """

    schema_path: ClassVar[Path]

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        """Keep a checked config; nothing heavy happens here. ConfigError says what is wrong with it.

        explicit: every key of config was meant, so that on ``load`` a key that belongs to the weights must agree even
        where it has the schema's default value. False suits platforms that hand over filled-in configs.
        """
        own_name = f"{type(self).__module__}:{type(self).__qualname__}"
        self.given: Config = {"adapter": own_name, **config}
        self.config: Config = check_config(self.given)
        self.explicit = explicit
        self.on_progress: OnProgress | None = None
        self.on_note: OnNote | None = None
        self.train_devices: Devices = 1

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between keys of a complete config, a sentence each. For adapters to extend."""
        return []

    @classmethod
    def anchored(cls, config: Config, folder: Path) -> Config:
        """A config that stands in a file of this folder, with the paths in it that are relative to the file."""
        return config

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of every scores array."""

    @property
    def scores_frames(self) -> bool:
        """Whether the model sees single frames, so that a clip's scores aggregate those of its frames."""
        return False

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """What media must deliver for ``predict``: frame size, frames a clip, sampling, windows, aspect."""

    @abstractmethod
    def load(self, local_path: str | Path) -> None:
        """Load a bundle directory or a self-describing .tflite. BundleError names what is damaged or foreign.

        Runtime keys of the config that the adapter was made with stay in force; others must agree (ConfigError).
        """

    @abstractmethod
    def save(self, local_path: str | Path) -> None:
        """Write a bundle, into a new folder or one that exists."""

    @abstractmethod
    def train(
        self, data_path: str | Path, output_path: str | Path, on_epoch_end: OnEpochEnd | None = None
    ) -> TrainReport:
        """Train on labelled clips (see ``adapters.data.dataset``) and write the bundle to output_path.

        Interrupted training goes on where it stopped when called again with the same arguments.
        """

    @abstractmethod
    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        """One prediction a clip, in order. Clips may differ in size and number of frames."""

    @abstractmethod
    def convert(
        self, output_path: str | Path, quantize: Quantize = "none", calibration: Sequence[Clip] | None = None
    ) -> ConversionReport:
        """Write one self-describing .tflite and measure it against the present program on the calibration clips.

        int8 needs calibration clips. Fails with ConversionError where agreement is under ``min_agreement``.
        """

    @abstractmethod
    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """Features of clips: float32 [N, D]."""


class StreamingAdapter(BaseModelAdapter):
    """A model that can also follow a live stream."""

    @abstractmethod
    def open_stream(
        self, fps: float | None = None, *, source: str = "", on_note: Callable[[str], object] | None = None
    ) -> Any:
        """A session that takes frames as they come and gives a running prediction.

        fps: what it consumes, whatever the source's rate; None for the config's. source: for predictions to name.
        on_note: told, in a sentence, of what the source did: a gap, time that went back, another frame size.
        """
