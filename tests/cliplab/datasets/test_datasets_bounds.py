"""Every bound and refusal of what makes and changes datasets, before any work is done."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import AdapterError, ConfigError, DatasetError, StorageError
from cliplab.datasets import (
    dataset_advise,
    dataset_export,
    dataset_from_db,
    dataset_import,
    dataset_prepare,
    extract,
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clips.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE clips (filepath, rating, score, source)")
        for n, (rating, score) in enumerate([(5, 0.9), (4, 0.5), (3, 0.9), (2, 0.1), (1, 0.9), (None, 0.5), (4, None)]):
            (tmp_path / f"{n}.mp4").write_bytes(b"v")
            connection.execute("INSERT INTO clips VALUES (?, ?, ?, ?)", (f"{n}.mp4", rating, score, f"s{n}"))
    connection.close()
    return path


def made(database: Path, tmp_path: Path, **given: Any) -> Any:
    return dataset_from_db(database, tmp_path / "out", **{"reference": True, **given})


@pytest.mark.parametrize(
    ("positive", "negative", "clips", "neither", "both"),
    [
        ("rating >= 4", "rating <= 2", (3, 2), 2, 0),
        ("rating > 4", "rating < 2", (1, 1), 5, 0),
        ("rating = 4", "rating != 4", (2, 4), 1, 0),
        ("rating >= 4 and score > 0.5", "rating <= 2 AND score >= 0.9", (1, 1), 5, 0),
        ("rating >= 3", "score >= 0.9", (2, 1), 2, 2),
        ("source = 's1'", 'source = "s2"', (1, 1), 5, 0),
    ],
)
def test_rows_are_chosen_by_their_conditions(
    positive: str, negative: str, clips: tuple[int, int], neither: int, both: int, database: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[clips]'")
    report = made(database, tmp_path, positive=positive, negative=negative, labels=["hit", "miss"])
    assert tuple(report.clips.items()) == (("hit", clips[0]), ("miss", clips[1]))
    assert (report.rows, report.neither, report.both, report.copied) == (7, neither, both, False)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"labels": ["a"]}, ConfigError, "--labels takes two different names"),
        ({"labels": ["a", "a"]}, ConfigError, "--labels takes two"),
        ({"labels": ["a", ""]}, ConfigError, "--labels takes two"),
        ({"labels": ["a", "b/c"]}, ConfigError, "--labels takes two"),
        ({"labels": ["a", ".b"]}, ConfigError, "--labels takes two"),
        ({"labels": ["a", "b\n"]}, ConfigError, "--labels takes two"),
        ({"positive": "rating"}, ConfigError, "--positive is COLUMN OPERATOR VALUE"),
        ({"negative": "rating >> 4"}, ConfigError, "--negative is COLUMN OPERATOR VALUE"),
        ({"positive": "stars >= 4"}, DatasetError, "no column stars; it returns filepath"),
        ({"positive": "rating > 9", "negative": "rating < 0"}, DatasetError, "none of the 7 rows is a clip"),
    ],
)
def test_conditions_and_labels_are_checked(
    given: dict[str, Any], kind: type[AdapterError], said: str, database: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[clips]'")
    with pytest.raises(kind, match=said):
        made(database, tmp_path, **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("DELETE FROM clips", ConfigError, "must hold one SELECT"),
        ("SELECT * FROM clips; DELETE FROM clips", ConfigError, "must hold one SELECT"),
        ("selected", ConfigError, "must hold one SELECT"),
        ("SELECT rating FROM clips", DatasetError, "no column with the clip's file"),
        ("SELECT * FROM other", DatasetError, "the query failed"),
    ],
)
def test_a_query_reads_and_names_the_file(
    text: str, kind: type[AdapterError], said: str, database: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[clips]'")
    query = tmp_path / "q.sql"
    query.write_text(text)
    with pytest.raises(kind, match=said):
        made(database, tmp_path, query=query)
    query.write_text("WITH x AS (SELECT * FROM clips) SELECT * FROM x WHERE score > 0.4;")
    assert made(database, tmp_path, query=query).rows == 5


def test_databases_that_cannot_be_read(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="pip install 'cliplab[clips]'")
    with pytest.raises(ConfigError, match=r"mysql://\.\.\. is not supported"):
        dataset_from_db("mysql://u:p@h/n", tmp_path / "out")
    with pytest.raises(StorageError, match="there is no such file"):
        dataset_from_db(tmp_path / "none.db", tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fps": 0.0}, "fps must be frames per second above 0 and at most 1000"),
        ({"fps": 1000.1}, "fps must be"),
        ({"fps": math.nan}, "fps must be"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"seconds": -1.0}, "seconds must be above 0"),
        ({"seconds": math.nan}, "seconds must be above 0"),
        ({"sources": []}, "no source was given"),
    ],
)
def test_extract_checks_its_options(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"v")
    with pytest.raises(ConfigError, match=said):
        extract(**{"sources": [tmp_path / "a.mp4"], "output_dir": tmp_path / "out", **given})
    assert not (tmp_path / "out").exists()


def test_extract_tells_of_each_source_and_its_failure(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"not a video")
    seen: list[Any] = []
    report = extract([tmp_path], tmp_path / "out", fps=1000.0, seconds=0.1, on_progress=lambda *v: seen.append(v))
    assert (report.sources, report.frames, len(report.errors)) == (0, 0, 2)
    begun = {Path(str(path)).name: (done, files) for path, _, _, done, files in reversed(seen)}
    assert begun == {"a.mp4": (0, 2), "b.mp4": (1, 2)}


@pytest.mark.parametrize("rate", [0.0, -1.0, 10_000.1, math.nan])
def test_frame_rates_of_imports_have_bounds(rate: float, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the frame rate must be above 0 and at most 10000"):
        dataset_import(tmp_path, tmp_path / "x.jsonl", frame_rate=rate)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="is a file; the folder of the videos is required"):
        dataset_import(tmp_path, tmp_path / "x.jsonl", videos=tmp_path / "file")


def test_prepare_and_advise_check_their_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Give only one of them"):
        dataset_prepare(tmp_path, tmp_path / "out", merge=True, force=True)
    for seed in (-1, 2**63):
        with pytest.raises(ConfigError, match="seed must be a whole number"):
            dataset_advise(tmp_path, seed=seed)
    (tmp_path / "ad").mkdir()
    (tmp_path / "ad" / "a.mp4").write_bytes(b"v")
    with pytest.raises(AdapterError):
        dataset_export(tmp_path, tmp_path / "x.jsonl", format="jsonl", only=["news"])
    with pytest.raises(StorageError, match="no dataset to merge with"):
        dataset_prepare(tmp_path, tmp_path / "new", merge=True)
    for fps in (0.0, 1000.1, math.nan):
        with pytest.raises(ConfigError, match="fps must be frames per second"):
            dataset_prepare(tmp_path, tmp_path / "new", fps=fps)
