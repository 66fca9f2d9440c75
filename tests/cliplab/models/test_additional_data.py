"""``cliplab train --additional-data``: one dataset of two, without a recording on both sides of a split."""

import json

import pytest

from adapters.data import read_dataset
from adapters.errors import DatasetError
from cliplab.models.additional_data import with_additional


def rows(folder, *found):
    folder.mkdir(exist_ok=True)
    for row in found:
        (folder / row["path"]).write_bytes(b"")
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def row(path, label, **more):
    return {"path": path, "label": label, **more}


def test_added_clips_are_learned_unless_their_group_is_held_out(tmp_path):
    main = rows(
        tmp_path / "main",
        row("a.mp4", "ad", split="train", group="one"),
        row("b.mp4", "show", split="validation", group="two"),
        row("c.mp4", "show", split="test", group="three"),
    )
    more = rows(tmp_path / "more", row("d.mp4", "ad", group="two"), row("e.mp4", "show", group="new"))
    found = read_dataset(with_additional(main, more, tmp_path / "bundle"))
    assert {item.path.name: item.split for item in found} == {
        "a.mp4": "train",
        "b.mp4": "validation",
        "c.mp4": "test",
        "d.mp4": "validation",
        "e.mp4": "train",
    }
    assert found.labels == read_dataset(main).labels


def test_a_corrected_clip_counts_once_and_with_the_later_label(tmp_path):
    main = rows(tmp_path / "main", row("a.mp4", "ad"), row("b.mp4", "show"))
    again = tmp_path / "again.jsonl"
    again.write_text(json.dumps(row(str(tmp_path / "main" / "a.mp4"), "show")) + "\n")
    found = read_dataset(with_additional(main, again, tmp_path / "bundle"))
    assert sorted((item.path.name, item.labels, item.split) for item in found) == [
        ("a.mp4", ("show",), None),
        ("b.mp4", ("show",), None),
    ]


def test_other_classes_are_refused(tmp_path):
    main = rows(tmp_path / "main", row("a.mp4", "ad"), row("b.mp4", "show"))
    other = rows(tmp_path / "other", row("c.mp4", "trailer"))
    with pytest.raises(DatasetError, match="trailer"):
        with_additional(main, other, tmp_path / "bundle")
