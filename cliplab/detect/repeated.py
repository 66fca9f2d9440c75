"""The row ``repetition`` of recordings: an index over them, and each one's observations with what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adapters.errors import AdapterError
from cliplab.detect.fingerprints import fingerprint_recording
from cliplab.detect.observations import Observations
from cliplab.detect.repetition import RepetitionIndex


def index_recordings(
    index: RepetitionIndex, paths: Sequence[str], on_progress: Callable[[str, float, float], object] | None = None
) -> None:
    """Add the fingerprints of recordings that are not in the index as they are now. Those that fail are left out.

    Args:
        index: The index.
        paths: The recordings.
        on_progress: Called with "compare", the recordings done and the recordings in all.
    """
    for number, path in enumerate(paths):
        name = recording_name(path)
        if name not in index:
            try:
                index.add(name, fingerprint_recording(path))
            except (AdapterError, OSError):
                continue  # it is reported where it is watched
        if on_progress is not None:
            on_progress("compare", number + 1.0, float(len(paths)))


def recording_name(path: str | Path) -> str:
    """The name of a recording in an index; another one once the file has changed.

    Args:
        path: The video.

    Raises:
        OSError: There is no such file.
    """
    state = Path(path).stat()
    return f"{Path(path).absolute()}\0{state.st_size}\0{state.st_mtime_ns}"


def with_repetition(observations: Observations, index: RepetitionIndex, path: str | Path) -> Observations:
    """Observations with the row ``repetition``; as they are where the recording is not in the index.

    Args:
        observations: Of the recording.
        index: The index.
        path: The recording.
    """
    name = recording_name(path)
    if name not in index:
        return observations
    found = index.row(name)
    row = np.full(len(observations.times), np.nan, np.float32)
    places = observations.times.astype(int)
    inside = places < len(found)
    row[inside] = found[places[inside]]
    return replace(observations, rows={**observations.rows, "repetition": row})
