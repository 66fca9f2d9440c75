"""Hard examples on a device: kept on bounded disk until the registry has them."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import AdapterError, ConfigError, StorageError
from adapters.system import json_text, parse_json, read_regular_bytes, storage_error, write_bytes_atomic

MAX_BYTES, MAX_EXAMPLES = 200_000_000, 2_000
# Two examples are nearly the same above this cosine of their embeddings.
ALIKE = 0.98
_SUFFIXES = (".jpg", ".png", ".mp4")
_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{16}")
_MAX_FACTS = 1_000_000


@dataclass(frozen=True)
class QueuedExample:
    """An example that waits.

    Attributes:
        name: Unique; the registry takes an example once, however often it is sent.
        path: Its picture or video.
        facts: JSON values: model, version, scores, time, and what the caller gave.
    """

    name: str
    path: Path
    facts: Mapping[str, Any]

    def data(self) -> bytes:
        """The picture's or video's bytes."""
        return self.path.read_bytes()


class ExampleQueue:
    """Examples in a folder, each a file with a JSON, which is written last so that a kill leaves no half example.

    Args:
        folder: Where they are kept; made when needed.
        max_bytes: How much they may take; a new example replaces the least uncertain ones.
        max_examples: How many are kept.

    Raises:
        ConfigError: A limit is not positive.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, max_examples: int = MAX_EXAMPLES) -> None:
        if max_bytes < 1 or max_examples < 1:
            raise ConfigError(f"{folder}: limits of examples must be at least 1, got {max_bytes} and {max_examples}")
        self._folder, self._max_bytes, self._max_examples = folder, max_bytes, max_examples

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self._folder

    def __len__(self) -> int:
        return len(self._names())

    def put(self, data: bytes, suffix: str, facts: Mapping[str, Any], embedding: npt.ArrayLike | None = None) -> bool:
        """Keep an example, unless one that waits is nearly the same.

        Args:
            data: The bytes of a picture or video.
            suffix: ".jpg", ".png" or ".mp4".
            facts: JSON values; "uncertainty" in 0..1 says which are kept when the disk is full.
            embedding: [D], of the model's features; None compares the bytes only.

        Returns:
            Whether it is kept.

        Raises:
            ConfigError: The suffix or facts are not allowed.
            StorageError: It cannot be written.
        """
        return self.put_named(data, suffix, facts, embedding) is not None

    def put_named(
        self, data: bytes, suffix: str, facts: Mapping[str, Any], embedding: npt.ArrayLike | None = None
    ) -> str | None:
        """As ``put``, and returns the example's name; None where it is not kept."""
        if suffix not in _SUFFIXES:
            raise ConfigError(f"an example must be one of {', '.join(_SUFFIXES)}, got {suffix!r:.40}")
        digest = hashlib.sha256(data).hexdigest()[:16]
        direction = _direction(embedding)
        for waiting in self.waiting():
            if waiting.name.endswith(digest) or _alike(direction, waiting.facts.get("direction")):
                return None
        try:
            content = dict(facts) | {"direction": direction, "bytes": len(data), "suffix": suffix}
            text = json_text(content)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"facts of an example must be JSON values ({error})") from error
        if len(data) > self._max_bytes or len(text) > _MAX_FACTS:
            return None
        name = f"{time.time_ns():020d}-{digest}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self._folder, error) from error
        write_bytes_atomic(self._folder / f"{name}{suffix}", data)
        write_bytes_atomic(self._folder / f"{name}.json", text.encode())
        return None if name in self._trim() else name

    def waiting(self) -> Iterator[QueuedExample]:
        """Yield the examples, the oldest first; what is damaged is removed."""
        for name in self._names():
            found = self._read(name)
            if found is None:
                self.remove(name)
            else:
                yield found

    def remove(self, name: str) -> None:
        """Remove an example that the registry has.

        Args:
            name: The example's.
        """
        if not _NAME.fullmatch(name):
            return
        for suffix in (
            ".json",
            *_SUFFIXES,
        ):  # the JSON first: a kill leaves a file without one, which is not an example
            with contextlib.suppress(OSError):
                (self._folder / f"{name}{suffix}").unlink()

    def _read(self, name: str) -> QueuedExample | None:
        path = self._folder / f"{name}.json"
        try:
            facts = parse_json(read_regular_bytes(path, _MAX_FACTS), 20)
            media = path.with_suffix(facts["suffix"]) if facts["suffix"] in _SUFFIXES else None
            if media is None or not media.is_file() or media.stat().st_size != facts["bytes"]:
                return None
            return QueuedExample(name, media, facts)
        except (AdapterError, OSError, ValueError, KeyError, TypeError):
            return None

    def _trim(self) -> set[str]:
        """Remove the least uncertain examples above the limits, and files that a kill left; the names of the former."""
        examples = sorted(self.waiting(), key=_worth)
        total, removed = sum(int(item.facts["bytes"]) for item in examples), set()
        while examples and (total > self._max_bytes or len(examples) > self._max_examples):
            least = examples.pop(0)
            total -= int(least.facts["bytes"])
            removed.add(least.name)
            self.remove(least.name)
        names = set(self._names())
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.stem) and path.stem not in names:
                with contextlib.suppress(OSError):
                    path.unlink()
        return removed

    def _names(self) -> list[str]:
        try:
            return sorted(path.stem for path in self._folder.glob("*.json") if _NAME.fullmatch(path.stem))
        except OSError as error:
            raise StorageError(f"{self._folder}: cannot be read ({error})") from error


