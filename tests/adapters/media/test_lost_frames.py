"""Frames that are gone from a file without an error are counted, and packet numbers may change on the way."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from media_patterns import number_of, write_numbered

from adapters.errors import MediaError
from adapters.media import open_video
from adapters.records import InputSpec

PACKET, PICTURE, TABLE = 188, 256, 4096


def seen(path: Path) -> tuple[list[int], tuple[str, ...]]:
    """The numbers of the frames that come out, and the warnings."""
    with open_video(path) as video:
        return [number_of(picture) for _, picture in video.frames()], video.warnings


def packets_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + PACKET] for at in range(0, len(data), PACKET)]


def number(packet: bytes) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("lost") / "whole.ts"
    write_numbered(path, 100, options={"preset": "ultrafast"}, gop=10)
    assert seen(path) == (list(range(100)), ())
    return packets_of(path)


def with_zeros(packet: bytes) -> bytes:
    return packet[:4] + bytes(PACKET - 4) if number(packet) == PICTURE else packet


@pytest.mark.parametrize(
    "lose",
    [with_zeros, lambda packet: bytes(PACKET), lambda packet: b"\xff" * PACKET, lambda packet: b""],
    ids=["zeros in the packets", "zeros", "ones", "nothing"],
)
@pytest.mark.parametrize("count", [1, 6])
def test_frames_lost_in_transmission_are_counted(
    tmp_path: Path, stream: list[bytes], lose: Callable[[bytes], bytes], count: int
) -> None:
    begins = [at for at, packet in enumerate(stream) if number(packet) == PICTURE and packet[1] & 0x40]
    first, last = begins[53], begins[53 + count]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(lose(one) if first <= at < last else one for at, one in enumerate(stream)))
    numbers, warnings = seen(path)
    assert 94 - count <= len(numbers) < 100
    assert [note for note in warnings if "missing" in note or "did not decode" in note or "damaged" in note]
    if count == 6:
        assert any("missing before 2." in note for note in warnings)


def test_one_damaged_time_is_no_loss(tmp_path: Path, stream: list[bytes]) -> None:
    assert not seen(write_numbered(tmp_path / "slow.ts", 40, fps=2))[1]
    rng = random.Random(5)
    for place in rng.sample([at for at, one in enumerate(stream) if one[1] & 0x40 and number(one) == PICTURE][30:], 3):
        damaged = bytearray(stream[place])
        at = damaged.index(b"\0\0\1\xe0") + 9
        damaged[at + 2] ^= 0x10  # some minutes
        path = tmp_path / "time.ts"
        path.write_bytes(b"".join([*stream[:place], bytes(damaged), *stream[place + 1 :]]))
        numbers, warnings = seen(path)
        assert len(numbers) == 100
        assert not any("missing" in note for note in warnings)


def fragments(data: bytes) -> tuple[bytes, list[bytes]]:
    head, parts, at = b"", [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        whole = data[at : at + size]
        if kind == b"moof":
            parts.append(whole)
        elif kind == b"mdat":
            parts[-1] += whole
        elif kind in (b"ftyp", b"moov"):
            head += whole
        at += size
    return head, parts


def test_missing_fragments_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    write_numbered(path, 60, options={"preset": "ultrafast"}, gop=10, container_options=options)
    head, parts = fragments(path.read_bytes())
    assert seen(path) == (list(range(60)), ())
    path.write_bytes(b"".join([head, *parts[:2], *parts[4:]]))
    numbers, warnings = seen(path)
    assert numbers == [*range(20), *range(40, 60)]
    assert any("about 20 frames are missing before 1.60 s" in note for note in warnings)


def checksum(data: bytes) -> bytes:
    """CRC-32 of MPEG-2 (ISO/IEC 13818-1, annex A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def with_number(packet: bytes, other: int) -> bytes:
    return bytes([packet[0], packet[1] & 0xE0 | other >> 8, other & 0xFF]) + packet[3:]


def with_table(packet: bytes, other: int) -> bytes:
    """The table of a programme of one stream, with another version and packet number."""
    table = bytearray(packet)
    start = 5 + table[4]
    end = start + 3 + ((table[start + 1] & 0x0F) << 8 | table[start + 2]) - 4
    table[start + 5] = table[start + 5] & 0xC1 | 0x02
    for at in (start + 8, start + 13 + ((table[start + 10] & 0x0F) << 8 | table[start + 11])):
        table[at : at + 2] = (0xE000 | other).to_bytes(2, "big")
    table[end : end + 4] = checksum(bytes(table[start:end]))
    return bytes(table)


def test_a_programme_that_changes_its_packet_numbers_is_read_on(tmp_path: Path, stream: list[bytes]) -> None:
    place = next(at for at, packet in enumerate(stream) if at > len(stream) // 2 and number(packet) == TABLE)
    changed = [
        with_table(one, 300) if number(one) == TABLE else with_number(one, 300) if number(one) == PICTURE else one
        for one in stream[place:]
    ]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join([*stream[:place], *changed]))
    numbers, warnings = seen(path)
    assert len(numbers) >= 99  # the frame in which it happens may be lost
    assert not any("programme" in note for note in warnings)


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(height=32, width=32, n_frames=4),
        InputSpec(height=32, width=32, n_frames=4, sampling="rate", fps=5.0),
        InputSpec(height=32, width=32, n_frames=4, window_seconds=1.0),
    ],
)
def test_what_is_left_of_a_file_is_shown_whatever_asks_for_it(tmp_path: Path, spec: InputSpec) -> None:
    """One rule for a scan, which looks at its beginning, and for moments that lie behind what is left."""
    whole = tmp_path / "whole.mp4"
    write_numbered(whole, 100, options={"preset": "ultrafast"}, container_options={"movflags": "faststart"})
    data = whole.read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 900])
    with open_video(path) as video:
        count = len(list(video.frames()))
        clips = list(video.clips(spec))
        assert 1 <= count < 10
        assert clips[0].start == 0
        assert clips[0].times[0] < 0.2
        assert video.clip(spec).times[0] < 0.2
        assert any("but 4.00 s are declared" in note for note in video.warnings)
        with pytest.raises(MediaError, match="no frames"):
            list(video.clips(spec, 3.0))
