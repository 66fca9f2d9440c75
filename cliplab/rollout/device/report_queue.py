"""Reports that wait for the registry: one file each, in order, on bounded disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError
from adapters.system import json_text, parse_json, read_regular_bytes, write_bytes_atomic

# About forty days of hourly reports, which is what a device makes without a network.
MAX_REPORTS, MAX_BYTES = 1_000, 8_000_000
_MOST_BYTES = 16_000_000  # of one report


@dataclass(frozen=True)
class QueuedReport:
    """A report that waits.

    Attributes:
        sequence: Its number.
        device: The name that the device had when it was made.
        body: What is sent, JSON.
    """

    sequence: int
    device: str
    body: bytes


class ReportQueue:
    """The waiting reports of a device.

    Args:
        folder: Where they are kept.
        max_reports: How many are kept; the oldest are dropped.
        max_bytes: How many bytes are kept.
    """

    def __init__(self, folder: Path, max_reports: int = MAX_REPORTS, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_reports, self._max_bytes = folder, max_reports, max_bytes

    def __len__(self) -> int:
        return len(self._paths())

    def put(self, device: str, report: dict[str, Any]) -> int:
        """Store a report. One of the same sequence, which cannot have been sent, is replaced.

        Args:
            device: The device's name.
            report: With its "sequence".

        Returns:
            How many old reports were dropped to keep the limits.

        Raises:
            StorageError: It cannot be written.
        """
        data = json_text({"device": device, "report": report}).encode()
        write_bytes_atomic(self._folder / f"{report['sequence']:012d}.json", data)
        return self._trim()

    def waiting(self, below: int) -> Iterator[QueuedReport]:
        """Yield the reports in order; one that is damaged is removed.

        Args:
            below: Only those with a lower sequence.
        """
        for path in self._paths():
            if int(path.stem) >= below:
                return
            try:
                value = parse_json(read_regular_bytes(path, _MOST_BYTES), 20)
                body = json_text(value["report"]).encode()
                yield QueuedReport(int(path.stem), str(value["device"]), body)
            except (AdapterError, OSError, ValueError, KeyError, TypeError):
                self.remove(int(path.stem))

    def remove(self, sequence: int) -> None:
        """Remove a report that was taken or refused.

        Args:
            sequence: Its number.
        """
        with contextlib.suppress(OSError):
            (self._folder / f"{sequence:012d}.json").unlink()

    def remove_from(self, sequence: int) -> None:
        """Remove the reports from a number on, which were stored by a client that ended before it could count them.

        Args:
            sequence: The first number.
        """
        for path in self._paths():
            if int(path.stem) >= sequence:
                self.remove(int(path.stem))

    def clear(self) -> int:
        """Remove all reports, and return how many there were."""
        paths = self._paths()
        for path in paths:
            self.remove(int(path.stem))
        return len(paths)

    def _trim(self) -> int:
        paths, dropped = self._paths(), 0
        sizes = [path.stat().st_size for path in paths]
        total = sum(sizes)
        while paths and (len(paths) > self._max_reports or total > self._max_bytes) and len(paths) > 1:
            total -= sizes.pop(0)
            self.remove(int(paths.pop(0).stem))
            dropped += 1
        return dropped

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.json") if path.stem.isdecimal())
