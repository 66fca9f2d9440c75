"""Roles of packets by their first bits, written here bit by bit; packets of no data, cut units, rates in doubt."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from av.packet import Packet

from adapters.media.packets import end_with_packet, frame_rate, is_filler, is_raw, times_are_doubtful
from adapters.media.references import NalRoles, Role, classifier_of

START = b"\0\0\1"


class Bits:
    """A string of bits, and Exp-Golomb numbers in it."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, value: int, count: int) -> Bits:
        self.text += format(value, f"0{count}b")
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = format(value + 1, "b")
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values: int) -> Bits:
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def bytes(self) -> bytes:
        padded = self.text + "1" + "0" * (-(len(self.text) + 1) % 8)
        data = int(padded, 2).to_bytes(len(padded) // 8, "big")
        for place in range(len(data) - 2, 0, -1):  # bytes that keep start codes out
            if data[place - 1 : place + 1] == b"\0\0" and data[place + 1] <= 3:
                data = data[: place + 1] + b"\3" + data[place + 1 :]
        return data


def sps(progressive: bool, profile: int = 66, chroma: int = 1, scaling: bool | None = False, order: int = 0) -> bytes:
    """A sequence parameter set of H.264 (7.3.2.1.1)."""
    bits = Bits().u(profile, 8).u(0, 8).u(30, 8).ue(0)
    if profile == 100:
        bits.ue(chroma)
        if chroma == 3:
            bits.u(0, 1)
        bits.ue(0, 0).u(0, 1).u(int(bool(scaling)), 1)
        if scaling:
            bits.u(1, 1).se(*[1] * 16)  # a whole list
            bits.u(1, 1).se(-8)  # one that is left to the default
            bits.u(0, 10 if chroma == 3 else 6)
    bits.ue(4, order)
    if order == 0:
        bits.ue(2)
    elif order == 1:
        bits.u(1, 1).se(-2, 3).ue(2).se(5, -5)
    bits.ue(3).u(0, 1).ue(39, 29)
    return b"\x67" + bits.u(int(progressive), 1).u(0, 6).bytes()


def packet(*units: bytes, start: bytes = START) -> Packet:
    return Packet(b"".join(start + unit for unit in units))


def h264(kind: int, reference: int = 0) -> bytes:
    return bytes([reference << 5 | kind]) + b"\x88" * 40


SETS = [
    {},
    {"order": 1},
    {"order": 2},
    *({"profile": 100, "chroma": chroma, "scaling": scaling} for chroma in (0, 1, 3) for scaling in (False, True)),
]


@pytest.mark.parametrize("changes", SETS)
@pytest.mark.parametrize("progressive", [True, False])
def test_whether_frames_are_progressive_is_read_from_any_parameter_set(
    changes: dict[str, Any], progressive: bool
) -> None:
    roles = NalRoles("h264", START + sps(progressive, **changes))
    assert roles(packet(h264(1))) is (Role.DISPOSABLE if progressive else Role.UNKNOWN)
    assert roles(packet(h264(5, 3))) is (Role.ENTRY if progressive else Role.UNKNOWN)


@pytest.mark.parametrize(
    "unit, role",
    [
        (h264(5, 3), Role.ENTRY),
        (h264(1, 0), Role.DISPOSABLE),
        *((h264(1, reference), Role.REFERENCE) for reference in (1, 2, 3)),
        *((h264(kind, 2), Role.UNKNOWN) for kind in (2, 3, 4)),
    ],
)
def test_roles_of_slices_of_h264(unit: bytes, role: Role) -> None:
    roles = NalRoles("h264", START + sps(True))
    assert roles(packet(unit)) is role
    assert roles(packet(h264(9), h264(6), unit)) is role, "after what is not a slice"
    assert NalRoles("h264", None)(packet(unit)) is Role.UNKNOWN, "without a parameter set"
    assert NalRoles("h264", None)(packet(sps(True), unit)) is role, "with one before it in the packet"


@pytest.mark.parametrize("units", [(), (b"\x65",), (h264(9),), (sps(True),)])
def test_packets_without_a_slice_say_nothing(units: tuple[bytes, ...]) -> None:
    assert NalRoles("h264", START + sps(True))(packet(*units)) is Role.UNKNOWN


def test_one_interlaced_parameter_set_of_several_is_enough() -> None:
    for first, second in ((True, False), (False, True)):
        roles = NalRoles("h264", START + sps(first) + START + sps(second))
        assert roles(packet(h264(5, 3))) is Role.UNKNOWN
    assert NalRoles("h264", START + sps(True) + START + sps(True))(packet(h264(5, 3))) is Role.ENTRY
    assert NalRoles("h264", START + sps(True)[:5])(packet(h264(5, 3))) is Role.UNKNOWN, "one that is cut short"


@pytest.mark.parametrize("width", [1, 2, 4])
def test_units_after_their_length_as_in_mp4(width: int) -> None:
    stored = sps(True)
    extradata = (
        bytes([1, 66, 0, 30, 0xFC | width - 1, 0xE1]) + len(stored).to_bytes(2, "big") + stored + b"\1\0\2\x68\1"
    )
    roles = NalRoles("h264", extradata)

    def of(*units: bytes) -> Role:
        return roles(Packet(b"".join(len(unit).to_bytes(width, "big") + unit for unit in units)))

    assert of(h264(5, 3)) is Role.ENTRY
    assert of(h264(9), h264(1, 2)) is Role.REFERENCE
    assert of(h264(6), h264(6), h264(1)) is Role.DISPOSABLE
    assert of(h264(9)) is Role.UNKNOWN


def hevc(kind: int, sub_layer: int = 0, layer: int = 0) -> bytes:
    return bytes([kind << 1 | layer >> 5, (layer & 31) << 3 | sub_layer + 1]) + b"\x80" * 40


def hevc_sps(sub_layers: int) -> bytes:
    return hevc(33)[:2] + bytes([sub_layers << 1]) + b"\1" * 8


@pytest.mark.parametrize(
    "unit, role",
    [
        *((hevc(kind), Role.ENTRY) for kind in range(16, 22)),
        *((hevc(kind), Role.UNKNOWN) for kind in (22, 31)),
        *((hevc(kind, 2), Role.DISPOSABLE) for kind in (0, 2, 14)),
        *((hevc(kind, 2), Role.REFERENCE) for kind in (1, 3, 15)),
        (hevc(0, 1), Role.REFERENCE),  # of a lower sub-layer: higher ones may refer to it
        (hevc(19, layer=1), Role.UNKNOWN),  # of another layer, which is not decoded
        (hevc(19, layer=32), Role.UNKNOWN),
    ],
)
def test_roles_of_slices_of_h265(unit: bytes, role: Role) -> None:
    roles = NalRoles("hevc", START + hevc_sps(2))
    assert roles(packet(unit)) is role
    assert roles(packet(hevc(35), unit)) is role
    assert NalRoles("hevc", None)(packet(unit)) is Role.UNKNOWN


def test_parameter_sets_of_an_hvcc() -> None:
    def array(kind: int, *units: bytes) -> bytes:
        content = b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
        return bytes([kind]) + len(units).to_bytes(2, "big") + content

    arrays = array(32, hevc(32)) + array(33, hevc_sps(1))
    extradata = bytes([1]) + bytes(20) + bytes([0xFC | 3, 2]) + arrays
    roles = NalRoles("hevc", extradata)
    for unit, role in ((hevc(0, 1), Role.DISPOSABLE), (hevc(0, 0), Role.REFERENCE), (hevc(20), Role.ENTRY)):
        assert roles(Packet(len(unit).to_bytes(4, "big") + unit)) is role


def by_codec(name: str, data: bytes) -> Role:
    stream: Any = SimpleNamespace(codec_context=SimpleNamespace(name=name, codec=SimpleNamespace(properties=0)))
    classify = classifier_of(stream)
    assert classify is not None
    return classify(Packet(data))


def mpeg2(kind: int, structure: int = 3, progressive: bool = True, extended: bool = True) -> bytes:
    picture = b"\0\0\1\0" + bytes([0, kind << 3]) + b"\xff\xf8"
    extension = b"\0\0\1\xb5" + bytes([0x8F, 0xFF, 0xF0 | structure, 0x41, 0x80 if progressive else 0])
    return b"\0\0\1\xb3" + b"\1" * 8 + picture + (extension if extended else b"") + b"\1" * 8


@pytest.mark.parametrize("name", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("extended", [True, False])
def test_types_of_mpeg_pictures(name: str, extended: bool) -> None:
    for kind, role in ((1, Role.ENTRY), (2, Role.REFERENCE), (3, Role.DISPOSABLE), (4, Role.UNKNOWN)):
        assert by_codec(name, mpeg2(kind, extended=extended)) is role
    assert by_codec(name, mpeg2(1, structure=1)) is Role.UNKNOWN
    assert by_codec(name, mpeg2(1, progressive=False)) is Role.UNKNOWN
    assert by_codec(name, b"\0\0\1\0\0") is Role.UNKNOWN
    assert by_codec(name, b"no picture") is Role.UNKNOWN


def test_types_of_mpeg4_planes() -> None:
    for kind, role in enumerate((Role.ENTRY, Role.REFERENCE, Role.DISPOSABLE, Role.REFERENCE)):
        data = b"\0\0\1\xb6" + bytes([kind << 6 | 0x1F]) + b"\1" * 9
        assert by_codec("mpeg4", data) is role
        assert by_codec("mpeg4", b"\0\0\1\xb0\1" + data) is role
        assert by_codec("mpeg4", data + data) is Role.UNKNOWN, "two in one packet"
    assert by_codec("mpeg4", b"\0\0\1\xb6") is Role.UNKNOWN
    assert by_codec("mpeg4", b"\1") is Role.UNKNOWN


def test_first_bytes_of_vp8_and_vp9() -> None:
    for name in ("vp8", "libvpx"):
        assert [by_codec(name, bytes([first])) for first in (0x10, 0x11, 0xFE)] == [
            Role.ENTRY, Role.REFERENCE, Role.ENTRY]  # fmt: skip
        assert by_codec(name, b"") is Role.REFERENCE
    for name in ("vp9", "libvpx-vp9"):
        # marker 10, profile low, profile high, [reserved], show_existing_frame, frame_type, show_frame
        for text, role in {
            "10000010": Role.ENTRY,
            "10000000": Role.REFERENCE,  # not shown
            "10000110": Role.REFERENCE,  # not a key frame
            "10001010": Role.REFERENCE,  # one that exists is shown
            "10100010": Role.ENTRY,
            "10110001": Role.ENTRY,
            "10110000": Role.REFERENCE,
            "01000010": Role.UNKNOWN,
        }.items():
            assert by_codec(name, bytes([int(text, 2)])) is role, text
        assert by_codec(name, b"") is Role.UNKNOWN


def obu(kind: int, content: bytes, sized: bool = True, extended: bool = False) -> bytes:
    size = bytes([len(content) & 127 | 128, len(content) >> 7]) if len(content) > 127 else bytes([len(content)])
    return bytes([kind << 3 | extended << 2 | sized << 1]) + b"\0" * extended + (size if sized else b"") + content


@pytest.mark.parametrize("name", ["av1", "libdav1d", "libaom-av1"])
def test_units_of_av1(name: str) -> None:
    sequence, key, other = obu(1, b"\1" * 200), b"\x10\0", b"\x30\0"
    for kind in (3, 6):
        assert by_codec(name, obu(2, b"") + sequence + obu(kind, key)) is Role.ENTRY
        assert by_codec(name, obu(2, b"", extended=True) + sequence + obu(kind, key, extended=True)) is Role.ENTRY
        assert by_codec(name, sequence + obu(kind, other)) is Role.REFERENCE
        assert by_codec(name, obu(kind, key)) is Role.REFERENCE, "without a sequence header before it"
        assert by_codec(name, sequence + obu(kind, b"")) is Role.REFERENCE
    assert by_codec(name, obu(1, b"\1", sized=False)) is Role.REFERENCE
    assert by_codec(name, sequence) is Role.UNKNOWN


def test_codecs_of_whole_pictures_and_codecs_that_mark_nothing() -> None:
    def stream(name: str, properties: int) -> Any:
        return SimpleNamespace(
            codec_context=SimpleNamespace(name=name, codec=SimpleNamespace(properties=properties), extradata=None)
        )

    always = classifier_of(stream("prores", 1))
    assert always is not None
    assert always(Packet(b"")) is Role.ENTRY
    assert classifier_of(stream("theora", 2)) is None
    assert isinstance(classifier_of(stream("hevc", 2)), NalRoles)


# Packets


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("codec, place", [("h264", 4), ("hevc", 21)])
def test_the_last_unit_of_a_cut_packet_ends_with_it(width: int, codec: str, place: int) -> None:
    extradata = bytes([1]) + bytes(place - 1) + bytes([0xFC | width - 1]) + b"\0"
    whole = (3).to_bytes(width, "big") + b"abc"
    cut = Packet(whole + (9).to_bytes(width, "big") + b"de")
    end_with_packet(cut, codec, extradata)
    assert bytes(cut) == whole + (2).to_bytes(width, "big") + b"de"
    for data in (whole, whole + whole):
        same = Packet(data)
        end_with_packet(same, codec, extradata)
        assert bytes(same) == data


@pytest.mark.parametrize(
    "codec, extradata",
    [("mpeg4", bytes([1]) * 30), ("h264", None), ("h264", bytes([1]) * 4), ("h264", b"\0\0\1" + bytes(30))],
)
def test_packets_of_other_layouts_are_left_alone(codec: str, extradata: bytes | None) -> None:
    cut = Packet(b"\0\0\0\x09de")
    end_with_packet(cut, codec, extradata)
    assert bytes(cut) == b"\0\0\0\x09de"


def test_a_packet_of_a_time_and_no_data_is_a_filler() -> None:
    empty, timed, full = Packet(b""), Packet(b""), Packet(b"x")
    timed.dts = 5
    assert [is_filler(found) for found in (empty, timed, full)] == [False, True, False]
    timed.dts, timed.pts = None, 5
    full.pts = 5
    assert [is_filler(found) for found in (timed, full)] == [True, False]


def source(names: str) -> Any:
    return SimpleNamespace(format=SimpleNamespace(name=names))


def stream(average: Any = None, guessed: Any = None, base: Any = None, declared: Any = None, tick: Any = None) -> Any:
    context = SimpleNamespace(framerate=declared)
    return SimpleNamespace(
        average_rate=average, guessed_rate=guessed, base_rate=base, codec_context=context,
        time_base=tick or Fraction(1, 90_000),
    )  # fmt: skip


def test_streams_that_are_timed_by_number() -> None:
    assert is_raw(source("h264"), stream(tick=Fraction(1, 1_200_000)))
    assert is_raw(source("mjpeg"), stream())
    assert not is_raw(source("mov,mp4"), stream())
    assert is_raw(source("avi"), stream(tick=Fraction(61)))
    assert not is_raw(source("avi"), stream(tick=Fraction(60)))
    assert not is_raw(source("mov,mp4"), stream(tick=Fraction(61)))


def test_the_rate_of_a_stream() -> None:
    raw = Fraction(1, 1_200_000)
    assert frame_rate(source("h264"), stream(25, tick=raw, declared=30)) == (30, False)
    assert frame_rate(source("h264"), stream(30, tick=raw)) == (25, True)
    assert frame_rate(source("mov"), stream(30, 25)) == (30, False)
    assert frame_rate(source("mov"), stream(None, 25)) == (25, False)
    slow = Fraction(1, 61)
    assert frame_rate(source("mov"), stream(slow, 25, 24)) == (24, False)
    assert frame_rate(source("mov"), stream(slow, 25)) == (slow, False)
    assert [times_are_doubtful(stream(rate)) for rate in (slow, Fraction(1, 60), Fraction(0), None)] == [
        True, False, False, False]  # fmt: skip
