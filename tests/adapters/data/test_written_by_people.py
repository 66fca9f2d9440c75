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


ROWS = [
    {"vid_name": "a.mp4", "label": "x", "start_frame": 0, "end_frame": 25, "fps": 25},
    {"vid_name": "b", "label": "y"},
]


def test_a_list_of_rows_in_json_is_read_as_a_csv_with_these_columns_is(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    dataset = read_dataset(write(tmp_path / "train.json", [{**row, "note": "free"} for row in ROWS]))
    assert names(dataset, tmp_path) == ["a.mp4", "b.mp4"]
    assert [(item.label, item.start_seconds, item.end_seconds) for item in dataset] == [("x", 0, 1), ("y", None, None)]
    for wrong, word in (
        ([{"path": "a.mp4", "label": "x", "start_tme": 1}], "start_tme"),
        ([{"path": "a.mp4", "label": "x"}, 5], "list of rows"),
        ([{"path": "a.mp4", "label": 3}], "entry 1: label"),
        ([], "list of rows"),
    ):
        with pytest.raises(DatasetError, match=word):
            read_dataset(write(tmp_path / "wrong.json", wrong))


def test_short_exports_of_label_studio_are_refused_by_name(tmp_path: Path) -> None:
    row = {"id": 1, "video": "a.mp4", "choice": "x", "annotator": 1, "annotation_id": 1, "lead_time": 3.2}
    for name, content in (
        ("min.json", [row]),
        ("d.csv", f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"),
        ("d.tsv", "\t".join(row) + "\n"),
    ):
        with pytest.raises(DatasetError, match=r"short export of Label Studio.*Export the project as JSON"):
            read_dataset(write(tmp_path / name, content))


@pytest.mark.parametrize(
    "shown",
    [
        "<video src='/data/local-files/?d=sub/a.mp4' width='100%' controls>",
        '<video controls><source src="https://bucket.example/sub/a.mp4?key=1"></video>',
        "<video width=9 src=a.mp4 controls>",
        "a.mp4",
    ],
)
def test_videos_in_the_markup_of_older_label_studio_templates(tmp_path: Path, shown: str) -> None:
    touch(tmp_path, "sub/a.mp4", "a.mp4")
    choice = {"type": "choices", "value": {"choices": ["x"]}}
    task = {"id": 1, "data": {"video": shown}, "annotations": [{"id": 1, "result": [choice]}]}
    assert names(read_dataset(write(tmp_path / "d.json", [task])), tmp_path)[0].endswith("a.mp4")


@pytest.mark.parametrize("code", ["utf-16", "utf-8-sig"])
def test_unicode_text_of_excel_with_cells_after_the_last_column(tmp_path: Path, code: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    text = "path\tlabel\r\na.mp4\tdéjà\t\t\r\nb.mp4\ty\r\n\t\t\t\r\n"
    (tmp_path / "d.tsv").write_bytes(text.encode(code))
    assert read_dataset(tmp_path / "d.tsv").labels == ("déjà", "y")
    (tmp_path / "d.tsv").write_bytes("path\tlabel\na.mp4\tx\t\tmore\n".encode(code))
    with pytest.raises(DatasetError, match="has 4 cells, but the header has 2 columns"):
        read_dataset(tmp_path / "d.tsv")


def test_decimals_with_a_comma_are_refused_with_the_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    write(tmp_path / "d.csv", "path;label;start;end\na.mp4;x;0,5;1,25\n")
    with pytest.raises(DatasetError, match=r"got '0,5'.*with a point, not a comma"):
        read_dataset(tmp_path / "d.csv")


def test_a_folder_around_those_of_the_classes_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "videos/x/a.mp4", "videos/y/b.mp4")
    with pytest.raises(DatasetError, match=r"videos: is the only folder here, so x, y in it may be classes or groups"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path / "videos").labels == ("x", "y")
    one_class = read_dataset(tmp_path, labels=["videos"])
    assert [item.group for item in one_class] == ["x", "y"]
    touch(tmp_path / "split", "data/train/x/a.mp4", "data/test/y/b.mp4")
    with pytest.raises(DatasetError, match=r"data: is the only folder.*with splits in it"):
        read_dataset(tmp_path / "split")
    touch(tmp_path / "single", "normal/train/a.mp4", "normal/test/b.mp4")
    assert [item.split for item in read_dataset(tmp_path / "single")] == ["test", "train"]


def test_thousands_of_columns_cost_as_much_as_their_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name that is a time only beside another was compared with all others, for each name again."""
    from adapters.data import aliases

    looked: list[str] = []
    whole = aliases._unit_and_rest
    monkeypatch.setattr(aliases, "_unit_and_rest", lambda name: looked.append(name) or whole(name))
    touch(tmp_path, "a.mp4")
    columns = [f"in {number} measured" for number in range(1900)]
    write(tmp_path / "d.csv", f"path,label,in,out,{','.join(columns)}\na.mp4,x,0,1,{','.join('1' * 1900)}\n")
    (clip,) = read_dataset(tmp_path / "d.csv")
    assert (clip.start_seconds, clip.end_seconds) == (0, 1)
    assert len(looked) < 10 * len(columns)
