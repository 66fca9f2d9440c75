"""Label files that someone else made: bounded, and refused at once where they are no label files."""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path

import pytest
from dataset_files import touch, write

from adapters.data import read_dataset, read_intervals
from adapters.data.formats import text
from adapters.errors import DatasetError

NAMES = ("dataset.jsonl", "labels.json", "dataset.csv", "dataset.json", "other.tsv", "other.ndjson")


@pytest.mark.parametrize("name", NAMES)
def test_fifos_and_devices_are_refused_at_once(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    os.mkfifo(tmp_path / name)
    with pytest.raises(DatasetError, match="FIFO"):
        read_dataset(tmp_path / name)
    if not name.startswith("other"):
        with pytest.raises(DatasetError, match="FIFO"):
            read_dataset(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match="device"):
        read_dataset(tmp_path / name)


def test_a_fifo_among_the_json_of_a_dataloop_download_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "items/a.mp4")
    (tmp_path / "json").mkdir()
    os.mkfifo(tmp_path / "json" / "a.json")
    with pytest.raises(DatasetError, match="FIFO"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"x": [{"path": "a", "start": ' + "[" * 50_000 + "]" * 50_000 + "}]}",
        '{"path": "a", "label": "x", "segment": ' + '{"segment": ' * 400 + "1" + "}" * 400 + "}",
        '{"path": "a", "label": "x", "segment": ' + "[" * 400 + "]" * 400 + "}",
        "1" * 100_000,
        '{"path": "a", "label": "x", "start": 1' + "0" * 10_000 + "}",
        '{"path": "a\\u0000b", "label": "x"}',
        'path,label\n"' + "a" * 200_000 + '",x\n',
        "path,label,start\na,x," + "9" * 500 + "\n",
        "path,label\n" + '"' * 10_001,
        "\x00" * 1000,
        'path,label\na\x00b,x\n{"path": "a\x00"}',
        '{"videos": [{"id": [], "file_name": "a"}], "categories": [], "annotations": []}',
        '{"videos": [{"id": 1, "file_name": "a"}], "categories": [], "annotations": [{"video_id": {}}]}',
        '{"videos": [3], "categories": [], "annotations": []}',
        '{"database": {"a": 3}}',
        '{"database": {"a": {"annotations": [3]}}}',
        '{"database": {"a": {"annotations": [{"label": "x", "segment": [1]}]}}}',
    ],
    ids=range(19),
)
def test_hostile_contents_are_errors_of_one_kind(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path / name, content)
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path / name)
    assert len(str(caught.value)) < 3000


LONG = 100_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "path,label,range\na.mp4,x,1" + " " * LONG + "y\n"),
        ("a.jsonl", '{"path": "a.mp4", "label": "x", "segment": "[[' + "1" * 10 * LONG + '"}'),
        ("a.jsonl", '{"path": "a.mp4", "label": "x", "segment": "[[' + " " * 10 * LONG + '1]"}'),
        ("a.txt", "a.mp4" + " 1" * LONG + " x\n"),
        ("a.txt", "a/" * 10 * LONG + " x\n"),
        ("a.edl", "#" + "9" * 400 + " #" + "9" * 401 + " 3\n"),
        ("a.edl", "9" * 5000 + " " + "9" * 5001 + " 3\n"),
        ("b.txt", "FILE PROCESSING COMPLETE  100 FRAMES AT  2500\n-----\n1 " + "9" * 5000 + "\n"),
        ("b.txt", "Cutlist: 1-" + "9" * 5000 + "\n"),
        ("a.ffmeta", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1e999999999\nSTART=0\nEND=5\n"),
        ("a.ffmeta", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=" + "9" * 5000 + "\n"),
        ("a.m3u8", "#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-CUE-OUT:DURATION=x" + "A" * 10 * LONG + "\n"),
    ],
    ids=range(12),
)
def test_long_numbers_and_lines_cost_no_more_than_their_bytes(tmp_path: Path, name: str, content: str) -> None:
    touch(tmp_path, "a.mp4")
    path = write(tmp_path / name, content)
    kind = "ffmetadata" if name.endswith(".ffmeta") else None
    is_dataset = name.endswith((".csv", ".jsonl")) or name == "a.txt"
    began = time.process_time()
    with pytest.raises(DatasetError) as caught:
        read_dataset(path) if is_dataset else read_intervals(path, frame_rate=25.0, format=kind)
    assert len(str(caught.value)) < 3000
    assert time.process_time() - began < 5


def test_lines_of_ffmetadata_that_go_on_are_joined_once(tmp_path: Path) -> None:
    text = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=5000\ntitle=a\\\nb\\\nc\n" + "x\\\n" * 400_000
    began = time.process_time()
    [found] = read_intervals(write(tmp_path / "a.txt", text), format="ffmetadata").intervals
    assert (found.label, found.end_seconds) == ("a\nb\nc", 5.0)
    assert time.process_time() - began < 5


def test_extended_headers_of_tar_files_are_searched_once(tmp_path: Path) -> None:
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 300_000
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + b"1" * header.size + bytes(-header.size % 512) + bytes(1024))
    began = time.process_time()
    with pytest.raises(DatasetError, match=r"a\.tar"):
        read_dataset(path)
    assert time.process_time() - began < 5


def test_a_file_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LIMIT_BYTES", 100)
    path = write(tmp_path / "d.csv", "path,label\n" + "a.mp4,x\n" * 20)
    with pytest.raises(DatasetError, match="at most 100"):
        read_dataset(path)


def test_text_of_another_encoding_is_named(tmp_path: Path) -> None:
    text = "path,label\na.mp4,é\n"
    cut = text.encode("utf-16")[:-1]
    for data in (text.encode("utf-16-le"), text.encode("utf-32"), text.encode("cp1252"), cut):
        (tmp_path / "d.csv").write_bytes(data)
        with pytest.raises(DatasetError, match="UTF-8"):
            read_dataset(tmp_path / "d.csv")
