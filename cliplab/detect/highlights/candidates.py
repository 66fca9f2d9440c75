"""What was found: candidates of highlights and the report of one source, also as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from adapters.errors import DatasetError
from adapters.system import parse_json, read_regular_bytes, write_json_atomic

Kind = Literal["audio", "video"]
FORMAT = "cliplab-highlights"
VERSION = 1
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Candidate:
    """A stretch that may be a highlight. Times are seconds since the source's first frame.

    Attributes:
        start: Where a clip of it begins.
        end: Where it ends.
        peak: The moment that was found.
        kind: "audio" or "video": which of both found it.
        event: What the peak is: cheer, speech, bang, motion, flash, cuts, scene or chat.
        score: 0..1: that of stage 1, or what a later stage made of it.
        cues: How strong each cue is at the peak, 0..1 each.
        stage1: The score of stage 1.
        stage2: The score of a model of stage 2; None: none looked.
        rating: What a rating model expects, 0..1 for 1 to 5 stars; None: no model serves.
        prompts: How well the pictures fit each prompt, 0..1; None: no prompt was given.
        why: Further words for people, such as the stars that are expected.
    """

    start: float
    end: float
    peak: float
    kind: Kind
    event: str
    score: float
    cues: Mapping[str, float]
    stage1: float
    stage2: float | None = None
    rating: float | None = None
    why: str | None = None
    prompts: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object; what no stage said is left out."""
        values: dict[str, Any] = {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "peak": round(self.peak, 3),
            "kind": self.kind,
            "event": self.event,
            "score": round(self.score, 4),
            "stage1": round(self.stage1, 4),
            "cues": {name: round(value, 4) for name, value in self.cues.items()},
        }
        for name in ("stage2", "rating", "why"):
            value = getattr(self, name)
            if value is not None:
                values[name] = round(value, 4) if isinstance(value, float) else value
        if self.prompts is not None:
            values["prompts"] = dict(self.prompts)
        return values


@dataclass(frozen=True)
class HighlightReport:
    """The candidates of one source.

    Attributes:
        source: The path or URL, as given.
        duration_seconds: How much of it was seen and heard.
        candidates: In the order of time.
        notes: What is missing or was damaged, in sentences.
        model: The model of stage 2; None: none.
        rating_model: The version of the rating model that ordered them; None: none.
        fingerprint: Of the source file; None for a stream.
        error: Why the source could not be read; None: it could.
        options: How they were looked for.
    """

    source: str
    duration_seconds: float
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()
    model: str | None = None
    rating_model: str | None = None
    fingerprint: str | None = None
    error: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """The candidates, the best first."""
        return tuple(sorted(self.candidates, key=lambda one: (-one.score, one.start)))

    def to_json(self) -> dict[str, Any]:
        """A JSON object, which ``read_report`` reads."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "duration_seconds": round(self.duration_seconds, 3),
            "model": self.model,
            "rating_model": self.rating_model,
            "options": dict(self.options),
            "candidates": [one.to_json() for one in self.candidates],
            "notes": list(self.notes),
            "error": self.error,
        }


def write_report(path: str | Path, report: HighlightReport) -> None:
    """Write a report, whole or not at all.

    Args:
        path: The file.
        report: What was found.

    Raises:
        StorageError: It cannot be written.
    """
    write_json_atomic(path, report.to_json())


def read_report(path: str | Path) -> HighlightReport:
    """Read candidates, also those that a page or a person changed.

    Args:
        path: A file of ``cliplab detect --output``, or with ``source`` and ``candidates`` of ``start``, ``end`` alone.

    Raises:
        DatasetError: It is not a list of candidates; says which value is not allowed.
    """
    try:
        value = parse_json(read_regular_bytes(path, _MOST_BYTES, DatasetError))
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error}). Write it with cliplab detect -o {path}") from None
    if not isinstance(value, dict) or not isinstance(value.get("candidates"), list):
        raise DatasetError(f"{path}: has no list of candidates. Write it with cliplab detect SOURCE -o {path}")
    if not isinstance(value.get("source"), str) or not value["source"]:
        raise DatasetError(f'{path}: "source" must name the video that the candidates belong to')
    if value.get("version", VERSION) != VERSION:
        raise DatasetError(f"{path}: has version {value['version']!r:.20}; this cliplab reads {VERSION}")
    notes = value.get("notes") or []
    if not isinstance(notes, list):
        raise DatasetError(f"{path}: notes must be a list of strings, got {notes!r:.40}")
    rows = [_candidate(path, number, row) for number, row in enumerate(value["candidates"], 1)]
    return HighlightReport(
        value["source"],
        _number(path, "duration_seconds", value.get("duration_seconds", 0.0)),
        tuple(sorted(rows, key=lambda one: one.start)),
        tuple(map(str, notes)),
        _text(value.get("model")),
        _text(value.get("rating_model")),
        _text(value.get("fingerprint")),
        None,
        value["options"] if isinstance(value.get("options"), dict) else {},
    )


def _candidate(path: str | Path, number: int, row: Any) -> Candidate:
    where = f"candidate {number}"
    if not isinstance(row, dict):
        raise DatasetError(f"{path}: {where} is not an object with start and end")
    start = _number(path, f"start of {where}", row.get("start"))
    end = _number(path, f"end of {where}", row.get("end"))
    if end <= start:
        raise DatasetError(f"{path}: {where} must end after it begins, got {start:g} to {end:g} s")
    kind, cues = row.get("kind", "video"), row.get("cues") or {}
    if kind not in ("audio", "video"):
        raise DatasetError(f"{path}: kind of {where} must be audio or video, got {kind!r:.40}")
    if not isinstance(cues, dict):
        raise DatasetError(f"{path}: cues of {where} must be numbers by name, got {cues!r:.40}")
    score = _number(path, f"score of {where}", row.get("score", 0.0))
    known = {name: _number(path, f"cue {name!r:.40} of {where}", cue) for name, cue in cues.items()}
    peak = _number(path, f"peak of {where}", row.get("peak", (start + end) / 2))
    first = _number(path, f"stage1 of {where}", row.get("stage1", score))
    found = Candidate(start, end, peak, kind, str(row.get("event", "motion")), score, known, first)
    later = {name: _number(path, f"{name} of {where}", row[name]) for name in ("stage2", "rating") if name in row}
    prompts = row.get("prompts")
    if prompts is not None:
        if not isinstance(prompts, dict):
            raise DatasetError(f"{path}: prompts of {where} must be numbers by prompt, got {prompts!r:.40}")
        prompts = {name: _number(path, f"prompt {name!r:.40} of {where}", value) for name, value in prompts.items()}
    return replace(found, **later, why=_text(row.get("why")), prompts=prompts)  # type: ignore[arg-type]


def _number(path: str | Path, name: str, value: Any) -> float:
    allowed = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
    if not allowed or not math.isfinite(value) or value < 0:
        raise DatasetError(f"{path}: {name} must be a number of at least 0, got {value!r:.40}")
    return float(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
