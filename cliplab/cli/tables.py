"""Results as tables for a terminal. Each function gives what ``console.show`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.system import terminal_text
from cliplab.cli.shown_paths import from_here

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from cliplab.datasets import DatasetReport, ExtractReport, PrepareReport
    from cliplab.demo import DemoReport
    from cliplab.models import ConfigCheck

Shown = list[Any]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table whose cells are plain text, never markup; columns that begin with ">" are numbers, set right."""
    from cliplab.cli.fitting_table import FittingTable

    made = FittingTable(header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(_cell(name.lstrip(">")), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: Any) -> Text:
    """A value as text in one line, fit for a terminal."""
    from rich.text import Text

    style = value.style if isinstance(value, Text) else ""
    return Text(terminal_text(value.plain if isinstance(value, Text) else str(value), one_line=True), style=style)


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def size(value: float | None) -> str:
    """Bytes as MB of a million."""
    return "-" if value is None else f"{value / 1e6:.2f} MB"


def clock(seconds: float) -> str:
    """Seconds as 1:05.00, or 1:02:05.00 from an hour up."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def problem(text: str) -> Text:
    return styled(from_here(text), "red")


def problems(texts: Sequence[str], before: str = "", most: int = 20) -> Shown:
    """Problems, one in a line, each after the same words; of a long list the first, and how many more there are."""
    more = len(texts) - most
    shown = [problem(f"{before}{text}") for text in (texts if more == 1 else texts[:most])]
    return shown + ([problem(f"{before}{more:,} more; --json lists all of them")] if more > 1 else [])


def styled(text: str, style: Any = "") -> Text:
    """Text in a style of rich, which is imported when something is shown."""
    from rich.text import Text

    return Text(text, style=style)


def after(path: str, error: str) -> str:
    return error if path in error else f"{path}: {error}"


def interval(ends: Sequence[float] | None) -> str:
    """A 95% interval, such as "0.70 to 0.90"; nothing where it is undefined."""
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def counted(count: int, what: str) -> str:
    """A number of things, such as "1 group" or "12 groups"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def with_interval(figure: float | None, ends: Sequence[float] | None) -> str:
    return "-" if figure is None else f"{figure:.3f}" + ("" if ends is None else f" ({interval(ends)})")


# Configs and datasets -----------------------------------------------------------------------------------------------


def config(complete: Mapping[str, Any]) -> Shown:
    """Every key with its value and what a change of it asks for; keys that differ from their default in bold."""
    import json

    from adapters.config import key_schemas

    keys = key_schemas(complete["adapter"])
    rows = []
    for name, value in complete.items():
        style = "" if value == keys[name].get("default") else "bold"
        rows.append((styled(name, style), json.dumps(value, ensure_ascii=False), keys[name]["x-effect"]))
    return [table(("key", "value", "takes effect"), rows)]


def config_checks(checks: Sequence[ConfigCheck]) -> Shown:
    return [f"{item.config}: good" if item.error is None else problem(item.error) for item in checks]


def schema(found: Mapping[str, Any]) -> Shown:
    """Every key of an adapter: default, effect, meaning."""
    import json

    keys: dict[str, Any] = {}
    for part in found["allOf"]:
        for name, value in part["properties"].items():
            keys[name] = {**keys.get(name, {}), **value}
    rows = [
        (name, json.dumps(key["default"]) if "default" in key else "required", key["x-effect"], key["description"])
        for name, key in keys.items()
    ]
    return [found["title"], table(("key", "default", "takes effect", "meaning"), rows)]


def dataset(report: DatasetReport) -> Shown:
    """Counts by class and split, and every problem."""
    counts = report.stats
    splits = list(counts["splits"])
    rows = []
    for label, entry in (*counts["labels"].items(), ("all", counts)):
        in_splits = [
            counts["splits"][name]["clips" if label == "all" else "labels"]
            if label == "all"
            else counts["splits"][name]["labels"][label]["clips"]
            for name in splits
        ]
        rows.append((label, entry["clips"], entry["groups"], number(entry["seconds"], 1), *in_splits))
    shown: Shown = [table(("class", ">clips", ">groups", ">seconds", *(f">{name}" for name in splits)), rows)]
    if report.format is not None:
        shown.append(f"format: {report.format}")
    shown += [*(f"note: {text}" for text in report.notes), *problems(report.problems)]
    shown += problems(report.lost, "lost: ")
    shown.append(f"written: {report.output}" if report.output else "")
    return [item for item in shown if item != ""]


def prepared(report: PrepareReport) -> Shown:
    """Frames by class, the splits, and every clip that was left out."""
    clips, reused = sum(report.clips.values()), sum(report.clips.values()) - report.decoded
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    return [
        f"Dataset prepared: {sum(report.frames.values()):,} frames of {clips:,} clips ({splits}), "
        f"{report.decoded:,} new and {reused:,} already there",
        *(f"  - {label}: {count:,}" for label, count in report.frames.items()),
        f"  - Saved to: {report.output}",
        *problems(report.skipped, "left out: "),
    ]


def extracted(report: ExtractReport) -> Shown:
    """Frames, those that were there, those that looked alike, and every source that failed."""
    alike = f", {report.alike:,} skipped as nearly identical" if report.alike else ""
    return [
        f"Frames extracted: {report.frames:,} new, {report.existing:,} already there{alike}, from "
        f"{report.sources:,} {'source' if report.sources == 1 else 'sources'}",
        f"  - Saved to: {report.output}",
        f"  - Index: {report.index}",
        *problems(report.errors, "failed: "),
    ]


# Demo ---------------------------------------------------------------------------------------------------------------


def demo(report: DemoReport) -> Shown:
    """Model and baseline side by side, the break that was found, and the files."""
    model, baseline = report.model, report.baseline

    def span(found: Sequence[Any]) -> str:
        return ", ".join(f"{s.start:.1f}-{s.end:.1f} s" for s in found) or "none"

    rows = [
        (
            "test clips: F1 (95% interval)",
            with_interval(model.f1, model.f1_interval),
            with_interval(baseline.f1, baseline.f1_interval),
        ),
        ("test clips: average precision", number(model.average_precision), number(baseline.average_precision)),
        ("broadcast windows: average precision", number(model.window_ap), number(baseline.window_ap)),
        (f"ad break found (true: {span(report.truth)})", span(model.found), span(baseline.found)),
        ("largest boundary error", _seconds(model.boundary_error), _seconds(baseline.boundary_error)),
    ]
    programs = [
        (name, size(c.size_bytes), f"{c.converted_ms:.1f}", f"{c.agreement:.0%}", number(c.max_score_difference, 4))
        for name, c in report.programs.items()
    ]
    return [
        table(("", ">EfficientNet-Lite0", ">colour and sharpness"), rows),
        f"test clips: {report.clips} in {counted(report.groups, 'group')}",
        "",
        table(("program", ">size", ">ms per clip", ">same label", ">score difference"), programs),
        "",
        *(problem(f"gate: {failure}") for failure in report.gate_failures),
        table(("step", ">seconds"), [(name, f"{seconds:.1f}") for name, seconds in report.seconds.items()]),
        "",
        f"bundle    {report.files['bundle']}\ntimeline  {report.files['timeline']}",
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
