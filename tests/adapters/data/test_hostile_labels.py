"""Label files that someone else made: bounded, and refused at once where they are no label files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dataset_files import touch, write

from adapters.data import read_dataset
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


def test_a_file_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LIMIT_BYTES", 100)
    path = write(tmp_path / "d.csv", "path,label\n" + "a.mp4,x\n" * 20)
    with pytest.raises(DatasetError, match="at most 100"):
        read_dataset(path)


def test_text_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes("path,label\na.mp4,x\n".encode("utf-16"))
    with pytest.raises(DatasetError, match="UTF-8"):
        read_dataset(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_bytes("path,label\na.mp4,x\n".encode("utf-16-le"))
    with pytest.raises(DatasetError, match="UTF-8"):
        read_dataset(tmp_path / "d.csv")
