"""Colours within 3 levels of what the standards' equations give, on losslessly coded patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_patterns import patch_centres, write_video, yuv_frame, yuv_patches, yuv_to_rgb

from adapters.media import open_video
from adapters.media.color import BT2020_TO_BT709, hlg_to_scene, nits_to_pq, pq_to_nits, tone_curve
from adapters.records import InputSpec

LOSSLESS = {"qp": "0", "preset": "ultrafast"}
CODE = {"bt601": 6, "bt709": 1, "bt2020": 9}  # matrix, ITU-T H.273
LEVELS = 3


def tags(matrix: int = 2, color_range: int = 0, transfer: int = 2, primaries: int = 2) -> Any:
    def prepare(stream: Any) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, color_range
        context.color_trc, context.color_primaries = transfer, primaries

    return prepare


def worst(path: Path, reference: np.ndarray, patch: int = 32) -> float:
    """The largest difference in levels at the patches' centres, at full size and scaled to a quarter."""
    differences = []
    with open_video(path) as video:
        for factor in (1, 4):
            _, picture = next(video.frames(height=video.info.height // factor, width=video.info.width // factor))
            got = patch_centres(picture, patch // factor)
            differences.append(np.abs(got - patch_centres(reference * 255, patch)).max())
    return float(max(differences))


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_tagged_matrix_and_range(tmp_path: Path, matrix: str, full: bool, pixel_format: str) -> None:
    bits = 10 if pixel_format.endswith("10le") else 8
    planes = yuv_patches(1, bits=bits)
    frame = yuv_frame(planes, pixel_format)
    prepare = tags(CODE[matrix], 2 if full else 1)
    path = write_video(tmp_path / "a.mkv", [frame], "libx264", pixel_format, options=LOSSLESS, prepare=prepare)
    with open_video(path) as video:
        assert (video.info.color.matrix, video.info.color.range) == (matrix, "full" if full else "limited")
    assert worst(path, yuv_to_rgb(planes, matrix, full, bits)) <= LEVELS


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [(192, 128, "bt601"), (704, 576, "bt601"), (960, 736, "bt709"), (1280, 544, "bt709")],
)
def test_untagged_matrix_goes_by_size(tmp_path: Path, width: int, height: int, matrix: str) -> None:
    planes = yuv_patches(2, width, height)
    frame = yuv_frame(planes, "yuv420p")
    path = write_video(tmp_path / "a.mkv", [frame], "libx264", "yuv420p", options=LOSSLESS)
    with open_video(path) as video:
        assert video.info.color.matrix == matrix
        assert "matrix" in video.info.color.assumed
    assert worst(path, yuv_to_rgb(planes, matrix, full=False)) <= LEVELS


def test_wrong_matrix_would_fail_the_limit() -> None:
    planes = yuv_patches(2)
    difference = np.abs(yuv_to_rgb(planes, "bt601", False) - yuv_to_rgb(planes, "bt709", False)) * 255
    assert difference.max() > 4 * LEVELS


def test_full_range_of_motion_jpeg(tmp_path: Path) -> None:
    planes = np.stack([yuv_patches(3)[0], *np.full((2, 128, 192), 128, np.uint16)])
    frame = yuv_frame(planes, "yuvj420p")
    path = write_video(tmp_path / "a.avi", [frame], "mjpeg", "yuvj420p", options={"qmin": "1", "qscale": "1"})
    assert worst(path, yuv_to_rgb(planes, "bt601", full=True)) <= LEVELS


@pytest.mark.parametrize(("codec", "pixel_format", "name"), [("qtrle", "rgb24", "a.mov"), ("ffv1", "bgr0", "a.mkv")])
def test_rgb_is_left_as_it_is(tmp_path: Path, codec: str, pixel_format: str, name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / name, [picture], codec, pixel_format)
    with open_video(path) as video:
        np.testing.assert_array_equal(next(video.frames())[1], picture)


def test_gray_is_expanded_where_it_is_luma(tmp_path: Path) -> None:
    frame = av.VideoFrame(64, 48, "gray")
    np.frombuffer(frame.planes[0], np.uint8)[:] = 126
    path = write_video(tmp_path / "a.mp4", [frame], "libx264", "gray", options=LOSSLESS)
    with open_video(path) as video:
        picture = next(video.frames())[1]
    assert np.abs(picture - (126 - 16) * 255 / 219).max() <= 1


def test_transparent_is_laid_over_black(tmp_path: Path) -> None:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[...] = (200, 100, 50, 255)
    rgba[:, 32:, 3] = 128
    rgba[24:, 32:, 3] = 0
    frame = av.VideoFrame.from_ndarray(rgba, "rgba")
    path = write_video(tmp_path / "a.mov", [frame.reformat(format="argb")], "qtrle", "argb")
    with open_video(path) as video:
        picture = next(video.frames())[1]
        small = video.clip(InputSpec(12, 16, 1)).frames[0]
    for got, step in ((picture, 4), (small, 1)):
        opaque, half, none = (got[int(y * step), int(x * step)] for y, x in ((3, 3), (3, 12), (9, 12)))
        np.testing.assert_allclose(opaque, (200, 100, 50), atol=1)
        np.testing.assert_allclose(half, (100, 50, 25), atol=1)
        np.testing.assert_array_equal(none, 0)


def hdr_reference(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """BT.2100 signal to BT.709 code in float64, written from the documents and not from the library's tables."""
    if transfer == "pq":
        nits = pq_to_nits(rgb)
    else:
        scene = hlg_to_scene(rgb)
        nits = 1000 * (scene @ [0.2627, 0.6780, 0.0593])[..., None] ** 0.2 * scene
    brightest = nits.max(-1, keepdims=True)
    nits = nits * tone_curve(brightest) / np.maximum(brightest, 1e-9)
    linear = np.clip(nits @ BT2020_TO_BT709.astype(float).T / 203, 0, 1)
    return np.asarray(linear ** (1 / 2.4))


@pytest.mark.parametrize(("transfer", "code"), [("pq", 16), ("hlg", 18)])
def test_hdr_through_the_stated_curve(tmp_path: Path, transfer: str, code: int) -> None:
    planes = yuv_patches(4, bits=10)
    frame = yuv_frame(planes, "yuv444p10le")
    prepare = tags(9, 1, code, 9)
    path = write_video(tmp_path / "a.mkv", [frame], "libx264", "yuv444p10le", options=LOSSLESS, prepare=prepare)
    with open_video(path) as video:
        assert (video.info.color.transfer, video.info.color.primaries) == (transfer, "bt2020")
    assert worst(path, hdr_reference(yuv_to_rgb(planes, "bt2020", False, 10), transfer)) <= LEVELS


def test_hdr_of_saturated_colours_at_every_size(tmp_path: Path) -> None:
    """Green, coded with some overshoot as real encoders do, in 4:2:0 and at the size that it has."""
    planes = np.empty((3, 64, 96), np.uint16)
    planes[:] = np.array([650, 170, 80])[:, None, None]
    path = write_video(
        tmp_path / "a.mkv", [yuv_frame(planes, "yuv420p10le")], "libx264", "yuv420p10le", options=LOSSLESS,
        prepare=tags(9, 1, 16, 9),
    )  # fmt: skip
    with open_video(path) as video:
        for height, width in ((64, 96), (64, 48), (32, 48), (128, 192)):
            picture = next(video.frames(height=height, width=width, aspect="stretch"))[1]
            np.testing.assert_allclose(picture.reshape(-1, 3), [[0, 255, 0]] * (height * width), atol=1)


@pytest.mark.parametrize("name", ["limited", "full", "bt601", "hdr", "rotated", "rgb", "gray"])
def test_frames_for_an_encoder_have_the_same_colours(tmp_path: Path, name: str, shared: Path) -> None:
    """yuv420p in BT.709 and limited range, made RGB by the standard's equations, is what the RGB layout gives."""
    planes, path = yuv_patches(7), tmp_path / "a.mkv"
    if name == "rotated":
        path = shared / "media" / "odd" / "tc_nasa_13013_rotated.mp4"
    elif name == "hdr":
        frame = yuv_frame(yuv_patches(7, bits=10), "yuv420p10le")
        write_video(path, [frame], "libx264", "yuv420p10le", options=LOSSLESS, prepare=tags(9, 1, 16, 9))
    elif name in ("rgb", "gray"):
        codec, pixels = ("libx264rgb", "rgb24") if name == "rgb" else ("ffv1", "gray")
        flat = np.random.default_rng(1).integers(0, 256, (4, 6, 3)).repeat(32, 0).repeat(32, 1).astype(np.uint8)
        write_video(path, [flat], codec, pixels, options=LOSSLESS if name == "rgb" else {})
    else:
        prepare = tags({"bt601": 6}.get(name, 1), 2 if name == "full" else 1, 1, 1)
        write_video(path, [yuv_frame(planes, "yuv420p")], "libx264", "yuv420p", options=LOSSLESS, prepare=prepare)
    with open_video(path) as video:
        height, width = video.info.height, video.info.width
        rgb = next(video.frames(start_seconds=0))[1]
        yuv = next(video.frames(height=height, width=width, aspect="stretch", layout="yuv420p"))[1]
        half = next(video.frames(height=height // 4 * 2, width=width // 4 * 2, aspect="stretch", layout="yuv420p"))[1]
        with pytest.raises(ValueError, match="even"):
            next(video.frames(height=31, width=32, aspect="stretch", layout="yuv420p"))
    assert half.shape == (height // 4 * 3, width // 4 * 2)
    chroma = yuv[height:].reshape(2, height // 2, width // 2).repeat(2, 1).repeat(2, 2)
    got = yuv_to_rgb(np.stack([yuv[:height], *chroma]), "bt709", False) * 255
    if name == "rotated":
        assert np.abs(got - rgb).mean() < 2
    else:
        off = np.abs(patch_centres(got) - patch_centres(rgb))
        assert off.max() < (12 if name == "hdr" else 3)  # HDR goes through a table of steps
        assert off.mean() < 1


def test_wide_gamut_sdr_is_brought_to_bt709(tmp_path: Path) -> None:
    planes = yuv_patches(5, bits=10)
    frame = yuv_frame(planes, "yuv444p10le")
    prepare = tags(9, 1, 14, 9)
    path = write_video(tmp_path / "a.mkv", [frame], "libx264", "yuv444p10le", options=LOSSLESS, prepare=prepare)
    linear = yuv_to_rgb(planes, "bt2020", False, 10) ** 2.4 @ BT2020_TO_BT709.astype(float).T
    assert worst(path, np.clip(linear, 0, 1) ** (1 / 2.4)) <= LEVELS


def test_transfer_functions_against_published_points() -> None:
    # BT.2408: 203 cd/m2 is 58 % of PQ and, at 1000 cd/m2 peak, 75 % of HLG; ST 2084: 100 cd/m2 is 50.81 %.
    assert nits_to_pq(np.array([100.0, 203.0, 1000.0, 10000.0])) == pytest.approx(
        [0.5081, 0.5807, 0.7518, 1.0], abs=1e-4
    )
    assert hlg_to_scene(np.array([0.5, 1.0])) == pytest.approx([1 / 12, 1.0], abs=1e-6)
    assert 1000 * hlg_to_scene(np.array(0.75)) ** 1.2 == pytest.approx(203, abs=1)
    levels = np.linspace(0, 1000, 2001)
    mapped = tone_curve(levels)
    assert (np.diff(mapped) > 0).all()
    assert mapped[-1] == pytest.approx(203, abs=0.1)
    np.testing.assert_allclose(mapped[levels < 89], levels[levels < 89], atol=0.01)
