"""A model on disk: a folder with everything that it is, each file sealed by its SHA-256 (see sealed_folder.py).

config.json  metrics.json  card.md  golden.npz  weights.safetensors  programs/*.tflite  bundle.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.bundle.sealed_folder import SEAL, SealedContents, SealedFile, check_name, read_sealed
from adapters.config import without_local_paths
from adapters.errors import BundleError
from adapters.system import MAX_DEPTH, parse_json, parse_safetensors

if TYPE_CHECKING:
    from adapters.bundle.golden import Golden

CONFIG, METRICS, CARD, GOLDEN, WEIGHTS = "config.json", "metrics.json", "card.md", "golden.npz", "weights.safetensors"
_PROGRAMS, _SUFFIX = "programs/", ".tflite"
_REQUIRED = (CONFIG, METRICS, CARD)
_OWN = (*_REQUIRED, GOLDEN, WEIGHTS)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle that was read and verified.

    Attributes:
        path: The folder.
        config: The complete config, as it was saved.
        programs: The LiteRT files by name without ``.tflite``, such as ``float32_1x224x224x3``.
        metrics: As saved.
        card: The model card, Markdown.
        digest: The SHA-256 of the list of files; bundles with equal digests are equal.
        size_bytes: The size of all files together.
        extra: Other files that were saved with it, by relative name.
        weights_file: The weights, decoded by ``weights()``; None on a device that only predicts.
        golden_file: The golden clip, decoded by ``golden``; None if none was saved.
    """

    path: Path
    config: dict[str, Any]
    programs: dict[str, Path]
    metrics: dict[str, Any]
    card: str
    digest: str
    size_bytes: int
    extra: dict[str, Path] = field(default_factory=dict)
    weights_file: SealedFile | None = field(default=None, repr=False)
    golden_file: SealedFile | None = field(default=None, repr=False)

    @property
    def has_weights(self) -> bool:
        """Whether it can be trained and converted; a bundle for an edge device predicts only."""
        return self.weights_file is not None

    @cached_property
    def golden(self) -> Golden | None:
        """The golden clip, read, verified and rendered at first use; None if none was saved.

        Raises:
            BundleError: It is not a golden clip of this version, or it changed since the bundle was read.
        """
        if self.golden_file is None:
            return None
        from adapters.bundle.golden_file import golden_from_bytes

        return golden_from_bytes(self.golden_file.read(), self.golden_file.label)

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Read and verify the weights.

        Returns:
            Arrays by variable name.

        Raises:
            BundleError: There are none, as on an edge device, or they changed since the bundle was read.
        """
        if self.weights_file is None:
            raise BundleError(
                f"{self.path}: has no {WEIGHTS}, so it predicts but cannot train or convert. "
                "Use the bundle that it was converted from."
            )
        data = self.weights_file.read()
        try:
            return parse_safetensors(data)
        except ValueError as error:
            raise BundleError(
                f"{self.weights_file.label}: is not a safetensors file ({error}). Save it again."
            ) from error


def write_bundle(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    programs: Mapping[str, bytes],
    weights: Mapping[str, npt.NDArray[Any]] | None,
    metrics: Mapping[str, Any],
    golden: Golden | None,
    card: str,
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Write a bundle into a new or an existing folder, in place of the bundle that it may hold.

    Args:
        path: The folder.
        config: The complete config, JSON values; a path in "weights" is written as its last name.
        programs: The bytes of LiteRT files by name, with or without ``.tflite``.
        weights: Arrays by variable name; None for a device that only predicts.
        metrics: JSON values.
        golden: The golden clip; None for none.
        card: The model card, Markdown; see ``render_card``.
        extra: The bytes of other files to keep and verify with it, by relative name.

    Raises:
        StorageError: The folder cannot be written (full disk, read-only); the old bundle is unchanged.
        BundleError: Values cannot be stored, the folder has files that are not a bundle's, or another process is
            writing into it.
    """
    from adapters.bundle.golden_file import golden_to_bytes
    from adapters.bundle.sealed_writer import write_sealed

    folder = Path(path)
    files = {
        CONFIG: _to_json(folder / CONFIG, without_local_paths(config)),
        METRICS: _to_json(folder / METRICS, metrics),
        CARD: card.encode(),
    }
    for name, program in programs.items():
        files[f"{_PROGRAMS}{name.removesuffix(_SUFFIX)}{_SUFFIX}"] = program
    if golden is not None:
        files[GOLDEN] = golden_to_bytes(golden)
    if weights is not None:
        files[WEIGHTS] = _weights_to_bytes(folder / WEIGHTS, weights)
    for name, data in (extra or {}).items():
        check_name(name, str(folder))
        if name in _OWN or name.startswith(_PROGRAMS):
            raise BundleError(
                f"{folder / name}: is the name of one of the bundle's own files, so an extra file cannot have it. "
                "Rename the extra file."
            )
        files[name] = data
    write_sealed(folder, files)


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle and verify every file in it; weights and the golden clip are decoded only when asked for.

    Nothing is written, so a read-only folder will do.

    Args:
        path: The folder.

    Raises:
        BundleError: A file is missing, damaged, not listed or of a newer version (the message names it); the folder is
            not a bundle or was never finished; or its ``bundle.json`` names files outside the folder.
    """
    folder = Path(path)
    sealed = read_sealed(folder, _REQUIRED)
    files, contents = sealed.files, sealed.contents
    return Bundle(
        path=folder,
        config=_from_json(sealed, CONFIG),
        programs={_program_name(name): file.path for name, file in files.items() if name.startswith(_PROGRAMS)},
        metrics=_from_json(sealed, METRICS),
        card=contents[CARD].decode("utf-8", "replace"),
        digest=sealed.digest,
        size_bytes=sum(file.size for file in files.values()),
        extra={n: file.path for n, file in files.items() if n not in _OWN and not n.startswith(_PROGRAMS)},
        weights_file=files.get(WEIGHTS),
        golden_file=files.get(GOLDEN),
    )


def read_bundle_config(path: str | Path) -> dict[str, Any]:
    """Read and verify the config of a bundle alone: it names the adapter that reads the rest.

    Args:
        path: The folder.

    Raises:
        BundleError: As ``read_bundle`` raises.
    """
    return _from_json(read_sealed(Path(path), (CONFIG,), verify_all=False), CONFIG)


def is_bundle(path: str | Path) -> bool:
    """Whether the folder has a bundle's list of files. It may still be damaged: ``read_bundle`` checks that.

    Args:
        path: The folder.
    """
    return (Path(path) / SEAL).is_file()


def _program_name(name: str) -> str:
    return name.removeprefix(_PROGRAMS).removesuffix(_SUFFIX)


def _to_json(path: Path, value: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(dict(value), indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"{path}: cannot be written as JSON ({error}). Give finite numbers, text and lists."
        ) from error


def _plain(value: object) -> object:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value: {value!r:.60}")


def _from_json(sealed: SealedContents, name: str) -> dict[str, Any]:
    try:
        value = parse_json(sealed.contents[name], MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{sealed.files[name].label}: is not JSON ({error}). Save the model again.") from error
    if not isinstance(value, dict):
        raise BundleError(f"{sealed.files[name].label}: must be a JSON object, got {value!r:.60}. Save it again.")
    return value


def _weights_to_bytes(path: Path, weights: Mapping[str, npt.NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    try:
        return save({name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in weights.items()})
    except Exception as error:  # safetensors has its own kind, and others for values that are not arrays
        raise BundleError(f"{path}: cannot be stored as safetensors ({error}). Give numeric arrays by name.") from error
