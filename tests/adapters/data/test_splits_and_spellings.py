"""Folders and labels as people leave them: names of splits, other folders beside them, spellings, groups in names."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from dataset_files import lines, touch, write

from adapters.data import dataset_problems, match_labels, read_dataset, split_dataset
from adapters.errors import DatasetError

# Names of splits


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("train_256", "train"), ("trainset", "train"),
     ("training-videos", "train"),
     ("validate", "validation"), ("val_256", "validation"), ("dev", "validation"), ("valid", "validation"),
     ("VAL", "validation"), ("eval", "validation"), ("development_set", "validation"), ("test", "test"),
     ("test_320x240", "test"), ("testing", "test"), ("tests", "test")],
)  # fmt: skip
def test_folders_that_are_splits_are_used(tmp_path: Path, name: str, split: str) -> None:
    touch(tmp_path, f"{name}/a/1.mp4", f"{name}/b/2.mp4", "__MACOSX/train/._1.mp4", "__MACOSX/x/3.mp4", ".DS_Store")
    touch(tmp_path, "annotations/labels.txt", "readme.md")
    dataset = read_dataset(tmp_path)
    assert dataset.labels == ("a", "b")
    assert {item.split for item in dataset} == {split}


@pytest.mark.parametrize("name", ["test pattern", "crash_test", "training_ground", "valley", "dev_team"])
def test_classes_that_only_contain_such_a_word_are_classes(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/1.mp4", "other/2.mp4")
    assert set(read_dataset(tmp_path).labels) == {name, "other"}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["a/1.mp4", "b/2.mp4", "test/3.mp4"], "test"),
        (["a/1.mp4", "b/2.mp4", "dev/c/3.mp4"], "dev"),
        (["train/a/1.mp4", "train/b/2.mp4", "test/3.mp4"], "test"),
        (["train/a/1.mp4", "train/b/2.mp4", "extra/3.mp4"], "extra"),
        (["train/a/1.mp4", "train/loose.mp4"], "train"),
        (["train/a/1.mp4", "train_256/a/1.mp4"], "train_256"),
        (["trainval/a/1.mp4", "test/a/2.mp4"], "trainval"),
        (["train/1.mp4", "validate/2.mp4"], "train"),
        (["one/train/a/1.mp4", "two/train/b/1.mp4", "one/deep/test/1.mp4"], "test"),
        (["train/a/test/1.mp4", "train/b/1.mp4"], "test"),
    ],
)
def test_a_split_that_cannot_be_used_is_refused_by_name(tmp_path: Path, files: list[str], named: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=named):
        read_dataset(tmp_path)


def test_splits_below_the_classes_are_splits(tmp_path: Path) -> None:
    touch(tmp_path, "a/train/1.mp4", "a/val/film/2.mp4", "b/train/3.mp4", "b/4.mp4")
    found = {item.path.name: (item.label, item.split) for item in read_dataset(tmp_path)}
    assert found == {
        "1.mp4": ("a", "train"),
        "2.mp4": ("a", "validation"),
        "3.mp4": ("b", "train"),
        "4.mp4": ("b", None),
    }
    assert next(item.group for item in read_dataset(tmp_path) if item.path.name == "2.mp4") == "film"


def test_a_folder_without_videos_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4", "annotations/a.xml", "json/a.json", "docs/README", "later/.DS_Store")
    assert read_dataset(tmp_path, format="folders").labels == ("a", "b", "later")


def test_labels_that_are_all_names_of_splits_are_refused(tmp_path: Path) -> None:
    content = {"train": ["a.mp4"], "val_256": ["b.mp4"]}
    with pytest.raises(DatasetError, match="val_256"):
        read_dataset(write(tmp_path / "labels.json", content))
    with pytest.raises(DatasetError, match="splits"):
        read_dataset(write(tmp_path / "d.csv", "path,label\na.mp4,train\nb.mp4,test\n"))
    assert read_dataset(tmp_path / "labels.json", ["train", "val_256"]).labels == ("train", "val_256")
    assert read_dataset(write(tmp_path / "d.csv", "path,label\na.mp4,train\nb.mp4,bus\n")).labels == ("train", "bus")


@pytest.mark.parametrize("value", ["dev", "validate", "val_256", "Valid"])
def test_values_of_splits_have_the_same_names(tmp_path: Path, value: str) -> None:
    for key in ("split", "subset", "set", "partition"):
        (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": "a.mp4", "label": "x", key: value})).examples
        assert item.split == "validation"


# Spellings


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize("format", ["jsonl", "csv", "labels_json", "folders"])
def test_spellings_of_one_label_are_one_class_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, format: str
) -> None:
    spelled = ["Á ñu", "á ñu", decomposed("á ñu"), "other"]
    names = [f"{number}.mp4" for number in range(len(spelled))]
    if format == "jsonl":
        rows = [{"path": name, "label": label} for name, label in zip(names, spelled, strict=True)]
        path = lines(tmp_path / "d.jsonl", *rows, {"path": "5.mp4", "label": " á ñu "})
    elif format == "csv":
        text = "".join(f"{name},{label} \n" for name, label in zip(names, spelled, strict=True))
        path = write(tmp_path / "d.csv", "path,label\n" + text)
    elif format == "labels_json":
        path = write(tmp_path / "labels.json", {label: [name] for label, name in zip(spelled, names, strict=True)})
    else:
        touch(tmp_path, *(f"{label}/{name}" for label, name in zip(spelled, names, strict=True)))
        path = tmp_path
    dataset = read_dataset(path)
    assert set(dataset.labels) == {"á ñu", "other"}
    assert dataset.counts()["other"] == 1
    (note,) = dataset.notes
    assert r"\xc1 \xf1u' (1 clips)" in note
    assert "u0301" in note
    assert note in caplog.text


def test_labels_that_differ_in_more_than_capitals_stay_apart(tmp_path: Path) -> None:
    rows = [{"path": f"{n}.mp4", "label": label} for n, label in enumerate(("a b", "a_b", "ab", "á b"))]
    dataset = read_dataset(lines(tmp_path / "d.jsonl", *rows))
    assert dataset.labels == ("a b", "a_b", "ab", "á b")


@pytest.mark.parametrize(
    "labels",
    [
        ("Ski Jump", "ski_jump", "ski-jump"),
        ("SkiJump", "ski jump"),
        ("ski\u2013jump", "ski  jump"),
        ("_ollie", "ollie"),
    ],
)
def test_classes_that_differ_only_between_their_words_are_named_and_stay_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: tuple[str, ...]
) -> None:
    rows = [{"path": f"{n}.mp4", "label": label} for n, label in enumerate((*labels, *labels[:1], "other"))]
    path = lines(tmp_path / "d.jsonl", *rows)
    dataset = read_dataset(path)
    assert dataset.labels == (*labels, "other")
    (note,) = dataset.notes
    assert f"{labels[0]!a} (2 clips), {labels[1]!a} (1 clips)" in note
    assert f"{len(labels)} classes" in note
    assert "other" not in note
    assert note in caplog.text
    assert read_dataset(path, labels=(*labels, "other")).notes == (), "the caller lists them, and so knows"


@pytest.mark.parametrize("labels", [("10-1", "101"), ("live 1", "live 11"), ("u-turn", "left turn"), ("a+b", "a b")])
def test_classes_that_differ_in_more_have_no_warning(tmp_path: Path, labels: tuple[str, str]) -> None:
    rows = [{"path": f"{n}.mp4", "label": label} for n, label in enumerate(labels)]
    assert read_dataset(lines(tmp_path / "d.jsonl", *rows)).notes == ()


def test_the_callers_spelling_is_kept(tmp_path: Path) -> None:
    rows = [{"path": f"{n}.mp4", "label": label} for n, label in enumerate(("LIVE", "live", "live"))]
    path = lines(tmp_path / "d.jsonl", {"labels": ["live", "LIVE", "x"]}, *rows)
    assert read_dataset(path).labels == ("live", "x")
    assert read_dataset(path, labels=["Live", "x"]).labels == ("Live", "x")
    assert {item.label for item in read_dataset(path, labels=["Live", "x"])} == {"Live"}
    apart = read_dataset(path, labels=["LIVE", "live"])
    assert apart.counts() == {"LIVE": 1, "live": 2}
    matched = match_labels(read_dataset(path), [decomposed("é"), "Live"])
    assert matched.labels == ("Live", "x")


def test_the_labels_of_the_cases(shared: Path) -> None:
    dataset = read_dataset(shared / "cases" / "data" / "labels_case_space_nfd.jsonl")
    assert dataset.labels == ("live", "gráfico")
    assert dataset.counts() == {"live": 4, "gráfico": 3}
    assert len(dataset.notes) == 2


def test_the_split_folders_of_the_cases(shared: Path) -> None:
    dataset = read_dataset(shared / "cases" / "data" / "split_folder_validate")
    assert dataset.labels == ("graphics", "live", "third")
    assert {item.split for item in dataset} == {"train", "validation"}


# Names that say the footage


def test_names_of_public_datasets_group_by_footage(tmp_path: Path) -> None:
    names = [f"v_{label}_g{group:02}_c{clip:02}.avi" for label in ("Archery", "Biking") for group in range(1, 4)
             for clip in range(1, 4)]  # fmt: skip
    touch(tmp_path, *(f"{name.split('_')[1]}/{name}" for name in names))
    dataset = read_dataset(tmp_path)
    assert {item.group for item in dataset} == {name[:-8] for name in names}
    parted = split_dataset(dataset, seed=3)
    for group in {item.group for item in parted}:
        assert len({item.split for item in parted if item.group == group}) == 1


def test_other_names_that_say_the_footage(tmp_path: Path) -> None:
    rows = [
        ("Crash_catch_u_nm_np1_fr_goo_0.avi", "Crash_catch"),
        ("Crash_catch_f_cm_np1_ba_med_12.avi", "Crash_catch"),
        ("Other_catch_f_cm_np1_ba_med_1.avi", "Other_catch"),
        ("-abc_000001_000011.mp4", "-abc"),
        ("-abc_000031_000041.mp4", "-abc"),
        ("v_plain_c01.mp4", "v_plain_c01.mp4"),
        ("g01_c01.mp4", "g01_c01.mp4"),
    ]
    path = lines(tmp_path / "d.jsonl", *({"path": name, "label": "x"} for name, _ in rows))
    assert [item.group for item in read_dataset(path)] == [group for _, group in rows]
    path = lines(tmp_path / "d.jsonl", *({"path": name, "label": "x", "group": name} for name, _ in rows))
    assert [item.group for item in read_dataset(path)] == [name for name, _ in rows], "written ones stay"


def test_clips_of_one_footage_in_two_splits_are_a_problem(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/A/v_A_g01_c01.avi",
        "test/A/v_A_g01_c02.avi",
        "train/B/v_B_g01_c01.avi",
        "test/B/v_B_g02_c01.avi",
    )
    assert any("v_A_g01" in problem for problem in dataset_problems(read_dataset(tmp_path)))


# Paths


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_that_differ_by_normal_form_are_found(tmp_path: Path, form: str) -> None:
    on_disk = unicodedata.normalize(form, "Café/né.mp4")
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Café/né.mp4")
    touch(tmp_path, on_disk)
    assert not os.path.exists(tmp_path / other), "this file system tells them apart"
    (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": other, "label": "x"})).examples
    assert item.path == tmp_path / on_disk
    (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": str(tmp_path / other), "label": "x"})).examples
    assert item.path == tmp_path / on_disk
    (item,) = read_dataset(lines(tmp_path / "d.jsonl", {"path": "gone/é.mp4", "label": "x"})).examples
    assert item.path == tmp_path / "gone/é.mp4"
