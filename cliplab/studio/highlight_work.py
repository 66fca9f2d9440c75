"""What the Generate page does in a child process: look for highlights, and write clips."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError
from adapters.hosts.http_server.errors import RequestError
from adapters.media import DecoderPool, MediaLimits
from adapters.system import write_json_atomic
from cliplab.studio.jobs import Job
from cliplab.studio.web_addresses import require_public_address

FRAME_PIXELS = 36_000_000  # of the largest frame: 8K
_DECODE_MB, _DECODE_SECONDS = 2000.0, 1800.0
_MOST_PEAKS, _PEAKS_PER_SECOND = 60_000, 20.0


def analyze(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Look for the highlights of one source and write them as a report.

    Args:
        job: The job.
        arguments: "source", "name" to show, "local" whether it is a file, "report" the path of the report to write,
            "options" of ``HighlightOptions``, and the "folder" of the studio, whose ``.env`` may ask for stage 2 and
            whose rating model orders. Stopping the analysis of a stream keeps what was found.

    Returns:
        "found", how many, by kind.
    """
    from cliplab.detect import HighlightOptions, find_highlights, write_report

    local = arguments["local"]

    job.progress("opening the source")
    try:
        report = find_highlights(
            arguments["source"],
            HighlightOptions(**arguments["options"]),
            on_progress=_progress_of(job, local),
            on_candidate=lambda one: job.line(f"{one.start:.0f} to {one.end:.0f} s: {one.event}, {one.score:.2f}"),
            on_note=job.line,
            check_stop=job.check if local else lambda: None,
            is_stopped=lambda: job.stopping,
            check_url=_public,
            **_models(Path(arguments["folder"])),
        )
    except AdapterError as error:  # in the words of the page
        raise AdapterError(str(error).replace(arguments["source"], arguments["name"])) from error
    target = Path(arguments["report"])
    target.parent.mkdir(parents=True, exist_ok=True)
    if local:
        job.progress("drawing the sound")
        with suppress(AdapterError):  # sound alone, or damaged: the timeline has no waveform, and highlights stay
            write_json_atomic(
                target.with_suffix(".sound.json"), _sound(arguments["source"], report.duration_seconds, job)
            )
    write_report(target, report)
    kinds = [one.kind for one in report.candidates]
    return {"found": len(kinds), "audio": kinds.count("audio"), "video": kinds.count("video")}


def generate(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Write clips of a report and enter them in the clip database.

    Args:
        job: The job.
        arguments: "report" its path, "local" whether its source is a file, "output" folder, "database", the "folder"
            of the studio, and "clips": for each "number" of the candidate (from 0), "start" and "end" in seconds. A
            stream is followed again, and its clips are written while it runs.

    Returns:
        "made", "kept" and "failed", how many; "problems", sentences of those that failed.
    """
    from cliplab.detect import HighlightOptions, generate_clips, read_report

    report = read_report(arguments["report"])
    chosen = [
        replace(report.candidates[row["number"]], start=row["start"], end=row["end"]) for row in arguments["clips"]
    ]

    def on_clip(clip: Any) -> None:
        job.line(f"{clip.state}: {Path(clip.path).name}" + (f" ({clip.error})" if clip.error else ""))
        if arguments["local"]:
            job.check()

    common: dict[str, Any] = {
        "database": arguments["database"],
        "on_progress": _progress_of(job, arguments["local"]),
        "on_clip": on_clip,
    }
    if arguments["local"]:
        found = generate_clips(report, arguments["output"], candidates=chosen, **common)
    else:
        found = generate_clips(
            report.source,
            arguments["output"],
            options=HighlightOptions(**report.options),
            on_note=job.line,
            check_url=_public,
            is_stopped=lambda: job.stopping,
            **_models(Path(arguments["folder"])),
            **common,
        )
    states = [clip.state for clip in found.clips]
    problems = [clip.error for clip in found.clips if clip.error]
    counts: Mapping[str, int] = {name: states.count(name) for name in ("made", "kept", "failed")}
    return {**counts, "problems": problems[:20]}


def _models(folder: Path) -> dict[str, Any]:
    """Stage 2 where ``.env`` asks for it, and the rating model where there is one."""
    from cliplab.detect import RatingOrder, Stage2, stage2_model

    model = stage2_model(folder=folder)
    return {
        "stage2": None if model is None else Stage2(model),
        "ratings": RatingOrder(folder / "models" / "highlight_model.skops"),
    }


def _public(url: str) -> None:
    """Refuse an address that a page may not name, also where a playlist or a redirect leads."""
    try:
        require_public_address(url)
    except RequestError as error:
        raise ConfigError(error.message) from None


def _progress_of(job: Job, may_stop: bool = True) -> Callable[[str, float, float], None]:
    words = {"watch": "watching and listening (seconds)", "clips": "writing clips"}

    def progress(stage: str, done: float, total: float) -> None:
        if may_stop:
            job.check()
        known = total < float("inf")
        job.progress(words.get(stage, stage), round(done), max(1, round(total)) if known else None)

    return progress


def _sound(source: str, duration: float, job: Job) -> dict[str, Any]:
    """The waveform: at most 60,000 stretches, 20 per second where that suffices."""
    per_second = min(_PEAKS_PER_SECOND, _MOST_PEAKS / max(duration, 1.0))
    limits = MediaLimits(FRAME_PIXELS, lambda: "the job was stopped" if job.stopping else None, 1)
    pool = DecoderPool(1, _DECODE_MB, _DECODE_SECONDS)
    try:
        with pool.open_video(source, limits) as video:
            peaks = video.sound_peaks(per_second)
    finally:
        pool.close()
    encoded = "" if peaks is None else base64.b64encode(peaks.tobytes()).decode()
    return {"per_second": per_second, "peaks": encoded}
