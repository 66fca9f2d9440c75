"""The colour description of decoded frames, and the conversion of HDR and wide gamut to BT.709 RGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.records import Float32Array, UInt8Array

Matrix = Literal["rgb", "gray", "bt601", "bt709", "bt2020", "fcc", "smpte240m", "ycgco", "ictcp"]
Range = Literal["limited", "full"]
Transfer = Literal["sdr", "pq", "hlg"]
Primaries = Literal["bt709", "bt2020"]

# Code points of ITU-T H.273 (tables 2 to 4), which containers, codecs and FFmpeg share.
_MATRICES: dict[int, Matrix] = {
    0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 8: "ycgco", 9: "bt2020", 10: "bt2020",
    14: "ictcp",
}  # fmt: skip
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
_FULL_RANGE = 2
# Codecs whose monochrome is luma, with footroom and headroom where nothing is said.
_LIMITED_GRAY = {"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video"}

# ITU-R BT.2408: the luminance of SDR white within an HDR signal, and ITU-R BT.2100 HLG's nominal peak and its gamma.
SDR_WHITE_NITS = 203.0
HDR_PEAK_NITS = 1000.0
HLG_GAMMA = 1.2
DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
# ITU-R BT.2087 (the inverse of its equation for 709 -> 2020): linear BT.2020 RGB to linear BT.709 RGB.
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


@dataclass(frozen=True)
class ColorInfo:
    """The colour description that is used for a stream: as tagged, or what players assume where a tag is missing.

    Attributes:
        matrix: How RGB became luma and chroma; "rgb" and "gray" where it did not.
        range: Whether black and white are 16 and 235 (limited) or 0 and 255, in 8 bits.
        transfer: The relation of code and light: SDR, or PQ or HLG of HDR (ITU-R BT.2100).
        primaries: The gamut.
        assumed: The names of the fields for which the file has no tag.
    """

    matrix: Matrix
    range: Range
    transfer: Transfer
    primaries: Primaries
    assumed: tuple[str, ...] = ()

    @property
    def needs_tone_curve(self) -> bool:
        """Whether ``to_bt709`` must convert it: HDR or BT.2020 primaries."""
        return self.transfer != "sdr" or self.primaries != "bt709"


def describe_color(frame: Any, codec: str, rgb: bool, gray: bool) -> ColorInfo:
    """The ColorInfo of a frame.

    Missing tags are read as players do: BT.709 matrix from 720 lines or 1280 columns up, otherwise BT.601; limited
    range, but full for RGB, for the ``yuvj`` formats and for the gray of picture codecs; SDR; BT.709 primaries.

    Args:
        frame: An ``av.VideoFrame``.
        codec: FFmpeg's name of the codec.
        rgb: Whether its pixel format stores R, G and B.
        gray: Whether its pixel format stores luma only.
    """
    assumed = []
    matrix: Matrix | None = "rgb" if rgb else "gray" if gray else _MATRICES.get(int(frame.colorspace))
    if matrix is None or (matrix == "rgb" and not rgb):
        matrix = "bt709" if frame.height >= 720 or frame.width >= 1280 else "bt601"
        assumed.append("matrix")
    untagged_range = int(frame.color_range) == 0
    if rgb or frame.format.name.startswith("yuvj") or (gray and untagged_range and codec not in _LIMITED_GRAY):
        color_range: Range = "full"
    else:
        color_range = "full" if int(frame.color_range) == _FULL_RANGE else "limited"
        if untagged_range:
            assumed.append("range")
    transfer = _TRANSFERS.get(int(frame.color_trc), "sdr")
    if int(frame.color_primaries) == 9:
        primaries: Primaries = "bt2020"
    else:
        # PQ and HLG are defined for BT.2020 primaries (BT.2100); a file that says otherwise is believed.
        untagged = int(frame.color_primaries) in (0, 2)
        primaries = "bt2020" if transfer != "sdr" and untagged else "bt709"
        if untagged:
            assumed.append("primaries")
    return ColorInfo(matrix, color_range, transfer, primaries, tuple(assumed))


def pq_to_nits(signal: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """SMPTE ST 2084 EOTF (ITU-R BT.2100 table 4): signal in 0..1 to luminance in 0..10000 cd/m2, any shape."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = np.power(np.clip(signal, 0, 1), 1 / m2)
    nits: npt.NDArray[np.floating[Any]] = 10000 * np.power(np.maximum(root - c1, 0) / (c2 - c3 * root), 1 / m1)
    return nits


