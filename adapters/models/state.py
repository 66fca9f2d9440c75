"""What an adapter holds in memory: what was loaded, and what was made of it so far."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from adapters.config import Config
from adapters.errors import BundleError
from adapters.litert import Program
from adapters.protocols import LiteRTProgram, StoredModel
from adapters.records import Float32Array
from adapters.training import output_units


class AnyProgram(Protocol):
    """A LiteRT program, of items or of a stream's steps, or TensorFlow in its place."""

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]: ...


class RunsItems(AnyProgram, Protocol):
    """A program of items."""

    def run(self, batch: Float32Array) -> dict[str, Float32Array]:
        """float32 [N, *item_shape] to each output [N, ...]."""


@dataclass
class LoadedModel:
    """What an adapter has loaded or made.

    Attributes:
        programs: Paths or bytes of .tflite files by name.
        stored: The saved model that it was loaded from; None if it was not loaded.
        variables: float32 arrays by name, once they were read or trained.
        active: The opened program and its name.
        ready: The opened program that the weights came as, None where they came as none, and the name of the one that
            the config asks for.
        backbone: The opened program of the backbone alone.
        on_gpu: What predicts if the config's ``device`` is "gpu".
        lock: Held while a program is made, so that threads that ask for it at once share one.
    """

    programs: dict[str, Path | bytes] = field(default_factory=dict)
    stored: StoredModel | None = None
    variables: dict[str, Float32Array] | None = None
    active: tuple[str, LiteRTProgram] | None = None
    ready: tuple[str, LiteRTProgram | None] | None = None
    backbone: Program | None = None
    on_gpu: RunsItems | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def has_weights(self) -> bool:
        """Whether it can be trained, resized and converted."""
        return self.stored is None or self.stored.has_weights

    @property
    def where(self) -> str:
        """Where it came from, for messages."""
        return "this model" if self.stored is None else str(self.stored.path)


def require_rows(
    outputs: Mapping[str, npt.NDArray[Any]], output: str, config: Config, labels: tuple[str, ...], where: str
) -> Float32Array:
    """One output of a program, which may come from a file that somebody else made.

    Args:
        outputs: What the program gave, by name.
        output: "scores" or "features".
        config: The model's config, which says with ``labels`` how many scores there must be.
        labels: The classes in order.
        where: The model, for messages.

    Returns:
        float32 [N, units] or [N, D].

    Raises:
        BundleError: There is no such output, or it has another type, rank or number of values.
    """
    values, units = outputs.get(output), output_units(config, labels) if output == "scores" else None
    if values is None or values.dtype != np.float32 or values.ndim != 2 or units not in (None, values.shape[1]):
        found = "does not have" if values is None else f"gives {values.dtype} {list(values.shape[1:])} as"
        raise BundleError(
            f"{where}: its program {found} the output {output!r}, which must be float32 [{units or 'any'}]. Download "
            "the model again, or convert it again from its bundle"
        )
    return values
