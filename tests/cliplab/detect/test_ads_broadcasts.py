"""Recordings as tuners and recorders leave them: fields, AC-3, teletext, a clock that wraps, a file nobody finished."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command_line import cli
from evening_files import SCENES, compose

TRUTH = (90.2, 125.2)
TELETEXT, SUBTITLES = 0x300, 0x301
WRAP_SECONDS = 2**33 / 90_000


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 210 s with one break."""
    path = tmp_path_factory.mktemp("evening") / "evening.mkv"
    assert compose(path, SCENES) == [TRUTH]
    return path


@pytest.fixture(autouse=True)
def without_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.detect.sound.voice_detector", lambda notes: None)


def found_in(video: Path, *options: object) -> dict[str, Any]:
    report = json.loads(cli("ads", video, "--store", video.parent / "store", "--json", *options, code=0).stdout)
    (recording,) = report["recordings"]
    return dict(recording)


def breaks_of(recording: dict[str, Any]) -> list[tuple[float, float]]:
    return [(one["start_seconds"], one["end_seconds"]) for one in recording["breaks"]]


def packets(source: Path, target: Any) -> None:
    """Copy the packets of a recording."""
    with av.open(str(source)) as container:
        streams = {one.index: target.add_stream_from_template(one) for one in container.streams}
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)


def test_the_clock_of_a_transport_stream_wraps_within_the_break(evening: Path, tmp_path: Path) -> None:
    """Its times have 33 bits: every 26.5 hours they begin anew."""
    video, copy = tmp_path / "wrap.ts", tmp_path / "copy.ts"
    begin = f"{WRAP_SECONDS - 105:.3f}"
    with av.open(str(video), "w", options={"output_ts_offset": begin}) as target:
        packets(evening, target)
    with av.open(str(video)) as container:
        assert float(container.start_time) / av.time_base > WRAP_SECONDS - 110
    found = found_in(video, "--cut", copy)
    assert found["duration_seconds"] == pytest.approx(210, abs=0.3)
    assert not found["unknown"]
    np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=0.1)
    with av.open(str(copy)) as container:
        assert float(container.duration) / av.time_base == pytest.approx(175, abs=0.5)


def test_a_file_whose_recorder_crashed(evening: Path, tmp_path: Path) -> None:
    """Matroska without its length, without an index, and cut within a block."""
    unfinished, video = tmp_path / "unfinished.mkv", tmp_path / "crashed.mkv"
    with av.open(str(unfinished), "w", format="matroska") as target:
        packets(evening, target)
        written = unfinished.read_bytes()  # as it is before anything is finished
    video.write_bytes(written[: len(written) * 85 // 100])
    found = found_in(video, "--output", tmp_path / "crashed.edl")
    np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=0.1)
    assert 150 < found["duration_seconds"] < 210
    assert all(start > TRUTH[1] for start, _ in found["unknown"])
    assert "\t3" in (tmp_path / "crashed.edl").read_text()


def test_fields_two_languages_teletext_and_subtitles(evening: Path, tmp_path: Path) -> None:
    """MPEG-2 of 50 fields per second with AC-3 twice, and streams that nobody decodes."""
    plain, video = tmp_path / "plain.ts", tmp_path / "broadcast.ts"
    _broadcast(evening, plain)
    video.write_bytes(_with_private_streams(plain.read_bytes()))
    with av.open(str(video)) as container:
        kinds = [one.type for one in container.streams]
        assert (kinds.count("audio"), kinds.count("subtitle")) == (2, 2)
    copy = tmp_path / "copy.ts"
    found = found_in(video, "--cut", copy)
    np.testing.assert_allclose(breaks_of(found), [TRUTH], atol=0.3)
    assert any("sound stream 0 of 2" in note for note in found["notes"])
    assert any("subtitles" in note for note in found["notes"])
    with av.open(str(copy)) as container:
        assert len(container.streams.audio) == 2
        assert float(container.duration) / av.time_base == pytest.approx(175, abs=0.5)


def _broadcast(source: Path, path: Path) -> None:
    with av.open(str(source)) as container, av.open(str(path), "w") as target:
        made: Any = target.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "g": "12", "bf": "2"})
        made.width, made.height, made.pix_fmt, made.bit_rate = 176, 144, "yuv420p", 900_000
        heard: list[Any] = [target.add_stream("ac3", rate=48_000, layout="stereo") for _ in range(2)]
        resampler, number, samples = av.AudioResampler("fltp", "stereo", 48_000, frame_size=1536), 0, 0
        for packet in container.demux(video=0, audio=0):
            for frame in packet.decode():
                if packet.stream.type == "video":
                    picture = frame.reformat(176, 144, format="yuv420p")
                    for _ in range(5):  # of 5 frames per second
                        picture.pts, picture.time_base = number, Fraction(1, 25)
                        picture.pict_type = av.video.frame.PictureType.NONE
                        target.mux(made.encode(picture))
                        number += 1
                    continue
                for part in resampler.resample(frame):
                    part.pts, samples = samples, samples + part.samples
                    for one in heard:
                        target.mux(one.encode(part))
        for one in [made, *heard]:
            target.mux(one.encode(None))


