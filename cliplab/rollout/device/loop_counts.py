"""What inference loops count for the device's reports: cumulative numbers in one small file per loop.

A loop writes its own file and nobody else's; the client reads them all and remembers what it has reported. So neither
waits for the other, and a loop that is killed loses at most what it counted since its last write.
"""

from __future__ import annotations

import bisect
import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import AdapterError, StorageError
from adapters.records import Prediction
from adapters.system import file_lock, parse_json, read_regular_bytes, write_json_atomic
from cliplab.rollout.device.errors import DeviceError

# Upper edges of the bins of latencies in milliseconds; a last bin has what is longer. The ratio of 1.25 resolves the
# factor of 1.5 that a rollout must notice.
LATENCY_EDGES_MS = tuple(round(1.25**step, 3) for step in range(41))
SCORE_BINS = 20
# Labels whose scores are reported; more would make a report of a model of 1,000 classes too long.
MAX_LABELS = 64
WRITE_SECONDS = 5.0
_MAX_FILE_BYTES = 1_000_000


@dataclass
class Counts:
    """What was counted for one version of one model since the loop began.

    Attributes:
        predictions: Clips that were predicted.
        errors: Predictions that raised.
        latency: Predictions by latency, one bin more than ``LATENCY_EDGES_MS`` has edges.
        scores: By label, predictions by score in ``SCORE_BINS`` equal bins of 0..1.
        labelled: Predictions whose right label became known.
        correct: Those among them whose top label was right.
    """

    predictions: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_MS) + 1))
    scores: dict[str, list[int]] = field(default_factory=dict)
    labelled: int = 0
    correct: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not (self.predictions or self.errors or self.labelled)

    def add(self, predictions: Sequence[Prediction], milliseconds: float) -> None:
        """Count a batch.

        Args:
            predictions: What the model returned.
            milliseconds: For each clip of the batch.
        """
        for prediction in predictions:
            self.predictions += 1
            self.latency[bisect.bisect_left(LATENCY_EDGES_MS, milliseconds)] += 1
            bins = np.clip(np.nan_to_num(prediction.scores) * SCORE_BINS, 0, SCORE_BINS - 1).astype(int)
            for label, place in zip(prediction.labels[:MAX_LABELS], bins.tolist(), strict=False):
                self.scores.setdefault(label, [0] * SCORE_BINS)[place] += 1

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "predictions": self.predictions,
            "errors": self.errors,
            "latency": self.latency,
            "scores": self.scores,
            "labelled": self.labelled,
            "correct": self.correct,
        }

    @classmethod
    def from_json(cls, value: Any) -> Counts:
        """Of ``to_json``; what is not of its form counts as nothing."""
        counts = cls()
        if not isinstance(value, dict):
            return counts
        counts.predictions, counts.errors = _count(value.get("predictions")), _count(value.get("errors"))
        counts.labelled, counts.correct = _count(value.get("labelled")), _count(value.get("correct"))
        counts.latency = _bins(value.get("latency"), len(counts.latency))
        scores = value.get("scores")
        if isinstance(scores, dict):
            counts.scores = {
                label: _bins(bins, SCORE_BINS)
                for label, bins in list(scores.items())[:MAX_LABELS]
                if isinstance(label, str)
            }
        return counts

    def minus(self, earlier: Counts) -> Counts:
        """What was counted since ``earlier``; never below 0.

        Args:
            earlier: The same loop's counts before.
        """
        return Counts(
            max(0, self.predictions - earlier.predictions),
            max(0, self.errors - earlier.errors),
            _less(self.latency, earlier.latency),
            {label: _less(bins, earlier.scores.get(label, [0] * SCORE_BINS)) for label, bins in self.scores.items()},
            max(0, self.labelled - earlier.labelled),
            max(0, self.correct - earlier.correct),
        )

    def plus(self, other: Counts) -> Counts:
        """The sum of both.

        Args:
            other: Of the same version.
        """
        labels = dict.fromkeys([*self.scores, *other.scores])
        none = [0] * SCORE_BINS
        return Counts(
            self.predictions + other.predictions,
            self.errors + other.errors,
            [one + two for one, two in zip(self.latency, other.latency, strict=True)],
            {
                label: [
                    one + two
                    for one, two in zip(self.scores.get(label, none), other.scores.get(label, none), strict=True)
                ]
                for label in labels
            },
            self.labelled + other.labelled,
            self.correct + other.correct,
        )


