"""The contract that every model keeps and every host calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from adapters.config import Config, adapter_class, check_config, trusted_adapters, use_class
from adapters.errors import AdapterError, ConfigError, ConversionError
from adapters.protocols import LiteRTProgram, OpenStream, StoredModel
from adapters.records import Clip, Devices, Float32Array, InputSpec, Prediction, RequestedPrecision
from adapters.reports import ConversionReport, EpochLog, TrainReport

OnEpochEnd = Callable[[EpochLog], object]
OnProgress = Callable[[str, int, int], object]
OnNote = Callable[[str], object]


@dataclass(frozen=True)
class TrainOptions:
    """How a training reports, and what it computes on. The model does not depend on any of it.

    Attributes:
        on_progress: Receives (stage, done, total) from long work other than epochs.
        on_note: Receives a line of text about the data and settings, such as how many clips were found.
        devices: How many devices share each batch, or "all"; see ``adapters.training.devices``.
    """

    on_progress: OnProgress | None = None
    on_note: OnNote | None = None
    devices: Devices = 1


@dataclass(frozen=True)
class FeatureSource:
    """How a model computes the features that heads are trained on.

    Attributes:
        identity: What the features follow from beside the clip, as JSON values: weights, preprocessing, sampling.
        shape: (items, D) of the features of one clip.
        compute: Maps clips that were sampled as ``input_spec`` says to float32 ``shape`` each, whatever the head.
        program: The LiteRT program that computes them, for its size; None without one.
    """

    identity: Config
    shape: tuple[int, int]
    compute: Callable[[list[Clip]], list[Float32Array]]
    program: LiteRTProgram | None = None


class BaseModelAdapter(ABC):
    """One video model: configured by JSON, loaded from a bundle, hosted anywhere.

    A new adapter is a subclass with a ``schema.json`` of its keys, and one JSON in ``configs/`` that names it.
    Every model implements the abstract members. The others are optional and have a default here; callers find out
    what a model can do from these members alone: ``scores_frames``, ``streams``, ``merges_pieces``, ``votes``,
    ``network_specs``, ``fps``, ``program``, ``feature_source``, ``predict_with_features``.

    Attributes:
        schema_path: The JSON Schema of the adapter's own keys, a file beside its module.
        scores_items: Whether the head scores each item of a clip separately, so that a linear head measures it.
        config: The complete config, checked and with every default filled in; ``load`` replaces it.
        given: The config as the caller wrote it.
        explicit: Whether the caller meant every key of ``given``; see ``__init__``.
        trusts: Adapters of other packages that whoever opened this one trusts by name, for models that it opens itself.
    """

    schema_path: ClassVar[Path]
    scores_items: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        """Check the config and keep it. Weights and programs are loaded later, when they are needed.

        Args:
            config: Keys and values; "adapter" may be left out.
            explicit: Whether every key of config was meant. If so, a key that belongs to the weights must agree with
                the model on ``load`` even where it has the schema's default value. False suits platforms that hand
                over configs with every default filled in.

        Raises:
            ConfigError: The config is not allowed; the message lists everything that is wrong.
        """
        own_name = f"{type(self).__module__}:{type(self).__qualname__}"
        named = config if "adapter" in config else {"adapter": own_name, **config}
        use_class(own_name, type(self))  # its code runs already
        self.trusts: tuple[str, ...] = trusted_adapters()
        self.config: Config = check_config(named)
        self.given: Config = self.config if self.config is named else dict(named)
        self.explicit = explicit

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between the keys of a config that is valid key by key. For adapters to override.

        Args:
            config: Every key, with defaults filled in.

        Returns:
            One sentence for each problem, without the name of the config.
        """
        return []

    @classmethod
    def resolve_paths(cls, config: Config, folder: Path) -> Config:
        """The config of a file, with the paths in it that are relative to that file made usable from here.

        Args:
            config: The config as the file has it.
            folder: The file's folder.
        """
        return config

    # What every model does ----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of every scores array."""

    @property
    @abstractmethod
    def input_spec(self) -> InputSpec:
        """The clips that ``predict`` expects: frame size, frames per clip, sampling, windows, aspect."""

    @abstractmethod
    def load(self, local_path: str | Path) -> None:
        """Load a bundle directory or a self-describing .tflite.

        Runtime keys of the config that the adapter was made with stay in force; other keys must agree with the model.

        Args:
            local_path: The folder of the bundle, or the .tflite.

        Raises:
            BundleError: The model is damaged, incomplete or of another adapter.
            ConfigError: A key of the adapter's config does not agree with the model.
        """

    def load_stored(self, stored: StoredModel) -> None:
        """Load a model that ``open_model`` has read already. The default reads it again, with ``load``.

        Args:
            stored: The model, verified.

        Raises:
            BundleError: As ``load``.
            ConfigError: As ``load``.
        """
        self.load(stored.path)

    @abstractmethod
    def save(self, local_path: str | Path) -> None:
        """Write the model as a bundle.

        Args:
            local_path: The folder of the bundle, new or existing.

        Raises:
            StorageError: The bundle cannot be written.
        """

    @abstractmethod
    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        """Train on labelled clips and write the bundle. If interrupted, call it again to resume.

        Args:
            data_path: A dataset in any of ``adapters.data.FORMATS``.
            output_path: The folder of the bundle, new or of the same training.
            on_epoch_end: Receives the log of each epoch when it ends.
            options: How training reports, and what it computes on.

        Returns:
            Every epoch, and the one that was kept.

        Raises:
            DatasetError: The clips do not suit the model.
            TrainingError: Training cannot start or continue.
            ConfigError: The config does not allow it.
            StorageError: The bundle cannot be written.
        """

    @abstractmethod
    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        """Predict clips.

        Args:
            batch: Clips in uint8 [T, H, W, 3] RGB, which may differ in size and in number of frames.

        Returns:
            One prediction for each clip, in order.
        """

    @abstractmethod
    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        """Write one self-describing .tflite and compare it with the present program on the calibration clips.

        Args:
            output_path: The .tflite to write.
            quantize: The precision of its weights and arithmetic; "none" is float32.
            calibration: Clips that show the range of the activations, required for int8, and on which the two are
                compared. None: clips that are rendered for it.

        Returns:
            How the two compare in scores, size and speed.

        Raises:
            ConversionError: The conversion failed, or the top labels agree on fewer clips than the config's
                ``min_agreement``.
        """

    @abstractmethod
    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """The backbone's features of clips.

        Args:
            batch: N clips, as for ``predict``.

        Returns:
            float32 [N, D], in order; D depends on the model.
        """

    # What some models do ------------------------------------------------------------------------------------------

    def predict_with_features(self, batch: Sequence[Clip]) -> list[tuple[Prediction, Float32Array | None]]:
        """``predict``, and the backbone's features where the same run gives them. By default there are none.

        Args:
            batch: Clips, as for ``predict``.

        Returns:
            For each clip its prediction, and float32 [D] as ``embed`` returns it, or None.
        """
        return [(prediction, None) for prediction in self.predict(batch)]

    @property
    def scores_frames(self) -> bool:
        """Whether the model sees single frames.

        If so, the scores of a clip aggregate those of its frames, and a picture is a clip of one frame.
        """
        return False

    @property
    def network_specs(self) -> tuple[InputSpec, ...]:
        """How each network of the model fits frames into its input: the model's own spec, or one for each member."""
        return (self.input_spec,)

    @property
    def fps(self) -> float | None:
        """Frames per second that the model was made for; None where its config does not name a rate."""
        return self.input_spec.fps

    def program(self) -> LiteRTProgram | None:
        """The LiteRT program that predicts on the CPU; None for a model without one, or with several."""
        return None

    @property
    def needs_conversion(self) -> bool:
        """Whether the first prediction converts the network with TensorFlow, and no converted program is available.

        For a large network that takes minutes and several GB of memory. May read or download the weights.

        Raises:
            WeightsError: The weights cannot be found.
        """
        return False

    def prepare(self) -> None:
        """Open what ``predict`` needs, so that the first prediction does not wait for it. The default does nothing.

        Raises:
            AdapterError: As ``predict`` would.
        """
        return

    def require_weights(self) -> None:
        """Find the weights that the config names, and download published ones. The default does nothing.

        Training calls it before it imports, decodes or computes anything, so that missing weights are reported at once.

        Raises:
            WeightsError: The weights cannot be found or read; the message says how to get them.
        """
        return

    def solves_head(self, devices: Devices = 1) -> bool:
        """Whether ``train`` only solves a linear head on cached features, which needs no TensorFlow; False by default.

        Args:
            devices: How many devices are asked for; several are TensorFlow's.
        """
        return False

    def feature_source(self) -> FeatureSource | None:
        """The frozen backbone, for heads that are trained on its features; None for a model without one.

        Raises:
            WeightsError: The weights cannot be found, or the model came without.
        """
        return None

    def torch_state(self) -> dict[str, Any]:
        """The weights as the tensors of a PyTorch state dict. Only for models with weights.

        Returns:
            Arrays by tensor name, in the layouts of the network that these names belong to.

        Raises:
            ConversionError: The model has no weights of its own.
            WeightsError: The model came without weights.
        """
        raise ConversionError(
            f"a model of {self.config['adapter']} has no weights that a PyTorch state dict could hold. Convert it to "
            "X.tflite"
        )

    @property
    def votes(self) -> bool:
        """Whether the prediction is a vote of other models. Such a model cannot be a member of an ensemble."""
        return False

    @property
    def merges_pieces(self) -> bool:
        """Whether ``merge`` can predict a whole video of any length from its pieces (``sampling`` "every")."""
        return False

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """The prediction of a whole video. Only for models with ``merges_pieces``.

        Args:
            pieces: The predictions of its pieces in order, at least one.

        Raises:
            AdapterError: The model cannot merge pieces.
        """
        raise AdapterError(
            f"{self.config['adapter']} cannot predict a video in pieces. Set window_seconds, or use a "
            "model that scores frames"
        )

    @property
    def streams(self) -> bool:
        """Whether the model follows live streams (``open_stream``), and predicts a whole video frame after frame."""
        return False

    def open_stream(
        self, fps: float | None = None, *, source: str = "", on_note: Callable[[str], object] | None = None
    ) -> OpenStream:
        """Open a stream, independent of others, that accepts frames as they arrive. Only for models with ``streams``.

        Args:
            fps: Frames per second that the stream consumes, whatever the source's rate; None: the config's.
            source: The name of the source, which its predictions carry.
            on_note: Receives a sentence about each irregularity of the source: a gap, time that went back, another
                frame size.

        Raises:
            ConfigError: The model does not stream.
        """
        raise ConfigError(
            f"a model of {type(self).__name__} with this config does not support streams. Use one that does, such "
            'as movinet_a0_stream (a MoViNet with "model_mode": "stream"), or cliplab predict, which scores files'
        )

    def predict_stream(self, frames: Iterable[tuple[float, Any]], source: str, end: float | None = None) -> Prediction:
        """Predict a recorded video as a stream, with one frame in memory at a time. Only for models with ``streams``.

        Args:
            frames: Every frame of the video at the rate ``fps``: (seconds, uint8 [H, W, 3] RGB), in order of time.
            source: The name of the video.
            end: When the video ends, in seconds; None: at its last frame.

        Returns:
            The prediction after the last frame; ``frame_scores`` [T, C] are the scores after each consumed frame.

        Raises:
            ConfigError: The model does not stream.
            AdapterError: There are no frames.
        """
        stream, rows, last = self.open_stream(source=source), [], 0.0
        prediction: Prediction | None = None
        for seconds, picture in frames:
            latest, last = stream.push(picture, seconds), seconds
            if latest is not prediction and latest.frame_scores is not None:
                rows.append(latest.frame_scores)
            prediction = latest
        if prediction is None:
            raise AdapterError(f"{source}: has no frames to predict")
        scores = np.concatenate(rows) if rows else None
        return Prediction(prediction.scores, self.labels, 0.0, max(last, end or 0.0), source, scores)


def model_class(name: str, where: str = "config") -> type[BaseModelAdapter]:
    """The adapter that a config names, as ``adapters.config.adapter_class`` finds it.

    Args:
        name: "module:Class", the config's "adapter".
        where: The name of the config, for messages.

    Raises:
        ConfigError: The class is not trusted, cannot be imported, or is not an adapter.
    """
    found = adapter_class(name, where)
    if not (isinstance(found, type) and issubclass(found, BaseModelAdapter)):
        raise ConfigError(f'{where}: "adapter" names {name!r}, which is not a subclass of BaseModelAdapter')
    return found
