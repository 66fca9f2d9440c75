"""Intervals in the files of players, recorders and broadcasters: what is read, and what is refused by name and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dataset_files import write
from splice_streams import splice, transport_stream
from tiny_videos import render_video

from adapters.data import Interval, IntervalFile, read_intervals, write_intervals
from adapters.data.formats.intervals import INTERVAL_FORMATS, find_interval_format, lost_in
from adapters.errors import DatasetError

# What Comskip 0.82 wrote about one recording of 25 frames per second with one break: its own EDL says 100.20 to 160.16.
COMSKIP = "FILE PROCESSING COMPLETE   9998 FRAMES AT  2500\n-------------------\n2506\t4005\n9997\t9998\n"
COMSKIP_EDL = "100.20\t160.16\t0\n"
COMSKIP_CHAPTERS = """<?xml version="1.0" encoding="ISO - 8859 - 1"?>
<Chapters><EditionEntry><EditionUID>1</EditionUID>
<ChapterAtom><ChapterDisplay><ChapterString>Show</ChapterString></ChapterDisplay>
<ChapterTimeStart>0:00:00.00</ChapterTimeStart></ChapterAtom>
<ChapterAtom><ChapterDisplay><ChapterString>Commercial</ChapterString></ChapterDisplay>
<ChapterTimeStart>0:01:40.20</ChapterTimeStart></ChapterAtom></EditionEntry></Chapters>"""
PLAYLIST = """#EXTM3U
#EXT-X-TARGETDURATION:10
#EXTINF:10.0,
a.ts
#EXT-X-CUE-OUT:30
#EXTINF:9.5,
b.ts
#EXT-X-CUE-OUT-CONT:ElapsedTime=9.5,Duration=30
#EXTINF:10.5,
c.ts
#EXT-X-CUE-IN
#EXTINF:10,
d.ts
"""


def times(found: IntervalFile) -> list[tuple[str, float, float]]:
    return [(item.label, round(item.start_seconds, 6), round(item.end_seconds, 6)) for item in found.intervals]


def read(tmp_path: Path, name: str, text: str, **options: Any) -> IntervalFile:
    return read_intervals(write(tmp_path / name, text), **options)


@pytest.mark.parametrize(
    "name, text, options, format, expected",
    [
        ("a.edl", "5.5 30.25 3\n0:01:00 1:00:00.5 0\n", {}, "edl", [("ad", 5.5, 30.25), ("cut", 60, 3600.5)]),
        ("a.edl", "#25 #50 3\n", {"frame_rate": 25}, "edl", [("ad", 1, 2)]),
        ("a.edl", COMSKIP_EDL, {}, "edl", [("cut", 100.2, 160.16)]),
        ("a.txt", COMSKIP, {}, "comskip", [("ad", 100.2, 160.16)]),
        ("a.txt", "100 400\n", {"frame_rate": 30}, "comskip", [("ad", 3.3, 13.3)]),
        (
            "a.txt",
            "Commercial Skip List: 100-200,300-400\n",
            {"frame_rate": 25},
            "mythtv",
            [("ad", 4, 8), ("ad", 12, 16)],
        ),
        ("a.txt", "Cutlist: 0-50", {"frame_rate": 25}, "mythtv", [("cut", 0, 2)]),
        (
            "a.txt",
            "commercialBreakListFor: x\ntotalframecount: 900\nframenum: 100\tmarktype: 4\nframenum: 200\tmarktype: 5\n",
            {"frame_rate": 25},
            "mythtv",
            [("ad", 4, 8)],
        ),
        (
            "a.txt",
            ";FFMETADATA1\ntitle=x\n[CHAPTER]\nTIMEBASE=1/100\nSTART=0\nEND=10020\ntitle=Show\\=1\n",
            {},
            "ffmetadata",
            [("Show=1", 0, 100.2)],
        ),
        (
            "a.xml",
            COMSKIP_CHAPTERS,
            {"duration_seconds": 400},
            "matroska_chapters",
            [("Show", 0, 100.2), ("Commercial", 100.2, 400)],
        ),
        (
            "a.json",
            '[{"category": "sponsor", "segment": [1.5, 9], "actionType": "skip"},'
            '{"category": "poi_highlight", "segment": [4, 4], "actionType": "poi"}]',
            {},
            "sponsorblock",
            [("sponsor", 1.5, 9)],
        ),
        (
            "a.info.json",
            '{"sponsorblock_chapters": [{"start_time": 1, "end_time": 2, "category": "intro", "type": "skip"}]}',
            {},
            "sponsorblock",
            [("intro", 1, 2)],
        ),
        ("a.m3u8", PLAYLIST, {}, "hls", [("ad", 10, 30)]),
        ("a.csv", "start,end,label\n1.5,0:30,ad\n", {}, "interval_csv", [("ad", 1.5, 30)]),
        ("a.csv", "1.5;30;promo\n", {}, "interval_csv", [("promo", 1.5, 30)]),
        ("a.tsv", "start_frame\tend_frame\n25\t50\n", {"frame_rate": 25}, "interval_csv", [("ad", 1, 2)]),
        ("a.json", '[{"start": 1, "end": 2, "label": "x"}]', {}, "interval_json", [("x", 1, 2)]),
        (
            "a.json",
            '[{"path": "v.mp4", "segments": [{"label": "x", "start": 1, "end": 2, "score": 0.5}]}]',
            {},
            "interval_json",
            [("x", 1, 2)],
        ),
    ],
)
def test_files_of_other_tools(
    tmp_path: Path, name: str, text: str, options: dict[str, Any], format: str, expected: list[tuple[str, float, float]]
) -> None:
    found = read(tmp_path, name, text, **options)
    assert found.format == format
    assert times(found) == expected


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("#EXT-X-CUE-OUT:DURATION=20", [("ad", 10, 30)]),
        ("#EXT-X-CUE-OUT", [("ad", 10, 40)]),  # to the end of the playlist
        ("#EXT-X-CUE-OUT-CONT:10/25", [("ad", 10, 25)]),
        ('#EXT-X-SCTE35:TYPE=0x34,CUE-OUT=YES,DURATION=12.5,CUE="/DA"', [("ad", 10, 22.5)]),
        (
            '#EXT-X-DATERANGE:ID="1",START-DATE="2026-01-01T00:00:05Z",PLANNED-DURATION=12.0,SCTE35-OUT=0xFC00',
            [("ad", 5, 17)],
        ),
        (
            '#EXT-X-DATERANGE:ID="1",START-DATE="2026-01-01T00:00:05Z",SCTE35-OUT=0xFC00\n'
            '#EXT-X-DATERANGE:ID="1",START-DATE="2026-01-01T00:00:05Z",END-DATE="2026-01-01T00:00:25Z",SCTE35-IN=0xFC',
            [("ad", 5, 25)],
        ),
        ("#EXT-X-CUE-IN", []),
    ],
)
def test_cue_tags_of_a_playlist(tmp_path: Path, tags: str, expected: list[tuple[str, float, float]]) -> None:
    head = "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n#EXTINF:10,\na.ts\n"
    found = read(tmp_path, "a.m3u8", f"{head}{tags}\n#EXTINF:30,\nb.ts\n")
    assert times(found) == expected
    assert not any("overlap others" in note for note in found.notes)


def test_breaks_of_cues_that_overlap_are_one_and_said(tmp_path: Path) -> None:
    def cue(name: str, second: int, length: float) -> str:
        start = f"2026-01-01T00:00:{second:02}Z"
        return f'#EXT-X-DATERANGE:ID="{name}",START-DATE="{start}",PLANNED-DURATION={length},SCTE35-OUT=0xFC00\n'

    head = "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n"
    cues = cue("a", 5, 20.0) + cue("b", 10, 5.0) + cue("c", 20, 12.5) + cue("d", 40, 5.0)
    found = read(tmp_path, "a.m3u8", f"{head}{cues}#EXTINF:60,\na.ts\n")
    assert times(found) == [("ad", 5, 32.5), ("ad", 40, 45)]
    assert [note for note in found.notes if "overlap others" in note] == [
        "2 breaks overlap others and were merged with them"
    ]


@pytest.mark.parametrize(
    "name, text, term",
    [
        ("a.edl", "1 2\n", "line 1.*action"),
        ("a.edl", "1 2 3\nx y 3\n", "line 2"),
        ("a.edl", "1 2 7\n", "action must be 0"),
        ("a.edl", "#1 #2 3\n", "frame rate"),
        ("a.edl", "#1 2 3\n", "in frames and one in seconds"),
        ("a.edl", "9 5 3\n", "line 1.*before it starts"),
        ("a.edl", "TITLE: x\n", "CMX 3600"),
        ("a.txt", "FILE PROCESSING COMPLETE 900 FRAMES AT 2500\n400 100\n", "line 2.*before it starts"),
        ("a.txt", "FILE PROCESSING COMPLETE 900 FRAMES AT 2500\nhello\n", "line 2"),
        ("a.txt", "hello\n", "not in a known interval format"),
        ("a.txt", "Cutlist: 9-5", "frame rate|before it starts"),
        ("a.ffmeta", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/0\nSTART=0\nEND=1\n", "line 2.*TIMEBASE"),
        ("a.ffmeta", ";FFMETADATA1\n[CHAPTER]\nEND=1\n", "line 2.*START"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n", "playlist of streams"),
        ("a.m3u8", "#EXTM3U\n#EXTINF:ten,\nx.ts\n", "line 2.*number of seconds"),
        ("a.m3u8", '#EXTM3U\n#EXT-X-DATERANGE:ID="1",START-DATE="soon",SCTE35-OUT=0x1\n', "line 2.*date"),
        ("a.json", '[{"category": "x", "segment": [1]}]', "entry 1"),
        ("a.json", '[{"category": "x", "segment": [9, 5]}]', "entry 1.*before it starts"),
        ("a.json", '{"format": "cliplab-intervals", "version": 2, "videos": []}', "version"),
        ("a.csv", "start,end,label\n1,2\n", "row 2.*cells"),
        ("a.csv", "start,end,label,score\n1,2,x,3\n", "row 2.*score"),
        ("a.csv", "start,end_sec,label\n9,5,x\n", "row 2.*before it starts"),
        ("a.json", "[" * 100_000, "not in a known interval format|nested"),
        ("a.xyz", "1 2 3\n", "does not end in"),
        ("a.ts", "no stream", "not in a known interval format"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name: str, text: str, term: str) -> None:
    with pytest.raises(DatasetError, match=f"(?s){name}.*({term})"):
        read(tmp_path, name, text)


BOMB = '<!DOCTYPE c [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n'
EXTERNAL = '<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'


@pytest.mark.parametrize("doctype", [BOMB, EXTERNAL])
def test_xml_with_entities_is_refused(tmp_path: Path, doctype: str) -> None:
    with pytest.raises(DatasetError, match=r"line 1.*entity"):
        read(tmp_path, "a.xml", f"{doctype}<Chapters><EditionEntry/></Chapters>", format="matroska_chapters")


def test_damaged_and_deep_xml_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2.*not valid XML"):
        read(tmp_path, "a.xml", "<Chapters>\n</Chapter>")
    with pytest.raises(DatasetError, match="nested elements"):
        read(tmp_path, "a.xml", "<Chapters>" + "<a>" * 10_000)
    write(tmp_path / "b.xml", "")
    (tmp_path / "b.xml").write_bytes(b"<Chapters>\xff\xfe</Chapters>")
    with pytest.raises(DatasetError, match="not valid XML"):
        read_intervals(tmp_path / "b.xml")


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.edl").write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        read_intervals(tmp_path / "a.edl")
    with pytest.raises(DatasetError, match="could not be read"):
        read_intervals(tmp_path / "none.edl")
    with pytest.raises(DatasetError, match="folder"):
        read_intervals(tmp_path)


def test_what_lies_past_the_end_is_cut_or_left_out_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, "a.edl", "1 5 3\n8 20 3\n30 40 3\n4 4 2\n", duration_seconds=10)
    assert times(found) == [("ad", 1, 5), ("ad", 8, 10)]
    assert found.left_out == 2
    words = " ".join(found.notes)
    assert "line 2: ends after the end of the video" in words
    assert "1 entry that starts at or after the end" in words
    assert "1 entry that has no length (line 4)" in words


def test_many_intervals_that_are_cut_are_not_all_listed(tmp_path: Path) -> None:
    found = read(tmp_path, "a.edl", "1 99 3\n" * 40, duration_seconds=10)
    assert len(found.intervals) == 40
    cut = [note for note in found.notes if "ends after the end of the video" in note]
    assert len(cut) == 20
    assert found.notes.count("more intervals were changed in the same way") == 1


def test_chapters_without_a_time_base_count_nanoseconds(tmp_path: Path) -> None:
    text = ";FFMETADATA1\n[CHAPTER]\nSTART=1500000000\nEND=10020000000\n"
    assert times(read(tmp_path, "a.ffmeta", text)) == [("chapter", 1.5, 10.02)]


def test_frames_take_the_rate_of_the_video(tmp_path: Path) -> None:
    video = render_video(tmp_path / "a.mp4", "warm", 0, seconds=3, fps=20)
    found = read(tmp_path, "a.edl", "#20 #40 3\n", video=video)
    assert times(found) == [("ad", 1, 2)]
    assert list(found.videos) == [str(video)]


def test_a_rate_of_ntsc_is_exact(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "FILE PROCESSING COMPLETE 90000 FRAMES AT  2997\n-----\n30001\t60001\n")
    assert times(found) == [("ad", 1001, 2002)]


def test_writing_says_what_a_format_cannot_hold(tmp_path: Path) -> None:
    items = [Interval("ad", 1, 2, 0.5, "why"), Interval("promo", 3, 4)]
    assert lost_in("interval_json", items) == []
    assert [sentence.split()[1] for sentence in lost_in("edl", items)] == ["labels", "scores", "notes"]
    assert lost_in("edl", items[1:], {"promo": 2}) == []
    with pytest.raises(DatasetError, match="frame_rate"):
        write_intervals(tmp_path / "a.txt", items)
    with pytest.raises(DatasetError, match="holds one video"):
        write_intervals(tmp_path / "a.edl", {"a": items, "b": items})
    with pytest.raises(DatasetError, match="can be read but not written"):
        write_intervals(tmp_path / "a.m3u8", items, format="hls")
    with pytest.raises(DatasetError, match="written to"):
        write_intervals(tmp_path / "a.xyz", items)
    assert not list(tmp_path.iterdir())


def test_actions_of_an_edl_can_be_chosen(tmp_path: Path) -> None:
    path = write_intervals(tmp_path / "a.edl", [Interval("ad", 1, 2), Interval("promo", 3, 4)], label_actions={"ad": 0})
    assert path.read_text() == "1.000\t2.000\t0\n3.000\t4.000\t3\n"


@pytest.mark.parametrize("values", [("", 1, 2), ("a", -1, 2), ("a", 1, float("nan")), ("a", 3, 2), ("a", 1, 2, 1.5)])
def test_an_interval_refuses_what_is_not_allowed(values: tuple[Any, ...]) -> None:
    with pytest.raises(DatasetError):
        Interval(*values)


def test_a_name_that_is_no_format_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=", ".join(INTERVAL_FORMATS)):
        read(tmp_path, "a.edl", "1 2 3", format="comskp")
    assert all(find_interval_format(name).suffixes for name in INTERVAL_FORMATS)


def test_splice_cues_in_a_transport_stream(tmp_path: Path) -> None:
    pytest.importorskip("threefive", reason="pip install 'cliplab[ads]'")
    cues = [
        (4.0, splice(7, 1.4 + 5, True, 10)),
        (4.5, splice(7, 1.4 + 5, True, 10)),  # sent again, as broadcasters do
        (20.0, splice(8, 1.4 + 21, True)),
        (30.0, splice(8, 1.4 + 33.5, False)),
    ]
    found = read_intervals(transport_stream(tmp_path / "a.ts", cues, 40))
    assert times(found) == [("ad", 5, 15), ("ad", 21, 33.5)]
    assert "4 splice cues" in found.notes[0]


def test_a_stream_whose_clock_begins_again(tmp_path: Path) -> None:
    pytest.importorskip("threefive", reason="pip install 'cliplab[ads]'")
    first = 2**33 / 90_000 - 3
    stream = transport_stream(tmp_path / "a.ts", [(2.0, splice(7, 2, True, 10))], 20, first)
    assert times(read_intervals(stream)) == [("ad", 5, 15)]


def test_a_damaged_stream_gives_what_is_left_of_it(tmp_path: Path) -> None:
    pytest.importorskip("threefive", reason="pip install 'cliplab[ads]'")
    path = transport_stream(tmp_path / "a.ts", [(4.0, splice(7, 6.4, True, 10)), (20.0, splice(9, 23.4, True, 5))], 30)
    data = bytearray(path.read_bytes())
    at = data.find(bytes([0x47, 0x41, 0x01])) + 20
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    assert ("ad", 22, 27) in times(read_intervals(path))


@pytest.mark.parametrize(
    "content",
    ["Cutlist: 0-50,200-100\n", "totalframecount: 900\nframenum: 200\tmarktype: 4\nframenum: 100\tmarktype: 5\n"],
)
def test_marks_of_mythtv_that_run_backwards_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DatasetError, match="ends at frame 100, before it starts at frame 200"):
        read_intervals(tmp_path / "a.txt", format="mythtv", frame_rate=25)
