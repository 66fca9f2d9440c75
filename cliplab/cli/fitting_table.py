"""A table that uses the width there is, and breaks a name only where nothing else is left to give way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_SHORT = 9  # a text such as 13.20 MB, which stays in one line where it can
_READABLE = 16  # of a column of sentences, where the others leave it
_GAP = 2  # rich's padding of one on both sides of a cell


class FittingTable(Table):
    """A table without lines whose columns are as wide as their longest words need, before any gets more."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = [[_plain(column.header), *map(_plain, column.cells)] for column in self.columns]
        numbers = [column.justify == "right" for column in self.columns]
        found = widths(cells, numbers, options.max_width - _GAP * len(cells))
        for column, width in zip(self.columns, found, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)


def widths(cells: Sequence[Sequence[str]], numbers: Sequence[bool], available: int) -> list[int]:
    """How wide each column is.

    Args:
        cells: The texts of each column, its name among them.
        numbers: Whether a column holds figures, which are read best in one line.
        available: Characters for all columns together.

    Returns:
        As many numbers as columns, their sum at most available unless each is 1.
    """
    whole = [max(map(cell_len, column)) for column in cells]
    if sum(whole) <= available:
        return whole
    words = [max(max((cell_len(word) for word in text.split()), default=1) for text in column) for column in cells]
    short = [
        max(word, *(one for text in column if (one := cell_len(text)) <= _SHORT), 1)
        for word, column in zip(words, cells, strict=True)
    ]
    readable = [max(word, min(all_of, _READABLE)) for word, all_of in zip(short, whole, strict=True)]
    figures = [all_of if number else wide for all_of, wide, number in zip(whole, readable, numbers, strict=True)]
    found = list(next((one for one in (figures, readable, short, words) if sum(one) <= available), readable))
    while sum(found) > available and max(found) > 1:  # names have to be broken: the longest first
        found[found.index(max(found))] -= 1
    while sum(found) < available:  # what has most lines gets the next character
        hungry = max(range(len(found)), key=lambda at: whole[at] / max(found[at], 1))
        if found[hungry] >= whole[hungry]:
            break
        found[hungry] += 1
    return found


def _plain(cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
