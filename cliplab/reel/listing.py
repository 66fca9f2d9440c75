"""What a reel is made of: a scan's videos, the candidates of ``cliplab detect``, or clips that a person chose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, DatasetError, MediaError
from adapters.system import file_fingerprint, parse_json, read_regular_bytes
from cliplab.detect import HighlightReport, read_report
from cliplab.library import read_highlights

_SCAN_LEAST = 0.85  # the score from which a scan's videos are in a reel, where none is given
_MOST_BYTES = 256 << 20


def read_listing(path: Path, label: str | None) -> dict[str, Any]:
    """What a reel can be made of, in the form of a scan's highlights.

    Args:
        path: The highlights.json of a scan, or candidates that ``cliplab detect -o`` wrote.
        label: Whose score counts, of a scan or detection with several prompts; None for the file's own score.

    Returns:
        The JSON object; "highlights" best first, and "usual_min_score" where no least score is given.

    Raises:
        DatasetError: The file is neither.
        ConfigError: It has no scores of the label.
    """
    if _has_candidates(path):
        return _of_candidates(path, read_report(path), label)
    scan = {**read_highlights(path), "usual_min_score": _SCAN_LEAST}
    if label is None or label == scan["label"]:
        return scan
    rows = [row | row["labels"][label] for row in scan["highlights"] if label in row.get("labels", {})]
    if not rows and scan["highlights"]:
        known = list(dict.fromkeys(name for row in scan["highlights"][:100] for name in row.get("labels", {})))
        listed = ", ".join([scan["label"], *known])
        raise ConfigError(
            f"{path}: has no scores of {label!r}; it has those of {listed}. Give one of them, or scan again with "
            f"--label {label!r}, which decodes nothing again if the model has this label"
        )
    return {**scan, "label": label, "highlights": _best_first(rows)}


def listing_of(clips: Iterable[tuple[str, float, float, float]], label: str = "selection") -> dict[str, Any]:
    """Clips that were chosen one by one, in the form of a scan's highlights.

    Args:
        clips: Path, start and end in seconds, and score 0..1 of each.
        label: What messages call it.
    """
    rows = [
        {"path": path, "score": score, "duration": None, "windows": [{"start": start, "end": end, "score": score}]}
        for path, start, end, score in clips
    ]
    return {"label": label, "min_score": 0.0, "usual_min_score": 0.0, "highlights": _best_first(rows), "listed": True}


def _best_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: -float(row["score"]))


def _has_candidates(path: Path) -> bool:
    """Whether a file was written by detect; what is wrong with it is said by those who read it."""
    try:
        value = parse_json(read_regular_bytes(path, _MOST_BYTES, DatasetError))
    except (AdapterError, OSError, ValueError):
        return False
    return isinstance(value, dict) and isinstance(value.get("candidates"), list)


def _of_candidates(path: Path, report: HighlightReport, label: str | None) -> dict[str, Any]:
    source = Path(report.source)
    if not source.is_file():
        raise DatasetError(
            f"{path}: its source {report.source} is not a local file. A reel is cut from a recording; for a "
            "stream, write the clips first: cliplab generate"
        )
    try:
        changed = report.fingerprint is not None and file_fingerprint(source) != report.fingerprint
    except OSError as error:
        raise MediaError(f"{source}: cannot be read ({error.strerror}). Check the file.") from None
    if changed:
        raise DatasetError(f"{path}: {report.source} has changed since. Run cliplab detect again")
    chosen = []
    for one in report.candidates:
        score = one.score if label is None else (one.prompts or {}).get(label)
        if score is not None:
            chosen.append((report.source, one.start, one.end, min(score, 1.0)))
    if label is not None and not chosen and report.candidates:
        known = list(dict.fromkeys(name for one in report.candidates for name in one.prompts or {}))
        words = f"has the prompts {', '.join(known)}" if known else "has no prompts"
        raise ConfigError(f"{path}: {words}, not {label!r}. Run cliplab detect with --prompt {label!r}")
    return listing_of(chosen, label or "candidates") | {"listed": False}
