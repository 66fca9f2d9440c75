"""Ray: videos predicted by actors of a local cluster of two workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environment import PYTHONPATH
from tiny_adapter import TinyAdapter
from tiny_videos import render_video
from waiting import until

from adapters.errors import BundleError, ConfigError
from adapters.inference import open_model, predict_videos

# Before Ray is imported: it sends usage figures otherwise.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray_host = pytest.importorskip("adapters.hosts.ray_host")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle and some videos, one of them damaged."""
    folder = tmp_path_factory.mktemp("ray")
    TinyAdapter({}).save(folder / "bundle")
    for number in range(6):
        render_video(folder / f"{number}.mp4", "warm" if number % 2 else "cold", number)
    (folder / "damaged.mp4").write_bytes((folder / "0.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    ray.init(
        address="local",  # never one that is there already
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        # This file's folder too: the workers import the class below by the name of this module.
        runtime_env={"env_vars": {"PYTHONPATH": f"{PYTHONPATH}{os.pathsep}{Path(__file__).parent}"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def predicted(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """What the library gives, as the columns that Ray's rows get."""
    results = predict_videos(open_model(folder / "bundle"), [folder / name for name in names])
    rows = [result.to_json(2) for result in results]
    return [{**row, "warnings": row.get("warnings", [])} for row in rows]


def test_two_workers_give_one_row_a_video_and_errors_are_rows(folder: Path, cluster: None) -> None:
    import ray

    names = [*(f"{number}.mp4" for number in range(6)), "damaged.mp4", "missing.mp4"]
    items = [{"path": str(folder / name), "camera": number} for number, name in enumerate(names)]
    rows = (
        ray.data.from_items(items, override_num_blocks=4)
        .map_batches(
            Watched,
            fn_constructor_kwargs={"model": str(folder / "bundle"), "folder": str(folder)},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=2,
            batch_format="pyarrow",
            num_cpus=1,
        )
        .take_all()
    )
    rows.sort(key=lambda row: row["camera"])
    assert [row["camera"] for row in rows] == list(range(8))
    for row, expected in zip(rows, predicted(folder, names), strict=True):
        assert {key: row[key] for key in ("path", "predictions", "error", "warnings")} == expected
    assert [row["error"] is None for row in rows] == [True] * 6 + [False] * 2
    loads = [path.read_text() for path in folder.glob("loaded-*")]
    assert loads == ["1", "1"]  # one load in each of two processes, with the threads of its one CPU


class Watched(ray_host.VideoPredictor):  # type: ignore[misc, name-defined]
    """Leaves a file for each load, so that the test can count them, and begins when both workers have loaded."""

    def __init__(self, model: str, folder: str) -> None:
        super().__init__(model)
        self.folder = Path(folder)
        with (self.folder / f"loaded-{os.getpid()}").open("a") as file:
            file.write(str(self.adapter.config["num_threads"]))

    def __call__(self, batch: Any) -> Any:
        until(lambda: len(list(self.folder.glob("loaded-*"))) >= 2)
        return super().__call__(batch)


def test_without_a_cluster_it_is_a_function_of_batches(folder: Path) -> None:
    import numpy as np

    predictor = ray_host.VideoPredictor(folder / "bundle", {"top_k": 1}, path_column="file")
    table = predictor({"file": np.array([str(folder / "1.mp4"), None], object), "x": np.array([1, 2])})
    first, second = table.to_pylist()
    assert first["predictions"][0]["labels"] == predicted(folder, ["1.mp4"])[0]["predictions"][0]["labels"][:1]
    assert first["x"] == 1
    assert second["error"] == "the row's file is None; a path is required"
    windows = ray_host.VideoPredictor(folder / "bundle", window_seconds=0.5)(
        {"path": np.array([str(folder / "1.mp4")])}
    )
    assert [(w["start"], w["end"]) for w in windows.to_pylist()[0]["predictions"]] == [(0.0, 0.5), (0.5, 1.0)]


def test_batches_of_nothing_but_errors_have_the_same_types(folder: Path) -> None:
    predictor = ray_host.VideoPredictor(folder / "bundle")
    good, bad = ({"path": [str(folder / name)]} for name in ("1.mp4", "missing.mp4"))
    assert predictor(good).schema == predictor(bad).schema
    assert len(predictor({"path": []})) == 0


def test_what_cannot_be_is_said(folder: Path) -> None:
    predictor = ray_host.VideoPredictor(folder / "bundle")
    with pytest.raises(ConfigError, match=r"no column 'path'; its columns: video\. "):
        predictor({"video": ["a.mp4"]})
    with pytest.raises(ConfigError, match="already has a column 'error'"):
        predictor({"path": ["a.mp4"], "error": [""]})
    with pytest.raises(ConfigError, match="top_k must be at least 1"):
        ray_host.VideoPredictor(folder / "bundle", top_k=0)
    with pytest.raises(BundleError):
        ray_host.VideoPredictor(folder / "none.tflite")
