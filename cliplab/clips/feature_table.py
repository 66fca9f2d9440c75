"""Features of clips as a matrix: numbers by name, lists of numbers as columns, what is missing at its usual value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.clips.records import VERSION_KEY

Float64Array = npt.NDArray[np.float64]

_MOST_COLUMNS = 20_000
_FEWEST_SHARE = 0.1  # of the clips must have a feature, or it says nothing of the others


@dataclass(frozen=True)
class FeatureTable:
    """Which features a model knows, and how they become numbers around 0.

    Attributes:
        names: Of the features, in order.
        widths: Columns of each: 1 for a number, its length for a list.
        usual: float64 [D]: medians, which stand in for what is missing.
        spread: float64 [D]: standard deviations, those of a list times the fourth root of its length, so that an
            embedding counts more than one number and less than all others together; 1 where a column is constant.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    usual: Float64Array
    spread: Float64Array

    def matrix(self, features: Sequence[Mapping[str, Any]]) -> Float64Array:
        """float64 [N, D], each column around 0.

        Args:
            features: Values by name of N clips; others than those of ``names`` are ignored.
        """
        numbers = [{name: _numbers(values.get(name)) for name in self.names} for values in features]
        return (self._raw(numbers) - self.usual) / self.spread

    def columns(self, name: str) -> slice:
        """The columns of a feature.

        Args:
            name: One of ``names``.
        """
        first = sum(self.widths[: self.names.index(name)])
        return slice(first, first + self.widths[self.names.index(name)])

    def _raw(self, numbers: Sequence[Mapping[str, float | list[float] | None]]) -> Float64Array:
        """Rows of what ``_numbers`` found by name; usual values where it is missing or of another width."""
        rows = np.tile(self.usual, (len(numbers), 1))
        starts = np.cumsum([0, *self.widths])[:-1]
        single = [name for name, width in zip(self.names, self.widths, strict=True) if width == 1]
        if single and len(numbers):  # nearly all of them, so they are taken as one array
            found = [[one if type(one := values.get(name)) is float else None for name in single] for values in numbers]
            block, places = np.array(found, np.float64), starts[np.array(self.widths) == 1]
            rows[:, places] = np.where(np.isnan(block), rows[:, places], block)
        for name, width, first in zip(self.names, self.widths, starts.tolist(), strict=True):
            for row, values in enumerate(numbers if width > 1 else ()):
                several = values.get(name)
                if isinstance(several, list) and len(several) == width:
                    rows[row, first : first + width] = several
        return rows


def feature_table(features: Sequence[Mapping[str, Any]]) -> FeatureTable:
    """The table that suits clips: every feature that is a number, or a list of as many numbers, in a tenth of them.

    Args:
        features: Values by name of N clips.
    """
    return table_and_rows(features)[0]


def table_and_rows(features: Sequence[Mapping[str, Any]]) -> tuple[FeatureTable, Float64Array]:
    """The table that suits clips, and their matrix.

    Args:
        features: Values by name of N clips.
    """
    widths: dict[str, dict[int, int]] = {}
    parsed = [{name: _numbers(value) for name, value in values.items() if name != VERSION_KEY} for values in features]
    for numbers in parsed:
        for name, found in numbers.items():
            if found is not None:
                counts = widths.setdefault(name, {})
                width = len(found) if isinstance(found, list) else 1
                counts[width] = counts.get(width, 0) + 1
    chosen = {name: max((count, width) for width, count in counts.items())[1] for name, counts in widths.items()}
    names = [name for name in sorted(chosen) if widths[name][chosen[name]] >= max(1.0, _FEWEST_SHARE * len(features))]
    while sum(chosen[name] for name in names) > _MOST_COLUMNS:
        names.remove(max(names, key=lambda name: chosen[name]))
    total = sum(chosen[name] for name in names)
    bare = FeatureTable(tuple(names), tuple(chosen[name] for name in names), np.full(total, np.nan), np.ones(total))
    raw = bare._raw(parsed)
    usual = np.nanmedian(raw, axis=0) if len(features) else np.zeros(total)
    spread = np.nan_to_num(np.nanstd(raw, axis=0)) if len(features) else np.ones(total)
    spread = np.where(spread > 1e-9 * np.abs(usual) + 1e-12, spread, 1.0)
    spread = spread * np.repeat(np.array(bare.widths, np.float64) ** 0.25, bare.widths)
    rows = (np.where(np.isnan(raw), usual, raw) - usual) / spread
    return FeatureTable(bare.names, bare.widths, usual, spread), np.asarray(rows, np.float64)


def _numbers(value: Any) -> float | list[float] | None:
    """A finite number, or a flat list of two or more; None for anything else."""
    if type(value) is float:  # nearly all of them
        return value if math.isfinite(value) else None
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, (int, float)) for item in values):
        return None
    try:
        numbers = [float(item) for item in values]
    except OverflowError:  # a whole number of more than 308 digits
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    return numbers if len(numbers) > 1 else numbers[0]
