"""The command that finds ad breaks: ads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cliplab.cli.console import FAILED, bar, command, note, show, write_json, write_row
from cliplab.cli.options import AsJson, Force, TrustAdapters, arg, opt

if TYPE_CHECKING:
    from adapters.evaluation import BreakReport
    from cliplab.detect import AdBreak, Recording


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(ads))
    app.command("ads-learn")(command(ads_learn))


def ads(
    videos: Annotated[list[str], arg("VIDEO", "Recordings, or folders of recordings.")],
    model: Annotated[
        str | None,
        opt("MODEL", "A model with a label for ads; default: none (less accurate)."),
    ] = None,
    profile: Annotated[
        str, opt("NAME", "Kind of breaks: base, sports, show, network, or a config with a break_profile.")
    ] = "base",
    output: Annotated[
        str | None,
        opt(
            "PATH",
            "Write marks as X.edl, .txt (Comskip), .json, .xml (Matroska), .ffmeta or .csv; a suffix alone, such as "
            ".edl: beside each recording.",
            "-o",
            "--output",
        ),
    ] = None,
    merge: Annotated[
        str | None,
        opt("RULE", "Keep marks already in the output; where breaks overlap: theirs, ours or union."),
    ] = None,
    cut: Annotated[
        Path | None, opt("OUT.mp4", "Also write a copy without breaks. The recording is never changed.")
    ] = None,
    explain: Annotated[
        Path | None,
        opt("X.png", "Draw the evidence for each break; a folder for several recordings."),
    ] = None,
    label: Annotated[str | None, opt("LABEL", "The model's label for ads; default: its positive label.")] = None,
    cues: Annotated[
        Path | None, opt("FILE", "File with announced breaks, such as an HLS playlist with cue tags.")
    ] = None,
    audio_stream: Annotated[int | None, opt("N", "Audio stream to analyse, from 0.")] = None,
    store: Annotated[Path | None, opt("PATH", "Folder that keeps the analysis; default: the cache.")] = None,
    repetition: Annotated[
        Path | None,
        opt("INDEX", "Also find adverts repeated across recordings; the file INDEX remembers them."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Analyse recordings again even if they were analysed before.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="The recording is still growing (file, URL, camera or -): one JSON line per event."
        ),
    ] = False,
    delay: Annotated[float, opt("S", "With --follow: seconds from an edge until it is reported.")] = 30.0,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Find ad breaks in recordings, and mark them for players. If interrupted, run it again to resume a folder.

    Exits with 1 if recordings could not be read; the others are done.
    """
    from cliplab.detect import find_ads

    told: set[str] = set()
    with bar() as progress:

        def shown(found: Recording) -> None:
            if not as_json:
                show(*_not_told(told, [*_lines(found), *([] if model else _without_model(found))]))

        report = find_ads(
            videos,
            model=model,
            profile=profile,
            output=output,
            merge=merge,
            cut=cut,
            explain=explain,
            label=label,
            cues=cues,
            audio_stream=audio_stream,
            store=store,
            repetition=repetition,
            again=again,
            follow=follow,
            delay=delay,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.update,
            on_recording=shown,
            on_event=write_row,
            on_note=note,
        )
    if follow:
        return None
    if as_json:
        write_json(report.to_json())
    elif len(report.recordings) > 1:
        breaks = sum(len(one.breaks) for one in report.recordings)
        show(f"{len(report.recordings)} recordings, {breaks} breaks, {report.failed} could not be read")
    return FAILED if report.failed else None


