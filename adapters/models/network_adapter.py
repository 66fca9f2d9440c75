"""What a model of one network is made of: backbone and head, weights, and the LiteRT programs that follow from them."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from adapters.base import BaseModelAdapter
from adapters.config import Config
from adapters.errors import BundleError, WeightsError
from adapters.litert import GraphWriter, Program
from adapters.litert.program_cache import HEAD_FORMAT
from adapters.models import programs
from adapters.models.first_weights import build_network, initial_variables
from adapters.models.network import Backbone, BackboneShapes, Network, Pretrained, Variables
from adapters.models.programs import PROGRAM_BATCH, backbone_identity
from adapters.models.state import AnyProgram, LoadedModel
from adapters.models.written_programs import written_program
from adapters.protocols import LiteRTProgram
from adapters.records import Clip, Float32Array, InputSpec, Precision
from adapters.training import is_linear


class NetworkAdapter(BaseModelAdapter):
    """A network of backbone and head whose LiteRT program has one float32 tensor of items as input.

    A subclass declares what an item is (``item_shape``, ``items``), which network (``build_backbone``) and which
    weights (``pretrained``). ``ModelAdapter`` adds what the contract does with them.

    Attributes:
        own_labels_path: The names of the published classifier's classes, one per line.
        backbone_keys: The config's keys that shape the backbone.
        head_keys: The config's keys that shape the head, beside ``head``.
        family: The network's name in cache keys, wherever its module is.
        network_format: Raised with a change of the network's code that changes its programs or features, so that cached
            ones are made again.
        published_names: What ``weights`` says for the published weights.
        quantises_written: Whether int8 is made of what ``write_program`` writes; if not, TensorFlow converts.
        has_published_classifier: Whether the published weights predict classes of their own without training.
        metrics: The content of metrics.json; empty before training.
        trained: Whether it was loaded or trained.
    """

    own_labels_path: ClassVar[Path]
    backbone_keys: ClassVar[tuple[str, ...]]
    head_keys: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str]
    network_format: ClassVar[int] = 1
    published_names: ClassVar[tuple[str, ...]] = ("imagenet",)
    quantises_written: ClassVar[bool] = True
    has_published_classifier: ClassVar[bool] = True

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

    def backbone_shapes(self) -> BackboneShapes | None:
        """The backbone's variables, for a network that ``write_backbone`` writes; None if TensorFlow converts it."""
        return None

    def write_backbone(self, writer: GraphWriter, values: Variables) -> int:
        """Write the backbone with its weights, where ``backbone_shapes`` is not None.

        Args:
            writer: A program whose input is items, float32 [B, *item_shape].
            values: The backbone's variables, float32 by name, and maybe others.

        Returns:
            The features, float32 [B, D], as the writer knows them.
        """
        raise NotImplementedError

    def write_program(self, quantize: Precision) -> bytes:
        """Write the program that predicts, where ``backbone_shapes`` is not None.

        Args:
            quantize: "float32", "float16" or "dynamic".

        Returns:
            The bytes of the .tflite.
        """
        return written_program(self, PROGRAM_BATCH, quantize)

    @abstractmethod
    def pretrained(self) -> Pretrained:
        """The weights that ``weights`` names, verified; not called if it is "random".

        Raises:
            WeightsError: They cannot be found or do not fit; the message says how to get them.
        """

    def require_weights(self) -> None:
        weights = str(self.config["weights"])
        # An existing file is read later, when the labels are known: without a classifier it only serves training.
        if not self.trained and weights != "random" and not os.path.exists(os.path.expanduser(weights)):
            self.pretrained()

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self.metrics: dict[str, Any] = {}
        self.trained = False
        self._model = LoadedModel()

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        if config["head_solver"] == "logistic" and not is_linear(config):
            yield (
                '"head_solver" "logistic" is for heads without hidden layers whose frame scores are averaged. Set '
                '"head_solver" to "auto", or "head" to [] and "aggregation" to "mean"'
            )

    # What the model is --------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        if self.config["labels"] is not None:
            return tuple(self.config["labels"])
        return _names_in(self.own_labels_path)

    @property
    def image_size(self) -> int:
        """Height and width of the model's input in pixels."""
        return int(self.config["imgz"])

    @property
    def input_spec(self) -> InputSpec:
        config = self.config
        return InputSpec(
            height=self.image_size,
            width=self.image_size,
            n_frames=config["n_frames"],
            aspect=config["aspect"],
            sampling=config["sampling"],
            fps=config["fps"],
            window_seconds=config["window_seconds"],
            stride_seconds=config["stride_seconds"],
            short_clip=config["short_clip"],
            sampling_tolerance_seconds=config["sampling_tolerance_seconds"],
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

    @property
    def program_shape(self) -> tuple[int, ...]:
        """The shape of one input of the program that predicts: an item, unless a clip's items are scored together."""
        return self.item_shape

    def program_inputs(self, clip: Clip) -> Float32Array:
        """A clip as inputs of the program that predicts: its items, unless they are scored together.

        Args:
            clip: Frames uint8 [T, H, W, 3] RGB of any size.

        Returns:
            float32 [inputs, *program_shape].
        """
        return self.items(clip)

    def program_name(self, quantize: Precision | None = None) -> str:
        """The name of a program, e.g. float32_1x224x224x3.

        Args:
            quantize: The precision; None for the config's.
        """
        shape = "x".join(str(size) for size in (PROGRAM_BATCH, *self.program_shape))
        return f"{quantize or self.config['quantize']}_{shape}"

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
                    f"{model.where}: holds a program but no weights, so it can predict but cannot be trained, resized "
                    "or converted. Use the bundle directory that it was converted from"
                )
            if model.stored is None:
                model.variables = initial_variables(self, network)
            else:
                from adapters.models.weights import require_finite

                weights = model.stored.weights()
                require_finite(weights, model.where)
                model.variables = weights
        return model.variables

    def drawn_variables(self, shapes: Mapping[str, tuple[int, ...]]) -> Variables:
        """``random_variables`` of a network whose variables are known by name and shape.

        Args:
            shapes: The variables' shapes by name.
        """
        from adapters.training import random_values

        return random_values(shapes, self.config["seed"])

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

    def ready_program(self) -> Path | bytes | None:
        """The program that the file of ``weights`` is itself, if it predicts as it is; None where it is to be made."""
        return None

    @property
    def needs_conversion(self) -> bool:
        model = self._model
        if self.program_name() in model.programs or not model.has_weights or self.ready_program() is not None:
            return False
        return not programs.is_made_quickly(self)

    def program(self) -> LiteRTProgram:
        """The LiteRT program that predicts: the one that the weights came as, otherwise ``made_program``."""
        name, model = self.program_name(), self._model
        with model.lock:
            if model.ready is None or model.ready[0] != name:
                data, where = self.ready_program(), self.config["weights"]
                opened = None if data is None else self.open_program(data, self.config["num_threads"], where)
                model.ready = (name, opened)
            return model.ready[1] or self.made_program()

    def made_program(self) -> LiteRTProgram:
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
            num_threads: Maximum number of cores to use; None for all.
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
        # Without a tolerance the features are those that were cached before there was one.
        if tolerance := self.config["sampling_tolerance_seconds"]:
            own["sampling_tolerance_seconds"] = tolerance
        return own | {"backbone": backbone_identity(self)}

    @property
    def brings_classifier(self) -> bool:
        """Whether the weights that the config names have a classifier for its labels, so that it needs no training."""
        return self.config["labels"] is None

    @property
    def names_a_file(self) -> bool:
        """Whether ``weights`` is the path of a file or folder."""
        return self.config["weights"] not in ("random", *self.published_names)


@cache
def _names_in(path: Path) -> tuple[str, ...]:
    """The lines of a file of this library: read once, as a stream asks for its labels at each frame."""
    return tuple(path.read_text(encoding="utf-8").splitlines())