def nits_to_pq(nits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """The inverse of :func:`pq_to_nits`: luminance in 0..10000 cd/m2 to signal in 0..1, any shape."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.power(np.clip(nits, 0, 10000) / 10000, m1)
    signal: npt.NDArray[np.floating[Any]] = np.power((c1 + c2 * power) / (1 + c3 * power), m2)
    return signal


def hlg_to_scene(signal: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """HLG inverse OETF (ITU-R BT.2100 table 5): signal in 0..1 to scene light in 0..1, any shape."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    x = np.clip(signal, 0, 1)
    scene: npt.NDArray[np.floating[Any]] = np.where(x <= 0.5, x * x / 3, (np.exp((x - c) / a) + b) / 12)
    return scene


def tone_curve(nits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """The EETF of ITU-R BT.2390 (section 5.4.1): luminance of a 1000 cd/m2 master to that of a 203 cd/m2 display.

    Up to about 89 cd/m2 nothing changes; above, a Hermite spline in PQ rolls off to 203 cd/m2. Both blacks are 0.
    """
    peak = nits_to_pq(np.array(HDR_PEAK_NITS))
    top = nits_to_pq(np.array(SDR_WHITE_NITS)) / peak
    knee = 1.5 * top - 0.5
    level = np.clip(nits_to_pq(nits) / peak, 0, 1)
    t = np.clip((level - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    return pq_to_nits(np.where(level < knee, level, spline) * peak)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Float32Array]:
    """Look-up tables over 16-bit signals: light of each transfer, the tone curve's gain and the display's code."""
    signal = np.linspace(0, 1, 65536)
    # Gain and code are looked up by the square root of their linear argument, which spends the entries on the darks.
    nits = signal**2 * 10000
    gain = tone_curve(nits) / np.maximum(nits, 1e-9)
    gain[0] = 1
    tables = {
        "pq": pq_to_nits(signal),
        "hlg": hlg_to_scene(signal),
        "sdr": signal**DISPLAY_GAMMA * SDR_WHITE_NITS,
        "gain": gain,
        "code": 255 * (signal**2) ** (1 / DISPLAY_GAMMA),
    }
    return {name: table.astype(np.float32) for name, table in tables.items()}


def to_bt709(pixels: npt.NDArray[np.uint16], color: ColorInfo) -> UInt8Array:
    """HDR or wide-gamut RGB to SDR BT.709 RGB.

    Signal to light by BT.2100 (PQ; HLG with its system gamma 1.2 for a 1000 cd/m2 display) or BT.1886 (SDR); HDR
    luminance through :func:`tone_curve` applied to the largest of R, G, B, so that hue is kept; BT.2020 to BT.709
    primaries by BT.2087; light relative to 203 cd/m2 to code by the inverse of BT.1886. The rest is clipped.

    Args:
        pixels: uint16 [..., 3] RGB, full range, non-linear, of color's transfer and primaries.
        color: The description of the pixels.

    Returns:
        uint8 [..., 3] RGB, full range.
    """
    tables = _tables()
    light = tables[color.transfer][pixels]
    if color.transfer == "hlg":
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
        light *= (HDR_PEAK_NITS * np.power(luminance, HLG_GAMMA - 1, dtype=np.float32))[..., None]
    if color.transfer != "sdr":
        light *= _gain(light.max(axis=-1), tables["gain"])[..., None]
    if color.primaries == "bt2020":
        light = light @ BT2020_TO_BT709.T
    relative = np.clip(light / SDR_WHITE_NITS, 0, 1)
    code = tables["code"][(np.sqrt(relative) * 65535 + 0.5).astype(np.int32)]
    return np.asarray(code + 0.5, dtype=np.uint8)


def _gain(brightest: Float32Array, table: Float32Array) -> Float32Array:
    """The tone curve's factor for each luminance in cd/m2."""
    return table[(np.sqrt(np.minimum(brightest, 10000) / 10000) * 65535 + 0.5).astype(np.int32)]
