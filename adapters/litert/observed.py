"""What a program's tensors hold on real input: their range, their means, and a sample of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.errors import ConversionError
from adapters.litert.edit import Array, Editor
from adapters.litert.interpreter import open_interpreter
from adapters.litert.trial import trust_program
from adapters.records import Float32Array

ROWS = 2048  # positions of a tensor whose values are kept, over all items
POSITIONS = 2048  # of a tensor that are looked at for each item: every one, every second and so on
SEARCHED_VALUES = 65_536  # of those, in the search for a range
SMALLEST_SHARE, STEPS = 0.3, 15  # of the whole range: what the search tries


@dataclass(frozen=True)
class Observed:
    """A tensor over all items.

    Attributes:
        low: Minimum value of each channel, [C].
        high: The largest value of each channel, [C].
        mean: The mean of each channel, [C].
        rows: Values at positions drawn at random, [n, C].
    """

    low: Float32Array
    high: Float32Array
    mean: Float32Array
    rows: Float32Array

    def range(self) -> tuple[float, float]:
        """The ends of the 8-bit range with the least mean square error of the sample; 0 lies between them.

        A few far values cost more where the range holds them, in the rounding of all others, than where they are
        clipped (Banner et al. 2019, arXiv:1810.05723). Both ends are drawn in by one share, which is searched for.
        """
        low, high = min(0.0, float(self.low.min())), max(0.0, float(self.high.max()))
        values = self.rows.ravel()
        values = values[:: max(1, len(values) // SEARCHED_VALUES)]
        errors = {share: _rounding_error(values, low * share, high * share) for share in _SHARES}
        best = min(errors, key=lambda share: (errors[share], -share))
        return low * best, high * best


_SHARES = np.linspace(SMALLEST_SHARE, 1, STEPS).tolist()


def observe(model: bytes, items: Sequence[Float32Array], seed: int = 0) -> dict[int, Observed]:
    """Run a program on items and look at its input and at everything that it computes in float32.

    Args:
        model: The bytes of a .tflite of one float32 input.
        items: At least one input, each of the input's shape.
        seed: Draws the positions whose values are kept.

    Returns:
        What was seen, by tensor index.

    Raises:
        ConversionError: The network computes values that are not finite.
        BundleError: The bytes are not a LiteRT program.
    """
    editor = Editor(model)
    graph = editor.graphs()[0]
    source, shown = int(graph.graph.inputs[0]), [int(index) for index in graph.graph.outputs]
    computed = [int(index) for operator in graph.operators() for index in operator.outputs]
    watched = [index for index in dict.fromkeys([source, *computed]) if graph.is_float(index) and graph.shape(index)]
    graph.graph.outputs = list(dict.fromkeys([*shown, *(index for index in watched if index != source)]))
    interpreter = open_interpreter(trust_program(editor.packed()), "the program to calibrate")
    draw, each = np.random.default_rng(seed), -(-ROWS // len(items))
    seen: dict[int, list[Observed]] = {index: [] for index in watched}
    for item in items:
        interpreter.set_tensor(source, item)
        interpreter.invoke()
        for index in watched:
            # A view and no copy; it must be gone before the interpreter runs again.
            seen[index].append(_look(interpreter.tensor(index)(), each, draw))
    return {index: _joined(parts) for index, parts in seen.items()}


def _look(values: Array, count: int, draw: np.random.Generator) -> Observed:
    by_position = values.reshape(-1, values.shape[-1])
    step = -(-len(by_position) // POSITIONS)
    seen = by_position[int(draw.integers(step)) :: step]
    rows = seen[draw.integers(0, len(seen), min(count, len(seen)))]
    return Observed(seen.min(0), seen.max(0), seen.mean(0), rows)


def _joined(parts: list[Observed]) -> Observed:
    low = np.min([part.low for part in parts], axis=0)
    high = np.max([part.high for part in parts], axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ConversionError(
            "calibration: the network gives values that are not finite numbers, so no 8-bit range can be determined. "
            "Check its weights, and that calibration clips are preprocessed as for prediction."
        )
    mean = np.mean([part.mean for part in parts], axis=0)
    return Observed(low, high, mean, np.concatenate([part.rows for part in parts]))


def _rounding_error(values: Any, low: float, high: float) -> float:
    scale = max(high - low, 1e-8) / 255
    rounded = np.clip(np.rint((values - low) / scale), 0, 255) * scale + low
    return float(np.square(rounded - values).mean())
