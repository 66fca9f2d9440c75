"""Where a group of pictures begins out of turn a cut is exact to the frame; elsewhere it is known loosely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from media_patterns import write_video

from cliplab.detect import read_break_profile
from cliplab.detect.break_lattice import advert_density
from cliplab.detect.key_cuts import keys_out_of_turn
from cliplab.detect.observing import observe

FPS, SECONDS = 25, 40
CUTS = (6.28, 15.64, 27.32)


def shots(knows: bool, seed: int = 3) -> Iterator[av.VideoFrame]:
    """A still shot up to each cut, of pictures that have nothing in common, with key frames at cuts if the encoder
    knows of them."""
    rng = np.random.default_rng(seed)
    bounds = np.round(np.array([0.0, *CUTS, SECONDS]) * FPS).astype(int)
    for count in np.diff(bounds):
        picture = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if knows and not number:
                frame.pict_type = PictureType.I
            yield frame


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
@pytest.mark.parametrize("knows", [True, False])
def test_a_cut_is_as_exact_as_the_encoder_made_it(tmp_path: Path, name: str, knows: bool) -> None:
    options = {"preset": "ultrafast", "crf": "26", "x264-params": "scenecut=0"}
    path = write_video(tmp_path / name, shots(knows), fps=FPS, gop=FPS, options=options)
    seen, _ = observe(path)
    assert len(seen.cuts) == len(seen.cut_slack) == len(CUTS)
    for cut, found, slack in zip(CUTS, seen.cuts, seen.cut_slack, strict=True):
        assert slack == pytest.approx(0.0) if knows else 0 < slack <= 1.05
        assert found - slack - 1e-3 <= cut <= found + 1e-3
        assert not knows or found == pytest.approx(cut, abs=0.01)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([*range(10)], []),  # a grid alone
        ([0, 1, 2, 2.4, 3.4, 4.4, 5.4, 6.4], [2.4]),  # the distance counts from the cut
        ([0, 1, 2, 2.4, 3, 4, 5, 6, 7], [2.4]),  # the grid is kept
        ([0, 2.3, 3.7, 8.1, 9.9, 14.2, 15.1], [2.3, 3.7, 8.1, 9.9, 14.2, 15.1]),  # cuts alone
        ([*np.cumsum([0.48, 0.52] * 8)], []),  # frames are reordered
        ([0, 1, 2, 3, 9, 10, 11], []),  # a hole
        ([0, 0.4], []),  # too few to know
    ],
)
def test_key_frames_out_of_turn(keys: list[float], expected: list[float]) -> None:
    assert keys_out_of_turn(keys).tolist() == pytest.approx(expected)


def test_a_nominal_length_says_less_the_less_is_known() -> None:
    profile, length, exact = read_break_profile(), np.array([20.12]), np.array([True])
    known = advert_density(length, exact, profile)
    loose = [advert_density(length, exact, profile, (np.zeros(1), np.array([late]))) for late in (0.2, 1.0, 3.0)]
    assert known[0] > loose[0][0] > loose[1][0] > loose[2][0]
    # A beginning that may be earlier makes the advert longer, an end that may be earlier makes it shorter.
    short, slack = np.array([19.62]), np.array([1.0])
    assert advert_density(short, exact, profile, (slack, np.zeros(1))) > advert_density(short, exact, profile)
    assert advert_density(short, exact, profile, (slack, np.zeros(1))) > advert_density(
        short, exact, profile, (np.zeros(1), slack)
    )