def _with_private_streams(data: bytes) -> bytes:
    """A transport stream with one of teletext and one of subtitles beside what it has."""
    made, table, count = bytearray(), -1, {TELETEXT: 0, SUBTITLES: 0}
    for number, at in enumerate(range(0, len(data), 188)):
        packet = data[at : at + 188]
        pid, begins = (packet[1] & 31) << 8 | packet[2], packet[1] & 0x40
        if pid == 0 and begins:
            table = (packet[5 + packet[4] + 10] & 31) << 8 | packet[5 + packet[4] + 11]
        made += _table(packet) if pid == table and begins else packet
        if number > 20 and number % 40 == 0:
            for each, text in ((TELETEXT, b"\x10\x03\x2c\xe8\xe4" + b"\x15" * 42), (SUBTITLES, b"\x20\x00\xff")):
                made += _private(each, count[each], number * 100, text)
                count[each] += 1
    return bytes(made)


def _table(packet: bytes) -> bytes:
    """A program map with the two streams, as ETSI EN 300 468 describes them."""
    start = 5 + packet[4]
    length = (packet[start + 1] & 15) << 8 | packet[start + 2]
    section = bytearray(packet[start : start + length - 1])
    section += bytes([6, 0xE0 | TELETEXT >> 8, TELETEXT & 255, 0xF0, 7, 0x56, 5]) + b"cze\x11\x00"
    section += bytes([6, 0xE0 | SUBTITLES >> 8, SUBTITLES & 255, 0xF0, 10, 0x59, 8]) + b"cze\x10\x00\x01\x00\x01"
    section[1:3] = (0xB000 | len(section) + 1).to_bytes(2, "big")
    check = 0xFFFFFFFF
    for byte in section:
        check ^= byte << 24
        for _ in range(8):
            check = (check << 1 ^ 0x04C11DB7 if check & 0x80000000 else check << 1) & 0xFFFFFFFF
    return (packet[:start] + bytes(section) + check.to_bytes(4, "big")).ljust(188, b"\xff")


def _private(pid: int, count: int, time: int, payload: bytes) -> bytes:
    stamp = bytes(
        [0x21 | time >> 29 & 14, time >> 22 & 255, 1 | time >> 14 & 254, time >> 7 & 255, 1 | time << 1 & 254]
    )
    body = b"\x84\x80\x05" + stamp + payload
    parcel = b"\x00\x00\x01\xbd" + len(body).to_bytes(2, "big") + body
    empty = 184 - len(parcel)
    head = bytes([0x47, 0x40 | pid >> 8, pid & 255, 0x30 | count & 15, empty - 1, 0])
    return head + b"\xff" * (empty - 2) + parcel
