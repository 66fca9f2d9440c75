"""What this folder's helpers - weights, programs, conversion - ask of an adapter; ``ModelAdapter`` has all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from adapters.bundle import Golden
from adapters.config import Config
from adapters.litert import GraphWriter
from adapters.models.network import Backbone, BackboneShapes, Network, Pretrained, Variables
from adapters.models.state import AnyProgram
from adapters.protocols import LiteRTProgram
from adapters.records import Clip, Float32Array, InputSpec, Precision, Prediction


class DescribesNetwork(Protocol):
    """An adapter's network: what it is made of and which weights it starts from."""

    @property
    def config(self) -> Config: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def network_config(self) -> Config:
        """The config that shapes the network, with the head that it has."""

    @property
    def scores_items(self) -> bool:
        """Whether the head scores each item of a clip by itself."""

    @property
    def brings_classifier(self) -> bool:
        """Whether the weights that the config names have a classifier for its labels."""

    def build_backbone(self) -> Backbone: ...

    def build_network(self) -> Network: ...

    def ready_program(self) -> Path | bytes | None: ...

    def backbone_shapes(self) -> BackboneShapes | None: ...

    def pretrained(self) -> Pretrained: ...

    def random_variables(self, network: Network) -> Variables: ...

    def drawn_variables(self, shapes: Mapping[str, tuple[int, ...]]) -> Variables: ...


class HasPrograms(DescribesNetwork, Protocol):
    """An adapter whose network becomes LiteRT programs."""

    @property
    def backbone_keys(self) -> tuple[str, ...]:
        """The config keys that shape the backbone."""

    @property
    def head_keys(self) -> tuple[str, ...]:
        """The config keys that shape the head, beside ``head``."""

    @property
    def network_format(self) -> int:
        """Raised with a change of the network's code that changes its programs or features."""

    @property
    def program_formats(self) -> Mapping[str, int]:
        """Format numbers of the code that makes the program, beside those of the backbone and of every conversion."""

    @classmethod
    def family_name(cls) -> str:
        """What names the network in cache keys."""

    @property
    def trained(self) -> bool: ...

    @property
    def streams(self) -> bool: ...

    @property
    def item_shape(self) -> tuple[int, ...]: ...

    @property
    def program_shape(self) -> tuple[int, ...]:
        """The shape of one input of the program that predicts."""

    def items(self, clip: Clip) -> Float32Array: ...

    def program_inputs(self, clip: Clip) -> Float32Array:
        """A clip as inputs of the program that predicts: float32 [inputs, *program_shape]."""

    def program_name(self, quantize: Precision | None = None) -> str: ...

    def variables(self, network: Network | None = None) -> Variables: ...

    @property
    def quantises_written(self) -> bool:
        """Whether int8 is made of the written float32 program."""

    def write_program(self, quantize: Precision) -> bytes: ...

    def write_backbone(self, writer: GraphWriter, values: Variables) -> int: ...

    def convert_network(self, network: Network, quantize: Precision, calibration: Sequence[Clip]) -> bytes: ...


class Convertible(HasPrograms, Protocol):
    """An adapter that can be written as one file and measured against it."""

    @property
    def metrics(self) -> Mapping[str, Any]: ...

    @property
    def input_spec(self) -> InputSpec: ...

    def made_program(self) -> LiteRTProgram: ...

    def open_program(self, source: Path | bytes, num_threads: int | None, name: str | None = None) -> LiteRTProgram: ...

    def predict_with(self, program: AnyProgram, batch: Sequence[Clip]) -> list[Prediction]: ...

    def golden(self) -> Golden: ...
