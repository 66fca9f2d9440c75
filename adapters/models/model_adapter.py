"""What adapters share: everything but the network and what one item of its input is, which a subclass declares.

A model sees items: a frame model each frame of a clip, a clip model the clip. The backbone turns an item into
features, the head features into scores, and the scores of a clip's items are aggregated into the clip's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from adapters.base import BaseModelAdapter, FeatureSource, LiteRTProgram, OnEpochEnd, StoredModel, TrainOptions
from adapters.bundle import Golden
from adapters.config import Config, check_config
from adapters.errors import AdapterError, BundleError, WeightsError
from adapters.inference import loaded_config, read_stored
from adapters.litert import Program
from adapters.litert.program_cache import HEAD_FORMAT
from adapters.models import programs
from adapters.models.first_weights import build_network, initial_variables
from adapters.models.network import Backbone, Network, Pretrained, Variables
from adapters.models.programs import PROGRAM_BATCH, backbone_identity
from adapters.models.saving import golden_of, save_bundle
from adapters.models.state import AnyProgram, LoadedModel, RunsItems, require_rows
from adapters.models.weights import require_finite
from adapters.records import Clip, Float32Array, InputSpec, Precision, Prediction, RequestedPrecision, aggregate
from adapters.reports import ConversionReport, TrainReport
from adapters.training import VARIABLE_PREFIX, class_scores, is_linear


class ModelAdapter(BaseModelAdapter):
    """The contract, for a network of backbone and head whose LiteRT program has one float32 tensor of items as input.

    A subclass declares what an item is (``item_shape``, ``items``), which network (``build_backbone``) and which
    weights (``pretrained``).

    Attributes:
        own_labels_path: The names of the published classifier's classes, one per line.
        backbone_keys: The config's keys that shape the backbone.
        family: The network's name in cache keys, wherever its module is.
        network_format: Raised with a change of the network's code that changes its programs or features, so that cached
            ones are made again.
        published_names: What ``weights`` says for the published weights.
        metrics: The content of metrics.json; empty before training.
        trained: Whether it was loaded or trained.
    """

    own_labels_path: ClassVar[Path]
    backbone_keys: ClassVar[tuple[str, ...]]
    family: ClassVar[str]
    network_format: ClassVar[int] = 1
    published_names: ClassVar[tuple[str, ...]] = ("imagenet",)

    @property
    @abstractmethod
    def item_shape(self) -> tuple[int, ...]:
        """The shape of one item of the network's input."""

    @abstractmethod
    def items(self, clip: Clip) -> Float32Array:
        """A clip, preprocessed.

        Args:
            clip: Frames uint8 [T, H, W, 3] RGB of any size.

        Returns:
            float32 [items, *item_shape].
        """

    @property
    @abstractmethod
    def items_per_clip(self) -> int:
        """Items of a clip that was sampled as ``input_spec`` says."""

    @abstractmethod
    def build_backbone(self) -> Backbone:
        """The backbone of the config, with fresh variables. Imports TensorFlow."""

    @abstractmethod
    def pretrained(self) -> Pretrained:
        """The weights that ``weights`` names, verified; not called if it is "random".

        Raises:
            WeightsError: They cannot be found or do not fit; the message says how to get them.
        """

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self.metrics: dict[str, Any] = {}
        self.trained = False
        self._model = LoadedModel()

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        if config["head_solver"] == "logistic" and not is_linear(config):
            yield (
                '"head_solver" is "logistic", which solves heads without hidden layers whose items are averaged; leave '
                'it "auto", or make "head" [] and "aggregation" "mean"'
            )

    # What the model is --------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        if self.config["labels"] is not None:
            return tuple(self.config["labels"])
        return tuple(self.own_labels_path.read_text(encoding="utf-8").splitlines())

    @property
    def input_spec(self) -> InputSpec:
        config = self.config
        return InputSpec(
            height=config["imgz"],
            width=config["imgz"],
            n_frames=config["n_frames"],
            aspect=config["aspect"],
            sampling=config["sampling"],
            fps=config["fps"],
            window_seconds=config["window_seconds"],
            stride_seconds=config["stride_seconds"],
            short_clip=config["short_clip"],
            crop_fraction=config.get("crop_fraction", 1.0),
        )

    @property
    def network_config(self) -> Config:
        """The config that shapes the network: without labels of its own it is the published classifier alone."""
        return self.config if self.config["labels"] is not None else {**self.config, "head": self.published_head}

    @property
    def published_head(self) -> list[Config]:
        """The layers before the published classifier's last one, as a config's ``head`` lists them."""
        return []

    @classmethod
    def family_name(cls) -> str:
        """``family``; the class's full name where it declares none: a subclass may build another network."""
        return str(vars(cls).get("family", f"{cls.__module__}:{cls.__qualname__}"))

    @property
    def program_formats(self) -> dict[str, int]:
        """Format numbers of the code that makes the program, beside those of the backbone and of every conversion."""
        return {"head": HEAD_FORMAT}

    def program_name(self, quantize: Precision | None = None) -> str:
        """The name of a program, e.g. float32_1x224x224x3.

        Args:
            quantize: The precision; None for the config's.
        """
        shape = "x".join(str(size) for size in (PROGRAM_BATCH, *self.item_shape))
        return f"{quantize or self.config['quantize']}_{shape}"

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
            AdapterError: The head is not trained.
        """
        self._require_trained()
        save_bundle(self, self._model, Path(local_path), extra)

    def golden(self) -> Golden:
        """The golden clip: the stored one, else made now, by the float32 program where there are weights.

        The config's precision has the tolerance that it was measured to need.
        """
        return golden_of(self, self._model)

    # Weights, network, programs -----------------------------------------------------------------------------------

    def variables(self, network: Network | None = None) -> Variables:
        """Every variable of backbone and head.

        Args:
            network: A network of the present config, if the caller has built one: first weights then need no other.

        Returns:
            float32 arrays by name.

        Raises:
            WeightsError: The model came without weights, its first weights cannot be found, or some are not finite.
        """
        model = self._model
        if model.variables is None:
            if not model.has_weights:
                raise WeightsError(
                    f"{model.where}: holds a program and no weights, so it predicts but cannot be trained, resized or "
                    "converted. Use the bundle directory that it was converted from"
                )
            if model.stored is None:
                model.variables = initial_variables(self, network)
            else:
                weights = model.stored.weights()
                require_finite(weights, model.where)
                model.variables = weights
        return model.variables

    def random_variables(self, network: Network) -> Variables:
        """The first weights if ``weights`` is "random", drawn with the config's seed.

        Args:
            network: The network, for names and shapes.
        """
        from adapters.training import random_variables

        return random_variables(network, self.config["seed"])

    def build_network(self) -> Network:
        """The network of the config, with fresh variables. Imports TensorFlow."""
        return build_network(self)

    def program(self) -> LiteRTProgram:
        """The LiteRT program that the config asks for: stored, cached, or made from the weights now."""
        name, model = self.program_name(), self._model
        with model.lock:
            if model.active is None or model.active[0] != name:
                if name not in model.programs:
                    model.programs[name] = programs.get_program(self, model)
                opened = self.open_program(model.programs[name], self.config["num_threads"])
                if "scores" not in opened.output_shapes:
                    found = ", ".join(opened.output_shapes) or "none"
                    raise BundleError(
                        f'{model.where}: its program has no output "scores" (it has: {found}). Convert it again'
                    )
                model.active = (name, opened)
            return model.active[1]

    def open_program(self, source: Path | bytes, num_threads: int | None, name: str | None = None) -> LiteRTProgram:
        """Open a program of this model.

        Args:
            source: A .tflite's path or bytes.
            num_threads: The most cores to use; None for all.
            name: What messages call it; default: the path.

        Raises:
            BundleError: The program is missing or damaged.
        """
        return Program(source, num_threads=num_threads, name=name)

    def convert_network(self, network: Network, quantize: Precision, calibration: Sequence[Clip]) -> bytes:
        """Convert a network with its weights to a LiteRT program.

        Args:
            network: The network.
            quantize: The precision.
            calibration: Clips for int8.

        Returns:
            The bytes of the .tflite.
        """
        return programs.convert_items(self, network, quantize, calibration)

    @property
    def brings_classifier(self) -> bool:
        """Whether the weights that the config names have a classifier for its labels, so that it needs no training."""
        return self.config["labels"] is None

    @property
    def names_a_file(self) -> bool:
        """Whether ``weights`` is the path of a file or folder."""
        return self.config["weights"] not in ("random", *self.published_names)

    def _require_trained(self) -> None:
        if self.trained or self.config["weights"] == "random":
            return
        # A weights file is opened before anything is said of heads: a fault of the file is the first thing to know.
        found = self.pretrained() if self.names_a_file else None
        if not self.brings_classifier:
            raise AdapterError(
                f"the head for labels {', '.join(self.labels[:5])} is not trained{_classes_of(found, self.labels)}. "
                'Train it (cliplab train), load a bundle, or leave "labels" out to use the classes of the weights'
            )

    # Predict ------------------------------------------------------------------------------------------------------

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if not batch:
            return []
        self._require_trained()
        return self.predict_with(self.active_program(), batch)

    def active_program(self) -> AnyProgram:
        """The program that predicts on the config's device.

        Raises:
            AdapterError: ``device`` is "gpu" and TensorFlow sees none.
        """
        if self.config["device"] == "cpu":
            return self.program()
        if self._model.on_gpu is None:
            from adapters.models.tensorflow_program import TensorFlowProgram, first_gpu

            self._model.on_gpu = TensorFlowProgram(self, first_gpu())
        return self._model.on_gpu

    def predict_with(self, program: AnyProgram, batch: Sequence[Clip]) -> list[Prediction]:
        """``predict`` with a certain program of this model.

        Args:
            program: The program.
            batch: Clips.
        """
        config, labels = self.config, self.labels
        return [
            Prediction(
                self.clip_scores(scores),
                labels,
                clip.start,
                clip.end,
                clip.source,
                scores if self.has_frame_scores else None,
            )
            for clip, outputs in zip(batch, self._by_clip(batch, program, "scores"), strict=True)
            for scores in [class_scores(outputs, config, labels)]
        ]

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

    def feature_source(self) -> FeatureSource:
        """The LiteRT program of the backbone alone."""
        program = self.feature_program()
        return FeatureSource(
            self.feature_identity(),
            (self.items_per_clip, program.output_shapes["features"][-1]),
            lambda batch: self._by_clip(batch, program, "features"),
            program,
        )

    def _by_clip(self, batch: Sequence[Clip], program: AnyProgram, output: str) -> list[Float32Array]:
        """An output of the program, float32 [items, ...] for each clip; all clips run together."""
        items = [self.items(clip) for clip in batch]
        values = self.rows_of(cast(RunsItems, program).run(np.concatenate(items)), output)
        return np.split(values, np.cumsum([len(clip_items) for clip_items in items])[:-1])

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

    def feature_program(self) -> Program:
        """The float32 LiteRT program of the backbone alone, cached by the weights' content."""
        if self._model.backbone is None:
            source = programs.get_backbone_program(self)
            self._model.backbone = Program(source, num_threads=self.config["num_threads"])
        return self._model.backbone

    def feature_identity(self) -> Config:
        """What cached features follow from, beside the clip."""
        keys = ("aspect", "mean", "scale", "n_frames", "sampling", "fps", "short_clip")
        own = {key: self.config[key] for key in keys} | {"crop_fraction": self.input_spec.crop_fraction}
        return own | {"backbone": backbone_identity(self)}

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


def _classes_of(found: Pretrained | None, labels: Sequence[str]) -> str:
    """What the classifier of a weights file is for, where it is not for these labels."""
    bias = None if found is None else found.classifier.get(f"{VARIABLE_PREFIX}output/bias")
    if bias is None:
        return ""
    return f", and the classifier of the weights has {len(bias)} outputs where there are {len(labels)} labels"
