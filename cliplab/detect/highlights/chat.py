"""A chat beside a stream: how many messages come, and how excited they are. JSON lines, one message each."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import DatasetError
from adapters.system import open_regular_file
from cliplab.detect.highlights.cells import CELL_SECONDS, Cells

# People read, laugh and type before a message is sent: it tells of what was some seconds before.
DELAY_SECONDS = 5.0
_RATE_SECONDS = 5.0
_TIMES = ("seconds", "offset", "time", "content_offset_seconds", "timestamp", "created_at")
_TEXTS = ("text", "message", "body", "content")
# Signs, words in any capitals, and whole words in capitals.
_EXCITED = re.compile(r"!{2,}|(?i:\b(?:lol|lmao|omg|wow|gg|pog\w*|kekw|lul|hype|clip it|insane|no way)\b)|[A-Z]{5,}")
_LONGEST_LINE = 64 * 1024
_LONGEST_SECONDS = 7 * 86_400.0
_EPOCH = 1e8  # numbers above are seconds, or from 1e11 on milliseconds, since 1970


class ChatFeed:
    """The rate of a chat, entered into cells as far as the recording is known."""

    def __init__(self, times: Sequence[tuple[float, float]]) -> None:
        """Prepare the rate.

        Args:
            times: (seconds, weight) of messages.
        """
        last = max((seconds for seconds, _ in times), default=0.0)
        self._rate = chat_rate(times, math.ceil(last / CELL_SECONDS) + 1)
        self._done = 0

    def feed(self, cells: Cells, until: int) -> None:
        """Enter what is known.

        Args:
            cells: Receives the rate; 0 after the last message.
            until: The number after the last cell of the recording.
        """
        if until > self._done:
            rate = self._rate[self._done : until]
            silence = np.zeros(until - self._done - len(rate), np.float32)
            cells.put("chat", self._done, np.concatenate([rate, silence]))
            self._done = until


def chat_rate(times: Iterable[tuple[float, float]], count: int) -> Any:
    """The logarithm of weighted messages in the 5 s around each cell: float32 [count].

    Args:
        times: (seconds, weight) of messages; those outside are left out.
        count: How many cells.
    """
    found = np.zeros(count, np.float64)
    for seconds, weight in times:
        place = int((seconds - DELAY_SECONDS) / CELL_SECONDS) if math.isfinite(seconds) else -1
        if 0 <= place < count:
            found[place] += weight
    width = round(_RATE_SECONDS / CELL_SECONDS)
    return np.log1p(np.convolve(found, np.ones(width), "same")).astype(np.float32)


def read_chat(path: str | Path, began: datetime | None = None) -> tuple[list[tuple[float, float]], list[str]]:
    """The messages of a chat log.

    Args:
        path: JSON lines with a time ("seconds", "offset", "time", "timestamp", ...) and a text ("text", "message").
        began: When the recording began; None: clock times count from the first message on.

    Returns:
        (seconds, weight) of each message in order, 2 for an excited one; and notes on lines that are not messages.

    Raises:
        DatasetError: The file cannot be read, or no line is a message.
    """
    found, bad, lines = list[tuple[float, float, bool]](), 0, 0
    with open_regular_file(path, DatasetError) as file:
        while line := file.readline(_LONGEST_LINE):
            if not line.strip():
                continue
            lines += 1
            message = _message(line)
            if message is None:
                bad += 1
            else:
                found.append(message)
    if not found:
        raise DatasetError(
            f"{path}: none of its {lines} lines is a chat message. Each line must be a JSON object such as "
            '{"seconds": 12.5, "text": "wow"}'
        )
    clocks = [seconds for seconds, _, is_clock in found if is_clock]
    first = began.timestamp() if began is not None else min(clocks, default=0.0)
    times = sorted((seconds - (first if is_clock else 0.0), weight) for seconds, weight, is_clock in found)
    notes = [f"{bad} of {lines} lines of the chat are not messages and are ignored"] if bad else []
    if clocks and began is None:
        notes.append("the chat has clock times; the first message is assumed to be at the start of the recording")
    return [one for one in times if 0 <= one[0] <= _LONGEST_SECONDS], notes


def _message(line: bytes) -> tuple[float, float, bool] | None:
    """(seconds, weight, whether seconds are since 1970) of a line; None where it is not a message."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    raw = next((value[name] for name in _TIMES if name in value), None)
    seconds = _seconds(raw)
    if seconds is None:
        return None
    text = next((value[name] for name in _TEXTS if isinstance(value.get(name), str)), "")
    is_clock = seconds >= _EPOCH
    if seconds >= 1e11:
        seconds /= 1000
    return seconds, 2.0 if _EXCITED.search(text[:500]) else 1.0, is_clock


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            return float(value) if value.replace(".", "", 1).isdigit() else datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
