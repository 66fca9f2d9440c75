"""Results as tables for a terminal. Each function gives what ``console.show`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from adapters.records import VideoResult
from adapters.reports import ConversionReport, EpochLog, TrainReport
from adapters.system import terminal_text

if TYPE_CHECKING:
    from adapters.models.tflite_classifier import Adoption
    from cliplab.datasets import DatasetReport, PrepareReport
    from cliplab.demo import DemoReport
    from cliplab.models import BenchReport, ConfigCheck, Evaluation, PredictReport

Shown = list[Any]
LAST_EPOCHS = 15


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table whose cells are plain text, never markup; columns that begin with ">" are numbers, set right."""
    made = Table(header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(_cell(name.lstrip(">")), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: Any) -> Text:
    """A value as text in one line, fit for a terminal."""
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
    return Text(text, style="red")


# Models -------------------------------------------------------------------------------------------------------------


def predictions(report: PredictReport) -> Shown:
    """A table a video: its windows with their best labels, or its segments where they were asked for."""
    shown: Shown = []
    for index, result in enumerate(report.results):
        if result.error is not None:
            shown.append(problem(f"{_after(result.path, result.error)}"))
            continue
        shown += [Text(f"{result.path}: {warning}", style="yellow") for warning in result.warnings]
        if report.segments is None:
            shown += [result.path, _windows(result, report.top_k)]
        else:
            rows = [(s.label, clock(s.start), clock(s.end), number(s.score)) for s in report.segments[index]]
            shown += [result.path, table(("segment", ">start", ">end", ">score"), rows) if rows else "no segments"]
    if len(report.results) > 1:
        shown.append(f"{len(report.results)} videos, {report.failed} failed")
    return shown


def _after(path: str, error: str) -> str:
    return error if path in error else f"{path}: {error}"


def _windows(result: VideoResult, top_k: int) -> Table:
    rows = [
        (clock(p.start), clock(p.end), ", ".join(f"{item.label} {item.score:.3f}" for item in p.top_k(top_k)))
        for p in result.predictions
    ]
    return table((">start", ">end", "labels"), rows)


def epoch_name(log: EpochLog) -> str:
    """Which epoch it is, counted from 1 as people do: "fine-tuning epoch 2"."""
    return f"{'fine-tuning ' if log.phase == 'fine_tune' else ''}epoch {log.epoch + 1}"


def training(report: TrainReport) -> Shown:
    """The last epochs, best marked, and where the bundle is, which holds the curves of all."""
    left_out = max(0, len(report.epochs) - LAST_EPOCHS)
    kept = [log for log in report.epochs if log.best][-1]
    reached = "" if kept.val_accuracy is None else f", validation accuracy {kept.val_accuracy:.2%}"
    rows = [
        (
            log.phase,
            log.epoch + 1,
            number(log.loss, 4),
            number(log.accuracy),
            number(log.val_loss, 4),
            number(log.val_accuracy),
            "best" if log is kept else "",
        )
        for log in report.epochs[left_out:]
    ]
    names = ("phase", ">epoch", ">loss", ">accuracy", ">val loss", ">val accuracy", "")
    clips = ", ".join(f"{count} {name}" for name, count in report.clips.items())
    return [
        *([f"the last {LAST_EPOCHS} of {len(report.epochs)} epochs"] if left_out else []),
        table(names, rows),
        f"{report.output_path}: labels {', '.join(report.labels)}; {clips} clips; {report.stopped}, "
        f"best {epoch_name(kept)}{reached}; {report.decoded_clips} clips decoded, {report.seconds:.1f} s",
        *(problem(f"left out: {reason}") for reason in report.skipped),
        *(["", *conversion(report.conversion)] if report.conversion else []),
    ]


def evaluation(item: Evaluation) -> Shown:
    """The figures, the table of classes, and the gates that were missed."""
    report = item.report
    names = ("precision", "recall", "f1", "accuracy", "average_precision", "roc_auc", "log_loss", "calibration_error")
    rows = [(name.replace("_", " "), number(getattr(report, name))) for name in names]
    rows += [("latency", f"{number(report.latency_ms, 1)} ms a clip"), ("size", size(report.size_bytes))]
    classes = [(c.label, c.support, number(c.precision), number(c.recall), number(c.f1)) for c in report.per_class]
    shown: Shown = [
        table((f"{item.split} split", ">"), rows),
        "",
        table(("class", ">clips", ">precision", ">recall", ">f1"), classes),
    ]
    if report.labels_without_clips:
        shown.append(problem(f"no clip of the {item.split} split has the label {_names(report.labels_without_clips)}"))
    shown += [problem(f"left out: {_after(clip.path, clip.error or '')}") for clip in item.skipped]
    shown += [problem(f"gate: {failure}") for failure in item.failures]
    if item.output:
        shown.append(f"written: {item.output}")
    return shown


def _names(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels[:10]) + (
        f" and {len(labels) - 10} more" if len(labels) > 10 else ""
    )


def adoption(report: Adoption) -> Shown:
    """What was read from a file of others, and what was assumed for it."""
    rows = [("read", text) for text in report.found] + [("assumed", text) for text in report.assumed]
    return [table(["", "of the program"], rows), f"{report.output_path}: {report.labels} classes"]


def conversion(report: ConversionReport) -> Shown:
    """Source against converted."""
    rows = [
        ("size", size(report.source_size_bytes), size(report.size_bytes)),
        ("ms a clip, one thread", number(report.source_ms, 2), number(report.converted_ms, 2)),
    ]
    shown: Shown = [
        table((report.output_path, ">source", f">{report.quantize}"), rows),
        f"same top label on {report.agreement:.1%} of {report.clips} clips ({report.clip_origin}); "
        f"largest score difference {report.max_score_difference:.4f}",
    ]
    if report.accuracy is not None:
        of = report.accuracy
        shown.append(
            f"accuracy {of.source:.1%} before and {of.converted:.1%} after, of {of.clips} clips in {of.groups} groups; "
            f"drop {100 * of.drop:.1f} points, 95% interval {100 * of.interval[0]:.1f} to {100 * of.interval[1]:.1f}"
        )
    if report.partitions is not None:
        shown.append(f"{sum(report.operators.values())} operators, {report.partitions} XNNPACK partition(s)")
    return shown


def benchmark(report: BenchReport) -> Shown:
    latency = report.latency_ms
    rows = [
        ("latency min", f"{latency['min']:.2f} ms"),
        ("latency median", f"{latency['median']:.2f} ms"),
        ("latency p95", f"{latency['p95']:.2f} ms"),
        ("clips a second", f"{report.clips_per_second:.1f}"),
        ("size", size(report.size_bytes)),
        ("peak memory", size(report.peak_memory_bytes)),
        ("threads", report.threads),
    ]
    return [table((f"{report.clips} clips", ">"), rows)]


# Configs and datasets -----------------------------------------------------------------------------------------------


def config(complete: Mapping[str, Any]) -> Shown:
    """Every key with its value and what a change of it asks for; keys that differ from their default in bold."""
    import json

    from adapters.config import key_schemas

    keys = key_schemas(complete["adapter"])
    rows = []
    for name, value in complete.items():
        style = "" if value == keys[name].get("default") else "bold"
        rows.append((Text(name, style=style), json.dumps(value, ensure_ascii=False), keys[name]["x-effect"]))
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
    shown += [*(f"note: {text}" for text in report.notes), *(problem(text) for text in report.problems)]
    shown.append(f"written: {report.output}" if report.output else "")
    return [item for item in shown if item != ""]


def prepared(report: PrepareReport) -> Shown:
    """Frames by class, the splits, and every clip that was left out."""
    clips, reused = sum(report.clips.values()), sum(report.clips.values()) - report.decoded
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    return [
        f"Dataset prepared: {sum(report.frames.values()):,} frames of {clips:,} clips ({splits}), "
        f"{report.decoded:,} decoded and {reused:,} there already",
        *(f"  - {label}: {count:,}" for label, count in report.frames.items()),
        f"  - Saved to: {report.output}",
        *(problem(f"left out: {reason}") for reason in report.skipped),
    ]


# Demo ---------------------------------------------------------------------------------------------------------------


def demo(report: DemoReport) -> Shown:
    """Model and baseline side by side, the break that was found, and the files."""
    model, baseline = report.model, report.baseline

    def span(found: Sequence[Any]) -> str:
        return ", ".join(f"{s.start:.1f}-{s.end:.1f} s" for s in found) or "none"

    rows = [
        ("test clips: F1", number(model.f1), number(baseline.f1)),
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
        "",
        table(("program", ">size", ">ms a clip", ">same label", ">score difference"), programs),
        "",
        *(Text(f"gate: {failure}", style="red") for failure in report.gate_failures),
        table(("step", ">seconds"), [(name, f"{seconds:.1f}") for name, seconds in report.seconds.items()]),
        "",
        f"bundle    {report.files['bundle']}\ntimeline  {report.files['timeline']}",
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
