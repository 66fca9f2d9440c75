"""Marks of players and recorders at their edges, and where a file of another tool finds its videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write

from adapters.data import Dataset, Example, IntervalFile, ReadOptions, read_dataset, read_intervals
from adapters.data.formats.foreign_rows import ForeignRows, below, found_below
from adapters.errors import DatasetError


def read(tmp_path: Path, name: str, text: str, **options: Any) -> IntervalFile:
    return read_intervals(write(tmp_path / name, text), **options)


def times(found: IntervalFile) -> list[tuple[str, float, float]]:
    return [(item.label, round(item.start_seconds, 6), round(item.end_seconds, 6)) for item in found.intervals]


def notes(found: IntervalFile) -> str:
    return "\n".join(found.notes)


# EDL


@pytest.mark.parametrize(
    "line, expected",
    [
        ("1 2 0", [("cut", 1, 2)]),
        ("1 2 1", [("mute", 1, 2)]),
        ("1 2 2", [("scene", 1, 2)]),
        ("1 2 3", [("ad", 1, 2)]),
        ("1 2 3 and words", [("ad", 1, 2)]),
        ("01:02 1:01:02.5 3", [("ad", 62, 3662.5)]),
        ("## a comment\n1 2 3", [("ad", 1, 2)]),
        ("# remark\n1 2 3", [("ad", 1, 2)]),
        ("\n\n1 2 3\n", [("ad", 1, 2)]),
    ],
)
def test_lines_of_an_edl(tmp_path: Path, line: str, expected: list[tuple[str, float, float]]) -> None:
    found = read(tmp_path, "a.edl", line)
    assert times(found) == expected
    assert ("1 comment lines were skipped" in notes(found)) is line.startswith("#")


@pytest.mark.parametrize("head", ["TITLE: x\n", "# mpv EDL v0\n", "mplayer EDL file, version 2\n"])
def test_edit_lists_of_other_programs_are_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(DatasetError, match="only the EDL of MPlayer and Kodi"):
        read(tmp_path, "a.edl", f"{head}1 2 3\n")


@pytest.mark.parametrize("line", ["#1 2 3", "1 #2 3"])
def test_a_line_of_two_units_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DatasetError, match=r"line 1.*one time is in frames"):
        read(tmp_path, "a.edl", line, frame_rate=25)


# Comskip


@pytest.mark.parametrize(
    "hundredths, rate",
    [(2997, 30_000 / 1001), (2398, 24_000 / 1001), (5994, 60_000 / 1001), (2500, 25), (3000, 30), (2996, 2996 / 100)],
)
def test_the_rate_of_a_header(tmp_path: Path, hundredths: int, rate: float) -> None:
    found = read(tmp_path, "a.txt", f"FILE PROCESSING COMPLETE 9000 FRAMES AT {hundredths}\n1\t101\n")
    assert found.frame_rate == pytest.approx(rate, rel=1e-12)
    assert times(found) == [("ad", 0, round(100 / rate, 6))]


def test_a_break_of_two_frames_is_left_out_and_one_of_three_is_kept(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "FILE PROCESSING COMPLETE 900 FRAMES AT 1000\n10\t11\n20\t22\n")
    assert times(found) == [("ad", 1.9, 2.1)]
    assert "fewer than 3 frames" in notes(found)


def test_the_length_of_a_header_ends_the_last_break(tmp_path: Path) -> None:
    head = "FILE PROCESSING COMPLETE {} FRAMES AT 1000\n11\t900\n"
    assert times(read(tmp_path, "a.txt", head.format(100))) == [("ad", 1, 10)]
    assert times(read(tmp_path, "a.txt", head.format(100), duration_seconds=20)) == [("ad", 1, 20)]
    assert times(read(tmp_path, "a.txt", head.format(0))) == [("ad", 1, 89.9)]


# MythTV


def test_marks_in_pairs_and_marks_without_a_partner(tmp_path: Path) -> None:
    marks = [(100, 4), (200, 4), (300, 5), (350, 9), (400, 1), (500, 0), (600, 4)]
    text = "".join(f"framenum: {frame}\tmarktype: {kind}\n" for frame, kind in marks)
    found = read(tmp_path, "a.skiplist", text, frame_rate=10)
    assert times(found) == [("ad", 20, 30), ("cut", 40, 50)]
    assert found.left_out == 3
    assert "2 entries that have no end mark (line 1 first)" in notes(found)
    assert "1 entry that is marks of another type (line 4)" in notes(found)


@pytest.mark.parametrize("kind, label", [(5, "ad"), (0, "cut")])
def test_an_end_without_a_start_is_from_the_beginning(tmp_path: Path, kind: int, label: str) -> None:
    found = read(tmp_path, "a.skiplist", f"framenum: 50 marktype: {kind}\n", frame_rate=10)
    assert times(found) == [(label, 0, 5)]


@pytest.mark.parametrize(
    "text, term",
    [("Cutlist: 1-2,x\n", "line 1.*'x'"), ("hello\n", "line 1.*'hello'"), ("Cutlist: 20-10\n", "frame 10, before")],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read(tmp_path, "a.cutlist", text, frame_rate=10, format="mythtv")


def test_a_line_of_bare_ranges_is_of_adverts(tmp_path: Path) -> None:
    assert times(read(tmp_path, "a.skiplist", "10-20, 30 - 40\n", frame_rate=10, format="mythtv")) == [
        ("ad", 1, 2),
        ("ad", 3, 4),
    ]
    assert times(read(tmp_path, "a.cutlist", "Cutlist:\n", frame_rate=10)) == []


# Chapters


def test_chapters_of_metadata(tmp_path: Path) -> None:
    text = (
        ";FFMETADATA1\ntitle=film\n# remark\n[STREAM]\nlanguage=eng\n[CHAPTER]\nTIMEBASE=1/10\nSTART=10\nEND=20\n"
        "title=one\\\ntwo\n[chapter]\nTIMEBASE=0.5\nSTART=8\nEND=10\n"
    )
    found = read(tmp_path, "a.ffmeta", text)
    assert times(found) == [("one\ntwo", 1, 2), ("chapter", 4, 5)]
    assert "1 chapters without a title" in notes(found)
    assert "2 metadata lines outside chapters" in notes(found)


def atom(start: str = "0:00:01", end: str | None = None, *names: str, more: str = "") -> str:
    shown = "".join(f"<ChapterDisplay><ChapterString>{name}</ChapterString></ChapterDisplay>" for name in names)
    ended = "" if end is None else f"<ChapterTimeEnd>{end}</ChapterTimeEnd>"
    return f"<ChapterAtom>{more}<ChapterTimeStart>{start}</ChapterTimeStart>{ended}{shown}</ChapterAtom>"


def chapters(*atoms: str, more: str = "") -> str:
    return f"<Chapters>{more}<EditionEntry>{''.join(atoms)}</EditionEntry></Chapters>"


def test_chapters_of_xml_in_order_with_first_names_and_ends_of_the_next(tmp_path: Path) -> None:
    outer = (
        f"<ChapterAtom><ChapterTimeStart>0:00:09</ChapterTimeStart>{atom('0:01:00.5', '1:00:00', 'in')}</ChapterAtom>"
    )
    text = chapters(atom("0:00:05", None, "b", "B"), atom("0:00:01", None, "", "a"), outer, atom("2:00:00", None))
    found = read(tmp_path, "a.xml", text, duration_seconds=8000)
    assert times(found) == [("a", 1, 5), ("b", 5, 60.5), ("in", 60.5, 3600), ("chapter", 7200, 8000)]
    assert "neither a next chapter" in notes(read(tmp_path, "a.xml", text))


@pytest.mark.parametrize(
    "more, kept",
    [
        ("<ChapterFlagHidden>1</ChapterFlagHidden>", False),
        ("<ChapterFlagHidden>0</ChapterFlagHidden>", True),
        ("<ChapterFlagEnabled>0</ChapterFlagEnabled>", False),
        ("<ChapterFlagEnabled>1</ChapterFlagEnabled>", True),
        ("", True),
    ],
)
def test_hidden_and_disabled_chapters_are_left_out(tmp_path: Path, more: str, kept: bool) -> None:
    found = read(tmp_path, "a.xml", chapters(atom("0:00:01", "0:00:02", "x", more=more)))
    assert times(found) == ([("x", 1, 2)] if kept else [])
    assert ("hidden or not enabled" in notes(found)) is not kept


def test_the_default_edition_is_read(tmp_path: Path) -> None:
    other = f"<EditionEntry>{atom('0:00:07', '0:00:08', 'other')}</EditionEntry>"
    flag = "<EditionFlagDefault>1</EditionFlagDefault>"
    found = read(tmp_path, "a.xml", chapters(flag, atom("0:00:01", "0:00:02", "x"), more=other))
    assert times(found) == [("x", 1, 2)]
    assert "2 editions" in notes(found)
    assert times(read(tmp_path, "a.xml", chapters(atom("0:00:01", "0:00:02", "x"), more=other))) == [("other", 7, 8)]


@pytest.mark.parametrize(
    "text, term",
    [
        (chapters(atom("1:2", "0:00:02")), "line 1: ChapterTimeStart must be hours"),
        (chapters("<ChapterAtom><ChapterTimeEnd>0:00:01</ChapterTimeEnd></ChapterAtom>"), "needs a ChapterTimeStart"),
        ("<Chapters/>", "must be XML with Chapters and an EditionEntry, got 'Chapters'"),
    ],
)
def test_chapters_that_are_wrong(tmp_path: Path, text: str, term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read(tmp_path, "a.xml", text)


# SponsorBlock


def segment(**more: Any) -> dict[str, Any]:
    return {"category": "sponsor", "segment": [1.5, 9], "actionType": "skip", **more}


def test_segments_of_videos_with_notes_and_whole_videos(tmp_path: Path) -> None:
    content = [
        {"videoID": "v", "segments": [segment(description="text"), segment(category="x", title="t")]},
        {"videoID": "w", "segments": [segment(actionType="full", videoDuration=20, segment=[0, 0])]},
    ]
    found = read(tmp_path, "a.json", content)  # type: ignore[arg-type]
    assert {name: [(i.label, i.start_seconds, i.end_seconds, i.note) for i in items] for name, items in
            found.videos.items()} == {
        "v": [("sponsor", 1.5, 9, "text"), ("x", 1.5, 9, "t")],
        "w": [("sponsor", 0, 20, None)],
    }  # fmt: skip
    full = [segment(actionType="full", segment=[0, 0])]
    assert "length is unknown" in notes(read(tmp_path, "a.json", full))  # type: ignore[arg-type]
    assert times(read(tmp_path, "a.json", full, duration_seconds=30)) == [("sponsor", 0, 30)]  # type: ignore[arg-type]
    one = read(tmp_path, "a.json", segment())  # type: ignore[arg-type]
    assert times(one) == [("sponsor", 1.5, 9)]


@pytest.mark.parametrize(
    "content, term",
    [
        ([{"videoID": "", "segments": [segment()]}], "entry 1: videoID must be a string"),
        ([{"videoID": "v", "segments": [segment(), 5]}], "entry 1, segment 2: must be an object"),
        ([segment(category=" ")], "entry 1: must have a category"),
        ([segment(segment=[1, "2"])], "entry 1: must have a category and a segment"),
        ([segment(segment=[1, 2, 3])], "entry 1: must have a category and a segment"),
        ({"sponsorblock_chapters": 5}, "must be a list of segments, got int 5"),
    ],
)
def test_segments_that_are_wrong(tmp_path: Path, content: Any, term: str) -> None:
    with pytest.raises(DatasetError, match=term):
        read(tmp_path, "a.json", content, format="sponsorblock")


# Where the videos are


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.mp4", "a.mp4"),
        ("d/e.mp4", "d/e.mp4"),
        ("/mnt/other/d/e.mp4", "d/e.mp4"),
        ("/mnt/other/e.mp4", "e.mp4"),  # nothing of it is there: the name alone
        ("C:\\videos\\d\\e.mp4", "d/e.mp4"),
        ("\\\\server\\share\\a.mp4", "a.mp4"),
        ("https://host/x/d/e.mp4?sig=1", "d/e.mp4"),
        ("https://host/x/d%2Fe.mp4", "d/e.mp4"),
        ("/data/local-files/?d=mount/d/e.mp4", "d/e.mp4"),
        ("/data/upload/1/1a2b3c4d-a.mp4", "a.mp4"),
        ("1a2b3-a.mp4", "1a2b3-a.mp4"),  # five digits are not those of an upload
        ("../../a.mp4", "a.mp4"),
        ("x/none.mp4", "x/none.mp4"),
        (" a.mp4 ", "a.mp4"),
    ],
)
def test_the_longest_end_of_a_name_that_exists_is_meant(tmp_path: Path, name: str, expected: str) -> None:
    touch(tmp_path, "a.mp4", "d/e.mp4")
    assert below(name, tmp_path, "row 1") == expected


@pytest.mark.parametrize("name", ["", "  ", None, 5, "a\0b", "..", "/", "x" * 4097])
def test_what_is_no_name_of_a_video_is_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(DatasetError, match="row 7: must give the name of a video"):
        below(name, tmp_path, "row 7")
    assert below("x" * 4096, tmp_path, "row 7") == "x" * 4096


def test_missing_videos_are_looked_for_below_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "here/a.mp4", "there/a.mp4", "there/b.mp4")
    items = tuple(Example(tmp_path / "here" / f"{name}.mp4", ("x",)) for name in "abc")
    found = found_below(Dataset(items, ("x",), tmp_path), tmp_path / "there")
    assert [str(item.path.relative_to(tmp_path)) for item in found] == ["here/a.mp4", "there/b.mp4", "here/c.mp4"]


def test_rows_keep_split_group_source_and_times(tmp_path: Path) -> None:
    gathered = ForeignRows(tmp_path / "f.json", ReadOptions(frame_rate=10))
    gathered.add("row 1", "a.mp4", "x", seconds=(1.5, None), split="val", group="g", source="s")
    gathered.add("row 2", "a.mp4", ["x", "y", "x"], frames=(10, 20), split=None, group="")
    gathered.add("row 3", "b.mp4", "y")
    gathered.add("row 4", "b.mp4", "y", seconds=(2.0, 2.0))
    gathered.leave_out("row 5", "boxes", 3)
    gathered.notes.append("a remark")
    made = gathered.dataset(None, ["z", " ", "y"])
    assert made.labels == ("z", "y", "x")
    assert [(item.labels, item.start_seconds, item.end_seconds, item.split) for item in made] == [
        (("x",), 1.5, None, "validation"),
        (("y", "x"), 1, 2, None),
        (("y",), None, None, None),
    ]
    assert (made.examples[0].group, made.examples[0].source) == ("g", "s")
    assert [note.removeprefix(f"{tmp_path / 'f.json'}: ") for note in made.notes] == [
        "a remark",
        "left out: 1 ranges of no length (row 4)",
        "left out: 3 boxes (row 5)",
    ]


def test_a_file_without_a_clip_says_what_it_holds(tmp_path: Path) -> None:
    gathered = ForeignRows(tmp_path / "f.json")
    with pytest.raises(DatasetError, match="no usable labels of videos: it has no labels"):
        gathered.dataset(None)
    gathered.leave_out("row 5", "boxes", 3)
    with pytest.raises(DatasetError, match=r"left out: 3 boxes \(row 5\)"):
        gathered.dataset(None)


# Intervals as clips


def clips(path: Path, **options: Any) -> list[tuple[str, str, float | None, float | None]]:
    made = read_dataset(path, options=ReadOptions(**options))
    return [(item.path.name, item.label, item.start_seconds, item.end_seconds) for item in made]


def test_the_rest_of_a_video_of_unknown_length_goes_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.edl", "1 3 3\n2 4 3\n6 7 3\n")
    assert clips(path, rest="show")[3:] == [
        ("a", "show", 0, 1),
        ("a", "show", 4, 6),
        ("a", "show", 7, None),
    ]
    assert len(clips(path)) == 3
    assert clips(write(path, "0 3 3\n"), rest="show")[1:] == [("a", "show", 3, None)]


def test_a_name_without_a_suffix_is_the_one_video_of_that_name(tmp_path: Path) -> None:
    videos = [{"video": "v", "intervals": [{"label": "x", "start_seconds": 1, "end_seconds": 2}]}]
    path = write(tmp_path / "a.json", {"format": "cliplab-intervals", "version": 1, "videos": videos})
    assert clips(path)[0][0] == "v"
    touch(tmp_path, "v.mkv")
    assert clips(path)[0][0] == "v.mkv"
    touch(tmp_path, "v.mp4")
    with pytest.raises(DatasetError, match=r"'v' may be .*v\.m.*Give the path"):
        clips(path)
