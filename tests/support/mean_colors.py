"""An adapter whose backbone is the mean colour of each frame: heads are trained on it without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tiny_adapter import TinyAdapter

from adapters.base import FeatureSource
from adapters.errors import WeightsError
from adapters.records import Clip, Float32Array, Precision


@dataclass(frozen=True)
class NoProgram:
    """What stands for the file of a backbone."""

    model_bytes: bytes
    precision: Precision = "float32"
    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return len(self.model_bytes)


class MeanColors(TinyAdapter):
    """The tiny adapter with features. With ``weights`` "gray" it sees no colour; "missing" ones cannot be found."""

    schema_path = Path(__file__).with_name("mean_colors.schema.json")
    spoil: Callable[[Clip, Float32Array], Float32Array] = staticmethod(lambda clip, values: values)

    def feature_source(self) -> FeatureSource:
        weights: Any = self.config["weights"]
        if weights == "missing":
            raise WeightsError("the weights cannot be found. Put them somewhere")

        def compute(clips: list[Clip]) -> list[Float32Array]:
            found = [self.spoil(clip, clip.frames.mean(axis=(1, 2), dtype=np.float32)) for clip in clips]
            return [values * np.float32(0 if weights == "gray" else 1) for values in found]

        program = NoProgram(b"program" * self.config["program_size"])
        identity = {"of": "mean colours", "weights": weights, "n_frames": self.config["n_frames"]}
        return FeatureSource(identity, (self.config["n_frames"], 3), compute, program)
