"""int8 programs of convolutional networks: calibrated, corrected, with the few worst layers left in float32.

Channels are not equalised across layers (Nagel et al. 2019, section 4.1): kernels have a scale for each output channel
anyway, and a range that just holds the scaled channels of calibration items clips those of other footage. On
EfficientNet-Lite0, calibrated on two thirds interactions and a third other footage, equalising took the features' mean
square error on the interactions from 0.0017 to 0.0017 and on the other footage from 0.0028 to 0.0051.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from adapters.errors import ConversionError
from adapters.litert.edit import Editor
from adapters.litert.int8_graph import convolutions, with_8_bit_convolutions
from adapters.litert.interpreter import open_interpreter
from adapters.litert.observed import observe
from adapters.litert.trial import trust_program
from adapters.records import Float32Array, take_evenly

# Layers are left in float32, the worst first, until those that stay in 8 bits add less than this to the outputs' mean
# square, or a quarter of what all would add; at most MOST_FLOAT_LAYERS, none with a kernel of more than
# MOST_FLOAT_VALUES.
SMALL_ERROR, SMALL_SHARE = 0.001, 0.25
MOST_FLOAT_LAYERS, MOST_FLOAT_VALUES = 10, 1 << 16
MEASURED_ITEMS = 8


def to_int8(model: bytes, items: Sequence[Float32Array]) -> bytes | None:
    """Make an int8 program of a float32 one.

    Args:
        model: The bytes of a float32 .tflite of one float32 input.
        items: Calibration items, float32 of the input's shape, preprocessed as for prediction.

    Returns:
        The bytes of the .tflite; None if it has no convolution that can compute in 8 bits.

    Raises:
        ConversionError: There are no items, or the network computes values that are not finite.
        BundleError: The bytes are not a LiteRT program.
    """
    if not items:
        raise ConversionError("calibration holds no items and int8 needs at least one. Give clips of real input.")
    places = [place for place, _ in convolutions(Editor(model).graphs()[0])]
    if not places:
        return None
    observed, graph = observe(model, items), Editor(model).graphs()[0]
    used = {tensor for _, op in convolutions(graph) for tensor in (int(op.inputs[0]), int(op.outputs[0]))}
    ranges = {tensor: observed[tensor].range() for tensor in used}

    def make(in_8_bits: Callable[[int], bool]) -> bytes:
        return trust_program(with_8_bit_convolutions(model, observed, ranges, in_8_bits))

    kept = _float_layers(model, make, take_evenly(items, min(MEASURED_ITEMS, len(items))))
    return make(lambda place: place not in kept)


def _float_layers(
    model: bytes, make: Callable[[Callable[[int], bool]], bytes], items: Sequence[Float32Array]
) -> set[int]:
    """The places of the convolutions that lose most in 8 bits, each measured alone."""
    expected = _outputs(model, items)
    graph = Editor(model).graphs()[0]
    candidates = [
        place for place, operator in convolutions(graph) if graph.size(int(operator.inputs[1])) <= MOST_FLOAT_VALUES
    ]
    errors = {
        place: _error(expected, _outputs(make(lambda other, place=place: other == place), items))  # type: ignore[misc]
        for place in candidates
    }
    worst = sorted(errors, key=lambda place: -errors[place])
    enough = max(SMALL_ERROR, SMALL_SHARE * sum(errors.values()))
    left, kept = sum(errors.values()), set[int]()
    for place in worst[:MOST_FLOAT_LAYERS]:
        if left <= enough:
            break
        kept.add(place)
        left -= errors[place]
    return kept


def _outputs(model: bytes, items: Sequence[Float32Array]) -> list[Float32Array]:
    """Each output, one row for each item."""
    interpreter = open_interpreter(model, "the program to measure")
    source = interpreter.get_input_details()[0]["index"]
    targets = sorted(int(item["index"]) for item in interpreter.get_output_details())
    rows: list[list[Float32Array]] = [[] for _ in targets]
    for item in items:
        interpreter.set_tensor(source, item)
        interpreter.invoke()
        for row, target in zip(rows, targets, strict=True):
            row.append(interpreter.get_tensor(target).ravel())
    return [np.stack(row) for row in rows]


def _error(expected: Sequence[Float32Array], found: Sequence[Float32Array]) -> float:
    """The mean square of the outputs' differences, as a share of the outputs' own; the mean over outputs."""
    shares = [
        float(np.square(other - own).mean() / max(np.square(own).mean(), 1e-12))
        for own, other in zip(expected, found, strict=True)
    ]
    return sum(shares) / len(shares)
