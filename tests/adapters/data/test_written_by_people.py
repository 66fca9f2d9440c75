"""Label files as people and their programs write them: understood or refused by name, never half."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from dataset_files import touch, write

from adapters.data import read_dataset
from adapters.errors import DatasetError


def names(dataset: Any, root: Path) -> list[str]:
    return [str(item.path.relative_to(root)) for item in dataset]


@pytest.mark.parametrize(
    "label",
    ["ski jump\u200b", "\ufeffski jump", "ski\u00a0jump", "ski  jump", "\u202aski jump\u202c", "ski\u200b jump"],
)
def test_labels_that_look_alike_are_one_class_with_a_warning(tmp_path: Path, label: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    write(tmp_path / "d.csv", f"path,label\na.mp4,ski jump\nb.mp4,{label}\nc.mp4,ski jump\n")
    dataset = read_dataset(tmp_path / "d.csv")
    assert dataset.labels == ("ski jump",)
    assert any("spelled in several ways" in note for note in dataset.notes)


def test_labels_of_signs_alone_and_joined_letters_stay(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "d.csv", "path,label\na.mp4,\u200b\nb.mp4,نمی\u200cخواهم\n")
    assert read_dataset(tmp_path / "d.csv").labels == ("\u200b", "نمی\u200cخواهم")


def test_paths_with_spaces_around_and_backslashes_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "sub/b c.mp4", " kept .mp4")
    write(tmp_path / "d.csv", "path , label\n a.mp4 , x\nsub\\b c.mp4,y\n kept .mp4,y\n")
    assert names(read_dataset(tmp_path / "d.csv"), tmp_path) == ["a.mp4", "sub/b c.mp4", " kept .mp4"]


def test_a_backslash_that_is_in_a_name_stays(tmp_path: Path) -> None:
    touch(tmp_path, "sub\\b.mp4", "sub/b.mp4")
    write(tmp_path / "d.csv", "path,label\nsub\\b.mp4,x\n")
    assert names(read_dataset(tmp_path / "d.csv"), tmp_path) == ["sub\\b.mp4"]


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n'])
def test_a_separator_that_excel_names_is_used(tmp_path: Path, first: str) -> None:
    touch(tmp_path, "a,b.mp4")
    write(tmp_path / "d.csv", f"{first}path;label;note, free\na,b.mp4;x;-\n")
    assert names(read_dataset(tmp_path / "d.csv"), tmp_path) == ["a,b.mp4"]


@pytest.mark.parametrize("column", ["is_train", "is_training", "isTest", "in_val", "for_validation", "is_test_set"])
def test_columns_of_yes_and_no_for_a_split_are_refused(tmp_path: Path, column: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "d.csv", f"path,label,{column}\na.mp4,x,1\nb.mp4,y,0\n")
    with pytest.raises(DatasetError, match=f'column "{column}".*"split"'):
        read_dataset(tmp_path / "d.csv")


@pytest.mark.parametrize("listed", ["videos", "categories"])
def test_an_id_that_is_given_twice_is_refused(tmp_path: Path, listed: str) -> None:
    content: dict[str, Any] = {
        "videos": [{"id": 1, "file_name": "a.mp4"}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"id": 1, "video_id": 1, "category_id": 1}],
    }
    content[listed].append({"id": 1, "file_name": "b.mp4", "name": "y"})
    write(tmp_path / "d.json", json.dumps(content))
    with pytest.raises(DatasetError, match="id 1 is given twice"):
        read_dataset(tmp_path / "d.json")


@pytest.mark.parametrize("kind", ["fold{}", "Fold {}", "fold_{}", "cv{}", "{}fold", "kfold-{}"])
def test_folders_of_a_cross_validation_are_no_classes(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, f"{kind.format(1)}/cat/a.mp4", f"{kind.format(2)}/dog/b.mp4")
    with pytest.raises(DatasetError, match="folds of a cross-validation"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, labels=[kind.format(1), kind.format(2)]).labels) == 2


def test_classes_that_are_called_folds_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "fold1/a.mp4", "fold2/b.mp4", "sheet/c.mp4")
    assert set(read_dataset(tmp_path).labels) == {"fold1", "fold2", "sheet"}


def test_videos_beside_the_classes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "loose.mp4", "more.mkv", "cat/a.mp4", "dog/b.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(read_dataset(tmp_path)) == 2
    assert "loose.mp4 and 1 others: left out" in caplog.text
