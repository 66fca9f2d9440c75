"""Ensembles in a scan: members of single frames vote on each frame, and those votes are kept as any model's are."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from scan_helpers import render_library, save_model

from adapters.errors import TrainingError
from adapters.inference import open_model
from adapters.models.ensemble.voting import vote
from cliplab.scan import scan, score

ENSEMBLE = "adapters.models.ensemble:EnsembleAdapter"
SECONDS = 3
# How steep each member's opinion is; the last is of two minds about everything.
CONTRASTS = (0.3, 0.8, 50.0)
VOTINGS: list[tuple[str, dict[str, Any]]] = [
    ("mean", {}),
    ("weighted", {"member_weights": [3, 1, 0]}),
    ("max", {}),
    ("majority", {"threshold": 0.503}),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_library(tmp_path_factory.mktemp("library"), 3, seconds=SECONDS)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three models of frames, of other sizes and rates of their own."""
    folder = tmp_path_factory.mktemp("members")
    kinds = zip(("racing", "cinematic", "proximity"), CONTRASTS, (32, 48, 32), strict=True)
    return [save_model(folder / name, contrast=contrast, imgz=size) for name, contrast, size in kinds]


def ensemble(folder: Path, members: list[Path], **config: Any) -> Path:
    names = [str(member) for member in members]
    open_model({"adapter": ENSEMBLE, "members": names, "positive_label": "warm", **config}).save(folder)
    return folder


def rows_of(store: Path) -> dict[str, np.ndarray]:
    """Scores [rows, classes] of each video's content, as they stand in the store."""
    with sqlite3.connect(store) as database:
        found = database.execute("SELECT hex(fingerprint), classes, scores FROM scores").fetchall()
    return {key: np.frombuffer(data, np.float32).reshape(-1, classes) for key, classes, data in found}


@pytest.mark.parametrize(("voting", "options"), VOTINGS, ids=[name for name, _ in VOTINGS])
def test_members_vote_on_each_frame(
    library: Path, members: list[Path], tmp_path: Path, voting: Any, options: dict[str, Any]
) -> None:
    bundle = ensemble(tmp_path / "ensemble", members, voting=voting, **options)
    scan(library, bundle, output=tmp_path / "together.json", store=tmp_path / "together.db", min_score=0, label="warm")
    found, each = rows_of(tmp_path / "together.db"), []
    for number, member in enumerate(members):
        output, store = tmp_path / f"{number}.json", tmp_path / f"{number}.db"
        scan(library, member, output=output, store=store, min_score=0, label="warm")
        each.append(rows_of(store))
    assert len(found) == 3
    for content, rows in found.items():
        own = np.stack([scores[content] for scores in each])
        assert rows.shape == (SECONDS, 2) == own[0].shape, "one per second, and not one a clip"
        weights = options.get("member_weights")
        expected = vote(own, voting, weights=weights, positive=1, threshold=options.get("threshold", 0.5))
        # Members of another size see frames that were scaled twice.
        np.testing.assert_allclose(rows, expected, atol=0.02)
    written = json.loads((tmp_path / "together.json").read_text())
    assert written["sampling"] == {"mode": "fps", "fps": 1.0}
    first, *rest = written["highlights"]
    assert Path(first["path"]).name in ("000.mp4", "002.mp4")
    assert len(rest) == 2
    assert first["score"] > 0.1 + rest[-1]["score"]


def test_another_aggregation_of_the_votes_decodes_nothing(library: Path, members: list[Path], tmp_path: Path) -> None:
    bundle = ensemble(tmp_path / "ensemble", members, voting="max")
    first = scan(library, bundle, output=tmp_path / "out.json", min_score=0, label="warm")
    again = scan(library, bundle, output=tmp_path / "out.json", min_score=0.5, label="warm", aggregation="max")
    assert (first.scored, again.scored) == (3, 0)
    assert again.highlights == 2


def test_members_of_which_one_sees_clips_score_windows(library: Path, members: list[Path], tmp_path: Path) -> None:
    clips = save_model(tmp_path / "clips", adapter="tiny_adapter:TinyAdapter", n_frames=4)
    bundle = ensemble(tmp_path / "ensemble", [members[0], clips], window_seconds=1.5, stride_seconds=1.5)
    scan(library, bundle, output=tmp_path / "out.json", min_score=0, label="warm")
    assert all(rows.shape == (2, 2) for rows in rows_of(tmp_path / "scan.db").values())


def test_racing_cinematic_and_proximity(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ready config, in the folder that holds the three bundles; then as a bundle that needs them no more."""
    for name, contrast in zip(("racing", "cinematic", "proximity"), CONTRASTS, strict=True):
        save_model(tmp_path / name, contrast=contrast, labels=["normal", "highlight"], positive_label="highlight")
    monkeypatch.chdir(tmp_path)
    video = library / "day0" / "000.mp4"
    alone = [score(video, name).score for name in ("racing", "cinematic", "proximity")]
    result = cli("score", video, "drone_ensemble", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["score"] == pytest.approx(np.mean(alone), abs=1e-5)
    open_model("drone_ensemble").save("together")
    for name in ("racing", "cinematic", "proximity"):
        (tmp_path / name).rename(tmp_path / f"{name}_elsewhere")
    result = cli("scan", library, "together", "--min-score", "0.5")
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "highlights.json").read_text())
    by_name = {Path(row["path"]).name: row["score"] for row in written["highlights"]}
    assert set(by_name) == {"000.mp4", "002.mp4"}
    assert by_name["000.mp4"] == pytest.approx(np.mean(alone), abs=1e-5)
    with pytest.raises(TrainingError, match="its members are"):
        open_model("together").train(tmp_path, tmp_path / "never")
