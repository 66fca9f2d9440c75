"""Files of Keras' weights (.h5, .weights.h5, .keras) read as data: arrays by layer, and by a network's own names.

Two layouts: the older one has a group for each layer with the names of its weights; Keras 3 has ``layers/<kind>_<n>/
vars/<n>``, where the kind is the layer's class and n counts the layers of that class. Nothing of what a file may hold
beside arrays - code, links to other files, filters of other libraries - is followed.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import MissingExtraError, WeightsError

KERAS_WEIGHTS_ENTRY = "model.weights.h5"  # inside a .keras file
MAX_DATASETS = 20_000
_MAX_DEPTH = 16
# Compressed datasets may be larger than the file; weights hardly compress.
_MAX_EXPANSION = 8
# What reading from a damaged zip archive raises; NotImplementedError is a RuntimeError.
ARCHIVE_ERRORS = (zipfile.BadZipFile, KeyError, OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)

Array = npt.NDArray[Any]


class LayerArrays:
    """The arrays of a Keras file.

    Attributes:
        by_name: By the name of the weight, such as "Conv1/kernel"; empty for the layout of Keras 3.
        by_class: By (class in snake case, number among the layers of that class), in the layer's order; empty for the
            older layout.
        ordered: (name, array) in the file's order of layers and weights; empty for the layout of Keras 3.
    """

    def __init__(
        self,
        by_name: dict[str, Array],
        by_class: dict[tuple[str, int], list[Array]],
        ordered: Sequence[tuple[str, Array]] = (),
    ) -> None:
        self.by_name, self.by_class, self.ordered = by_name, by_class, ordered


def read_keras_file(data: bytes, name: str) -> LayerArrays:
    """Read a Keras file.

    Args:
        data: The file: HDF5, or the zip archive of a .keras.
        name: What messages call it.

    Raises:
        WeightsError: It is damaged, or is not laid out as Keras' files are.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", "train") from error
    if data[:2] == b"PK":
        data = _from_archive(data, name)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            arrays = _arrays(file, len(data))
            return _by_layer(file, arrays)
    except _UnfitError as error:
        raise WeightsError(f"{name}: is not a Keras weights file ({error}). Save or download it again.") from None
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}: is not a Keras weights file ({reason:.200}), or is damaged. Save or download it again."
        ) from error


def match_layers(found: LayerArrays, layers: Sequence[Any]) -> dict[str, Array]:
    """The arrays by the names of a network's variables, as far as the file has them.

    Args:
        found: What the file has.
        layers: The network's layers, in order, with their variables (``weights``).

    Returns:
        Arrays by variable name.
    """
    if found.by_name:
        wanted = {variable.name.removesuffix(":0") for layer in layers for variable in layer.weights}
        return {name: value for name, value in found.by_name.items() if name in wanted}
    counts: dict[str, int] = {}
    result: dict[str, Array] = {}
    for layer in layers:
        kind = _snake_case(type(layer).__name__)
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        values = found.by_class.get((kind, number), [])
        if len(values) == len(layer.weights):
            result.update({v.name.removesuffix(":0"): value for v, value in zip(layer.weights, values, strict=True)})
    return result


class _UnfitError(Exception):
    """Why a file cannot be used; ``read_keras_file`` adds which file."""


def _from_archive(data: bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(KERAS_WEIGHTS_ENTRY)
            if info.file_size > _MAX_EXPANSION * len(data):
                raise WeightsError(
                    f"{name}: its {KERAS_WEIGHTS_ENTRY} would have {info.file_size} bytes, more than {_MAX_EXPANSION} "
                    "times the archive. Weights do not compress that much: the file is damaged or malicious."
                )
            return archive.read(info)
    except ARCHIVE_ERRORS as error:
        raise WeightsError(f"{name}: is a damaged .keras archive ({error}). Save or download it again.") from error


def _arrays(file: Any, file_size: int) -> dict[str, Array]:
    """Every dataset by its path, read after a check of what all of them would take."""
    import h5py

    datasets: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", file)]
    while waiting:
        path, group = waiting.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise _UnfitError(f"{path}{key} is a link to another object or file")
            item, at = group[key], f"{path}{key}"
            if isinstance(item, h5py.Dataset):
                datasets[at] = item
            elif isinstance(item, h5py.Group) and at.count("/") < _MAX_DEPTH:
                waiting.append((f"{at}/", item))
            if len(datasets) + len(waiting) > MAX_DATASETS:
                raise _UnfitError(f"it has more than {MAX_DATASETS} arrays")
    sizes = [int(item.size or 0) * item.dtype.itemsize for item in datasets.values()]
    if sum(sizes) > _MAX_EXPANSION * file_size:
        raise _UnfitError(f"its arrays would take {sum(sizes)} bytes, more than {_MAX_EXPANSION} times the file")
    for path, item in datasets.items():
        if item.external or item.is_virtual:
            raise _UnfitError(f"{path} is in another file")
    return {path: np.asarray(item[()]) for path, item in datasets.items() if item.dtype.kind in "fiub"}


def _by_layer(file: Any, arrays: Mapping[str, Array]) -> LayerArrays:
    if not arrays:
        raise _UnfitError("it holds no arrays")
    places = {path: re.fullmatch(r"(?:.*/)?([a-z0-9_]+?)(?:_(\d+))?/vars/(\d+)", path) for path in arrays}
    if any(places.values()):
        by_class: dict[tuple[str, int], dict[int, Array]] = {}
        for path, match in places.items():
            if match is not None and "optimizer" not in path.split("/"):
                key = (match[1], int(match[2] or 0))
                by_class.setdefault(key, {})[int(match[3])] = arrays[path]
        return LayerArrays({}, {key: [values[n] for n in sorted(values)] for key, values in by_class.items()})
    root = file.get("model_weights", file)
    by_name: dict[str, Array] = {}
    ordered: list[tuple[str, Array]] = []
    for layer in map(_text, root.attrs.get("layer_names", ())):
        for weight in map(_text, root[layer].attrs.get("weight_names", ())):
            if len(ordered) >= MAX_DATASETS:  # a few names of layers and weights, multiplied
                raise _UnfitError(f"its layers name more than {MAX_DATASETS} weights")
            value = arrays.get(f"{root.name.lstrip('/')}/{layer}/{weight}".lstrip("/"))
            if value is None:
                raise _UnfitError(f"{weight!r:.80} of its layer {layer!r:.80} is missing")
            plain = weight.removesuffix(":0")
            by_name[plain] = value
            ordered.append((plain, value))
            by_name.setdefault(f"{layer}/{plain.rpartition('/')[2]}", value)
    if not by_name:
        raise _UnfitError("it lists no layers")
    return LayerArrays(by_name, {}, ordered)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _snake_case(name: str) -> str:
    """As Keras 3 names a layer's group by its class (keras/src/utils/naming.py)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
