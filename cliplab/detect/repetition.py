"""What is shown more than once in a folder of recordings: adverts, by the fingerprints of their sound and picture.

Fingerprints of all recordings lie in one SQLite file, and one recording at a time is looked up in it, so that memory
does not grow with the folder. A stretch is an advert where hashes agree with another place at one distance in time for
as long as an advert lasts; a programme that is shown again runs for longer. Where both places have sound and picture,
both must agree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from adapters.errors import StorageError
from adapters.records import Float32Array, Float64Array
from cliplab.detect.fingerprints import Fingerprint, fingerprint_recording
from cliplab.detect.gathering import join_stretches

__all__ = ["RepetitionIndex", "fingerprint_recording"]
SOUND, PICTURE = 0, 1
_STORED_EVERY = 4  # one of so many hashes of sound is looked up among; all of a recording are looked for
_COMMON = 400  # a hash that is in more places is of no use
# Places at one distance in time agree to this. The same sound is at one distance to a hundredth of a second: words and
# noises of a few seconds that came again beside one another agreed as one stretch of a minute while 0.3 s were allowed.
_DISTANCE_SECONDS = {SOUND: 0.08, PICTURE: 0.3}
# Sound and picture agree at one distance as well as key frames of two showings meet, half of their spacing, within
# these bounds. Always at the upper bound, talk that came again beside a shot that came again was claimed.
_LEAST_SLACK_SECONDS, _MOST_SLACK_SECONDS = 0.5, 1.0
_SOUND_LATE_SECONDS = 0.1  # and the sound of a recording may be this far from its pictures
_SPARE = 3.0  # slacks that sound counts before and after the key frames that agree
_PAUSE_SECONDS = {SOUND: 3.0, PICTURE: 6.0}  # the longest pause between two agreements of one stretch
_LEAST_AGREEMENTS = {SOUND: 6, PICTURE: 4}
_LEAST_SECONDS = 4.0
_LEAST_ADVERT_SECONDS = 7.5  # a shot, a jingle or a title that comes again is shorter; 98% of adverts are longer
# Where both must agree: a shot of programme that came again while a noise of 8 s, or one of a minute, did, was claimed.
# An advert begins and ends in both.
_LEAST_SOUND_SECONDS = 8.0
_LEAST_SEEN_SHARE = 0.5  # of the sound's stretch
_MOST_SECONDS = 100.0
_APART_SECONDS = 5.0  # nearer than this, a recording agrees with itself because pictures stand still
_CHUNK = 40_000
Stretch = tuple[float, float, int, float]  # start, end, other recording, distance
_SCHEMA = """
CREATE TABLE IF NOT EXISTS recording (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, seconds REAL NOT NULL,
    sound INTEGER NOT NULL, pictures INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mark (kind INTEGER NOT NULL, hash INTEGER NOT NULL, recording INTEGER NOT NULL,
    seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS mark_hash ON mark (kind, hash);
CREATE TABLE IF NOT EXISTS sought (recording INTEGER NOT NULL, kind INTEGER NOT NULL, hashes BLOB NOT NULL,
    times BLOB NOT NULL, PRIMARY KEY (recording, kind));
"""


class RepetitionIndex:
    """Fingerprints of recordings in one file; use it in a ``with``."""

    def __init__(self, path: str | Path) -> None:
        """Open or make the file.

        Args:
            path: The SQLite file.

        Raises:
            StorageError: It cannot be opened, or is no such file.
        """
        self._path = path
        self._slacks = dict[int, float]()  # by recording
        try:
            self._base = sqlite3.connect(str(path), timeout=30)
            self._base.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StorageError(
                f"{path}: cannot be used as an index of repetitions ({error}). Use another file"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def __contains__(self, name: str) -> bool:
        return self._base.execute("SELECT 1 FROM recording WHERE name = ?", (name,)).fetchone() is not None

    def add(self, name: str, found: Fingerprint) -> None:
        """Keep a recording's fingerprints, in place of earlier ones of the name.

        Args:
            name: What the recording is called, as its path.
            found: Its fingerprints.
        """
        self.remove(name)
        with self._base:
            row = (name, found.seconds, len(found.sound), len(found.pictures))
            place = self._base.execute(
                "INSERT INTO recording (name, seconds, sound, pictures) VALUES (?, ?, ?, ?)", row
            ).lastrowid
            for kind, hashes, times, step in (
                (SOUND, found.sound, found.sound_times, _STORED_EVERY),
                (PICTURE, found.pictures, found.picture_times, 1),
            ):
                rows = zip(hashes[::step].tolist(), times[::step].tolist(), strict=True)
                self._base.executemany("INSERT INTO mark VALUES (?, ?, ?, ?)", ((kind, h, place, t) for h, t in rows))
                packed = (place, kind, hashes.astype("<u4").tobytes(), times.astype("<f4").tobytes())
                self._base.execute("INSERT INTO sought VALUES (?, ?, ?, ?)", packed)

    def remove(self, name: str) -> None:
        """Forget a recording; nothing happens where it is unknown.

        Args:
            name: What it is called.
        """
        with self._base:
            found = self._base.execute("SELECT id FROM recording WHERE name = ?", (name,)).fetchone()
            if found is not None:
                self._slacks.pop(found[0], None)
                self._base.execute("DELETE FROM mark WHERE recording = ?", found)
                self._base.execute("DELETE FROM sought WHERE recording = ?", found)
                self._base.execute("DELETE FROM recording WHERE id = ?", found)

    def row(self, name: str) -> Float32Array:
        """The evidence of a recording on a grid of 1 s: 1 where what is shown is an advert that is shown elsewhere too.

        Args:
            name: What the recording is called.

        Returns:
            float32 [T], 0 or 1; all NaN where there is nothing to compare with.

        Raises:
            StorageError: The recording is not in the index.
        """
        found = self._base.execute(
            "SELECT id, seconds, sound, pictures FROM recording WHERE name = ?", (name,)
        ).fetchone()
        if found is None:
            raise StorageError(f"{self._path}: has no recording {name}. Add its fingerprints first")
        place, seconds, sound, pictures = found
        row = np.zeros(int(np.ceil(seconds)), np.float32)
        if not sound and not pictures:
            return np.full(len(row), np.nan, np.float32)
        with_sound = {each for (each,) in self._base.execute("SELECT id FROM recording WHERE sound > 0")}
        with_pictures = {each for (each,) in self._base.execute("SELECT id FROM recording WHERE pictures > 0")}
        heard, seen = self._stretches(place, SOUND), self._stretches(place, PICTURE)
        for start, end, other, distance in heard:
            if not pictures or other not in with_pictures:
                _fill(row, start, end)
                continue
            slack = max(self._slack(place), self._slack(other))
            for low, high in _agreed((start, end, other, distance), seen, slack):
                _fill(row, low, high)
        for start, end, other, _ in seen:
            if not sound or other not in with_sound:
                _fill(row, start, end)
        return row

    def _slack(self, place: int) -> float:
        """How far from the distance of the sound a recording's pictures may agree: half the spacing of key frames."""
        if place not in self._slacks:
            row = self._base.execute(
                "SELECT times FROM sought WHERE recording = ? AND kind = ?", (place, PICTURE)
            ).fetchone()
            times = np.unique(np.frombuffer(row[0] if row else b"", "<f4"))
            spacing = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            self._slacks[place] = min(max(spacing / 2, _LEAST_SLACK_SECONDS), _MOST_SLACK_SECONDS)
        return self._slacks[place]

    def _stretches(self, place: int, kind: int) -> list[Stretch]:
        """(start, end, other recording, distance) of stretches that agree with another place."""
        parts = [(*each,) for each in self._agreements(place, kind)]
        if not parts:
            return []
        times, others, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
        far = (others != place) | (np.abs(distances) > _APART_SECONDS)
        times, others, distances = times[far], others[far], distances[far]
        found = []
        for shift in (0.0, 0.5):  # distances that fall on the border of two bins are together in the other
            bins = np.floor(distances / _DISTANCE_SECONDS[kind] + shift).astype(np.int64)
            order = np.lexsort((times, bins, others))
            found += _runs(times[order], others[order], bins[order], distances[order], kind)
        return found

    def _agreements(self, place: int, kind: int) -> Iterator[tuple[Float64Array, npt.NDArray[np.int64], Float64Array]]:
        """(seconds here, other recording, distance) of each hash that is elsewhere too, some at a time."""
        blobs = self._base.execute(
            "SELECT hashes, times FROM sought WHERE recording = ? AND kind = ?", (place, kind)
        ).fetchone()
        hashes, times = np.frombuffer(blobs[0], "<u4"), np.frombuffer(blobs[1], "<f4").astype(np.float64)
        self._base.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (hash INTEGER, seconds REAL)")
        for first in range(0, len(hashes), _CHUNK):
            self._base.execute("DELETE FROM wanted")
            pairs = zip(hashes[first : first + _CHUNK].tolist(), times[first : first + _CHUNK].tolist(), strict=True)
            self._base.executemany("INSERT INTO wanted VALUES (?, ?)", pairs)
            # CROSS JOIN keeps the order: each wanted hash is looked up in the index. The other way round SQLite
            # compares all pairs, which takes minutes for a quarter of an hour of sound.
            self._base.execute(
                "DELETE FROM wanted WHERE hash IN (SELECT d.hash FROM (SELECT DISTINCT hash FROM wanted) d "
                "CROSS JOIN mark m ON m.kind = ? AND m.hash = d.hash GROUP BY d.hash HAVING COUNT(*) > ?)",
                (kind, _COMMON),
            )
            rows = self._base.execute(
                "SELECT w.seconds, m.recording, w.seconds - m.seconds FROM wanted w CROSS JOIN mark m "
                "ON m.kind = ? AND m.hash = w.hash",
                (kind,),
            ).fetchall()
            if rows:
                found = np.array(rows, np.float64)
                yield found[:, 0], found[:, 1].astype(np.int64), found[:, 2]


def _runs(
    times: Float64Array,
    others: npt.NDArray[np.int64],
    bins: npt.NDArray[np.int64],
    distances: Float64Array,
    kind: int,
) -> list[Stretch]:
    """Stretches of agreements of one recording and one distance, without long pauses, as long as adverts are."""
    if not len(times):
        return []
    breaks = (np.diff(others) != 0) | (np.diff(bins) != 0) | (np.diff(times) > _PAUSE_SECONDS[kind])
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    ends = np.concatenate([starts[1:], [len(times)]])
    found = []
    for first, last in zip(starts, ends, strict=True):
        moments = len(np.unique(times[first:last]))
        length = times[last - 1] - times[first]
        if moments >= _LEAST_AGREEMENTS[kind] and _LEAST_SECONDS <= length <= _MOST_SECONDS:
            distance = float(np.median(distances[first:last]))
            found.append((float(times[first]), float(times[last - 1]), int(others[first]), distance))
    return found


def _agreed(heard: Stretch, seen: Sequence[Stretch], slack: float) -> list[tuple[float, float]]:
    """Where pictures agree within a stretch of sound that agrees, if they do so in enough of it.

    Args:
        heard: Of the sound.
        seen: Of the pictures.
        slack: Seconds that a picture stands for before and after it.
    """
    start, end, other, distance = heard
    near = slack + _SOUND_LATE_SECONDS
    fits = [(low, high) for low, high, found_in, away in seen if found_in == other and abs(away - distance) < near]
    covered = join_stretches((max(low - slack, start), min(high + slack, end)) for low, high in fits)
    if end - start < _LEAST_SOUND_SECONDS:
        return []
    if sum(high - low for low, high in covered) < _LEAST_SEEN_SHARE * (end - start):
        return []
    return [(max(start, low - _SPARE * slack), min(end, high + _SPARE * slack)) for low, high in fits]


def _fill(row: Float32Array, start: float, end: float) -> None:
    """Mark the seconds of a stretch, those that are in it for half at least."""
    first, last = round(start), round(end)
    if end - start >= _LEAST_ADVERT_SECONDS:
        row[max(first, 0) : max(last, 0)] = 1.0