class LoopFile:
    """The counts of one inference loop, by version, and whether it still runs.

    Args:
        folder: Where all loops of the device have their files.
        model: The model that it follows.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._name = f"{model}.{uuid.uuid4().hex[:12]}"
        self._path, self._model = folder / f"{self._name}.json", model
        self.versions: dict[str, Counts] = {}
        self.version = ""
        self._held = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(file_lock(folder / f"{self._name}.lock", busy=_never_busy))
        self._written = 0.0
        self.write()

    def counts(self, version: str) -> Counts:
        """The counts of a version, which becomes the one in use.

        Args:
            version: The SHA-256 of its file.
        """
        changed, self.version = version != self.version, version
        counts = self.versions.setdefault(version, Counts())
        if changed:
            self.write()
        return counts

    def write_if_due(self) -> None:
        """Write the file if the last time was ``WRITE_SECONDS`` ago."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self, ended: bool = False) -> None:
        """Write the file. A disk that is full does not stop a loop: the counts stay in memory.

        Args:
            ended: The loop ends on purpose; one that does not say so has crashed.
        """
        self._written = time.monotonic()
        value = {
            "model": self._model,
            "version": self.version,
            "ended": ended,
            "versions": {version: counts.to_json() for version, counts in self.versions.items()},
        }
        with contextlib.suppress(StorageError):
            write_json_atomic(self._path, value, None)

    def close(self, ended: bool = True) -> None:
        """Write the last counts and end.

        Args:
            ended: As for ``write``.
        """
        self.write(ended)
        self._held.close()


@dataclass(frozen=True)
class ReadLoop:
    """A loop's file as the client reads it.

    Attributes:
        name: Of the loop.
        model: The model that it follows.
        running: Whether its process lives.
        ended: Whether it ended on purpose.
        versions: Its counts by version's SHA-256.
        version: The SHA-256 of the version that it used last.
    """

    name: str
    model: str
    running: bool
    ended: bool
    versions: Mapping[str, Counts]
    version: str


def read_loops(folder: Path) -> Iterator[ReadLoop]:
    """Yield every loop that has a file; one that is damaged is left out.

    Args:
        folder: Where loops have their files.
    """
    for path in sorted(folder.glob("*.json")):
        running = _is_running(path.with_suffix(".lock"))  # before reading: its last write is complete then
        try:
            value = parse_json(read_regular_bytes(path, _MAX_FILE_BYTES), 20)
            versions = {str(key): Counts.from_json(item) for key, item in value["versions"].items()}
            yield ReadLoop(
                path.stem, str(value["model"]), running, bool(value["ended"]), versions, str(value["version"])
            )
        except (AdapterError, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue


def remove_loop(folder: Path, name: str) -> None:
    """Remove the files of a loop whose process has ended.

    Args:
        folder: Where loops have their files.
        name: The loop's.
    """
    for suffix in (".json", ".lock"):
        with contextlib.suppress(OSError):
            (folder / f"{name}{suffix}").unlink()


class _BusyError(AdapterError):
    pass


def _is_running(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with file_lock(lock, busy=_BusyError):
            return False
    except (_BusyError, StorageError):
        return True


def _never_busy(holder: str) -> AdapterError:
    return DeviceError(f"the lock of a new loop is held by {holder}. Start the loop again.")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _bins(value: Any, length: int) -> list[int]:
    return [_count(item) for item in value] if isinstance(value, list) and len(value) == length else [0] * length


def _less(bins: Sequence[int], earlier: Sequence[int]) -> list[int]:
    return [max(0, one - two) for one, two in zip(bins, earlier, strict=True)]
