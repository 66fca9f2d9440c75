"""`cliplab registry zoo`: a page of every model in a registry, with figures, intervals, size, latency and card."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError, StorageError
from adapters.system import write_text_atomic
from cliplab.registry.listing import ListedVersion, registry_list

_FIGURES = ("accuracy", "precision", "recall", "f1")
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid #8886}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.env{display:inline-block;padding:0 .5rem;border-radius:1rem;border:1px solid;font-size:.85rem;margin:0 .2rem}
article{border-top:2px solid #8886;margin-top:2rem;padding-top:.5rem}
small{opacity:.75}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
.scroll{overflow-x:auto}
"""


@dataclass(frozen=True)
class ZooEntry:
    """What the page says of one model: its version in use, otherwise its highest one.

    Attributes:
        name: The model.
        version: The version that is shown.
        environments: Where it is in use.
        versions: How many versions there are.
        task: Such as "single_label".
        labels: Its classes.
        figures: (name, value, 95% interval or None) each.
        clips: On how many clips they were measured; None where that is unknown.
        size_bytes: The size of its file.
        latency_ms: Per clip, as it was measured; None where it was not.
        description: What the person said of it.
        card: Its model card, Markdown; empty where none is kept.
    """

    name: str
    version: str
    environments: tuple[str, ...]
    versions: int
    task: str
    labels: tuple[str, ...]
    figures: tuple[tuple[str, float, tuple[float, float] | None], ...]
    clips: int | None
    size_bytes: int
    latency_ms: float | None
    description: str
    card: str

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def registry_zoo(
    output: str | Path | None = None,
    *,
    environment: str | None = None,
    registry: str | Path | None = None,
    force: bool = False,
) -> list[ZooEntry]:
    """Write a page of every model: .html for people, .md for documentation, .json for programs.

    Args:
        output: The file; None writes nothing.
        environment: Only what this environment has.
        registry: The registry; see ``open_registry``.
        force: Replace the file if it exists.

    Returns:
        What the page says.

    Raises:
        ConfigError: The file ends in another suffix.
        StorageError: There is no registry, or the file exists or cannot be written.
    """
    by_model: dict[str, list[ListedVersion]] = {}
    for item in registry_list(registry=registry):
        by_model.setdefault(item.version.name, []).append(item)
    entries = [entry for items in by_model.values() if (entry := _entry(items, environment)) is not None]
    if output is not None:
        path = Path(output)
        writers = {".html": _html, ".md": _markdown, ".json": _json}
        writer = writers.get(path.suffix.lower())
        if writer is None:
            raise ConfigError(f"{path}: must end in {', '.join(writers)}")
        if path.exists() and not force:
            raise StorageError(f"{path}: already exists. Use --force to replace it, or use another path")
        write_text_atomic(path, writer(entries))
    return entries


def _entry(items: Sequence[ListedVersion], environment: str | None) -> ZooEntry | None:
    """The version in use: in production before staging before development; otherwise the highest."""
    ranked = [item for name in ("production", "staging", "development") for item in items if name in item.environments]
    if environment is not None:
        ranked = [item for item in items if environment in item.environments]
        if not ranked:
            return None
    chosen = ranked[0] if ranked else items[-1]
    stored = chosen.version
    evaluation: Mapping[str, Any] = stored.evaluation or {}
    intervals = evaluation.get("intervals") or {}
    figures = tuple(
        (name, float(stored.metrics[name]), _interval(intervals.get(name)))
        for name in _FIGURES
        if name in stored.metrics
    )
    return ZooEntry(
        stored.name,
        stored.version,
        chosen.environments,
        len(items),
        str(stored.interface.get("task") or ""),
        tuple(map(str, stored.interface.get("labels") or ())),
        figures,
        evaluation.get("clips"),
        stored.size_bytes,
        stored.metrics.get("latency_ms"),
        stored.description,
        stored.card,
    )


def _interval(ends: Any) -> tuple[float, float] | None:
    return (float(ends[0]), float(ends[1])) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None


def _figure(name: str, value: float, ends: tuple[float, float] | None) -> str:
    return f"{name} {value:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else "")


def _facts(entry: ZooEntry) -> list[str]:
    """The cells of a row: task, figures, size, latency, use."""
    labels = ", ".join(entry.labels[:6]) + (f" and {len(entry.labels) - 6} more" if len(entry.labels) > 6 else "")
    figures = "; ".join(_figure(*item) for item in entry.figures) or "not measured"
    clips = f"; {entry.clips} clips, 95% intervals" if entry.figures and entry.clips else ""
    latency = "not measured" if entry.latency_ms is None else f"{entry.latency_ms:.1f} ms"
    size = f"{entry.size_bytes / 1e6:.2f} MB"
    return [f"{entry.task}: {labels}", figures + clips, size, latency, ", ".join(entry.environments) or "-"]


def _html(entries: Sequence[ZooEntry]) -> str:
    def text(value: object) -> str:
        return html.escape(str(value))

    rows, cards = [], []
    for entry in entries:
        task, figures, size, latency, _ = map(text, _facts(entry))
        use = "".join(f'<span class="env">{text(name)}</span>' for name in entry.environments) or "-"
        title = f"{text(entry.name)} {text(entry.version)}"
        rows.append(
            f'<tr><td><a href="#{text(entry.name)}">{title}</a><br><small>{text(_counted(entry))}</small></td>'
            f'<td>{task}</td><td>{figures}</td><td class="n">{size}</td><td class="n">{latency}</td><td>{use}</td></tr>'
        )
        card = (
            f"<details><summary>Model card</summary><pre>{text(entry.card)}</pre></details>"
            if entry.card
            else "<p><small>No model card is stored.</small></p>"
        )
        cards.append(
            f'<article id="{text(entry.name)}"><h2>{title}</h2><p>{text(entry.description)}</p>{card}</article>'
        )
    head = "".join(f"<th>{name}</th>" for name in ("Model", "Task", "Figures", "Size", "Latency per clip", "In use"))
    body = "".join(rows) or '<tr><td colspan="6">No model has been uploaded yet.</td></tr>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Model zoo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>Model zoo</h1>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{''.join(cards)}</body></html>\n"
    )


def _markdown(entries: Sequence[ZooEntry]) -> str:
    def text(value: object) -> str:
        line = " ".join(str(value).split())
        return html.escape(line, quote=False).replace("|", "\\|").replace("[", "\\[").replace("`", "\\`")

    lines = [
        "# Model zoo",
        "",
        "| model | task | figures | size | latency per clip | in use |",
        "|---|---|---|---|---|---|",
    ]
    for entry in entries:
        cells = [f"{entry.name} {entry.version}", *_facts(entry)]
        lines.append(f"| {' | '.join(text(cell) for cell in cells)} |")
    for entry in entries:
        lines += ["", f"## {text(entry.name)} {text(entry.version)}", "", text(entry.description) or "-"]
        if entry.card:
            fence = "`" * max(3, *(len(run) + 1 for run in _runs(entry.card)))
            lines += ["", f"{fence}text", entry.card.strip(), fence]
    return "\n".join(lines) + "\n"


def _runs(text: str) -> list[str]:
    return re.findall("`+", text) or [""]


def _json(entries: Sequence[ZooEntry]) -> str:
    return json.dumps([entry.to_json() for entry in entries], indent=1, ensure_ascii=False) + "\n"


def _counted(entry: ZooEntry) -> str:
    return f"{entry.versions} version{'s' if entry.versions != 1 else ''}"
