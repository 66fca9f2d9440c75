"""`cliplab dataset advise`: its arguments, and its report as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cliplab.cli.console import bar, show, write_json
from cliplab.cli.options import AsJson, Data, Device, Force, Overrides, Threads, TrustAdapters, opt, parsed

if TYPE_CHECKING:
    from cliplab.cli.tables import Shown
    from cliplab.datasets import AdviseReport

_SHOWN_ISSUES = 10
_SHOWN_SKIPPED = 5
_SHOWN_CLASSES = 10


def dataset_advise(
    data: Data,
    model: Annotated[str, opt("MODEL", "Model whose features are used.", "--model")] = "efficientnet_lite0",
    output: Annotated[
        Path | None,
        opt("DIR", "Also write advise.json, a picture, and lists of labels to check.", "-o", "--output"),
    ] = None,
    overrides: Overrides = None,
    device_option: Device = None,
    threads_option: Threads = None,
    seed: Annotated[int, opt("N", "Seed of the random folds.")] = 0,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Report how good labelled clips are, what is wrong with them, and what to label next.

    Heads are measured on groups held out of training. The report shows accuracy by number of clips, confused classes,
    probable label errors, copies, shortcuts such as brightness, and accuracy with similar clips kept together. The
    dataset is not changed.
    """
    from cliplab import datasets

    with bar() as progress:
        report = datasets.dataset_advise(
            data,
            model=model,
            output=output,
            overrides=parsed(overrides, device_option, threads_option),
            seed=seed,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
        )
    write_json(report.to_json()) if as_json else show(*advice(report))


def advice(report: AdviseReport) -> Shown:
    """The findings first, then the tables that they come from."""
    from cliplab.cli.tables import problem, problems, styled

    shown: Shown = [f"{report.data}: {len(report.examples)} clips, features of {report.model}", ""]
    for finding in report.findings:
        shown += [problem(finding.text) if finding.serious else finding.text, styled(f"  -> {finding.next_step}"), ""]
    shown += [*_curve(report), *_alike(report), *_shortcuts(report), *_issues(report)]
    shown += [styled(f"note: {warning}", "yellow") for warning in report.warnings]
    shown += problems(report.skipped, "left out: ", _SHOWN_SKIPPED)
    return shown + ([f"written: {report.output}"] if report.output else [])


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _curve(report: AdviseReport) -> Shown:
    from cliplab.cli.tables import table
    from cliplab.datasets import gain_words

    if not report.curve.points:
        return []
    rows = [(point.clips, f"{point.accuracy:.2f}", _interval(point.interval)) for point in report.curve.points]
    shown: Shown = [table((">clips learned from", ">accuracy", "95% interval"), rows)]
    shown += [f"if the curve continues: {gain_words(gain)}" for gain in report.curve.overall]
    shown += [gain_words(gain) for gain in report.curve.classes[:_SHOWN_CLASSES] if gain.gain >= 0.005]
    return [*shown, ""]


def _alike(report: AdviseReport) -> Shown:
    from cliplab.cli.tables import table

    if report.alike is None or report.figure is None:
        return []
    naive = report.figure
    rows: list[tuple[object, ...]] = [
        ("as they are", naive.groups, "", f"{naive.accuracy:.2f}", _interval(naive.interval))
    ]
    for level in report.alike.levels:
        figure = level.figure
        figures = ("-", level.reason) if figure is None else (f"{figure.accuracy:.2f}", _interval(figure.interval))
        proposed = " (proposed)" if level is report.alike.proposed else ""
        rows.append((f"alike by {level.likeness:.2f}{proposed}", level.groups, level.largest, *figures))
    return [table(("clips kept together", ">groups", ">largest", ">accuracy", "95% interval"), rows), ""]


def _shortcuts(report: AdviseReport) -> Shown:
    from cliplab.cli.tables import table

    rows = [
        (
            item.name,
            f"{item.figure.accuracy:.2f}",
            _interval(item.figure.interval),
            ", ".join(f"{one.label} {one.auc:.2f}" for one in item.classes[:3]),
        )
        for item in report.shortcuts
    ]
    names = ("property alone", ">accuracy", "95% interval", "gives away (area under ROC)")
    return [table(names, rows), ""] if rows else []


def _issues(report: AdviseReport) -> Shown:
    from cliplab.cli.tables import table

    rows = [
        (report.clips.names[item.clip], item.given, f"{item.given_score:.2f}", item.likely, f"{item.likely_score:.2f}")
        for item in report.issues[:_SHOWN_ISSUES]
    ]
    if not rows:
        return []
    more = len(report.issues) - len(rows)
    names = ("label likely wrong", "given", ">score", "likely", ">score")
    return [table(names, rows), *([f"and {more} more"] if more else []), ""]
