"""Splice cues of a transport stream beyond splice_insert: signals, programmes, times, and what is not one."""

from __future__ import annotations

from pathlib import Path

import pytest
from splice_streams import section, signal, splice, transport_stream

from adapters.data import read_intervals
from adapters.errors import DatasetError

pytest.importorskip("threefive", reason="pip install 'cliplab[ads]'")
OUT = (0x22, 0x30, 0x32, 0x34, 0x36, 0x44, 0x46)


def spans(path: Path) -> list[tuple[float, float]]:
    return [(round(item.start_seconds, 3), round(item.end_seconds, 3)) for item in read_intervals(path).intervals]


@pytest.mark.parametrize("kind", OUT)
def test_a_signal_leads_out_and_the_next_type_back(kind: int, tmp_path: Path) -> None:
    cues = [(2.0, signal(5, 1.4 + 4, kind)), (8.0, signal(5, 1.4 + 9.5, kind + 1))]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(4, 9.5)]


def test_the_duration_of_a_segmentation_ends_a_break_without_a_cue_back(tmp_path: Path) -> None:
    cues = [(2.0, signal(5, 1.4 + 4, 0x34, 3.5)), (12.0, signal(6, 1.4 + 12, 0x30, 2))]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(4, 7.5), (12, 14)]


def test_a_signal_back_ends_only_its_own_event(tmp_path: Path) -> None:
    cues = [
        (2.0, signal(5, 1.4 + 4, 0x34, 6)),
        (4.0, signal(9, 1.4 + 5, 0x35)),
        (12.0, signal(7, 1.4 + 12, 0x34)),
        (14.0, signal(7, 1.4 + 15, 0x35)),
    ]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(4, 10), (12, 15)]


@pytest.mark.parametrize("kind", [0x10, 0x11, 0x20, 0x33, 0x40, 0x50])
def test_signals_of_programmes_and_chapters_are_no_breaks(kind: int, tmp_path: Path) -> None:
    cues = [(2.0, signal(5, 1.4 + 4, kind, 3)), (6.0, splice(7, 1.4 + 8, True, 2))]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(8, 10)]


def test_commands_without_a_splice_are_counted_and_not_used(tmp_path: Path) -> None:
    cues = [(1.0, section(0, b"")), (2.0, splice(7, 1.4 + 4, True, 5))]
    found = read_intervals(transport_stream(tmp_path / "a.ts", cues, 20))
    assert [(item.start_seconds, item.end_seconds) for item in found.intervals] == [(4, 9)]


def test_an_adjustment_moves_the_time_of_a_cue(tmp_path: Path) -> None:
    moved = signal(5, 5.4, 0x22, 2, adjustment=3)
    assert spans(transport_stream(tmp_path / "a.ts", [(2.0, moved)], 20)) == [(7, 9)]


def at_once(event: int, out: bool, length: float | None = None, cancelled: bool = False) -> bytes:
    """A splice that gives no time, as a studio sends it by hand."""
    if cancelled:
        return section(5, event.to_bytes(4, "big") + b"\xff")
    flags = 0x80 * out | 0x40 | 0x20 * (length is not None) | 0x10 | 0x0F
    body = event.to_bytes(4, "big") + bytes([0x7F, flags])
    if length is not None:
        body += (0xFE << 32 | round(length * 90_000)).to_bytes(5, "big")
    return section(5, body + bytes([0, 1, 0, 0]))


def test_a_splice_without_a_time_is_when_it_comes(tmp_path: Path) -> None:
    cues = [(2.0, at_once(7, True, 5)), (10.0, at_once(8, True)), (13.5, at_once(8, False))]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(2, 7), (10, 13.5)]


def test_a_splice_that_is_cancelled_is_none(tmp_path: Path) -> None:
    cues = [(2.0, splice(7, 1.4 + 4, True, 5)), (3.0, at_once(7, False, cancelled=True)), (9.0, at_once(9, True, 2))]
    assert spans(transport_stream(tmp_path / "a.ts", cues, 20)) == [(4, 9), (9, 11)]


def test_cues_of_a_stream_without_a_clock_are_counted(tmp_path: Path) -> None:
    path = transport_stream(tmp_path / "a.ts", [(2.0, splice(7, 5.4, True, 5)), (3.0, at_once(8, True, 5))], 20)
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    path.write_bytes(b"".join(packet for packet in packets if packet[1:3] != b"\x41\x00"))
    found = read_intervals(path)
    assert (found.intervals, found.left_out) == ((), 2)
    assert "have no time" in " ".join(found.notes)


def test_a_packet_that_is_cut_is_counted_as_damaged(tmp_path: Path) -> None:
    path = transport_stream(tmp_path / "a.ts", [(2.0, splice(7, 1.4 + 4, True, 5))], 20)
    path.write_bytes(path.read_bytes() + b"\x47" * 100)
    found = read_intervals(path)
    assert len(found.intervals) == 1
    assert "1 packets are damaged and were skipped" in found.notes
    path.write_bytes(b"\x47" + bytes(187) + b"\x48" + bytes(187) + b"\x47" + bytes(187))
    with pytest.raises(DatasetError):
        read_intervals(path)


@pytest.mark.parametrize("ahead", [1, 100, 187])
def test_what_comes_before_the_first_packet_is_passed_over(ahead: int, tmp_path: Path) -> None:
    path = transport_stream(tmp_path / "a.ts", [(2.0, splice(7, 1.4 + 4, True, 5))], 20)
    path.write_bytes(b"\0" * ahead + path.read_bytes())
    assert spans(path) == [(4, 9)]


# Playlists


HEAD = "#EXTM3U\n#EXTINF:6,\na.ts\n"


def test_tags_of_scte35_out_and_in(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text(HEAD + "#EXT-X-SCTE35:CUE-OUT=YES\n#EXTINF:4,\nb.ts\n#EXT-X-SCTE35:CUE-IN=YES\n#EXTINF:6,\nc.ts\n")
    assert spans(path) == [(6, 10)]
    path.write_text(HEAD + "#EXT-X-SCTE35:CUE-OUT=YES,DURATION=2.5\n#EXTINF:9,\nb.ts\n")
    assert spans(path) == [(6, 8.5)]


def test_date_ranges_out_in_and_of_other_kinds(tmp_path: Path) -> None:
    clock = "#EXT-X-PROGRAM-DATE-TIME:2026-01-31T20:00:00Z\n"
    ranges = (
        '#EXT-X-DATERANGE:ID="other",START-DATE="2026-01-31T20:00:01Z"\n'
        '#EXT-X-DATERANGE:ID="a",START-DATE="2026-01-31T20:00:02Z",SCTE35-OUT=0xFC\n'
        '#EXT-X-DATERANGE:ID="a",START-DATE="2026-01-31T20:00:02Z",DURATION=3,SCTE35-IN=0xFC\n'
    )
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n" + clock + "#EXTINF:20,\na.ts\n" + ranges)
    found = read_intervals(path)
    assert [(item.start_seconds, item.end_seconds) for item in found.intervals] == [(2, 5)]
    assert found.left_out == 1
    assert "date ranges without a splice" in " ".join(found.notes)
    path.write_text("#EXTM3U\n#EXTINF:20,\na.ts\n" + ranges)
    with pytest.raises(DatasetError, match=r"line 5: gives a date, but no EXT-X-PROGRAM-DATE-TIME"):
        read_intervals(path)
