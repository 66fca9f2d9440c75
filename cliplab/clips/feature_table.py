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
        spread: float64 [D]: standard deviations; 1 where a column is constant.
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
        return (self._raw(features) - self.usual) / self.spread

    def columns(self, name: str) -> slice:
        """The columns of a feature.

        Args:
            name: One of ``names``.
        """
        first = sum(self.widths[: self.names.index(name)])
        return slice(first, first + self.widths[self.names.index(name)])

    def _raw(self, features: Sequence[Mapping[str, Any]]) -> Float64Array:
        rows = np.tile(self.usual, (len(features), 1))
        first = 0
        for name, width in zip(self.names, self.widths, strict=True):
            for row, values in enumerate(features):
                numbers = _numbers(values.get(name))
                if numbers is not None and len(numbers) == width:
                    rows[row, first : first + width] = numbers
            first += width
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
    for values in features:
        for name, value in values.items():
            if name == VERSION_KEY:
                continue
            numbers = _numbers(value)
            if numbers is not None:
                counts = widths.setdefault(name, {})
                counts[len(numbers)] = counts.get(len(numbers), 0) + 1
    chosen = {name: max((count, width) for width, count in counts.items())[1] for name, counts in widths.items()}
    names = [name for name in sorted(chosen) if widths[name][chosen[name]] >= max(1.0, _FEWEST_SHARE * len(features))]
    while sum(chosen[name] for name in names) > _MOST_COLUMNS:
        names.remove(max(names, key=lambda name: chosen[name]))
    total = sum(chosen[name] for name in names)
    bare = FeatureTable(tuple(names), tuple(chosen[name] for name in names), np.full(total, np.nan), np.ones(total))
    raw = bare._raw(features)
    usual = np.nanmedian(raw, axis=0) if len(features) else np.zeros(total)
    spread = np.nan_to_num(np.nanstd(raw, axis=0)) if len(features) else np.ones(total)
    spread = np.where(spread > 1e-9 * np.abs(usual) + 1e-12, spread, 1.0)
    rows = (np.where(np.isnan(raw), usual, raw) - usual) / spread
    return FeatureTable(bare.names, bare.widths, usual, spread), np.asarray(rows, np.float64)


def _numbers(value: Any) -> list[float] | None:
    """A number or a flat list of finite numbers; None for anything else."""
    if type(value) is float:  # nearly all of them
        return [value] if math.isfinite(value) else None
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, (int, float)) for item in values):
        return None
    try:
        numbers = [float(item) for item in values]
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
