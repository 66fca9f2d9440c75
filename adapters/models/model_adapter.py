"""What adapters share: everything but the network and what one item of its input is, which a subclass declares.

A model sees items: a frame model each frame of a clip, a clip model the clip. The backbone turns an item into
features, the head features into scores, and the scores of a clip's items are aggregated into the clip's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from adapters.base import FeatureSource, OnEpochEnd, TrainOptions
from adapters.bundle import Golden
from adapters.config import check_config
from adapters.errors import AdapterError, ConfigError
from adapters.inference import loaded_config, read_stored
from adapters.models import programs
from adapters.models.network import Pretrained, Variables
from adapters.models.network_adapter import NetworkAdapter
from adapters.models.saving import golden_of, save_bundle
from adapters.models.state import AnyProgram, LoadedModel, RunsItems, require_rows
from adapters.protocols import StoredModel
from adapters.records import Clip, Devices, Float32Array, Prediction, RequestedPrecision, UInt8Array, aggregate
from adapters.reports import ConversionReport, TrainReport
from adapters.training import VARIABLE_PREFIX, class_scores

_TRAIN_IT = "Train it (cliplab train CONFIG DATA OUTPUT) and use OUTPUT as the model"


class ModelAdapter(NetworkAdapter):
    """The contract, for a network of backbone and head. See ``NetworkAdapter`` for what a subclass declares."""

    # Load and save ------------------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        self.load_stored(read_stored(local_path))

    def load_stored(self, stored: StoredModel) -> None:
        self.config = loaded_config(self, stored)
        self.metrics, self.trained = dict(stored.metrics), True
        self._model = LoadedModel(programs=dict(stored.programs), stored=stored)

    def save(self, local_path: str | Path) -> None:
        self.save_with(local_path, {})

    def save_with(self, local_path: str | Path, extra: Mapping[str, bytes]) -> None:
        """Write a bundle with other files in it.

        Args:
            local_path: The bundle's folder.
            extra: The bytes of other files by relative name.

        Raises:
            StorageError: The folder cannot be written.
            BundleError: The folder has files that are not a bundle's.
            ConfigError: The head is not trained.
        """
        self._require_trained()
        save_bundle(self, self._model, Path(local_path), extra)

    def golden(self) -> Golden:
        """The golden clip: the stored one, else made now, by the float32 program where there are weights.

        The config's precision has the tolerance that it was measured to need.
        """
        return golden_of(self, self._model)

    def _require_trained(self) -> None:
        if self.trained or self.config["weights"] == "random":
            return
        # A weights file is opened before anything is said of heads: a fault of the file is the first thing to know.
        found = self.pretrained() if self.names_a_file else None
        if self.brings_classifier:
            return
        if not self.has_published_classifier:
            raise ConfigError(f"the head is not trained. {_TRAIN_IT}")
        raise ConfigError(
            f"the head for labels {', '.join(self.labels[:5])} is not trained{_classes_of(found, self.labels)}. "
            f'{_TRAIN_IT}, or leave "labels" out to use the classes of the weights'
        )

    # Predict ------------------------------------------------------------------------------------------------------

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if not batch:
            return []
        self._require_trained()
        return self.predict_with(self.active_program(), batch)

    def prepare(self) -> None:
        """Open the program that predicts."""
        self._require_trained()
        self.active_program()

    def predict_with(self, program: AnyProgram, batch: Sequence[Clip]) -> list[Prediction]:
        """``predict`` with a certain program of this model.

        Args:
            program: The program.
            batch: Clips.
        """
        outputs = self._by_clip(batch, program, "scores")
        return [self.prediction_of(clip, rows) for clip, rows in zip(batch, outputs, strict=True)]

    def prediction_of(self, clip: Clip, outputs: Float32Array) -> Prediction:
        """The prediction of a clip from what the program gave for its items.

        Args:
            clip: The clip.
            outputs: float32 [items, units].
        """
        scores = class_scores(outputs, self.config, self.labels)
        return Prediction(
            self.clip_scores(scores),
            self.labels,
            clip.start,
            clip.end,
            clip.source,
            scores if self.has_frame_scores else None,
        )

    @property
    def has_frame_scores(self) -> bool:
        """Whether the rows of a clip's scores belong to its frames."""
        return self.items_per_clip > 1

    def clip_scores(self, scores: Float32Array) -> Float32Array:
        """Aggregate the scores of a clip's items.

        Args:
            scores: float32 [items, C] in 0..1.

        Returns:
            float32 [C] in 0..1.
        """
        return aggregate(scores, self.config.get("aggregation", "mean"), self.config.get("top_fraction", 1.0))

    def clip_features(self, features: Float32Array) -> Float32Array:
        """Aggregate the features of a clip's items.

        Args:
            features: float32 [items, D].

        Returns:
            float32 [D].
        """
        return np.asarray(features.mean(axis=0), np.float32)

    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """Features of clips.

        Args:
            batch: Clips; may be empty.

        Returns:
            float32 [N, D].
        """
        self._require_trained()
        program = self.active_program()
        if not batch:
            return np.zeros((0, program.output_shapes["features"][-1]), np.float32)
        features = self._by_clip(batch, program, "features")
        return np.stack([self.clip_features(values) for values in features])

    def torch_state(self) -> dict[str, Any]:
        """The weights by our own names, in TensorFlow's layouts. A family whose tensors have names in PyTorch overrides
        it."""
        self._require_trained()
        return dict(self.variables())

    def feature_source(self) -> FeatureSource:
        """The LiteRT program of the backbone alone."""
        program = self.feature_program()
        return FeatureSource(
            self.feature_identity(),
            (self.items_per_clip, program.output_shapes["features"][-1]),
            lambda batch: self._run([self.items(clip) for clip in batch], program, "features"),
            program,
        )

    def _by_clip(self, batch: Sequence[Clip], program: AnyProgram, output: str) -> list[Float32Array]:
        """An output of the program that predicts, float32 [items, ...] for each clip; all clips run together."""
        return self._run([self.program_inputs(clip) for clip in batch], program, output)

    def _run(self, inputs: Sequence[Float32Array], program: AnyProgram, output: str) -> list[Float32Array]:
        """An output of a program for several arrays of inputs, float32 [inputs, ...] for each."""
        values = self.rows_of(cast(RunsItems, program).run(np.concatenate(inputs)), output)
        return np.split(values, np.cumsum([len(rows) for rows in inputs])[:-1])

    def rows_of(self, outputs: Mapping[str, npt.NDArray[Any]], output: str) -> Float32Array:
        """One output of a program, which may come from a file that somebody else made.

        Args:
            outputs: What the program gave, by name.
            output: "scores" or "features".

        Returns:
            float32 [N, units] or [N, D].

        Raises:
            BundleError: There is no such output, or it has another type or number of values.
        """
        return require_rows(outputs, output, self.config, self.labels, self._model.where)

    # Train and convert --------------------------------------------------------------------------------------------

    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        from adapters.training import train_model

        return train_model(self, Path(data_path), Path(output_path), on_epoch_end, options)

    def solves_head(self, devices: Devices = 1) -> bool:
        from adapters.training import only_solves

        return only_solves(self, devices)

    def begin_training(self, labels: Sequence[str]) -> None:
        """Take over the class order; a model without a head for it gets a new one.

        Args:
            labels: The classes in order.
        """
        if not self.trained:
            self.config = check_config({**self.config, "labels": list(labels)})
            self._model = LoadedModel()

    def adopt(self, variables: Variables, calibration: Sequence[Clip]) -> None:
        """Take over trained variables and make the program that the config asks for.

        Args:
            variables: float32 arrays by name.
            calibration: Clips for int8.
        """
        self.trained, self._model = True, LoadedModel(variables=variables)
        if self.config["quantize"] == "int8":
            self._model.programs[self.program_name()] = programs.make_program_bytes(self, "int8", calibration)

    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
        *,
        clips: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        """See the contract.

        Args:
            output_path: The .tflite to write.
            quantize: The precision.
            calibration: Clips for int8.
            clips: Clips to measure on instead of the calibration clips.
        """
        from adapters.models.conversion import convert_model

        return convert_model(self, Path(output_path), quantize, calibration, clips)


def even_frames(clip: Clip, count: int) -> UInt8Array:
    """A fixed number of a clip's frames, taken evenly from all of them.

    Args:
        clip: At least ``count`` frames uint8 [T, H, W, 3].
        count: How many the model takes.

    Returns:
        uint8 [count, H, W, 3].

    Raises:
        AdapterError: The clip has fewer frames.
    """
    frames = clip.frames
    if len(frames) < count:
        raise AdapterError(
            f"{clip.source}: {len(frames)} frames were given, but the model takes {count}. Sample the clip as "
            "input_spec says (adapters.media.read_clip does)"
        )
    return frames if len(frames) == count else frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]


def _classes_of(found: Pretrained | None, labels: Sequence[str]) -> str:
    """What the classifier of a weights file is for, where it is not for these labels."""
    bias = None if found is None else found.classifier.get(f"{VARIABLE_PREFIX}output/bias")
    if bias is None:
        return ""
    return f": the classifier of the weights has {len(bias)} outputs, but there are {len(labels)} labels"
