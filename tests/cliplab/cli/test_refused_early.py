"""What cannot end well is refused before any work is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_videos import render_dataset

from adapters.errors import ConfigError, StorageError
from adapters.litert.program_cache import get_or_make
from cliplab.api import evaluate, train

TINY = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=2, validation=1, test=1)


def test_a_bundle_has_no_place_over_other_files(data: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "thesis.txt").write_text("mine")
    lines: list[str] = []
    for output, named in (
        (project, "thesis.txt"),
        (project / "thesis.txt", "is a file"),
        (tmp_path / "project.tflite", "t"),
    ):
        with pytest.raises(StorageError, match=named):
            train(TINY, data, output, force=True, on_line=lines.append)
    assert lines == []  # nothing was trained
    assert [item.name for item in project.iterdir()] == ["thesis.txt"]
    train(TINY, data, tmp_path / "new")
    train(TINY, data, tmp_path / "new", force=True)
    assert json.loads((tmp_path / "new" / "config.json").read_text())["adapter"] == TINY["adapter"]


def test_a_split_that_does_not_exist_is_bad_usage(data: Path) -> None:
    with pytest.raises(ConfigError, match="split must be one of train, validation, test, all, got 'dev'"):
        evaluate(TINY, data, split="dev")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "file" / "cache"))

    def make() -> bytes:
        raise AssertionError("a program was made, which takes long, and has no place")

    with pytest.raises(StorageError, match="Set CLIPLAB_CACHE to a writable folder"):
        get_or_make({"program": "any"}, make)
