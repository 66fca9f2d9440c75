"""Rows of the MLflow host's tables: which column names the video, and frames as clips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from adapters.errors import ConfigError, MediaError
from adapters.records import Clip, VideoResult

# A row has one of these columns: a file's path, a file's bytes, or frames uint8 [T, H, W, 3] RGB with ``fps``.
INPUT_COLUMNS = ("path", "video", "frames")


def read_rows(data: Any) -> list[dict[str, Any]]:
    """Read the rows of a table.

    Args:
        data: pandas DataFrame with at least one of the columns INPUT_COLUMNS.

    Returns:
        The rows, without empty cells.

    Raises:
        ConfigError: The data is not such a table.
    """
    import pandas as pd

    if not isinstance(data, pd.DataFrame) or not set(data.columns) & set(INPUT_COLUMNS):
        got = ", ".join(map(str, data.columns)) if isinstance(data, pd.DataFrame) else type(data).__name__
        raise ConfigError(
            f"a table with a column {', '.join(INPUT_COLUMNS[:2])} or {INPUT_COLUMNS[2]} is required, got "
            f"{got or 'none of these'}"
        )
    if repeated := [name for name in INPUT_COLUMNS if list(data.columns).count(name) > 1]:
        raise ConfigError(f"the table has the column {repeated[0]} more than once. Keep one")
    return [{str(key): value for key, value in row.items() if not _empty(value)} for row in data.to_dict("records")]


def _empty(value: Any) -> bool:
    import pandas as pd

    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def row_name(row: Mapping[str, Any], number: int) -> str:
    """Return what results and messages call a row: its path, or its number from 0."""
    return str(row.get("path", f"row {number}"))


def video_column(row: Mapping[str, Any]) -> str:
    """Return which of INPUT_COLUMNS contains a row's video.

    Args:
        row: The row, without empty cells.

    Returns:
        Name of the column.

    Raises:
        MediaError: The row has none of the columns, or several.
    """
    given = [name for name in INPUT_COLUMNS if name in row]
    if len(given) != 1:
        raise MediaError(f"a row needs one of {', '.join(INPUT_COLUMNS)}, got {' and '.join(given) or 'none of them'}")
    return given[0]


def clip_of_frames(frames: Any, fps: Any, name: str) -> Clip:
    """Make a clip that begins at 0 s from frames.

    Args:
        frames: [T, H, W, 3] RGB, an integer array or nested lists, with levels of 0 to 255.
        fps: Frames per second.
        name: Name of the row.

    Returns:
        The clip.

    Raises:
        MediaError: The frames or ``fps`` are missing or wrong.
    """
    import numpy as np

    is_rate = isinstance(fps, (int, float, np.integer, np.floating)) and not isinstance(fps, bool)
    if not is_rate or not 0 < fps < math.inf:
        raise MediaError(f"{name}: frames need fps, frames per second above 0, got {fps!r:.60}")
    try:
        array = np.asarray(frames)
    except ValueError:  # lists of several lengths
        raise MediaError(f"{name}: all frames must have the same size, [T, H, W, 3] RGB") from None
    if array.ndim != 4 or array.shape[3] != 3 or not array.size or array.dtype.kind not in "iu":
        raise MediaError(
            f"{name}: frames must be whole numbers [T, H, W, 3] RGB, got {array.dtype} {list(array.shape)}"
        )
    if array.min() < 0 or array.max() > 255:
        raise MediaError(f"{name}: frames must be levels of 0..255, got {array.min()} to {array.max()}")
    times = np.arange(len(array), dtype=np.float64) / fps
    return Clip(array.astype(np.uint8), times, name, 0.0, len(array) / fps)


def with_row_name(result: VideoResult, name: str) -> VideoResult:
    """Return a result under the row's name, also in its messages, in place of the temporary file's."""
    error = None if result.error is None else result.error.replace(result.path, name)
    warnings = tuple(warning.replace(result.path, name) for warning in result.warnings)
    return VideoResult(name, result.predictions, error, warnings)
