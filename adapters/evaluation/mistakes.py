"""The clips that a model got wrong, the surest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.data import Example
from adapters.evaluation.curves import BoolArray, FloatArray
from adapters.evaluation.report import Mistake


def find_mistakes(
    values: FloatArray,
    onehot: BoolArray,
    decided: BoolArray,
    labels: tuple[str, ...],
    paths: Sequence[Example | str | Path] | None,
    multi: bool,
) -> list[Mistake]:
    """Every clip that was decided wrong, the surest first.

    Args:
        values: float64 [N, C] scores in 0..1.
        onehot: bool [N, C], which classes are right.
        decided: bool [N, C], which classes were decided for.
        labels: C names.
        paths: N examples or paths; None: the clips are numbered.
        multi: Whether several classes may be right.
    """
    wrong = decided != onehot
    if multi:
        surety = np.where(wrong, np.where(decided, values, 1 - values), -1.0).max(axis=1)
    else:
        surety = np.where(decided, values, 0.0).max(axis=1)
    rows = [row for row in np.argsort(-surety, kind="stable") if wrong[row].any()]
    found = []
    for row in rows:
        place = paths[row] if paths is not None else f"clip {row}"
        start, end = (place.start_seconds, place.end_seconds) if isinstance(place, Example) else (None, None)
        path = str(place.path if isinstance(place, Example) else place)
        truth, predicted = (
            tuple(name for name, on in zip(labels, mask[row], strict=True) if on) for mask in (onehot, decided)
        )
        found.append(Mistake(path, start, end, truth, predicted, float(surety[row])))
    return found
