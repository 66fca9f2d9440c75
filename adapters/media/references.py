"""Which packets other frames depend on, by their first bytes: what may be left out without changing any other frame.

A frame that others do not refer to can be left out alone (H.264 7.4.1 ``nal_ref_idc``; H.265 7.4.2.2 sub-layer
non-reference pictures; MPEG-1 and MPEG-2 B pictures, MPEG-4 Part 2 B-VOPs). FFmpeg's ``skip_frame`` "bidir" leaves out
more, but in H.264 and H.265 other frames may refer to B frames: on x264's defaults it changed 9 of 10 frames that were
left. At an entry a decoder can begin; nothing that is shown after it depends on what is before. The container's mark
of key frames is not relied on. VP8, VP9 and AV1 adapt their probabilities frame by frame, so that only entries are
known of them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from av.packet import Packet
from av.video.stream import VideoStream

_INTRA_ONLY = 1  # AV_CODEC_PROP_INTRA_ONLY of libavcodec/codec_desc.h
_START_CODE = b"\0\0\1"
_SEARCHED_BYTES = 4096  # of a packet, for start codes; parameter sets and messages before a picture are shorter
_SEARCHED_UNITS = 256  # NAL units before the first slice; a damaged packet may have millions of no length
_PROFILES_WITH_CHROMA = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}  # H.264 7.3.2.1.1


class Role(Enum):
    """What other frames make of a packet's frame.

    Attributes:
        ENTRY: A decoder can begin here.
        REFERENCE: Others may depend on it.
        DISPOSABLE: None depends on it.
        UNKNOWN: It cannot be said, or the frame is interlaced and is shown with the help of its neighbours.
    """

    ENTRY = "entry"
    REFERENCE = "reference"
    DISPOSABLE = "disposable"
    UNKNOWN = "unknown"


Classifier: TypeAlias = "Callable[[Packet[VideoStream]], Role]"


def classifier_of(stream: VideoStream) -> Classifier | None:
    """The function that tells the roles of a stream's packets; None where its codec does not mark them.

    Args:
        stream: An open video stream.
    """
    context = stream.codec_context
    if context.codec.properties & _INTRA_ONLY:
        return lambda packet: Role.ENTRY
    if context.name in ("h264", "hevc"):
        return NalRoles(context.name, context.extradata)
    return _BY_FIRST_BYTES.get(context.name)


class NalRoles:
    """Roles of the packets of H.264 and H.265, whose parameter sets say how the first bytes are to be read."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        """Read the parameter sets that the container stores.

        Args:
            codec: "h264" or "hevc".
            extradata: As the container stores it; None where it does not.
        """
        self._is_hevc = codec == "hevc"
        data = extradata or b""
        stored = len(data) > 6 and data[0] == 1 and not data.startswith(_START_CODE)
        at = 21 if self._is_hevc else 4
        # Bytes of the length before each NAL unit; 0: start codes, as in transport streams.
        self._length_bytes = (data[at] & 3) + 1 if stored and len(data) > at else 0
        # H.264: whether all frames are progressive; H.265: the highest sub-layer. None: no parameter set was seen.
        self._known: int | None = None
        for unit in _stored_units(data, self._is_hevc) if stored else _start_code_units(data):
            self._read_parameters(unit)

    def __call__(self, packet: Packet[VideoStream]) -> Role:
        """The role of a packet, by its first slice."""
        data = memoryview(packet)
        if not self._length_bytes:
            for unit in _start_code_units(bytes(data[:_SEARCHED_BYTES])):
                if (role := self._role(unit)) is not None:
                    return role
            return Role.UNKNOWN
        place, width = 0, self._length_bytes
        for _ in range(_SEARCHED_UNITS):
            if place + width >= len(data):
                break
            length = int.from_bytes(data[place : place + width], "big")
            place += width
            if (role := self._role(bytes(data[place : place + min(length, 256)]))) is not None:
                return role
            place += length
        return Role.UNKNOWN

    def _role(self, unit: bytes) -> Role | None:
        """The role that a NAL unit says; None where it is not a slice."""
        if len(unit) < 2:
            return None
        kind = unit[0] >> 1 & 63 if self._is_hevc else unit[0] & 31
        if self._is_hevc and (unit[0] & 1 or unit[1] >> 3):  # of another layer, which is not decoded
            return None
        if not self._is_slice(kind):
            self._read_parameters(unit)
            return None
        if self._known is None:
            return Role.UNKNOWN
        if self._is_hevc:
            if kind >= 16:
                return Role.ENTRY if kind <= 21 else Role.UNKNOWN  # BLA, IDR and CRA
            # Sub-layer non-reference pictures have even types below 16; those above may refer to lower sub-layers.
            return Role.DISPOSABLE if not kind & 1 and (unit[1] & 7) - 1 == self._known else Role.REFERENCE
        if not self._known or kind not in (1, 5):
            return Role.UNKNOWN
        if kind == 5:
            return Role.ENTRY
        return Role.REFERENCE if unit[0] >> 5 & 3 else Role.DISPOSABLE

    def _is_slice(self, kind: int) -> bool:
        return kind < 32 if self._is_hevc else 1 <= kind <= 5

    def _read_parameters(self, unit: bytes) -> None:
        """Take in what a sequence parameter set says."""
        if len(unit) < 4:
            return
        if self._is_hevc and unit[0] >> 1 & 63 == 33:
            self._known = unit[2] >> 1 & 7
        elif not self._is_hevc and unit[0] & 31 == 7:
            progressive = _is_progressive(unit)
            self._known = progressive if self._known is None else self._known and progressive


def _start_code_units(data: bytes) -> list[bytes]:
    """The NAL units after start codes."""
    return data.split(_START_CODE)[1:]


def _stored_units(data: bytes, is_hevc: bool) -> list[bytes]:
    """The parameter sets of an avcC or hvcC (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1)."""
    units = list[bytes]()

    def take(place: int, count: int) -> int:
        for _ in range(count):
            length = int.from_bytes(data[place : place + 2], "big")
            units.append(data[place + 2 : place + 2 + length])
            place += 2 + length
        return place

    if not is_hevc:
        take(6, data[5] & 31)
    elif len(data) > 22:
        place = 23
        for _ in range(data[22]):
            place = take(place + 3, int.from_bytes(data[place + 1 : place + 3], "big"))
    return units


class _Bits:
    """The bits of a NAL unit, without the bytes that keep start codes out of it. IndexError: past its end."""

    def __init__(self, unit: bytes) -> None:
        self._data, self._at = unit.replace(b"\0\0\3", b"\0\0"), 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - self._at & 7) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (H.264 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise IndexError("no Exp-Golomb number")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _is_progressive(unit: bytes) -> bool:
    """Whether an H.264 sequence parameter set allows frames only (``frame_mbs_only_flag``, 7.3.2.1.1)."""
    try:
        bits = _Bits(unit[1:])
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        if profile in _PROFILES_WITH_CHROMA:
            chroma = bits.golomb()
            if chroma == 3:
                bits.take(1)
            bits.golomb()
            bits.golomb()
            bits.take(1)
            if bits.take(1):
                for number in range(12 if chroma == 3 else 8):
                    _pass_scaling_list(bits, 16 if number < 6 else 64)
        bits.golomb()
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            bits.golomb()
            bits.golomb()
            for _ in range(min(bits.golomb(), 256)):
                bits.golomb()
        bits.golomb()
        bits.take(1)
        bits.golomb()
        bits.golomb()
        return bool(bits.take(1))
    except IndexError:
        return False


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.take(1):
        return
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) & 255
        last = following or last


def _mpeg_video(packet: Packet[VideoStream]) -> Role:
    """MPEG-1 and MPEG-2 (H.262 6.2.3 and 6.2.3.1): the type of the first picture."""
    data = bytes(memoryview(packet)[:_SEARCHED_BYTES])
    picture = data.find(b"\0\0\1\0")
    if picture < 0 or len(data) < picture + 6:
        return Role.UNKNOWN
    extension = data.find(b"\0\0\1\xb5", picture)
    if extension >= 0 and len(data) > extension + 8 and data[extension + 4] >> 4 == 8:
        frame_structure = data[extension + 6] & 3 == 3
        if not (frame_structure and data[extension + 8] & 0x80):  # ``progressive_frame``
            return Role.UNKNOWN
    return {1: Role.ENTRY, 2: Role.REFERENCE, 3: Role.DISPOSABLE}.get(data[picture + 5] >> 3 & 7, Role.UNKNOWN)


def _mpeg4(packet: Packet[VideoStream]) -> Role:
    """MPEG-4 Part 2 (6.2.5): the coding type of the first video object plane."""
    data = bytes(memoryview(packet)[:_SEARCHED_BYTES])
    plane = data.find(b"\0\0\1\xb6")
    if plane < 0 or len(data) <= plane + 4 or data.find(b"\0\0\1\xb6", plane + 4) >= 0:
        return Role.UNKNOWN
    return (Role.ENTRY, Role.REFERENCE, Role.DISPOSABLE, Role.REFERENCE)[data[plane + 4] >> 6]


def _vp8(packet: Packet[VideoStream]) -> Role:
    """RFC 6386, 9.1: bit 0 is 0 in a key frame."""
    data = memoryview(packet)
    return Role.ENTRY if len(data) and not data[0] & 1 else Role.REFERENCE


def _vp9(packet: Packet[VideoStream]) -> Role:
    """VP9 bitstream specification, 6.2: marker, profile, show_existing_frame, frame_type and show_frame."""
    data = memoryview(packet)
    if not len(data) or data[0] >> 6 != 2:
        return Role.UNKNOWN
    reserved = data[0] >> 4 & 3 == 3
    flags = (data[0] << 1 if reserved else data[0]) >> 1 & 7
    return Role.ENTRY if flags & 6 == 0 and flags & 1 else Role.REFERENCE


def _av1(packet: Packet[VideoStream]) -> Role:
    """AV1 specification, 5.3 and 5.9.2: a shown key frame right after a sequence header."""
    data, place, sequence = memoryview(packet), 0, False
    while place < len(data):
        header, place = data[place], place + 1
        kind = header >> 3 & 15
        place += header >> 2 & 1
        size = shift = 0
        if not header & 2:
            return Role.REFERENCE
        while place < len(data) and shift < 35:
            size |= (data[place] & 127) << shift
            place, shift = place + 1, shift + 7
            if not data[place - 1] & 128:
                break
        if kind in (3, 6):
            return Role.ENTRY if sequence and place < len(data) and data[place] >> 4 == 1 else Role.REFERENCE
        sequence = sequence or kind == 1
        place += size
    return Role.UNKNOWN


_BY_FIRST_BYTES: dict[str, Classifier] = {
    "mpeg1video": _mpeg_video,
    "mpeg2video": _mpeg_video,
    "mpeg4": _mpeg4,
    "vp8": _vp8,
    "libvpx": _vp8,
    "vp9": _vp9,
    "libvpx-vp9": _vp9,
    "av1": _av1,
    "libdav1d": _av1,
    "libaom-av1": _av1,
}
