"""Results about models as tables for a terminal: predictions, training, evaluation, conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from adapters.records import VideoResult
from adapters.reports import ConversionReport, EpochLog, TrainReport
from adapters.system import quoted_list
from cliplab.cli.tables import (
    Shown,
    after,
    clock,
    counted,
    interval,
    number,
    problem,
    problems,
    size,
    table,
    with_interval,
)

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport
    from adapters.models.tflite_classifier import Adoption
    from cliplab.models import BenchReport, EnsembleReport, Evaluation, PredictReport, StateDictReport

LAST_EPOCHS = 15
_MEASURES = ("precision", "recall", "f1")
_SHARES = ("accuracy", *_MEASURES)


def predictions(report: PredictReport) -> Shown:
    """A table a video: its windows with their best labels, or its segments where they were asked for."""
    shown: Shown = []
    for index, result in enumerate(report.results):
        if result.error is not None:
            shown.append(problem(f"{after(result.path, result.error)}"))
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


def _windows(result: VideoResult, report: PredictReport) -> Table:
    rows = []
    for p in result.predictions:
        entries = report.shown([{"label": item.label, "score": item.score} for item in p.top_k(report.top_k)])
        labels = ", ".join(f"{entry['label']} {entry['score']:.3f}" for entry in entries)
        rows.append((clock(p.start), clock(p.end), labels or "-"))
    return table((">start", ">end", "labels"), rows)


def _decoded(report: TrainReport) -> str:
    """How much was decoded: clips, or views where augmented copies were decoded too."""
    clips = sum(report.clips.get(split, 0) for split in ("train", "validation"))
    if report.decoded_clips > clips:
        return f"{report.decoded_clips} views of {clips} clips decoded (augmented copies included)"
    return f"{counted(report.decoded_clips, 'clip')} decoded"


def epoch_name(log: EpochLog) -> str:
    """Which epoch it is, counted from 1 as people do: "fine-tuning epoch 2"."""
    return f"{'fine-tuning ' if log.phase == 'fine_tune' else ''}epoch {log.epoch + 1}"


def training(report: TrainReport, epochs: bool = True) -> Shown:
    """The last epochs, best marked, and where the bundle is, which holds the curves of all.

    epochs: Show them; not where each was shown as it ended.
    """
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
        *([f"the last {LAST_EPOCHS} of {len(report.epochs)} epochs"] if left_out and epochs else []),
        *([table(names, rows)] if epochs else []),
        f"{report.output_path}: labels {', '.join(report.labels)}; {clips} clips; {report.stopped}, "
        f"{best}{reached}; {_decoded(report)}, {report.seconds:.1f} s",
        *_held_out(report),
        *problems(report.skipped, "left out: "),
        *(["", *conversion(report.conversion)] if report.conversion else []),
    ]


def _held_out(report: TrainReport) -> Shown:
    """What clips say that the model did not learn from: accuracy, and the thresholds that were asked for."""
    shown: Shown = []
    found, chosen, whole = report.cross_validation, report.thresholds, report.cross_validated
    if whole:
        counts = f"{whole['clips']} clips in {counted(whole['groups'], 'group')}"
        figures = ", ".join(f"{name} {with_interval(whole[name], whole['intervals'][name])}" for name in _SHARES)
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
                *(with_interval(entry[name], entry["intervals"][name]) for name in _MEASURES),
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
    rows += [("latency", f"{number(report.latency_ms, 1)} ms per clip", "")]
    if report.frame_latency_ms is not None:
        rows += [("on the device", f"{number(report.frame_latency_ms, 1)} ms per frame", "")]
    rows += [("size", size(report.size_bytes), "")]
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
            problem(f"no clip ({item.measured_on}) has the label {quoted_list(report.labels_without_clips, 10)}")
        )
    shown += problems([after(clip.path, clip.error or "") for clip in item.skipped], "left out: ")
    shown += [problem(f"gate: {failure}") for failure in item.failures]
    if item.output:
        shown.append(f"written: {item.output}")
    return shown


def _class_table(report: EvaluationReport) -> Table:
    rows = [
        (c.label, c.support, c.groups, *(with_interval(getattr(c, name), c.intervals.get(name)) for name in _MEASURES))
        for c in report.per_class
    ]
    return table(("class", ">clips", ">groups", *(f">{name}" for name in _MEASURES)), rows)


def _threshold_table(report: EvaluationReport) -> Table:
    rows = [
        (t.label, f"{t.threshold:g}", *(with_interval(getattr(t, name), t.intervals.get(name)) for name in _MEASURES))
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
        f"same top label on {report.agreement:.1%} of {_compared(report)}; "
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


def _compared(report: ConversionReport) -> str:
    """How many clips of which kind, and of how many windows where a clip has several."""
    count, windows = report.source_clips or report.clips, ""
    if count != report.clips:
        windows = f" ({report.clips} windows)"
    return f"{counted(count, 'clip')}{windows}, {report.clip_origin}"


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
