"""An adapter's LiteRT programs: what their bytes follow from, and how they are made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.config import Config
from adapters.errors import ConfigError, MissingExtraError
from adapters.litert import program_cache
from adapters.models.network import Network, Variables
from adapters.models.written_programs import variable_shapes, written_backbone
from adapters.records import Clip, Float32Array, Precision, as_precision, take_evenly
from adapters.training import VARIABLE_PREFIX, output_activation, output_units

if TYPE_CHECKING:
    from adapters.models.protocols import HasPrograms
    from adapters.models.state import LoadedModel

# Items a program takes at once. One is fastest an item on the processors measured (benchmarks/results.md), and
# batches are spread over interpreters anyway.
PROGRAM_BATCH = 1
# Items that int8 is calibrated on at most, spread over the clips; each takes about 0.06 s (EfficientNet-Lite0).
CALIBRATION_ITEMS = 128


def get_program(adapter: HasPrograms, model: LoadedModel) -> Path | bytes:
    """The program that the config asks for, cached or made now.

    Args:
        adapter: The model.
        model: What is loaded of it.

    Returns:
        A .tflite's path or bytes.

    Raises:
        ConfigError: It cannot be made: there are no weights, or int8 has no calibration clips.
    """
    quantize, name = adapter.config["quantize"], adapter.program_name()
    if not model.has_weights:
        raise ConfigError(
            f"{model.where}: holds {', '.join(model.programs)}, but the config requires {name}, which cannot be made "
            "without weights. Convert the bundle that it came from: cliplab convert BUNDLE "
            f"--quantize {quantize} --set imgz={adapter.config['imgz']} --output X.tflite"
        )
    if quantize == "int8":
        if (ready := adapter.ready_program()) is not None:
            return ready
        raise ConfigError(
            '"quantize" is "int8", which needs calibration clips, and the model has no int8 program yet. '
            "Make it with: cliplab convert MODEL --quantize int8 --data DATASET --output X.tflite"
        )
    return program_cache.get_or_make(program_identity(adapter), lambda: make_program_bytes(adapter, quantize))


def is_made_quickly(adapter: HasPrograms) -> bool:
    """Whether the program that the config asks for is cached already, or is written without TensorFlow.

    Args:
        adapter: The model.
    """
    return variable_shapes(adapter) is not None or program_cache.program_path(program_identity(adapter)).is_file()


def get_program_at(adapter: HasPrograms, quantize: Precision) -> Path | bytes:
    """The program of the present weights and size at another precision than the config's, cached or made now.

    Args:
        adapter: The model.
        quantize: The precision; not int8.

    Returns:
        A .tflite's path or bytes.
    """
    identity = {**program_identity(adapter), "quantize": quantize, "name": adapter.program_name(quantize)}
    return program_cache.get_or_make(identity, lambda: make_program_bytes(adapter, quantize))


def make_program_bytes(adapter: HasPrograms, quantize: Precision, calibration: Sequence[Clip] = ()) -> bytes:
    """Make a program of the adapter's present weights and size.

    Args:
        adapter: The model.
        quantize: The precision.
        calibration: Clips for int8.

    Returns:
        The bytes of the .tflite.

    Raises:
        ConversionError: An operator cannot be converted, or int8 has no clips.
    """
    from adapters.litert import to_int8, with_8_bit_weights
    from adapters.training import assign

    # Made of the float32 program, which may be already there.
    if quantize == "dynamic" and not adapter.streams:
        source = get_program_at(adapter, "float32")
        return with_8_bit_weights(source if isinstance(source, bytes) else source.read_bytes())
    precision = as_precision(quantize)
    written = variable_shapes(adapter) is not None
    if precision != "int8" and written:
        return adapter.write_program(precision)
    if precision == "int8" and written and adapter.quantises_written:
        made = to_int8(adapter.write_program("float32"), list(_calibration_items(adapter, calibration)))
        if made is not None:
            return made
    try:
        network = adapter.build_network()
    except MissingExtraError as missing:
        raise _needs_conversion(missing, "a LiteRT program of these weights") from missing
    assign(network, adapter.variables(network))
    return adapter.convert_network(network, quantize, calibration)


def convert_items(adapter: HasPrograms, network: Network, quantize: Precision, calibration: Sequence[Clip]) -> bytes:
    """Convert a network of items to a LiteRT program.

    Args:
        adapter: The model, for its shapes and preprocessing.
        network: The network with the weights to convert.
        quantize: The precision.
        calibration: Clips for int8.

    Returns:
        The bytes of the .tflite.

    Raises:
        ConversionError: An operator cannot be converted, or int8 has no clips.
    """
    from adapters.litert import to_int8, to_litert

    fixed = network.for_conversion()
    samples = list(_calibration_items(adapter, calibration)) if calibration else None
    model, shape = _Convertible(fixed, fixed.weights), (PROGRAM_BATCH, *adapter.program_shape)
    in_8_bits = fixed.backbone.layers_in_8_bits
    if quantize == "int8" and samples and in_8_bits is None:
        made = to_int8(to_litert(model, shape), samples)
        if made is not None:
            return made
    return to_litert(model, shape, quantize, samples, in_8_bits=in_8_bits)


def get_backbone_program(adapter: HasPrograms) -> Path | bytes:
    """The float32 program of the backbone alone, {"features": [batch, D]}, from the cache or made now.

    Args:
        adapter: The model.

    Returns:
        A .tflite's path or bytes.
    """
    return program_cache.get_or_make(backbone_identity(adapter), lambda: _make_backbone_bytes(adapter))


def _calibration_items(adapter: HasPrograms, clips: Sequence[Clip]) -> Iterator[Float32Array]:
    """Items of at most ``calibration_clips`` clips, as many of each, CALIBRATION_ITEMS in all."""
    if not clips:
        return
    chosen = take_evenly(clips, min(adapter.config["calibration_clips"], CALIBRATION_ITEMS))
    each = max(1, CALIBRATION_ITEMS // len(chosen))
    for clip in chosen:
        items = adapter.program_inputs(clip)
        for position in np.unique(np.linspace(0, len(items) - 1, min(each, len(items))).round().astype(int)):
            yield items[position][None]


def _make_backbone_bytes(adapter: HasPrograms) -> bytes:
    from adapters.litert import to_litert
    from adapters.training import assign

    if adapter.backbone_shapes() is not None:
        return written_backbone(adapter, backbone_part(adapter.variables()), PROGRAM_BATCH)
    try:
        backbone = adapter.build_backbone()
    except MissingExtraError as missing:
        raise _needs_conversion(missing, "the features of these weights") from missing
    assign(backbone, backbone_part(adapter.variables()))
    fixed = backbone.for_conversion()
    model = _Convertible(fixed, fixed.weights)
    return to_litert(model, (PROGRAM_BATCH, *adapter.item_shape), output_name="features")


def _needs_conversion(missing: MissingExtraError, what: str) -> MissingExtraError:
    """The error of a network that only TensorFlow converts, on a machine without it."""
    return MissingExtraError(
        missing.package,
        missing.extra,
        f"converting this network to {what}",
        "Or run `cliplab convert MODEL --output X.tflite` where TensorFlow is installed, and use X.tflite here: "
        "prediction with it needs no TensorFlow",
    )


class _Convertible:
    """A function and the variables that it reads, as the converter takes them."""

    def __init__(self, run: Callable[[Any], Any], variables: Sequence[Any]) -> None:
        self.run, self.variables = run, list(variables)

    def __call__(self, items: Any) -> Any:
        return self.run(items)


def program_identity(adapter: HasPrograms) -> Config:
    """What the bytes of the config's program follow from; of labels their number, and not their names.

    Args:
        adapter: The model.

    Returns:
        JSON values.
    """
    config = adapter.network_config
    own = {"head": config["head"], "quantize": config["quantize"], "name": adapter.program_name()}
    own |= {"units": output_units(config, adapter.labels), "activation": output_activation(config)}
    own |= {key: config[key] for key in adapter.head_keys}
    own |= {"formats": adapter.program_formats, "backbone": backbone_identity(adapter)}
    if adapter.trained:
        own["variables"] = _digest(adapter.variables())
    elif config["weights"] == "random":
        own["seed"] = config["seed"]
    elif adapter.brings_classifier:
        own["classifier"] = _digest(adapter.pretrained().classifier)
    return own


def backbone_identity(adapter: HasPrograms) -> Config:
    """What the bytes of the backbone's program follow from. Reads weights, and needs no TensorFlow.

    Args:
        adapter: The model.

    Returns:
        JSON values.
    """
    config = adapter.config
    own = {"family": adapter.family_name(), "format": adapter.network_format}
    own |= {key: config[key] for key in adapter.backbone_keys}
    if not adapter.trained and config["weights"] == "random":
        return own | {"seed": config["seed"]}
    if adapter.trained:
        return own | {"variables": _digest(backbone_part(adapter.variables()))}
    return own | {"variables": _digest(adapter.pretrained().backbone)}


def backbone_part(variables: Mapping[str, Float32Array]) -> Variables:
    """The variables of the backbone among those of the network."""
    return {name: value for name, value in variables.items() if not name.startswith(VARIABLE_PREFIX)}


def _digest(variables: Mapping[str, Float32Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(variables):
        value = np.ascontiguousarray(variables[name])
        digest.update(f"{name} {value.shape} {value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
