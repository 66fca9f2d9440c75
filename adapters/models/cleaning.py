"""A stored model for a copy that leaves its machine: models of older versions tell where their weights lay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.bundle import SEAL, card_text, read_bundle, read_seal, seal_of, write_sealed
from adapters.config import file_name, without_local_paths
from adapters.errors import BundleError
from adapters.litert import clean_description
from adapters.system import MAX_DEPTH, parse_json

_CONFIG, _CARD, _PROGRAMS, _SUFFIX = "config.json", "card.md", "programs/", ".tflite"


@contextmanager
def clean_copy(stored: Path) -> Iterator[Path]:
    """A model without paths of its maker's machine, until the block ends.

    Args:
        stored: A bundle or a self-describing .tflite, which was read and verified before.

    Yields:
        The same path where the model tells nothing, otherwise a copy of the same name in a temporary folder.

    Raises:
        BundleError: The model changed meanwhile, or cannot be read.
    """
    with TemporaryDirectory(prefix="cliplab_") as folder:
        target = Path(folder) / (stored.name or "model")
        if stored.is_dir():
            files = clean_bundle_files(stored)
            if files is not None:
                write_sealed(target, files)
        else:
            data = stored.read_bytes()
            if (clean := clean_description(data)) is not data:
                target.write_bytes(clean)
        yield target if target.exists() else stored


def clean_bundle_files(folder: Path) -> dict[str, bytes] | None:
    """The files of a bundle without paths of its maker's machine, also those of the members of an ensemble.

    Args:
        folder: The bundle.

    Returns:
        The bytes of each file by relative name, without ``bundle.json``; None where the bundle tells nothing.

    Raises:
        BundleError: It is damaged, or changed meanwhile.
    """
    config = read_bundle(folder).config
    names = list(read_seal(folder)[0])
    if without_local_paths(config) == config and not any(name.startswith("members/") for name in names):
        return None
    try:
        return _changed({name: (folder / name).read_bytes() for name in names})
    except OSError as error:
        raise BundleError(
            f"{error.filename}: cannot be read ({error.strerror}): saving {folder} was interrupted. Save it again"
        ) from error


def _changed(files: dict[str, bytes]) -> dict[str, bytes] | None:
    """The files of one sealed folder with what has to be changed; None for nothing."""
    clean = {**files, **_own_files(files)}
    for seal in [name for name in files if name.endswith(f"/{SEAL}")]:
        at = seal[: -len(SEAL)]
        inside = {name[len(at) :]: data for name, data in files.items() if name.startswith(at) and name != seal}
        changed = _changed(inside)
        if changed is not None:
            clean |= {f"{at}{name}": data for name, data in changed.items()} | {seal: seal_of(changed)}
    for name, data in files.items():
        if name.endswith(_SUFFIX) and _PROGRAMS not in name:  # a member that is one file
            clean[name] = clean_description(data)
    return None if clean == files else clean


def _own_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """The config and the card without the path of the weights, where they have one."""
    config = parse_json(files[_CONFIG], MAX_DEPTH)
    clean = without_local_paths(config)
    if clean == config:
        return {}
    card, path = files.get(_CARD, b"").decode("utf-8", "replace"), str(config["weights"])
    for form in (path, card_text(path)):
        card = card.replace(form, card_text(file_name(path)))
    return {_CONFIG: (json.dumps(clean, indent=2, ensure_ascii=False) + "\n").encode(), _CARD: card.encode()}
