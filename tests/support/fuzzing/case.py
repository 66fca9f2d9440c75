"""What a kind of fuzzing is: it opens once in a process, then runs one case for each seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

Run = Callable[[int], str]


class UnexpectedAnswerError(Exception):
    """A case was answered, and not as it must be."""


@dataclass(frozen=True)
class Kind:
    """A kind of inputs.

    Attributes:
        cases: How many run in ``make test``; ``make fuzz`` runs ten times as many.
        opened: Opens the kind, with a folder for its files. The function that it yields runs the case of a seed and
            returns how it ended, "read" or "refused: ...". What it raises is a finding, unless it is an AdapterError.
    """

    cases: int
    opened: Callable[[Path], AbstractContextManager[Run]]


def case_files(folder: Path) -> list[Path]:
    """The files of a case, which are named "case...", wherever in the folder; a host removes its own meanwhile."""
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names if name.startswith("case"))
    return [path for path in found if path.is_file()]


def random_of(kind: str, seed: int) -> Random:
    """The random numbers of a case: the same on every machine."""
    return Random(f"{kind} {seed}")


def outcome(work: Callable[[], object]) -> str:
    """Run the work of a case; an error that it may raise is its outcome."""
    from adapters.errors import AdapterError

    try:
        work()
    except AdapterError as error:
        message = str(error)
        if not message.strip() or "\x1b" in message:
            raise UnexpectedAnswerError(f"the error says {message!r}") from error
        return f"refused: {type(error).__name__}: {message[:160]}"
    return "read"
