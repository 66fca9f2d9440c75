"""Results as tables for a terminal. Each function gives what ``console.show`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from adapters.records import VideoResult
from adapters.reports import ConversionReport, EpochLog, TrainReport
from adapters.system import quoted_list, terminal_text

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport
    from adapters.models.tflite_classifier import Adoption
    from cliplab.datasets import DatasetReport, ExtractReport, PrepareReport
    from cliplab.demo import DemoReport
    from cliplab.models import BenchReport, ConfigCheck, EnsembleReport, Evaluation, PredictReport, StateDictReport

Shown = list[Any]
LAST_EPOCHS = 15
_MEASURES = ("precision", "recall", "f1")
_SHARES = ("accuracy", *_MEASURES)


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
            shown += [result.path, _windows(result, report)]
        else:
            rows = [(s.label, clock(s.start), clock(s.end), number(s.score)) for s in report.segments[index]]
            shown += [result.path, table(("segment", ">start", ">end", ">score"), rows) if rows else "no segments"]
    if len(report.results) > 1:
        shown.append(f"{len(report.results)} videos, {report.failed} failed")
    return shown


def _after(path: str, error: str) -> str:
    return error if path in error else f"{path}: {error}"


def _windows(result: VideoResult, report: PredictReport) -> Table:
    rows = []
    for p in result.predictions:
        entries = report.shown([{"label": item.label, "score": item.score} for item in p.top_k(report.top_k)])
        labels = ", ".join(f"{entry['label']} {entry['score']:.3f}" for entry in entries)
        rows.append((clock(p.start), clock(p.end), labels or "-"))
    return table((">start", ">end", "labels"), rows)


def epoch_name(log: EpochLog) -> str:
    """Which epoch it is, counted from 1 as people do: "fine-tuning epoch 2"."""
    return f"{'fine-tuning ' if log.phase == 'fine_tune' else ''}epoch {log.epoch + 1}"


def training(report: TrainReport) -> Shown:
    """The last epochs, best marked, and where the bundle is, which holds the curves of all."""
    left_out = max(0, len(report.epochs) - LAST_EPOCHS)
    # None of the epochs where the model that training started from was better than each.
    kept = next((log for log in reversed(report.epochs) if log.best), None)
    best = "the starting model is kept" if kept is None else f"best {epoch_name(kept)}"
    reached = "" if kept is None or kept.val_accuracy is None else f", validation accuracy {kept.val_accuracy:.2%}"
    if "intervals" in report.metrics:
        ends = interval(report.metrics["intervals"]["accuracy"])
        counts = f"{report.metrics['clips']} clips in {counted(report.metrics['groups'], 'group')}"
        reached = f", validation accuracy {report.metrics['accuracy']:.2f} (95% interval {ends}; {counts})"
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
        f"{best}{reached}; {report.decoded_clips} clips decoded, {report.seconds:.1f} s",
        *_held_out(report),
        *(problem(f"left out: {reason}") for reason in report.skipped),
        *(["", *conversion(report.conversion)] if report.conversion else []),
    ]


def _held_out(report: TrainReport) -> Shown:
    """What clips say that the model did not learn from: accuracy, and the thresholds that were asked for."""
    shown: Shown = []
    found, chosen, whole = report.cross_validation, report.thresholds, report.cross_validated
    if whole:
        counts = f"{whole['clips']} clips in {counted(whole['groups'], 'group')}"
        figures = ", ".join(f"{name} {_with_interval(whole[name], whole['intervals'][name])}" for name in _SHARES)
        shown.append(f"{whole['measured_on']}: {figures}; {counts}")
        shown += [Text(f"note: {text}", style="yellow") for text in whole["notes"]]
    if found:
        counts = f"{found['clips']} clips in {counted(found['groups'], 'group')}"
        shown.append(
            f"cross-validation: accuracy {found['accuracy']:.2f} (95% interval {interval(found['interval'])}; {counts})"
        )
    if chosen:
        rows = [
            (
                label,
                f"{entry['threshold']:g}",
                *(_with_interval(entry[name], entry["intervals"][name]) for name in _MEASURES),
                "" if entry["reached"] else f"not reached, at most {entry['value']:.3f}",
            )
            for label, entry in chosen["classes"].items()
        ]
        names = (f"for {chosen['optimize']}", ">from score", *(f">{name}" for name in _MEASURES), "")
        shown += ["", table(names, rows)]
        shown.append(f"thresholds chosen on {chosen['clips']} clips in {counted(chosen['groups'], 'group')}")
    return shown


def evaluation(item: Evaluation) -> Shown:
    """The figures, the table of classes, and the gates that were missed."""
    report = item.report
    names = ("precision", "recall", "f1", "accuracy", "average_precision", "roc_auc", "log_loss", "calibration_error")
    rows = [
        (name.replace("_", " "), number(getattr(report, name)), interval(report.intervals.get(name))) for name in names
    ]
    if report.average != "macro":
        shares = report.macro["intervals"]
        rows[3:3] = [(f"macro {name}", number(report.macro[name]), interval(shares[name])) for name in shares]
    rows += [("latency", f"{number(report.latency_ms, 1)} ms per clip", ""), ("size", size(report.size_bytes), "")]
    shown: Shown = [
        table((item.measured_on, ">", "95% interval"), rows),
        f"{report.clips} clips in {counted(report.groups, 'group')}; intervals resample whole groups",
        "",
        _class_table(report),
    ]
    shown += [Text(f"note: {text}", style="yellow") for text in (*item.notes, *report.notes)]
    if report.thresholds:
        shown += ["", _threshold_table(report)]
    if report.labels_without_clips:
        shown.append(
            problem(
                f"none of the clips ({item.measured_on}) has the label {quoted_list(report.labels_without_clips, 10)}"
            )
        )
    shown += [problem(f"left out: {_after(clip.path, clip.error or '')}") for clip in item.skipped]
    shown += [problem(f"gate: {failure}") for failure in item.failures]
    if item.output:
        shown.append(f"written: {item.output}")
    return shown


def interval(ends: Sequence[float] | None) -> str:
    """A 95% interval, such as "0.70 to 0.90"; nothing where it is undefined."""
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def counted(count: int, what: str) -> str:
    """A number of things, such as "1 group" or "12 groups"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _with_interval(figure: float | None, ends: Sequence[float] | None) -> str:
    return "-" if figure is None else f"{figure:.3f}" + ("" if ends is None else f" ({interval(ends)})")


