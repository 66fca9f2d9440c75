"""What the Browse page does in a child process: a reel of chosen clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cliplab.reel import listing_of, reel_of
from cliplab.studio.context import shown
from cliplab.studio.jobs import Job

_WHOLE = 86_400.0  # seconds; a clip is taken up to its end


def make_reel(job: Job, arguments: dict[str, Any]) -> dict[str, Any]:
    """Join clips into one MP4, in the order given.

    Args:
        job: The job.
        arguments: "clips", the paths of files; "output", the path of the MP4; "transitions", whether clips are
            crossfaded.

    Returns:
        "clips" and "seconds" of the reel; "problems", sentences about clips that were left out.
    """
    paths = arguments["clips"]
    # The listing is in the order of scores.
    rows = [(path, 0.0, _WHOLE, 1.0 - place / len(paths)) for place, path in enumerate(paths)]
    target = Path(arguments["output"])
    target.parent.mkdir(parents=True, exist_ok=True)

    def progress(stage: str, done: float, total: float) -> None:
        job.check()
        job.progress(stage, round(100 * done / total) if total > 0 else 0, 100)

    report = reel_of(
        listing_of(rows),
        target,
        source=Path("the selection"),
        top=len(rows),
        transitions=arguments["transitions"],
        on_progress=progress,
    )
    problems = [f"{shown(Path(one.path).name)} is left out: {shown(one.reason)}" for one in report.skipped]
    return {
        "clips": len(report.timeline),
        "seconds": round(report.seconds, 2),
        "problems": problems + [shown(note) for note in report.notes],
    }
