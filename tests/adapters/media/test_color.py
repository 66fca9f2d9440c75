"""What the tags of a frame are taken to mean, tag by tag, and HDR and wide gamut against the equations in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_media_color import hdr_reference

from adapters.media.color import (
    BT2020_TO_BT709,
    ColorInfo,
    describe_color,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    to_bt709,
)


def frame(
    matrix: int = 2,
    color_range: int = 0,
    transfer: int = 2,
    primaries: int = 2,
    width: int = 640,
    height: int = 480,
    layout: str = "yuv420p",
) -> Any:
    return SimpleNamespace(
        colorspace=matrix, color_range=color_range, color_trc=transfer, color_primaries=primaries,
        width=width, height=height, format=SimpleNamespace(name=layout),
    )  # fmt: skip


def described(codec: str = "h264", rgb: bool = False, gray: bool = False, **tags: Any) -> ColorInfo:
    return describe_color(frame(**tags), codec, rgb, gray)


def test_what_is_said_is_believed_and_nothing_is_assumed() -> None:
    assert described(matrix=1, color_range=1, transfer=1, primaries=1) == ColorInfo("bt709", "limited", "sdr", "bt709")
    assert described(matrix=9, color_range=2, transfer=16, primaries=9) == ColorInfo("bt2020", "full", "pq", "bt2020")
    assert described(matrix=10, color_range=1, transfer=18, primaries=9) == ColorInfo(
        "bt2020", "limited", "hlg", "bt2020"
    )


def test_what_is_not_said_is_what_players_assume() -> None:
    assumed = ("matrix", "range", "primaries")
    assert described() == ColorInfo("bt601", "limited", "sdr", "bt709", assumed)
    assert described(height=720) == ColorInfo("bt709", "limited", "sdr", "bt709", assumed)
    assert described(primaries=0, transfer=0).assumed == assumed


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [(1279, 719, "bt601"), (1280, 719, "bt709"), (1279, 720, "bt709"), (720, 1280, "bt709"), (720, 576, "bt601")],
)
def test_an_untagged_matrix_goes_by_lines_and_columns(width: int, height: int, matrix: str) -> None:
    assert described(width=width, height=height).matrix == matrix
    assert described(width=width, height=height, matrix=5) == described(matrix=5), "one that is tagged does not"


@pytest.mark.parametrize(
    ("code", "matrix"),
    [
        (1, "bt709"),
        (4, "fcc"),
        (5, "bt601"),
        (6, "bt601"),
        (7, "smpte240m"),
        (8, "ycgco"),
        (9, "bt2020"),
        (10, "bt2020"),
        (14, "ictcp"),
    ],
)
def test_matrices_by_their_code_points(code: int, matrix: str) -> None:
    assert described(matrix=code).matrix == matrix
    assert "matrix" not in described(matrix=code).assumed


def test_rgb_and_gray_have_a_matrix_of_their_own() -> None:
    rgb = described(rgb=True, matrix=1, layout="gbrp")
    assert (rgb.matrix, rgb.range, rgb.assumed) == ("rgb", "full", ("primaries",))
    assert described(gray=True, matrix=1, layout="gray").matrix == "gray"
    # A stream of luma and chroma that is tagged as RGB is wrongly tagged.
    wrong = described(matrix=0)
    assert (wrong.matrix, wrong.assumed[0]) == ("bt601", "matrix")


@pytest.mark.parametrize(
    ("codec", "tagged", "found"),
    [*((codec, 0, "limited") for codec in ("h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video")),
     *((codec, 0, "full") for codec in ("png", "mjpeg")), ("png", 1, "limited"), ("h264", 2, "full")],
)  # fmt: skip
def test_the_range_of_gray_goes_by_the_codec(codec: str, tagged: int, found: str) -> None:
    assert described(codec, gray=True, color_range=tagged, layout="gray").range == found


def test_the_range_of_yuvj_is_full_whatever_is_tagged() -> None:
    for tagged in (0, 1, 2):
        color = described("mjpeg", color_range=tagged, layout="yuvj420p", primaries=1, matrix=1)
        assert (color.range, color.assumed) == ("full", ())


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("untagged", [0, 2])
def test_hdr_without_primaries_has_those_of_bt2020(transfer: int, untagged: int) -> None:
    color = described(transfer=transfer, primaries=untagged)
    assert color.primaries == "bt2020"
    assert "primaries" in color.assumed
    for said in (1, 12):
        color = described(transfer=transfer, primaries=said)
        assert color.primaries == "bt709", "a file that says otherwise is believed"
        assert "primaries" not in color.assumed


def test_which_colours_need_the_way_over_light() -> None:
    plain = ColorInfo("bt709", "limited", "sdr", "bt709")
    assert not plain.needs_tone_curve
    assert described(primaries=9).needs_tone_curve
    assert described(transfer=16, primaries=1).needs_tone_curve
    assert described(transfer=18).needs_tone_curve
    assert not described(transfer=14).needs_tone_curve


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0])
def test_hdr_to_sdr_is_what_the_equations_say(transfer: Any, scale: float) -> None:
    pixels = (np.random.default_rng(3).random((40, 50, 3)) * scale * 65535).astype(np.uint16)
    got = to_bt709(pixels, ColorInfo("rgb", "full", transfer, "bt2020"))
    assert got.dtype == np.uint8
    expected = hdr_reference(pixels / 65535, transfer) * 255
    assert np.abs(got - expected).max() < 0.8


def test_hdr_of_bt709_primaries_keeps_them() -> None:
    pixels = np.array([[[30000, 0, 0], [0, 30000, 0], [0, 0, 30000], [30000, 30000, 30000]]], np.uint16)
    got = to_bt709(pixels, ColorInfo("rgb", "full", "pq", "bt709")).astype(int)
    level = got[0, 3, 0]
    np.testing.assert_array_equal(got[0], [[level, 0, 0], [0, level, 0], [0, 0, level], [level] * 3])
    nits = pq_to_nits(np.array(30000 / 65535))
    assert level == pytest.approx(255 * float(nits / 203) ** (1 / 2.4), abs=1)


def test_wide_gamut_to_bt709_is_what_the_equations_say() -> None:
    pixels = np.random.default_rng(4).integers(0, 65536, (40, 50, 3)).astype(np.uint16)
    got = to_bt709(pixels, ColorInfo("rgb", "full", "sdr", "bt2020"))
    linear = np.clip((pixels / 65535) ** 2.4 @ BT2020_TO_BT709.astype(float).T, 0, 1)
    assert np.abs(got - 255 * linear ** (1 / 2.4)).max() < 0.6


def test_black_and_white_stay() -> None:
    ends = np.array([[[0, 0, 0], [65535, 65535, 65535]]], np.uint16)
    for transfer in ("sdr", "pq", "hlg"):
        got = to_bt709(ends, ColorInfo("rgb", "full", transfer, "bt2020"))  # type: ignore[arg-type]
        assert got[0, 0].tolist() == [0, 0, 0]
        assert got[0, 1].min() >= 254


def test_the_primaries_of_a_white_sum_to_one() -> None:
    np.testing.assert_allclose(BT2020_TO_BT709.sum(axis=1), 1, atol=2e-4)


def test_pq_and_its_inverse() -> None:
    nits = np.array([0, 0.01, 1, 89, 203, 1000, 9999, 10000], float)
    np.testing.assert_allclose(pq_to_nits(nits_to_pq(nits)), nits, rtol=1e-6, atol=1e-6)
    assert pq_to_nits(np.array([-1.0, 2.0])) == pytest.approx([0, 10000])
    assert nits_to_pq(np.array([-1.0, 20000.0])) == pytest.approx([0, 1], abs=1e-6)
    assert hlg_to_scene(np.array([-1.0, 0.25, 2.0])) == pytest.approx([0, 1 / 48, 1], abs=1e-6)
