"""What was seen and heard in one recording, second by second: the input of the decoder of breaks, kept in one file."""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adapters.errors import MediaError
from adapters.records import Float32Array, Float64Array
from adapters.system import read_regular_bytes, write_bytes_atomic
from cliplab.detect.adapting import SHORT, Float16Array, no_features

VERSION = 1
GRID_SECONDS = 1.0
ROWS = (
    "black",
    "uniform",
    "silence",
    "shot_rate",
    "logo",
    "speech",
    "music",
    "loudness_jump",
    "aspect_change",
    "repetition",
    "cue",
)
# A recording of ten days has 864,000 seconds; what declares more is not a file of ours.
_MOST_VALUES = 4_000_000
_MOST_BYTES = 512 << 20
# RuntimeError and its NotImplementedError: an encrypted member, an unknown compression.
_DAMAGE = (KeyError, TypeError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Observations:
    """The evidence of one recording on a grid of moments, and the places where a break may begin or end.

    Attributes:
        times: float64 [T], the start of each step of the grid in seconds since the first frame.
        ad_scores: float32 [T] in 0..1, the model's probability that the step is an ad; NaN where it is unknown.
        rows: Evidence by name (see ``ROWS``), each float32 [T] in 0..1; NaN where it is unknown or cannot be had.
        cuts: float64 [K], increasing times in seconds at which a shot, a black or a silent stretch ends.
        cut_strength: float32 [K] in 0..1, how sure each cut is.
        cut_kinds: What each cut is: "shot", "black" or "silence", joined by "+" where they fall together.
        duration_seconds: The length of the recording.
        damaged: Stretches (start, end) in seconds that could not be read: unknown, not programme.
        grid_seconds: Seconds from one step to the next.
        notes: What is missing or was repaired, in sentences without a full stop.
        exact: Stretches (start, end) in seconds whose cuts are exact to the frame; elsewhere to a key frame.
        key_times: float64 [N], when key frames that were looked at are shown, to look closer later.
        loudness: float32 [T], level of the sound of each step in dB of full scale; NaN where there is none, and empty
            where it was not observed.
        features: float16 [T, 64], the model's features of each step in short (see ``adapting.short_features``); NaN
            where they are unknown, and [0, 64] where they were not observed.
        cut_slack: float32 [K], how many seconds before its time each cut may be; empty where all are exact.
    """

    times: Float64Array
    ad_scores: Float32Array
    rows: dict[str, Float32Array]
    cuts: Float64Array
    cut_strength: Float32Array
    cut_kinds: tuple[str, ...]
    duration_seconds: float
    damaged: list[tuple[float, float]] = field(default_factory=list)
    grid_seconds: float = GRID_SECONDS
    notes: tuple[str, ...] = ()
    exact: list[tuple[float, float]] = field(default_factory=list)
    key_times: Float64Array = field(default_factory=lambda: np.zeros(0))
    loudness: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))
    features: Float16Array = field(default_factory=no_features)
    cut_slack: Float32Array = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        steps, cuts = self.times.shape, self.cuts.shape
        if len(steps) != 1 or len(cuts) != 1:
            raise ValueError(f"times and cuts must have one axis, got shapes {steps} and {cuts}")
        for name, values in {"ad_scores": self.ad_scores, **self.rows}.items():
            if values.shape != steps:
                raise ValueError(f"{name} must have shape {steps} as times, got {values.shape}")
            seen = values[np.isfinite(values)]
            if np.isinf(values).any() or (seen.size and (seen.min() < 0 or seen.max() > 1)):
                raise ValueError(f"{name} must be in 0..1 or NaN")
        if unknown := sorted(set(self.rows) - set(ROWS)):
            raise ValueError(f"rows must be of {', '.join(ROWS)}, got {', '.join(unknown)}")
        if self.cut_strength.shape != cuts or len(self.cut_kinds) != len(self.cuts):
            raise ValueError("cut_strength and cut_kinds must be as long as cuts")
        if self.cut_slack.shape not in ((0,), cuts) or not (self.cut_slack >= 0).all():
            raise ValueError("cut_slack must be seconds of at least 0, as many as cuts, or empty")
        if len(self.features) not in (0, *steps) or self.features.ndim != 2:
            raise ValueError(f"features must have shape {[*steps, SHORT]} or [0, {SHORT}], got {self.features.shape}")
        if not np.isfinite(self.cuts).all() or (np.diff(self.cuts) < 0).any():
            raise ValueError("cuts must be finite and increase")

    def row(self, name: str) -> Float32Array:
        """A row of evidence, float32 [T]; all NaN where it was not observed.

        Args:
            name: One of ``ROWS``.
        """
        found = self.rows.get(name)
        return np.full(len(self.times), np.nan, np.float32) if found is None else found

    def save(self, path: str | Path) -> None:
        """Write the observations as a compressed .npz that ``load_observations`` reads, in one step.

        Args:
            path: The file to make or replace.

        Raises:
            StorageError: It cannot be written.
        """
        arrays: dict[str, Any] = {
            "times": self.times.astype("<f8"),
            "ad_scores": self.ad_scores.astype("<f4"),
            "cuts": self.cuts.astype("<f8"),
            "cut_strength": self.cut_strength.astype("<f4"),
            "damaged": np.array(self.damaged, "<f8").reshape(-1, 2),
            "exact": np.array(self.exact, "<f8").reshape(-1, 2),
            "key_times": self.key_times.astype("<f8"),
            "loudness": self.loudness.astype("<f4"),
            "features": self.features.astype("<f2"),
            "cut_slack": self.cut_slack.astype("<f4"),
        }
        arrays |= {f"row_{name}": values.astype("<f4") for name, values in self.rows.items()}
        head = {
            "version": VERSION,
            "duration_seconds": self.duration_seconds,
            "grid_seconds": self.grid_seconds,
            "cut_kinds": list(self.cut_kinds),
            "notes": list(self.notes),
        }
        head["digest"] = _digest(head, arrays)
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(head).encode(), np.uint8)
        np.savez_compressed(buffer, head=text, **arrays)
        write_bytes_atomic(path, buffer.getvalue())

    @staticmethod
    def load(path: str | Path) -> Observations:
        """Read what ``save`` wrote, as ``load_observations`` does.

        Args:
            path: The file.

        Raises:
            MediaError: As ``load_observations``.
        """
        return load_observations(path)


