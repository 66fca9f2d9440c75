"""Files of datasets for tests: JSON, text, a line for each row, and media that only have to be there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def lines(path: Path, *items: dict[str, Any]) -> Path:
    return write(path, "".join(json.dumps(item) + "\n" for item in items))


def touch(root: Path, *names: str) -> None:
    for name in names:
        write(root / name, name)
