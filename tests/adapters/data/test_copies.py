"""Copies of one video, and links to it: named where they have two labels or are in two splits, and kept together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_files import lines

from adapters.data import Dataset, check_copies, classes_without_clips, join_copies, read_dataset, split_dataset


def copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def hard_link(source: Path, target: Path) -> None:
    os.link(source, target)


def symbolic_link(source: Path, target: Path) -> None:
    target.symlink_to(source)


def dataset(root: Path, *rows: dict[str, Any]) -> Dataset:
    for row in rows:
        if not (root / row["path"]).exists():
            (root / row["path"]).write_bytes(str(row["path"]).encode() * 10)
    return read_dataset(lines(root / "d.jsonl", *rows))


@pytest.mark.parametrize("again", [copy, hard_link, symbolic_link])
def test_the_same_bytes_under_two_labels_or_in_two_splits_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, again: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "one.mp4").write_bytes(b"content")
    again(tmp_path / "one.mp4", tmp_path / "other.mp4")
    rows = [{"path": name, "label": "x"} for name in ("one.mp4", "other.mp4", "third.mp4")]
    harmless = check_copies(dataset(tmp_path, *rows))
    assert harmless.problems == ()
    assert harmless.groups == ((tmp_path / "one.mp4", tmp_path / "other.mp4"),)
    assert "other.mp4" in harmless.notes[0]

    (problem,) = check_copies(dataset(tmp_path, {**rows[0], "label": "y"}, *rows[1:])).problems
    assert "one.mp4 is 'y'" in problem
    assert "other.mp4 is 'x'" in problem
    assert check_copies(dataset(tmp_path, {**rows[0], "label": "y"}, *rows[1:]), single_label=False).problems == ()

    join_copies(dataset(tmp_path, {**rows[0], "split": "train"}, {**rows[1], "split": "test"}))
    assert "one.mp4 in train" in caplog.text
    assert "other.mp4 in test" in caplog.text


def test_other_stretches_of_a_copy_may_have_other_labels(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"content")
    copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    first = {"path": "a.mp4", "label": "x", "end_seconds": 5}
    assert check_copies(dataset(tmp_path, first, {"path": "b.mp4", "label": "y", "start_seconds": 5})).problems == ()
    assert check_copies(dataset(tmp_path, first, {"path": "b.mp4", "label": "y", "start_seconds": 4})).problems


def test_copies_come_into_one_split(tmp_path: Path) -> None:
    rows = [{"path": f"{label}{number}.mp4", "label": label} for label in "xy" for number in range(6)]
    for label in "xy":
        (tmp_path / f"{label}0.mp4").write_bytes(label.encode() * 900)
        copy(tmp_path / f"{label}0.mp4", tmp_path / f"{label}5.mp4")
    for seed in range(6):
        found = split_dataset(join_copies(dataset(tmp_path, *rows)), (0.5, 0.25, 0.25), seed)
        splits = {item.path.name: item.split for item in found}
        assert splits["x0.mp4"] == splits["x5.mp4"]
        assert splits["y0.mp4"] == splits["y5.mp4"]
    parted = [{**row, "split": split} for row, split in zip(rows[:1] + rows[5:6], ("train", "test"), strict=True)]
    assert len(split_dataset(join_copies(dataset(tmp_path, *parted, *rows[1:5], *rows[6:])), (0.5, 0, 0.5))) == 12


def test_files_that_differ_anywhere_are_no_copies(tmp_path: Path) -> None:
    size = 3_000_000
    for number in range(4):
        content = bytearray(size)
        if number:
            content[[0, 1_000_000, size - 1][number - 1]] = 1
        (tmp_path / f"{number}.mp4").write_bytes(content)
    (tmp_path / "empty1.mp4").touch()
    (tmp_path / "empty2.mp4").touch()
    names = [path.name for path in tmp_path.glob("*.mp4")]
    rows = [{"path": name, "label": "x"} for name in (*names, "gone.mp4")]
    assert check_copies(read_dataset(lines(tmp_path / "d.jsonl", *rows))).groups == ()
    copy(tmp_path / "2.mp4", tmp_path / "2 again.mp4")
    rows.append({"path": "2 again.mp4", "label": "x"})
    groups = check_copies(read_dataset(lines(tmp_path / "d.jsonl", *rows))).groups
    assert groups == ((tmp_path / "2.mp4", tmp_path / "2 again.mp4"),)


def test_only_files_of_equal_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / f"{number}.mp4").write_bytes(b"x" * (number + 1))
    data = dataset(tmp_path, *({"path": f"{number}.mp4", "label": "x"} for number in range(50)))
    monkeypatch.setattr(Path, "open", lambda *args, **more: pytest.fail("a file was read"))
    assert check_copies(data).groups == ()


def test_the_copies_of_the_cases(shared: Path) -> None:
    data = read_dataset(shared / "cases" / "data" / "same_clip_two_classes")
    (problem,) = check_copies(data).problems
    assert "copy_of_g1.mp4 is 'live'" in problem
    assert "g1.mp4 is 'graphics'" in problem


def test_a_split_without_clips_of_a_class_is_said(tmp_path: Path, shared: Path) -> None:
    data = read_dataset(shared / "cases" / "data" / "one_class_test.jsonl")
    found = classes_without_clips(data)
    assert [sentence for sentence in found if "test" in sentence and "'graphics'" in sentence]
    assert [sentence for sentence in found if "validation" in sentence]
    assert not [sentence for sentence in found if "train" in sentence]
    rows = [{"path": f"{n}{split}", "label": n, "split": split} for n in "xy" for split in ("train", "test")]
    assert classes_without_clips(read_dataset(lines(tmp_path / "d.jsonl", *rows))) == []
