"""An advert that is shown twice is known again, by its sound and by its picture, and other things are not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from adapters.errors import StorageError
from cliplab.detect import RepetitionIndex
from cliplab.detect.fingerprints import Fingerprint, picture_hashes, sound_hashes
from cliplab.detect.sound import SAMPLE_RATE


@cache
def melody(seconds: float, seed: int) -> np.ndarray:
    """Notes of 0.2 s with harmonics: sound with a structure, its own for each seed."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    t = np.arange(count) / SAMPLE_RATE
    notes = rng.uniform(200, 1500, (3, int(seconds / 0.2) + 1))[:, (t / 0.2).astype(int)]
    wave = sum(np.sin(2 * np.pi * np.cumsum(note) / SAMPLE_RATE * k) / k for note in notes for k in (1, 2))
    return (0.05 * wave).astype(np.float32)


def pictures(seconds: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (seconds, 8, 8)).astype(np.float32)
    return [np.kron(each, np.ones((4, 4), np.float32)) for each in small]


def recording(
    parts: list[tuple[float, int]], *, sound: bool = True, picture: bool = True, noise: int = 0
) -> Fingerprint:
    """(seconds, seed) of each part; the same seed and length is the same again."""
    rng = np.random.default_rng(noise)
    total = sum(seconds for seconds, _ in parts)
    found = Fingerprint(seconds=total)
    if sound:
        wave = np.concatenate([melody(*part) for part in parts]) * rng.uniform(0.5, 1.5)
        times, hashes, _ = sound_hashes((wave + rng.normal(0, 0.002, len(wave))).astype(np.float32))
        found.sound_times, found.sound = times, hashes
    if picture:
        frames = [frame for seconds, seed in parts for frame in pictures(int(seconds), seed)]
        grain = [(float(at), frame + rng.normal(0, 2, frame.shape)) for at, frame in enumerate(frames)]
        found.picture_times, found.pictures = picture_hashes(grain)
    return found


@pytest.fixture
def index(tmp_path: Path):  # type: ignore[no-untyped-def]
    with RepetitionIndex(tmp_path / "index.sqlite") as found:
        yield found


@pytest.mark.parametrize(("sound", "picture"), [(True, True), (True, False), (False, True)])
def test_an_advert_seen_twice_is_found(index: RepetitionIndex, sound: bool, picture: bool) -> None:
    index.add("monday", recording([(15, 1), (12, 99), (10, 2)], sound=sound, picture=picture))
    index.add("tuesday", recording([(7, 3), (12, 99), (14, 4)], sound=sound, picture=picture, noise=1))
    for name, start in (("monday", 15), ("tuesday", 7)):
        row = index.row(name)
        assert row[start + 2 : start + 10].mean() > 0.8
        assert row[: start - 2].sum() + row[start + 14 :].sum() == 0


def test_sound_or_picture_alone_may_come_again(index: RepetitionIndex) -> None:
    one, other = recording([(9, 1), (12, 99), (9, 2)]), recording([(9, 3), (12, 99), (9, 4)])
    other.picture_times, other.pictures = (
        recording([(9, 5), (12, 6), (9, 7)], sound=False).picture_times,
        recording([(9, 5), (12, 6), (9, 7)], sound=False).pictures,
    )
    index.add("one", one)
    index.add("other", other)
    assert not index.row("one").any()


def test_a_programme_that_is_shown_again_is_no_advert(index: RepetitionIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.detect.repetition._MOST_SECONDS", 15.0)
    index.add("first", recording([(20, 7), (8, 1)]))
    index.add("again", recording([(6, 2), (20, 7)], noise=2))
    assert not index.row("first").any()


def test_an_index_is_kept_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with RepetitionIndex(path) as index:
        index.add("a", recording([(9, 1), (12, 99)]))
        index.add("b", recording([(7, 2), (12, 99)]))
        index.add("b", recording([(7, 2), (12, 99)]))
    with RepetitionIndex(path) as index:
        assert "a" in index
        assert index.row("a").any()
        index.remove("b")
        assert "b" not in index
        assert not index.row("a").any()
        with pytest.raises(StorageError, match="Add its fingerprints"):
            index.row("b")
        index.add("silent", Fingerprint(seconds=5.0))
        assert np.isnan(index.row("silent")).all()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="Use another file"):
        RepetitionIndex(path)


def test_observations_have_the_row(index: RepetitionIndex, tmp_path: Path) -> None:
    from cliplab.detect.repeated import recording_name, with_repetition
    from tests.support.observations import adverts, simulate

    path = tmp_path / "monday.mkv"
    path.write_bytes(b"")
    seen = simulate(40, [adverts(15, [12])])
    assert with_repetition(seen, index, path) is seen
    index.add(recording_name(path), recording([(15, 1), (12, 99), (10, 2)]))
    index.add("tuesday", recording([(7, 3), (12, 99), (14, 4)]))
    row = with_repetition(seen, index, path).rows["repetition"]
    assert row.shape == seen.times.shape
    assert row[20] == 1
    assert row[5] == 0
    assert np.isnan(row[39])
