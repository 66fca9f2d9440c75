"""The outline of a sound is that of its samples, whatever their format and channels."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from tiny_videos import render_video

from adapters.errors import MediaError
from adapters.media.sound_peaks import MOST_BINS, sound_peaks

RATE = 8000


def nothing() -> None: ...


def written(path: Path, channels: np.ndarray, kind: str) -> Path:
    """channels: float [channels, samples] in -1..1, written as interleaved PCM of a NumPy kind."""
    if kind == "u1":
        samples = np.rint(channels * 127 + 128).astype(np.uint8)
    else:
        samples = np.rint(channels * (2.0 ** (8 * int(kind[1]) - 1) - 1)).astype(f"<{kind}")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(samples.itemsize)
        out.setframerate(RATE)
        out.writeframes(samples.T.tobytes())
    return path


def steps() -> np.ndarray:
    """Four quarters of a second; of each channel another level, and one sample that stands out."""
    sound = np.zeros((2, RATE))
    for quarter, (left, right) in enumerate([(0.25, -0.5), (0.0, 0.0), (-0.25, 0.75), (0.5, 0.5)]):
        sound[:, quarter * RATE // 4 : (quarter + 1) * RATE // 4] = [[left], [right]]
    sound[0, RATE // 4 + 10] = -1
    return sound


@pytest.mark.parametrize("kind", ["u1", "i2", "i4"])
def test_each_bin_has_the_lowest_and_highest_of_all_channels(kind: str, tmp_path: Path) -> None:
    found = sound_peaks(written(tmp_path / "a.wav", steps(), kind), 0.0, 1.0, 4, nothing)
    assert found is not None
    assert found.dtype == np.int8
    expected = np.array([[-64, 32], [-127, 0], [-32, 95], [0, 64]])
    # Nothing is heard is 0, so that a bin without samples below 0 has 0 for its lowest.
    np.testing.assert_allclose(found, expected, atol=1)


def test_bins_begin_at_the_origin_and_end_with_the_duration(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", steps(), "i2")
    found = sound_peaks(path, 0.5, 1.0, 4, nothing)
    assert found is not None
    np.testing.assert_allclose(found, [[-32, 95], [0, 64], [0, 0], [0, 0]], atol=1)
    short = sound_peaks(path, 0.0, 0.3, 4, nothing)
    assert short is not None
    assert len(short) == 2


def test_too_many_bins_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"2000001 bins of sound are requested; at most 2000000 are allowed"):
        sound_peaks(tmp_path / "none.wav", 0.0, MOST_BINS + 1, 1, nothing)


def test_a_source_without_sound_has_none_and_an_empty_one_says_so(tmp_path: Path) -> None:
    assert sound_peaks(render_video(tmp_path / "a.mp4", "warm", 0, seconds=0.5), 0.0, 1.0, 4, nothing) is None
    with pytest.raises(MediaError, match=r"its sound cannot be decoded \(it is empty\)\. Convert it first"):
        sound_peaks(written(tmp_path / "b.wav", np.zeros((1, 0)), "i2"), 0.0, 1.0, 4, nothing)