def load_observations(path: str | Path) -> Observations:
    """Read the observations that ``Observations.save`` wrote.

    Args:
        path: The file.

    Raises:
        MediaError: It is missing, damaged, of another version, or not such a file.
    """
    advice = "Remove it and run the command again."
    try:
        arrays = _read_arrays(path)
        head = json.loads(arrays.pop("head").tobytes())
        if head["version"] != VERSION:
            raise MediaError(f"{path}: has version {head['version']!r} of observations, not {VERSION}. {advice}")
        if head.pop("digest") != _digest(head, arrays):
            raise MediaError(f"{path}: it is damaged (its digest differs). {advice}")
        duration, grid = float(head["duration_seconds"]), float(head["grid_seconds"])
        if not (math.isfinite(duration) and duration >= 0 and math.isfinite(grid) and grid > 0):
            raise ValueError("the length is not a number of seconds")
        return Observations(
            times=arrays["times"],
            ad_scores=arrays["ad_scores"],
            rows={name.removeprefix("row_"): value for name, value in arrays.items() if name.startswith("row_")},
            cuts=arrays["cuts"],
            cut_strength=arrays["cut_strength"],
            cut_kinds=tuple(map(str, head["cut_kinds"])),
            duration_seconds=duration,
            damaged=_stretches(arrays["damaged"]),
            grid_seconds=grid,
            notes=tuple(map(str, head["notes"])),
            exact=_stretches(arrays["exact"]),
            key_times=arrays["key_times"],
            loudness=arrays["loudness"],
            # Files from before these were kept have none.
            features=arrays.get("features", no_features()),
            cut_slack=arrays.get("cut_slack", np.zeros(0, np.float32)),
        )
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror or error}). {advice}") from None
    except _DAMAGE as error:
        raise MediaError(f"{path}: is not a file of observations ({error}). {advice}") from None


def _read_arrays(path: str | Path) -> dict[str, Any]:
    data = read_regular_bytes(path, _MOST_BYTES, MediaError)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Sizes as declared, before anything is unpacked.
        if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
            raise ValueError("it is larger than any recording's observations")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if any(array.dtype.kind not in "fu" or array.shape[:1] > (_MOST_VALUES,) for array in arrays.values()):
        raise ValueError("it contains unknown arrays")
    return arrays


def _stretches(pairs: Any) -> list[tuple[float, float]]:
    return [(float(start), float(end)) for start, end in pairs]


def _digest(head: dict[str, Any], arrays: dict[str, Any]) -> str:
    """The SHA-256 of what the file says, so that a damaged one is known."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
