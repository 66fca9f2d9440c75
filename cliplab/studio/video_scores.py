"""What models say of a video over time: computed on request, kept in the cache, drawn below the intervals."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.data import spelling_key
from adapters.errors import AdapterError
from adapters.system import MAX_DEPTH, cache_dir, parse_json, read_regular_text, value_digest, write_json_atomic

MOST_MODELS = 3  # whose scores a page shows, those that were computed last
MOST_ROWS = 5  # of one model: a timeline of more hides the picture
MOST_BYTES = 64_000_000
_FINGERPRINT = re.compile(r"[0-9a-f]{8,128}")


def keep_scores(fingerprint: str, model: str, found: Mapping[str, Any]) -> Path:
    """Keep the scores of a video; those that the model gave before are replaced.

    Args:
        fingerprint: Of the video's content, so that a renamed video keeps its scores and a replaced one has none.
        model: What the page calls the model.
        found: As ``model_work.try_video`` returns it: "labels", "starts", "ends", "scores" [windows][labels],
            "thresholds".

    Returns:
        The file.

    Raises:
        StorageError: The cache cannot be written.
    """
    path = _folder(fingerprint) / f"{value_digest(model)[:24]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("labels", "starts", "ends", "scores", "thresholds")
    write_json_atomic(path, {"model": model, **{key: found[key] for key in keys}}, None)
    return path


def score_rows(fingerprint: str, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of a timeline: one for each class of the models that scored a video last.

    Args:
        fingerprint: Of the video's content.
        classes: Those of the studio. Where a model knows some of them, its other labels are left out.

    Returns:
        By a name such as "ad, by ads_v2": "label", "times" in seconds (the middle of each window), "scores" in 0..1,
        and "threshold". What cannot be read is left out: it can be computed again.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in _latest(fingerprint):
        with contextlib.suppress(AdapterError, OSError, ValueError, KeyError, TypeError, IndexError):
            rows |= _rows_of(parse_json(read_regular_text(path, MOST_BYTES), MAX_DEPTH), classes)
    return rows


def _folder(fingerprint: str) -> Path:
    if _FINGERPRINT.fullmatch(fingerprint) is None:
        raise ValueError(f"a fingerprint must be hexadecimal, got {fingerprint!r:.80}")
    return cache_dir() / "studio_video_scores" / fingerprint


def _latest(fingerprint: str) -> list[Path]:
    try:
        found = [(os.stat(path).st_mtime, path) for path in _folder(fingerprint).glob("*.json")]
    except (OSError, ValueError):
        return []
    return [path for _, path in sorted(found, reverse=True)[:MOST_MODELS]]


def _rows_of(kept: Mapping[str, Any], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    labels, scores = list(kept["labels"]), kept["scores"]
    by_spelling = {spelling_key(name): name for name in classes}
    known = [column for column, label in enumerate(labels) if spelling_key(label) in by_spelling]
    columns = known or list(range(len(labels)))
    peaks = {column: max((line[column] for line in scores), default=0.0) for column in columns}
    shown = sorted(sorted(columns, key=lambda column: -peaks[column])[:MOST_ROWS])
    times = [round((start + end) / 2, 3) for start, end in zip(kept["starts"], kept["ends"], strict=True)]
    return {
        f"{by_spelling.get(spelling_key(labels[column]), labels[column])}, by {kept['model']}": {
            "label": by_spelling.get(spelling_key(labels[column]), labels[column]),
            "times": times,
            "scores": [line[column] for line in scores],
            "threshold": kept["thresholds"].get(labels[column]),
        }
        for column in shown
    }
