"""Transport streams of splice cues only, for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path


def transport_stream(path: Path, cues: Sequence[tuple[float, bytes]], seconds: float, first: float = 1.4) -> Path:
    """A transport stream of a clock and of cues only: a table of its programmes, then each time and cue in order."""
    from threefive.crc import crc32

    def table(pid: int, section: bytes) -> bytes:
        whole: bytes = section + crc32(section).to_bytes(4, "big")
        head = bytes([0x47, 0x40 | pid >> 8, pid & 0xFF, 0x10])
        return (head + b"\0" + whole).ljust(188, b"\xff")

    def clock(at: float) -> bytes:
        pts = round(at * 90_000) % 2**33
        stamp = bytes(
            [0x21 | pts >> 29 & 0xE, pts >> 22 & 0xFF, 1 | pts >> 14 & 0xFE, pts >> 7 & 0xFF, 1 | pts << 1 & 0xFE]
        )
        head = bytes([0x47, 0x41, 0x00, 0x10]) + b"\0\0\1\xe0\0\0\x80\x80\x05" + stamp
        return head.ljust(188, b"\xff")

    pat = table(0, bytes.fromhex("00b00d0001c10000 0001e020".replace(" ", "")))
    streams = bytes.fromhex("1be100f000 86e101f000".replace(" ", ""))
    pmt = table(0x20, bytes([2, 0xB0, 9 + len(streams) + 4]) + bytes.fromhex("0001c10000e100f000") + streams)
    out = io.BytesIO(pat + pmt)
    out.seek(0, io.SEEK_END)
    waiting = sorted(cues)
    for step in range(int(seconds * 2)):
        out.write(clock(first + step / 2))
        while waiting and waiting[0][0] <= step / 2:
            section = waiting.pop(0)[1]
            out.write((bytes([0x47, 0x41, 0x01, 0x10]) + b"\0" + section).ljust(188, b"\xff"))
    path.write_bytes(out.getvalue())
    return path


def splice(event: int, at: float, out: bool, length: float | None = None) -> bytes:
    from threefive import Cue
    from threefive.commands import SpliceInsert

    cue = Cue()
    command = SpliceInsert()
    command.splice_event_id = event
    command.splice_event_cancel_indicator = False
    command.out_of_network_indicator = out
    command.program_splice_flag = True
    command.splice_immediate_flag = False
    command.event_id_compliance_flag = True
    command.duration_flag = length is not None
    if length is not None:
        command.break_auto_return = True
        command.break_duration = length
    command.time_specified_flag = True
    command.pts_time = at
    command.unique_program_id = 1
    command.avail_num = command.avails_expected = 0
    cue.command = command
    cue.encode()
    return bytes(cue.bites)


def signal(event: int, at: float, kind: int, length: float | None = None, adjustment: float = 0.0) -> bytes:
    """A time signal with a segmentation descriptor, as most broadcasters of today send.

    Args:
        event: The segmentation's identifier.
        at: Seconds of the stream's clock.
        kind: The segmentation type of SCTE 35, table 23.
        length: The segmentation's duration in seconds; None: it gives none.
        adjustment: Seconds that are added to ``at``.
    """
    # Of the whole programme, delivery not restricted, with or without a duration.
    body = event.to_bytes(4, "big") + bytes([0x7F, 0xFF if length is not None else 0xBF])
    if length is not None:
        body += round(length * 90_000).to_bytes(5, "big")
    body += bytes([0x01, 0x00, kind, 0, 0])  # no identifier of an asset; segment 0 of 0
    if kind in (0x34, 0x36, 0x38, 0x3A):
        body += bytes([0, 0])
    descriptor = bytes([0x02, len(body) + 4]) + b"CUEI" + body
    pts = round(at * 90_000) % 2**33
    return section(6, bytes([0xFE | pts >> 32]) + (pts & 0xFFFFFFFF).to_bytes(4, "big"), descriptor, adjustment)


def section(kind: int, command: bytes, descriptors: bytes = b"", adjustment: float = 0.0) -> bytes:
    """A splice information section.

    Args:
        kind: The type of its command.
        command: The bytes of the command.
        descriptors: The bytes of all descriptors.
        adjustment: Seconds that are added to the times of the command.
    """
    from threefive.crc import crc32

    ticks = round(adjustment * 90_000)
    head = bytes([0, ticks >> 32]) + (ticks & 0xFFFFFFFF).to_bytes(4, "big") + b"\0"
    head += (0xFFF << 12 | len(command)).to_bytes(3, "big") + bytes([kind])
    body = head + command + len(descriptors).to_bytes(2, "big") + descriptors
    whole = b"\xfc" + (0x3000 | len(body) + 4).to_bytes(2, "big") + body
    return whole + bytes(crc32(whole).to_bytes(4, "big"))
