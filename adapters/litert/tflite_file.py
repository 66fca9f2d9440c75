"""The .tflite that describes itself: config, ordered labels and digests stand in the file's own metadata.

How it is laid out. A TFLite file is a FlatBuffer: a first offset to the root table, then tables that refer only
forward, by distances. So the description is put in front and the program is kept as it was, byte for byte:

    [root offset "TFL3" | new root table, metadata entry "cliplab", JSON, padding, SHA-256 of this block] [old file]

The new root table refers to the old one's operators, subgraphs and buffers. The block's length is a multiple of 64, so
the weights keep their alignment; what follows it is the old file, with the digest that it always had. Field numbers are
those of TFLite's schema.fbs. No FlatBuffer library is needed: ``flatbuffer`` reads what a bare file needs.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.config import without_local_paths
from adapters.errors import BundleError
from adapters.litert.flatbuffer import DamagedFlatBufferError, bytes_at, field_at, fields_of, follow, items_of, unpack
from adapters.system import MAX_DEPTH, open_regular_file, parse_json

ENTRY = "cliplab"
FORMAT = 1
_IDENTIFIER = b"TFL3"
_ALIGN = 64
_DIGEST_BYTES = 32
_LONGEST_NAME = 256  # of a metadata entry, as far as it is compared
# Model in schema.fbs: version, operator_codes, subgraphs, description, buffers, metadata_buffer, metadata,
# signature_defs; later fields name weights in other files.
_VERSION, _BUFFERS, _METADATA, _MODEL_FIELDS = 0, 4, 6, 8


def with_description(model_bytes: bytes, description: dict[str, Any]) -> bytes:
    """The model with a description in its metadata, in place of the description that it may have. It runs as before.

    Args:
        model_bytes: The bytes of a .tflite.
        description: JSON values, such as ``{"config": {...}, "labels": [...], "golden_sha256": "..."}``. ``format``,
            ``program_sha256`` and ``program_size_bytes`` (of the model without the entry) are added.

    Returns:
        The bytes of the .tflite that describes itself.

    Raises:
        BundleError: The bytes are not a TFLite model, its weights are outside the FlatBuffer, or the description is not
            JSON (NaN, other objects).
    """
    program = without_description(model_bytes)
    config = description.get("config")
    whole = {
        **description,
        **({"config": without_local_paths(config)} if isinstance(config, dict) else {}),
        "format": FORMAT,
        "program_sha256": hashlib.sha256(program).hexdigest(),
        "program_size_bytes": len(program),
    }
    try:
        payload = json.dumps(whole, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"description: cannot be written as JSON ({error}). Give plain numbers, text and lists."
        ) from error
    try:
        return _block(program, payload) + program
    except DamagedFlatBufferError as error:
        raise BundleError(f"model: is not a complete .tflite ({error}). Convert it again.") from error


def clean_description(model_bytes: bytes) -> bytes:
    """The model as this version would describe it: without paths of the machine on which it was made.

    Args:
        model_bytes: The bytes of a .tflite that describes itself.

    Returns:
        The same bytes where there is nothing to leave out.

    Raises:
        BundleError: As ``read_description`` raises.
    """
    description = read_description(model_bytes)
    if without_local_paths(description["config"]) == description["config"]:
        return model_bytes
    return with_description(model_bytes, description)


@dataclass(frozen=True, eq=False)
class DescribedFile:
    """A .tflite that describes itself, as it was read and checked: a model of one program and no weights.

    Attributes:
        path: The file.
        config: The complete config, as ``convert`` wrote it.
        program: The program's name, such as ``float32_1x224x224x3``.
        metrics: The figures that training measured on its validation clips, under "validation" as in a bundle's
            metrics.json; empty where there were none.
    """

    path: Path
    config: dict[str, Any]
    program: str
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def programs(self) -> dict[str, Path]:
        """The one program, by name."""
        return {self.program: self.path}

    @property
    def has_weights(self) -> bool:
        """Always False."""
        return False

    def weights(self) -> dict[str, Any]:
        """Raises BundleError: a .tflite has no weights to train from."""
        raise BundleError(f"{self.path}: holds a program but no weights. Use the bundle that it was converted from.")


def read_described(path: str | Path) -> DescribedFile:
    """Read a .tflite that describes itself as a model.

    Args:
        path: The .tflite.

    Raises:
        BundleError: As ``read_description`` raises.
    """
    description = read_description(path)
    figures = description.get("metrics")
    metrics = {"validation": figures} if isinstance(figures, dict) and figures else {}
    return DescribedFile(Path(path), description["config"], str(description.get("program", "")), metrics)


def read_description(source: str | Path | bytes) -> dict[str, Any]:
    """Read the description in a .tflite, checked against every byte of the file.

    Args:
        source: A path, or the file's bytes.

    Returns:
        What ``with_description`` received, with ``format``, ``program_sha256`` and ``program_size_bytes``.

    Raises:
        BundleError: The file is missing, not a TFLite model, without a description, written by a newer version, or a
            byte of the description or the program was changed.
    """
    name, data = _read(source)
    try:
        found = _find_entry(data)
    except DamagedFlatBufferError as error:
        raise BundleError(f"{name}: is damaged or truncated ({error}). Copy or convert it again.") from error
    if found is None:
        raise BundleError(
            f"{name}: is a .tflite that does not describe itself (no metadata entry {ENTRY!r}): so its labels and "
            "preprocessing are unknown. Use a file that `cliplab convert` wrote, or load the bundle it came from."
        )
    start, end, body = found
    _check_block(name, data, body)
    description = _parse(name, data[start:end])
    program = memoryview(data)[body:]
    size, expected = len(program), description["program_size_bytes"]
    if size != expected:
        what = "truncated" if size < expected else "longer than it was"
        raise BundleError(f"{name}: is {what}: its program has {size} bytes; {expected} were written. Copy it again.")
    if hashlib.sha256(program).hexdigest() != description["program_sha256"]:
        raise BundleError(
            f"{name}: its program does not match its description (SHA-256 differs). "
            "Copy it again; to change a model, convert it again from its bundle."
        )
    return description


def without_description(model_bytes: bytes) -> bytes:
    """The model as it was before ``with_description``; a model without a description is returned as it is.

    Args:
        model_bytes: The bytes of a .tflite.

    Raises:
        BundleError: The bytes are not a TFLite model.
    """
    _, data = _read(model_bytes)
    try:
        found = _find_entry(data)
    except DamagedFlatBufferError as error:
        raise BundleError(f"model: is not a complete .tflite ({error}). Convert it again.") from error
    # If another tool rewrote the file, the entry is no longer our block at the end; with_description drops it by name.
    return data[found[2] :] if found and _block_is_whole(data, found[2]) else data


def _read(source: str | Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "model", source
    else:
        name = str(source)
        try:
            if Path(source).is_dir():
                raise BundleError(f"{name}: is a folder; a .tflite file is expected. Open a bundle with open_model.")
            with open_regular_file(source, BundleError) as file:
                data = file.read()
        except OSError as error:
            raise BundleError(f"{name}: cannot be read ({error.strerror}). Give the path of a .tflite file.") from error
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise BundleError(
            f"{name}: is not a TFLite model ({len(data)} bytes, starts with {data[:8]!r}, not the mark 'TFL3'). "
            "Use a .tflite that `cliplab convert` wrote."
        )
    return name, data


def _parse(name: str, payload: bytes) -> dict[str, Any]:
    try:
        description = parse_json(payload, MAX_DEPTH)
        version = description["format"]
        whole = isinstance(description["program_size_bytes"], int) and isinstance(description["program_sha256"], str)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{name}: its description was not written by cliplab, or is damaged ({error!r}). Convert the model again."
        ) from error
    if version != FORMAT or not whole:
        raise BundleError(
            f"{name}: its description has format {version!r}; this version reads {FORMAT}. Install a newer cliplab."
        )
    return dict(description)


def _check_block(name: str, data: bytes, body: int) -> None:
    if not _block_is_whole(data, body):
        raise BundleError(
            f"{name}: its description was changed or moved since it was written (SHA-256 differs). Copy it again; "
            "to change a model, convert it again from its bundle."
        )


def _block_is_whole(data: bytes, body: int) -> bool:
    digest = hashlib.sha256(memoryview(data)[: body - _DIGEST_BYTES]).digest()
    return data[body - _DIGEST_BYTES : body] == digest and data[body + 4 : body + 8] == _IDENTIFIER


# Reading.


def _entry_name(data: bytes, metadata: int) -> str:
    field = field_at(data, metadata, 0)
    start, end = bytes_at(data, field) if field else (0, 0)
    return data[start : min(end, start + _LONGEST_NAME)].decode("utf-8", "replace")


def _find_entry(data: bytes) -> tuple[int, int, int] | None:
    """Start and end of our JSON, and where the block that holds it ends; None without such an entry."""
    root = follow(data, 0)
    for metadata in items_of(data, field_at(data, root, _METADATA)):
        if _entry_name(data, metadata) != ENTRY:
            continue
        number = field_at(data, metadata, 1)
        index = unpack("<I", data, number) if number else 0
        buffers = items_of(data, field_at(data, root, _BUFFERS))
        content = field_at(data, buffers[index], 0) if index < len(buffers) else 0
        if not content:
            raise DamagedFlatBufferError(
                f"metadata entry {ENTRY!r} names buffer {index} of {len(buffers)}, which is empty"
            )
        start, end = bytes_at(data, content)
        return start, end, _aligned(end + _DIGEST_BYTES, _ALIGN)
    # A file without a description does not state its length: if it was truncated, weights lie past its end.
    for buffer in items_of(data, field_at(data, root, _BUFFERS)):
        if content := field_at(data, buffer, 0):
            bytes_at(data, content)
    return None


def _aligned(size: int, step: int) -> int:
    return -(-size // step) * step


# Writing.


def _block(program: bytes, payload: bytes) -> bytes:
    """The block in front of the program. Every offset leads forward, as FlatBuffers ask."""
    root = follow(program, 0)
    old = fields_of(program, root)
    if any(old[_MODEL_FIELDS:]):
        raise BundleError("model: its weights are in other files. Convert it to a single file.")
    old = [*old, *[0] * _MODEL_FIELDS][:_MODEL_FIELDS]
    buffers = items_of(program, old[_BUFFERS])
    if not buffers or any(_lies_outside(program, buffer) for buffer in buffers):
        raise BundleError(
            "model: its weights are not in the FlatBuffer (more than 2 GB?). Convert to a smaller type, such as "
            "float16."
        )
    entries = [item for item in items_of(program, old[_METADATA]) if _entry_name(program, item) != ENTRY]

    metadata_list = 64
    buffer_list = metadata_list + 4 + 4 * (len(entries) + 1)
    tables = buffer_list + 4 + 4 * (len(buffers) + 1)
    json_start = _aligned(tables + 48 + 4, 16)  # Buffer.data is aligned to 16
    size = _aligned(json_start + len(payload) + _DIGEST_BYTES, _ALIGN)
    block = bytearray(size)
    struct.pack_into("<I4s", block, 0, 28, _IDENTIFIER)
    _pack_root(block, program, old, size, {_BUFFERS: buffer_list, _METADATA: metadata_list})
    _pack_list(block, metadata_list, [*(size + item for item in entries), tables + 8])
    _pack_list(block, buffer_list, [*(size + item for item in buffers), tables + 28])
    # Metadata: vtable, then table (name at + 4, buffer at + 8). Buffer: vtable padded to 8 bytes, table (data at + 4).
    struct.pack_into("<4HiII", block, tables, 8, 12, 4, 8, 8, 36 - 12, len(buffers))
    struct.pack_into("<4HiI", block, tables + 20, 6, 8, 4, 0, 8, json_start - 4 - (tables + 32))
    struct.pack_into("<I8s", block, tables + 36, len(ENTRY), ENTRY.encode())
    struct.pack_into(f"<I{len(payload)}s", block, json_start - 4, len(payload), payload)
    block[-_DIGEST_BYTES:] = hashlib.sha256(block[:-_DIGEST_BYTES]).digest()
    return bytes(block)


def _pack_root(block: bytearray, program: bytes, old: list[int], size: int, lists: dict[int, int]) -> None:
    """The new Model: vtable at 8, table at 28. Its fields lead to the new lists, or past the block to the old parts."""
    struct.pack_into("<HH", block, 8, 20, 36)
    struct.pack_into("<i", block, 28, 20)
    for number in range(_MODEL_FIELDS):
        at = 32 + 4 * number
        if number in lists:
            value = lists[number] - at
        elif not old[number]:
            continue
        elif number == _VERSION:
            value = unpack("<I", program, old[number])
        else:
            value = size + follow(program, old[number]) - at
        struct.pack_into("<H", block, 12 + 2 * number, at - 28)
        struct.pack_into("<I", block, at, value)


def _lies_outside(program: bytes, buffer: int) -> bool:
    """Buffer.offset above 1 is a place in the file outside the FlatBuffer, counted from the file's start."""
    offset = field_at(program, buffer, 1)
    return bool(offset) and unpack("<Q", program, offset) > 1


def _pack_list(block: bytearray, at: int, targets: list[int]) -> None:
    struct.pack_into("<I", block, at, len(targets))
    for i, target in enumerate(targets):
        place = at + 4 + 4 * i
        struct.pack_into("<I", block, place, target - place)