def uncertain(
    scores: npt.ArrayLike, min_confidence: float = 0.4, max_confidence: float = 0.6, positive: int | None = None
) -> bool:
    """Whether a prediction is a hard example: its confidence lies between two limits.

    Args:
        scores: [C] in 0..1. Not finite: hard.
        min_confidence: The lower limit.
        max_confidence: The upper limit.
        positive: The index of the label whose score counts; None takes the highest score.

    Raises:
        ConfigError: The limits are not 0 to 1 in their order.
    """
    if not 0.0 <= min_confidence <= max_confidence <= 1.0:
        raise ConfigError(
            f"--min-confidence and --max-confidence must be 0 to 1, in this order, got {min_confidence:g} and "
            f"{max_confidence:g}"
        )
    values = np.asarray(scores, np.float64)
    if not values.size or not np.isfinite(values).all():
        return bool(values.size)
    confidence = float(values.max() if positive is None else values[positive])
    return min_confidence <= confidence <= max_confidence


def sampled(name: str, sample_rate: float) -> bool:
    """Whether an example is among the sampled ones: the same answer each time, so that a rescan chooses the same.

    Args:
        name: What names the example, such as file and time.
        sample_rate: The share to keep, in 0..1.

    Raises:
        ConfigError: The share is out of range.
    """
    if not 0.0 <= sample_rate <= 1.0:
        raise ConfigError(f"--sample-rate must be 0 to 1, got {sample_rate:g}")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < sample_rate * 2**64


def _worth(example: QueuedExample) -> tuple[float, str]:
    value = example.facts.get("uncertainty")
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (float(value) if known and value is not None else 0.5, example.name)


def _direction(embedding: npt.ArrayLike | None) -> list[float] | None:
    if embedding is None:
        return None
    values = np.nan_to_num(np.asarray(embedding, np.float64).reshape(-1))[:4096]
    length = float(np.linalg.norm(values))
    return [round(float(value), 5) for value in values / length] if length > 0 else None


def _alike(one: list[float] | None, other: Any) -> bool:
    if one is None or not isinstance(other, list) or len(other) != len(one):
        return False
    try:
        return float(np.dot(one, np.asarray(other, np.float64))) >= ALIKE
    except (TypeError, ValueError):
        return False
