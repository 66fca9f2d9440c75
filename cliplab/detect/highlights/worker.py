"""`cliplab worker`: takes sources from a queue folder, finds their highlights, cuts and enters the clips. For ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError, ConfigError, DatasetError, StorageError, describe_failure
from adapters.system import parse_json, read_regular_bytes
from cliplab.clips import DEFAULT_MODEL
from cliplab.detect.highlights.commands import highlight_options
from cliplab.detect.highlights.generating import DEFAULT_OUTPUT, generate_clips
from cliplab.detect.highlights.job_folders import JobFolders
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.rating_order import RatingOrder
from cliplab.detect.highlights.stage2 import LEAST_SCORE, Stage2, stage2_model

if TYPE_CHECKING:
    from cliplab.clips import ClipManager

_MOST_JOB_BYTES = 1 << 20
_LOOK_SECONDS = 1.0
_KEYS = (
    "clip_seconds",
    "min_gap_seconds",
    "min_score",
    "most",
    "before",
    "snap_seconds",
    "frames",
    "headers",
    "quality",
)


@dataclass(frozen=True)
class Job:
    """A source that waits.

    Attributes:
        path: Its file in the queue.
        source: A path or URL.
        options: How highlights are looked for.
    """

    path: Path
    source: str
    options: HighlightOptions


def work(
    queue: str | Path,
    *,
    output: str | Path = DEFAULT_OUTPUT,
    database: str | Path = "clips.db",
    stage2: Stage2 | None = None,
    ratings: RatingOrder | None = None,
    once: bool = False,
    on_job: Callable[[str, dict[str, Any]], object] | None = None,
    on_note: Callable[[str], object] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Work on a queue. Several workers may share one folder: each job is taken by one of them.

    A job is a file in the folder: ``X.json`` with "source" and options of ``cliplab detect``, or a video itself, which
    goes to ``sources`` and stays there. The job goes to ``working``, and from there to ``done`` or ``failed`` with a
    report beside it. A job whose worker was killed is taken again.

    Args:
        queue: The folder, which is made.
        output: The folder of the clips.
        database: The clip database.
        stage2: A model that drops and orders candidates; where it follows a manifest, a promoted model is used from the
            next candidates on.
        ratings: Rating models, read again when they change.
        once: End when the queue is empty.
        on_job: Called with "begun", "done" or "failed" and what is known of the job.
        on_note: Called with a sentence about what is odd.
        is_stopped: Asked between jobs, and between the segments of a stream.

    Returns:
        How many jobs failed.

    Raises:
        StorageError: The folder cannot be written, or the disk is full; the job goes back to the queue.
    """
    folders = JobFolders(Path(queue))
    failed = 0
    with ExitStack() as stack:
        from cliplab.clips import ClipManager

        manager = stack.enter_context(ClipManager(database))
        while not is_stopped():
            worked = False
            for path in folders.waiting():
                if is_stopped():
                    break
                with folders.taken(path) as held:
                    if held is None:
                        continue
                    worked = True
                    tools = _Tools(Path(output), manager, stage2, ratings, on_note, is_stopped)
                    failed += not _do(held, folders, tools, on_job)
            if once and not worked and not folders.unsettled():
                break
            if not worked and not is_stopped():
                time.sleep(_LOOK_SECONDS)
    return failed


def worker(
    queue: str | Path,
    *,
    output: str | Path = DEFAULT_OUTPUT,
    database: str | Path = "clips.db",
    stage2: str | Path | None = None,
    stage2_label: str | None = None,
    stage2_min: float = LEAST_SCORE,
    rating_model: str | Path | None = DEFAULT_MODEL,
    once: bool = False,
    trust_adapters: Sequence[str] = (),
    on_job: Callable[[str, dict[str, Any]], object] | None = None,
    on_note: Callable[[str], object] | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Work on a queue with the models that are named: see ``work``.

    Args:
        queue: As for ``work``.
        output: As for ``work``.
        database: As for ``work``.
        stage2: As for ``detect_all``.
        stage2_label: As for ``detect_all``.
        stage2_min: As for ``detect_all``.
        rating_model: As for ``detect_all``.
        once: As for ``work``.
        trust_adapters: As for ``open_model``.
        on_job: As for ``work``.
        on_note: As for ``work``.
        is_stopped: As for ``work``.

    Returns:
        How many jobs failed.
    """
    model = stage2_model() if stage2 is None else stage2
    looker = (
        None if model is None else Stage2(model, label=stage2_label, least=stage2_min, trust_adapters=trust_adapters)
    )
    return work(
        queue,
        output=output,
        database=database,
        stage2=looker,
        ratings=None if rating_model is None else RatingOrder(rating_model),
        once=once,
        on_job=on_job,
        on_note=on_note,
        is_stopped=is_stopped,
    )


@dataclass(frozen=True)
class _Tools:
    output: Path
    manager: ClipManager
    stage2: Stage2 | None
    ratings: RatingOrder | None
    on_note: Callable[[str], object] | None
    is_stopped: Callable[[], bool]


def _do(path: Path, folders: JobFolders, tools: _Tools, on_job: Callable[[str, dict[str, Any]], object] | None) -> bool:
    """Do one job; whether it is done. A job that fails is put aside with the reason."""
    name, begun = path.name, time.time()
    notify = on_job or (lambda _state, _job: None)
    try:
        job = _read(path)
        notify("begun", {"job": name, "source": job.source})
        report = generate_clips(
            job.source,
            tools.output,
            database=tools.manager,
            options=job.options,
            stage2=tools.stage2,
            ratings=tools.ratings,
            on_note=tools.on_note,
            is_stopped=tools.is_stopped,
        )
    except (StorageError, KeyboardInterrupt):
        folders.put_back(path)
        raise
    except AdapterError as error:
        return _failed(path, folders, str(error), notify)
    except Exception as error:
        return _failed(path, folders, describe_failure(name, error), notify)
    folders.close(path, folders.done, {"job": name, "seconds": round(time.time() - begun, 3), **report.to_json()})
    notify("done", {"job": name, "source": job.source, "clips": len(report.clips), "failed": report.failed})
    return True


def _failed(path: Path, folders: JobFolders, reason: str, notify: Callable[[str, dict[str, Any]], object]) -> bool:
    folders.close(path, folders.failed, {"job": path.name, "error": reason})
    notify("failed", {"job": path.name, "error": reason})
    return False


def _read(path: Path) -> Job:
    try:
        value = parse_json(read_regular_bytes(path, _MOST_JOB_BYTES, DatasetError))
    except OSError as error:
        raise DatasetError(f"{path.name}: cannot be read ({error.strerror}). Check the file or the link.") from None
    except ValueError as error:
        raise DatasetError(f'{path.name}: is not JSON ({error}). A job is {{"source": "match.mp4"}}') from None
    if not isinstance(value, dict) or not isinstance(value.get("source"), str) or not value["source"].strip():
        raise DatasetError(f'{path.name}: "source" must name a video or a URL. A job is {{"source": "match.mp4"}}')
    unknown = sorted(set(value) - {"source", *_KEYS})
    if unknown:
        raise ConfigError(
            f"{path.name}: {unknown[0]!r:.40} is not an option of a job; allowed: source, {', '.join(_KEYS)}"
        )
    given = {name: value[name] for name in _KEYS if name in value}
    headers = given.pop("headers", {})
    if not isinstance(headers, dict):
        raise ConfigError(f'{path.name}: headers must be values by name, such as {{"Referer": "https://example.org"}}')
    lines = [f"{name}: {text}" for name, text in headers.items()]
    return Job(path, value["source"], highlight_options(headers=lines, **given))
