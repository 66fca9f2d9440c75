"""Real footage: a model that is trained here is right on sources that it has never seen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from adapters.inference import open_model, predict_videos
from adapters.media import probe

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

# So few sources that none is spared for validation: a fixed number of epochs instead of early stopping.
SETTINGS = {
    "labels": ["live", "graphics"],
    "positive_label": "graphics",
    "n_frames": 4,
    "augment_views": 0,
    "num_epochs": 20,
}
WINDOW_SECONDS = 3.0
WINDOWS = 3


def footage(shared: Path) -> list[tuple[Path, str]]:
    with (shared / "media" / "footage.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [(shared / "media" / "footage" / row["file"], row["label"]) for row in rows]


def write_fold(path: Path, sources: list[tuple[Path, str]]) -> Path:
    """Windows of each source, all of them to train on."""
    rows = []
    for source, label in sources:
        seconds = probe(source).duration_seconds or WINDOW_SECONDS
        for number in range(min(WINDOWS, max(1, int(seconds / WINDOW_SECONDS)))):
            start = number * WINDOW_SECONDS
            times = {"start_seconds": start, "end_seconds": start + WINDOW_SECONDS}
            rows.append({"path": str(source), "label": label, "split": "train", **times})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_right_on_unseen_sources(shared: Path, lite0_cache: None, tmp_path: Path) -> None:
    """Three folds over sixteen sources: each is judged once, by a model of the others."""
    sources = footage(shared)
    right = {}
    for fold in range(3):
        unseen = sources[fold::3]
        data = write_fold(tmp_path / f"fold{fold}.jsonl", [source for source in sources if source not in unseen])
        model = open_model("efficientnet_lite0", SETTINGS)
        model.train(data, tmp_path / f"model{fold}")
        for (path, label), result in zip(unseen, predict_videos(model, [path for path, _ in unseen]), strict=True):
            assert result.error is None
            right[path.name] = result.predictions[0].top_k(1)[0].label == label
    assert len(right) == len(sources)
    assert sum(right.values()) >= len(right) - 1, right