def ads_learn(
    recordings: Annotated[list[str], arg("RECORDING", "Recordings with known breaks, or folders of them.")],
    breaks: Annotated[
        str,
        opt(
            "MARKS",
            "True breaks: a suffix such as .edl (a file beside each recording), a folder of marks, the folder of a "
            "studio with intervals, or a file.",
        ),
    ],
    output: Annotated[Path, opt("PATH", "The profile to write, for `cliplab ads --profile`.", "-o", "--output")],
    model: Annotated[str | None, opt("MODEL", "A model with a label for ads; default: none.")] = None,
    profile: Annotated[str, opt("NAME", "Profile to start from, as for ads.")] = "base",
    store: Annotated[Path | None, opt("PATH", "Folder that keeps the analysis; default: the cache.")] = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> None:
    """Learn a profile of a channel from recordings whose breaks were corrected."""
    from cliplab.detect import learn_breaks

    with bar() as progress:
        found = learn_breaks(
            recordings,
            breaks,
            output,
            model=model,
            profile=profile,
            store=store,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.update,
        )
    if as_json:
        write_json(found.to_json())
        return
    held_out, same = "each recording measured with a profile of the others", "measured on the recording learned from"
    how = held_out if found.held_out else same
    show(
        f"{found.output}: {found.breaks} breaks of {found.recordings} recordings; typically "
        f"{found.profile.typical_break_seconds:.0f} s, every {found.profile.typical_programme_seconds / 60:.0f} min",
        *break_table(found.before, "before"),
        *break_table(found.after, f"after, {how}"),
        *(["with a head trained on the model's features"] if found.profile.score_head is not None else []),
        *(f"note: {sentence}" for sentence in found.notes),
    )


def break_table(report: BreakReport, title: str) -> list[str]:
    """The measures of breaks in words.

    Args:
        report: The measures.
        title: What they are of.
    """

    def known(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    interval = report.intervals.get("f1")
    between = "" if interval is None else f" (95% interval {interval[0]:.2f} to {interval[1]:.2f})"
    return [
        f"{title}: {report.matched} of {report.truth} breaks found, {report.predicted - report.matched} false "
        f"detections; {report.recordings} recordings, {report.hours:.2f} h",
        f"  precision {known(report.precision)}, recall {known(report.recall)}, F1 {known(report.f1)}{between} at "
        f"intersection over union {report.min_iou:g}",
        f"  edges: {known(report.edge_error_median, 2)} s at the median, {known(report.edge_error_p95, 2)} s at the "
        "95th percentile",
        f"  per hour: {known(report.programme_lost_per_hour, 1)} s of programme lost, "
        f"{known(report.ads_seen_per_hour, 1)} s of ads left in; {known(report.second_accuracy)} of all seconds "
        "classified correctly",
    ]


def _lines(found: Recording) -> list[str]:
    from cliplab.library import printable

    name = printable(found.path)
    if found.error is not None:
        reason = found.error.removeprefix(f"{found.path}: ")
        return [f"failed: {name}: {printable(reason)}"]
    count = "no break" if not found.breaks else "1 break" if len(found.breaks) == 1 else f"{len(found.breaks)} breaks"
    lines = [f"{name}: {count}, {found.ad_seconds:.1f} s of {found.duration_seconds:.1f} s"]
    for one in found.breaks:
        lines.append(
            f"  {clock(one.start_seconds)} to {clock(one.end_seconds)}  {one.end_seconds - one.start_seconds:7.2f} s  "
            f"confidence {one.confidence:.2f}{_edges(one)}"
        )
        lines += [f"    {sentence}" for sentence in one.why]
        lines += [f"    or {other.what} ({other.probability:.2f})" for other in one.alternatives[:1]]
    lines += [f"  unknown: {clock(start)} to {clock(end)} could not be read" for start, end in found.unknown]
    lines += [f"  note: {printable(note)}" for note in found.notes]
    lines += [f"  written: {printable(path)}" for path in found.written]
    return lines


def _not_told(told: set[str], lines: list[str]) -> list[str]:
    """The lines without the remarks of recordings before, which hold for each recording of a folder."""
    lines = [line for line in lines if line not in told]
    told.update(line for line in lines if line.startswith(("  note: ", "  next: ")))
    return lines


def _without_model(found: Recording) -> list[str]:
    """What to try where nothing was found by black frames, silence and cuts alone."""
    if found.breaks or found.error is not None:
        return []
    return [
        "  next: without a model of adverts short or unmarked breaks are missed; cliplab train ads_base CLIPS MODEL "
        "makes one for --model"
    ]


def _edges(one: AdBreak) -> str:
    """How sure the edges are."""
    if one.start_confidence is None or one.end_confidence is None:
        return ""
    return f" (its start {one.start_confidence:.2f}, its end {one.end_confidence:.2f} to within 1 s)"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.ss."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest / 100:05.2f}"
