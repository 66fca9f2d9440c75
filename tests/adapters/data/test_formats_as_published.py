"""Files as the specifications of their formats show them: what is taken, what is left, and that both are said."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from command_line import cli

from adapters.data import Dataset, Example, ReadOptions, export_dataset, read_dataset, read_intervals
from adapters.errors import DatasetError


def write_frames(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f"img_{number:05d}.jpg"), np.full((24, 32, 3), 20 * number, np.uint8))


def test_a_webdataset_is_unpacked_where_a_relative_folder_says_and_its_clips_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/train-000000.tar", "w") as tar:
        for name, content in (("a.mp4", b"video"), ("a.cls", b"0"), ("b.mp4", b"other"), ("b.cls", b"1")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.chdir(tmp_path)
    options = ReadOptions(Path("videos/unpacked"), None, None, False)
    dataset = read_dataset("shards", ["ad", "content"], "webdataset", options)
    assert [item.path.read_bytes() for item in dataset.examples] == [b"video", b"other"]
    assert all(item.path.is_relative_to(tmp_path / "videos/unpacked") for item in dataset.examples)


def test_folders_of_frames_stay_clips_in_the_file_that_an_import_writes(tmp_path: Path) -> None:
    for name in ("directory-1", "directory-2"):
        write_frames(tmp_path / "frames/some" / name)
    (tmp_path / "train.txt").write_text("some/directory-1 6 0\nsome/directory-2 6 1\n")
    listed, videos, output = tmp_path / "train.txt", tmp_path / "frames", tmp_path / "data"
    ran = cli("dataset", "import", listed, "--videos", videos, "--frame-rate", 12.5, "--output", output)
    assert ran.exit_code == 0, ran.stderr
    assert "no such file" not in ran.stdout + ran.stderr
    read = read_dataset(tmp_path / "data/dataset.jsonl")
    kept = [(item.label, item.frames.fps, len(item.frames.names)) for item in read.examples if item.frames is not None]
    assert kept == [("0", 12.5, 6), ("1", 12.5, 6)]
    assert read.examples[0].frames is not None
    assert read.examples[0].frames.folder == tmp_path / "frames/some/directory-1"


def test_frames_after_an_offset_are_refused_and_a_number_in_a_name_is_none(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip")
    write_frames(tmp_path / "take 2")
    (tmp_path / "with_offset.txt").write_text("clip 0 6 1\n")
    assert read_dataset(tmp_path / "with_offset.txt").examples[0].path == tmp_path / "clip"
    (tmp_path / "names.txt").write_text("take 2 6 1\n")
    assert read_dataset(tmp_path / "names.txt").examples[0].path == tmp_path / "take 2"
    (tmp_path / "later.txt").write_text("clip 4 2 1\n")
    with pytest.raises(DatasetError, match=r"line 1.*offset \(4\)"):
        read_dataset(tmp_path / "later.txt")


@pytest.mark.parametrize("videos", [None, "images"])
def test_media_of_datumaro_lie_below_their_subset(tmp_path: Path, videos: str | None) -> None:
    item = {"id": "a/one", "annotations": [{"id": 0, "type": "label", "label_id": 0}], "image": {"path": "a/one.png"}}
    names = [{"name": "ad", "parent": ""}]
    content = {"infos": {}, "categories": {"label": {"labels": names}}, "items": [item]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/train.json").write_text(json.dumps(content))
    picture = tmp_path / "images/train/a/one.png"
    picture.parent.mkdir(parents=True)
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    options = ReadOptions(None if videos is None else tmp_path / videos, None, None, False)
    [found] = read_dataset(tmp_path / "annotations/train.json", None, None, options).examples
    assert (found.path, found.split) == (picture, "train")


def test_datumaro_media_that_are_not_there_stay_below_the_folder(tmp_path: Path) -> None:
    item: dict[str, Any] = {"id": "x", "annotations": [{"id": 0, "type": "label", "label_id": 0}]}
    item["image"] = {"path": "../../outside.png"}
    (tmp_path / "outside.png").write_bytes(b"secret")
    folder = tmp_path / "set/annotations"
    folder.mkdir(parents=True)
    (tmp_path / "set/images").mkdir()
    content = {"categories": {"label": {"labels": [{"name": "ad"}]}}, "items": [item]}
    (folder / "train.json").write_text(json.dumps(content))
    [found] = read_dataset(folder / "train.json").examples
    assert found.path.is_relative_to(tmp_path / "set")
    assert not os.path.exists(found.path)


def test_a_chapter_that_contains_others_is_said_to_be_left_out(tmp_path: Path) -> None:
    def atom(start: int, end: int, name: str, inner: str = "") -> str:
        times = f"<ChapterTimeStart>0:0:{start}</ChapterTimeStart><ChapterTimeEnd>0:0:{end}</ChapterTimeEnd>"
        shown = f"<ChapterDisplay><ChapterString>{name}</ChapterString></ChapterDisplay>"
        return f"<ChapterAtom>{times}{shown}{inner}</ChapterAtom>\n"

    atoms = atom(0, 10, "Part one", atom(2, 4, "Advert")) + atom(10, 20, "Part two")
    (tmp_path / "film.xml").write_text(f"<Chapters><EditionEntry>\n{atoms}</EditionEntry></Chapters>")
    found = read_intervals(tmp_path / "film.xml")
    assert [one.label for one in found.intervals] == ["Advert", "Part two"]
    assert any("other chapters" in note and "line 2" in note for note in found.notes)


def test_an_elan_file_names_its_schema_as_readers_ask(tmp_path: Path) -> None:
    examples = (
        Example(tmp_path / "talk.mp4", ("laugh",), 1.0, 2.5),
        Example(tmp_path / "talk.mp4", ("talk",), 4.0, 6.0),
    )
    written = export_dataset(Dataset(examples, ("laugh", "talk"), tmp_path), tmp_path / "talk.eaf", "elan")
    root = ElementTree.parse(written).getroot()
    schema = root.get("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation")
    assert schema == "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
    elan = pytest.importorskip("pympi", reason="needs pip install pympi-ling").Elan.Eaf(str(written))
    found = [one[:3] for tier in elan.get_tier_names() for one in elan.get_annotation_data_for_tier(tier)]
    assert sorted(found) == [(1000, 2500, "laugh"), (4000, 6000, "talk")]


def test_content_of_no_format_of_its_suffix_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "film.txt").write_text("CHAPTER01=00:00:00.000\nCHAPTER01NAME=Intro\n")
    with pytest.raises(DatasetError, match=r"content is not of a format whose files end in \.txt .*comskip.*--format"):
        read_dataset(tmp_path / "film.txt")
