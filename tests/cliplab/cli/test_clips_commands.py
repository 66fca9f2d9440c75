"""`cliplab clips`: each command as a person types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import cli

pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

from adapters.errors import install_command
from cliplab.clips import ClipManager


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clips.db"
    with ClipManager(path) as manager:
        for n in range(3):
            (tmp_path / f"{n}.mp4").touch()
            manager.register_clip(tmp_path / f"{n}.mp4", n, n + 30.0, 0.5, "audio", {"tempo": n})
    return path


def run(*arguments: Any, code: int = 0) -> Any:
    result = cli("clips", *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_rate_tag_list_and_count(database: Path) -> None:
    assert run("rate", 2, 4, "--database", database)["rating"] == 4
    assert run("tag", 2, "goal", "crowd", "--database", database)["tags"] == ["crowd", "goal"]
    assert run("tag", 2, "crowd", "--remove", "--database", database)["tags"] == ["goal"]
    assert [clip["id"] for clip in run("list", "--database", database)] == [3, 2, 1]
    assert [clip["id"] for clip in run("list", "--database", database, "--rating", ">= 4")] == [2]
    assert [clip["id"] for clip in run("list", "--database", database, "--unrated")] == [3, 1]
    stats = run("stats", "--database", database)
    assert (stats["total_clips"], stats["rated_clips"]) == (3, 1)
    assert not stats["training"]["ready_for_training"]
    shown = cli("clips", "list", "--database", database).stdout
    assert "****" in shown
    assert "goal" in shown
    assert "9 more rated clips are needed" in cli("clips", "stats", "--database", database).stdout
    assert run("rate", 2, "none", "--database", database)["rating"] is None


def test_a_type_or_a_clip_that_does_not_exist_is_named(database: Path) -> None:
    refused = cli("clips", "list", "--type", "sound", "--database", database, code=1)
    assert "must be one of audio, video, got 'sound'" in refused.stderr
    refused = cli("clips", "tag", 9, "goal", "--remove", "--database", database, code=1)
    assert "clip 9 is not in the database" in refused.stderr


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_ratings_travel_as_files(database: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs the clips extra: pip install 'cliplab[clips]'")
    run("rate", 1, 5, "--database", database, "--confidence", 0.5)
    run("rate", 1, 3, "--database", database, "--rater", 'bob, "the" builder')
    file = tmp_path / f"ratings.{suffix}"
    assert run("export", file, "--database", database)["ratings"] == 2
    assert cli("clips", "export", file, "--database", database).exit_code == 1, "what exists is not replaced"
    other = tmp_path / "other.db"
    with ClipManager(other) as manager:
        manager.register_clip("/elsewhere/0.mp4", 0, 30.0, 0.5, "audio", {})
    first, again = (run("import", file, "--database", other) for _ in range(2))
    assert (first["stored"], first["repeated"], first["problems"]) == (2, 0, [])
    assert (again["stored"], again["repeated"]) == (0, 2)
    with ClipManager(other) as manager:
        assert manager.get_clip(1).rating == 3


def test_a_file_of_ones_own_database_changes_nothing(database: Path, tmp_path: Path) -> None:
    """Also after a rating was changed or taken back: the later word stays."""
    file = tmp_path / "ratings.json"
    for clip, stars in ((1, 5), (2, 2), (3, 4)):
        run("rate", clip, stars, "--database", database)
    run("export", file, "--database", database)
    report = run("import", file, "--database", database)
    assert (report["stored"], report["repeated"]) == (0, 3)
    run("rate", 1, 1, "--database", database)
    run("rate", 2, "none", "--database", database)
    report = run("import", file, "--database", database)
    assert (report["stored"], report["repeated"]) == (0, 3)
    assert [clip["rating"] for clip in run("list", "--database", database)] == [4, None, 1]
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([rows[2] | {"stars": 3, "rated_at": "2999-01-01T00:00:00.000Z"}]))
    assert run("import", file, "--database", database)["stored"] == 1
    assert run("list", "--database", database)[0]["rating"] == 3


def test_rows_that_are_no_ratings_are_named(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(
        "filepath,start_time,end_time,stars\n"
        f"{tmp_path}/0.mp4,0,30,6\nnowhere.mp4,0,30,5\n{tmp_path}/1.mp4,one,31,5\n{tmp_path}/2.mp4,2,32,4\n"
    )
    report = run("import", file, "--database", database, code=1)
    assert report["stored"] == 1
    assert [("row 1" in text, "row 2" in text, "row 3" in text) for text in report["problems"]] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    file.write_text("a,b\n1,2\n")
    failed = cli("clips", "import", file, "--database", database)
    assert failed.exit_code == 1
    assert "no column filepath" in failed.output


def test_parquet_names_the_extra_that_it_needs(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "ratings.parquet").write_bytes(b"PAR1")
    for command in (("import", tmp_path / "ratings.parquet"), ("export", tmp_path / "new.parquet")):
        failed = cli("clips", *command, "--database", database)
        assert failed.exit_code != 0
        assert install_command("clips") in failed.stderr


def test_cleanup_backup_and_reset(database: Path, tmp_path: Path) -> None:
    (tmp_path / "0.mp4").unlink()
    assert run("cleanup", "--database", database, "--dry-run") == {"missing": 1, "removed": 0}
    assert run("cleanup", "--database", database) == {"missing": 1, "removed": 1}
    copy = Path(run("backup", "--database", database, "--output", tmp_path / "copy.db")["path"])
    would = run("reset", "--database", database)
    assert (would["removed"], would["backup"], would["total_clips"]) == (False, None, 2)
    assert run("stats", "--database", database)["total_clips"] == 2
    done = run("reset", "--database", database, "--force")
    assert (done["removed"], done["total_clips"]) == (True, 2)
    assert run("stats", "--database", database)["total_clips"] == 0
    assert run("stats", "--database", copy)["total_clips"] == 2
    assert run("stats", "--database", done["backup"])["total_clips"] == 2
    assert run("reset", "--database", copy, "--force", "--no-backup")["backup"] is None


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("rate", 1, 6), "from 1 (Poor) to 5"),
        (("rate", 1, "good"), "1 to 5, or none"),
        (("rate", 99, 5), "clip 99"),
        (("rate", 1, 5, "--rater", ""), "rater"),
        (("list", "--rating", "high"), "a filter by rating"),
        (("list", "--limit", 0), "limit"),
        (("export", "ratings.xlsx"), "X.csv"),
        (("train",), "training needs 10"),
    ],
)
def test_wrong_usage_says_what_is_allowed(database: Path, arguments: tuple[Any, ...], said: str) -> None:
    result = cli("clips", *arguments, "--database", database)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    "command",
    ["list", "rate 1 5", "tag 1 goal", "stats", "features", "train", "extend 1 --after-seconds 1",
     "export ratings.csv", "import ratings.csv", "cleanup", "backup", "reset"],
)  # fmt: skip
def test_a_misspelt_database_is_named_and_not_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("clip,rater,rating\n1,ann,5\n")
    if command.startswith("export"):
        (tmp_path / "ratings.csv").unlink()
    before = sorted(tmp_path.iterdir())
    result = cli("clips", *command.split(), "--database", "clip.db", code=1)
    assert "clip.db: there is no clip database" in result.stderr
    assert "--database" in result.stderr
    assert sorted(tmp_path.iterdir()) == before
