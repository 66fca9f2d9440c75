"""docs/from-your-script.md: what other pipelines call things and what to type here, from from_your_script.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("from_your_script.toml")


def pipelines() -> list[dict[str, Any]]:
    """Each pipeline: its name, what it is about, and rows of (their word, ours, what is different)."""
    return list(tomllib.loads(TABLE.read_text(encoding="utf-8"))["pipeline"])


def script_map() -> str:
    """The page, as Markdown."""
    parts = [
        "# From your script",
        "Written by `make docs` from `scripts/from_your_script.toml`. You know the commands, options, defaults and "
        "numbers of another pipeline; this page says what they are here. Many of its words are understood as they "
        "are: `cliplab train --config ads_base --data-dir clips --lr 0.001` works, and a note names our words. "
        "A model and a video in the wrong order are put right, also with a note.",
    ]
    for one in pipelines():
        rows = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in one["rows"]]
        parts += [f"## {one['name']}", one["about"], "\n".join(["| there | here | |", "|---|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"
