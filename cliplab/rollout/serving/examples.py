"""Hard examples that devices send: taken once each, checked, and kept on bounded disk for people to label."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError
from adapters.system import json_text, parse_json, storage_error, write_bytes_atomic
from cliplab.rollout.names import check_device_name

EXAMPLE_BYTES = 20_000_000  # of one request: its facts and its picture or video
FOLDER_BYTES = 10_000_000_000  # of all examples of a registry
DEVICE_BYTES = FOLDER_BYTES // 10  # of those of one device, so that it leaves room for the others
# A full folder is looked at again after this time: people move what they have labelled.
_RECOUNT_SECONDS = 60.0
_FACTS_BYTES = 1_000_000
_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{16}")
# The first bytes of what may be sent; an MP4 has its mark after the length of its first box.
_MARKS = {".jpg": (0, b"\xff\xd8\xff"), ".png": (0, b"\x89PNG\r\n\x1a\n"), ".mp4": (4, b"ftyp")}


class ExampleStore:
    """The examples of a registry: ``DEVICE/NAME.jpg`` with ``NAME.json``, which is written last.

    Args:
        folder: Where they are kept; made when needed.
        max_bytes: How much they may take together.
        device_bytes: How much those of one device may take.
    """

    def __init__(self, folder: Path, max_bytes: int = FOLDER_BYTES, device_bytes: int = DEVICE_BYTES) -> None:
        self._folder, self._max_bytes, self._device_bytes = folder, max_bytes, device_bytes
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._counted_at = float("-inf")

    def put(self, device: str, body: bytes) -> tuple[str, bool]:
        """Keep an example. It is on the disk when this returns.

        Args:
            device: Who sent it.
            body: A line of JSON with its "name", "suffix" and facts, then its picture or video.

        Returns:
            Its name, and whether it is new.

        Raises:
            RequestError: 400, it is not an example; 507, the registry keeps no more, or no more of this device.
            StorageError: It cannot be written.
        """
        facts, data = _parsed(device, body)
        folder = self._folder / check_device_name(device)
        target = folder / f"{facts['name']}.json"
        with self._lock:
            if target.is_file():
                return facts["name"], False
            self._require_room(device, len(body))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(folder, error) from error
            write_bytes_atomic(target.with_suffix(facts["suffix"]), data)
            write_bytes_atomic(target, json_text({**facts, "device": device}).encode())
            self._sizes[device] = self._sizes.get(device, 0) + len(body)
        return facts["name"], True

    def _require_room(self, device: str, size: int) -> None:
        refused = self._refusal(device, size)
        if (refused or not self._sizes) and time.monotonic() - self._counted_at >= _RECOUNT_SECONDS:
            self._counted_at = time.monotonic()
            self._sizes = _sizes(self._folder)
            refused = self._refusal(device, size)
        if refused:
            raise RequestError(507, f"{refused}. Label those in its folder examples and move them away")

    def _refusal(self, device: str, size: int) -> str:
        """Why no more is kept; the empty string where there is room."""
        if sum(self._sizes.values()) + size > self._max_bytes:
            return f"the registry keeps {self._max_bytes} bytes of examples, the maximum"
        if self._sizes.get(device, 0) + size > self._device_bytes:
            return f"the registry keeps {self._device_bytes} bytes of examples of {device}, the maximum of one device"
        return ""


def _parsed(device: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, data = body.partition(b"\n")
    try:
        if len(line) > _FACTS_BYTES:
            raise ValueError(f"its facts have more than {_FACTS_BYTES} bytes")
        facts = parse_json(line.decode("utf-8"), 20)
        if not isinstance(facts, Mapping) or not isinstance(facts.get("name"), str):
            raise ValueError("its first line must be a JSON object with a name")
        if not _NAME.fullmatch(facts["name"]):
            raise ValueError("its name is not a valid name of a device's example")
        if facts.get("suffix") not in _MARKS:
            raise ValueError(f"its suffix must be one of {', '.join(_MARKS)}")
        at, mark = _MARKS[facts["suffix"]]
        if data[at : at + len(mark)] != mark:
            raise ValueError(f"its content is not a {facts['suffix']} file")
    except (ValueError, RecursionError, AdapterError) as error:
        raise RequestError(400, f"example of device {device[:64]}: {error}") from None
    return dict(facts), data


def _sizes(folder: Path) -> dict[str, int]:
    """How much the examples of each device take."""
    found = {}
    for device in folder.iterdir() if folder.is_dir() else ():
        paths = [os.path.join(top, name) for top, _, names in os.walk(device) for name in names]
        found[device.name] = sum(map(_size, paths))
    return found


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # somebody moves it away
        return 0
