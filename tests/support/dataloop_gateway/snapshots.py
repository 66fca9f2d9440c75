"""Requests kept as JSON beside this file: a change of what we send to the service shows as a difference in review.

``CLIPLAB_UPDATE_SNAPSHOTS=1`` rewrites them.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("snapshots")
# What differs from run to run: ids of the gateway, object ids that dtlpy draws, ports, times.
_CHANGING = {
    r"[0-9a-f]{24}": "<id {}>",
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": "<uuid {}>",
    r"http://127\.0\.0\.1:\d+": "<gateway>",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|[+]00:00)?": "<time>",
}


def check_snapshot(name: str, value: Any) -> None:
    """AssertionError where a JSON value differs from the one that was kept under this name."""
    path, text = FOLDER / f"{name}.json", normalised(value)
    if os.environ.get("CLIPLAB_UPDATE_SNAPSHOTS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is not there: run with CLIPLAB_UPDATE_SNAPSHOTS=1 and look at what it wrote"
    assert text == path.read_text(encoding="utf-8"), f"what is sent differs from {path}"


def normalised(value: Any) -> str:
    """JSON with sorted keys; numbers with two decimals; ids by the order in which they appear."""
    text = json.dumps(_rounded(value), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    for pattern, instead in _CHANGING.items():
        seen: dict[str, str] = {}
        text = re.sub(pattern, lambda m, seen=seen, new=instead: seen.setdefault(m[0], new.format(len(seen) + 1)), text)  # type: ignore[misc]
    return text


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value