def _class_table(report: EvaluationReport) -> Table:
    rows = [
        (c.label, c.support, c.groups, *(_with_interval(getattr(c, name), c.intervals.get(name)) for name in _MEASURES))
        for c in report.per_class
    ]
    return table(("class", ">clips", ">groups", *(f">{name}" for name in _MEASURES)), rows)


def _threshold_table(report: EvaluationReport) -> Table:
    rows = [
        (t.label, f"{t.threshold:g}", *(_with_interval(getattr(t, name), t.intervals.get(name)) for name in _MEASURES))
        for t in report.thresholds
    ]
    return table(("--min-score best", ">from score", *(f">{name}" for name in _MEASURES)), rows)


def adoption(report: Adoption) -> Shown:
    """What was read from a file of others, and what was assumed for it."""
    rows = [("read", text) for text in report.found] + [("assumed", text) for text in report.assumed]
    return [table(["", "of the program"], rows), f"{report.output_path}: {report.labels} classes"]


def conversion(report: ConversionReport | StateDictReport) -> Shown:
    """Source against converted; of a state dict, what it holds."""
    if not isinstance(report, ConversionReport):
        head = ", ".join(f"{name} {list(shape)}" for name, shape in report.head.items())
        return [
            f"{report.output_path}: {size(report.size_bytes)}, a PyTorch state dict of {report.tensors} tensors, "
            f"{report.parameters:,} numbers, float32",
            f"head: {head}",
            f"outputs in the order of the labels: {quoted_list(report.labels, 10)}"
            if report.positive_label is None
            else f"one output, the logit of {report.positive_label!r}: its sigmoid is the score",
        ]
    rows = [
        ("size", size(report.source_size_bytes), size(report.size_bytes)),
        ("ms per clip, one thread", number(report.source_ms, 2), number(report.converted_ms, 2)),
    ]
    shown: Shown = [
        table((report.output_path, ">source", f">{report.quantize}"), rows),
        f"same top label on {report.agreement:.1%} of {report.clips} clips ({report.clip_origin}); "
        f"largest score difference {report.max_score_difference:.4f}",
    ]
    if report.accuracy is not None:
        of = report.accuracy
        shown.append(
            f"accuracy {of.source:.1%} before and {of.converted:.1%} after, "
            f"of {of.clips} clips in {counted(of.groups, 'group')}; "
            f"drop {100 * of.drop:.1f} points, 95% interval {100 * of.interval[0]:.1f} to {100 * of.interval[1]:.1f}"
        )
    if report.partitions is not None:
        shown.append(f"{sum(report.operators.values())} operators, {report.partitions} XNNPACK partition(s)")
    return shown


def ensemble(report: EnsembleReport) -> Shown:
    """Each member with its share of the vote, and where the bundle is."""
    shares = report.shares or [None] * len(report.models)
    rows = [(name, "-" if share is None else f"{share:.0%}") for name, share in zip(report.models, shares, strict=True)]
    where = f"{report.output_path}: {size(report.size_bytes)}" if report.written else "Dry run: nothing was written"
    return [
        table(("model", ">share"), rows),
        f"voting {report.voting} on {', '.join(report.labels[:8])}{' ...' if len(report.labels) > 8 else ''}",
        where,
    ]


def benchmark(report: BenchReport) -> Shown:
    latency = report.latency_ms
    rows = [
        ("latency min", f"{latency['min']:.2f} ms"),
        ("latency median", f"{latency['median']:.2f} ms"),
        ("latency p95", f"{latency['p95']:.2f} ms"),
        ("clips per second", f"{report.clips_per_second:.1f}"),
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


def extracted(report: ExtractReport) -> Shown:
    """Frames, those that were there, those that looked alike, and every source that failed."""
    alike = f", {report.alike:,} left out as nearly identical" if report.alike else ""
    return [
        f"Frames extracted: {report.frames:,} new, {report.existing:,} there already{alike}, of "
        f"{report.sources:,} sources",
        f"  - Saved to: {report.output}",
        f"  - Index: {report.index}",
        *(problem(f"failed: {reason}") for reason in report.errors),
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
            _with_interval(model.f1, model.f1_interval),
            _with_interval(baseline.f1, baseline.f1_interval),
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
        *(Text(f"gate: {failure}", style="red") for failure in report.gate_failures),
        table(("step", ">seconds"), [(name, f"{seconds:.1f}") for name, seconds in report.seconds.items()]),
        "",
        f"bundle    {report.files['bundle']}\ntimeline  {report.files['timeline']}",
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
