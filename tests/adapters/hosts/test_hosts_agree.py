"""One awkward file through every host: the same scores."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from command_line import cli, python
from environment import environment as process_environment
from http_server import PATIENT, http_host
from media_patterns import write_video
from pixel_adapter import PixelAdapter

from adapters.errors import install_command
from adapters.inference import open_model, predict_videos
from adapters.media import open_video

CONFIG = {"adapter": "pixel_adapter:PixelAdapter", "top_k": 2}
# Before their platforms are imported: they send usage figures otherwise.
os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0"})
# Frames are shown for 1 to 9 hundredths of a second, and one for half a second.
TICKS = np.cumsum([0, *np.random.default_rng(1).integers(1, 10, 20), 50, *np.random.default_rng(2).integers(1, 10, 20)])

Scores = dict[str, float]


def write_clip(path: Path, turned: bool = True, even: bool = False, square: bool = False) -> Path:
    """A video of moving patterns: turned by a quarter, at a variable rate, with pixels of 2:3; or each of it not."""
    y, x = np.mgrid[:96, :120]
    pictures = [
        np.stack([(x * 2 + 5 * n) % 256, (y * 2 - 3 * n) % 256, ((x + y) * (1 + n % 3)) % 256], -1).astype(np.uint8)
        for n in range(len(TICKS))
    ]

    def prepare(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(1, 1) if square else Fraction(2, 3)
        stream.set_display_rotation(-90 if turned else 0)

    ticks = [3 * n for n in range(len(TICKS))] if even else [int(tick) for tick in TICKS]
    return write_video(path, pictures, time_base=Fraction(1, 100), ticks=ticks, options={"crf": "5"}, prepare=prepare)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agree")
    PixelAdapter(CONFIG).save(folder / "bundle")
    write_clip(folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return process_environment()


@pytest.fixture(scope="module")
def expected(folder: Path) -> Scores:
    return direct(folder, folder / "clip.mp4")


def direct(folder: Path, clip: Path) -> Scores:
    (result,) = predict_videos(open_model(folder / "bundle"), [clip])
    assert result.error is None
    return {item.label: item.score for item in result.predictions[0].top_k(2)}


def of_labels(rows: list[dict[str, Any]]) -> Scores:
    """[{"label", "score"}], as many hosts give it."""
    return {row["label"]: row["score"] for row in rows}


def shell(folder: Path, environment: dict[str, str]) -> Scores:
    done = cli("predict", folder / "bundle", folder / "clip.mp4", "--json", code=0, process=True, cwd=folder)
    return of_labels(json.loads(done.stdout)[0]["predictions"][0]["labels"])


def http(folder: Path, environment: dict[str, str]) -> Scores:
    with http_host([folder / "bundle"]) as host, (folder / "clip.mp4").open("rb") as file:
        rows = httpx.post(f"{host.url}/v1/videos", files={"file": file}, timeout=PATIENT).json()
        file.seek(0)
        shaped = httpx.post(f"{host.url}/v1/videos?shape=hf", files={"file": file}, timeout=PATIENT).json()
    found = of_labels(rows[0]["predictions"][0]["labels"])
    assert of_labels(shaped) == found
    return found


def mlflow(folder: Path, environment: dict[str, str]) -> Scores:
    host = pytest.importorskip("adapters.hosts.mlflow_host")
    import mlflow.pyfunc
    import pandas as pd

    host.save_model(folder / "bundle", folder / "mlflow")
    model = mlflow.pyfunc.load_model(str(folder / "mlflow"))
    data = pd.DataFrame({"path": [str(folder / "clip.mp4"), None], "video": [None, (folder / "clip.mp4").read_bytes()]})
    by_path, by_bytes = (of_labels(found[0]["labels"]) for found in model.predict(data)["predictions"])
    assert by_path == by_bytes
    return by_path


def ray(folder: Path, environment: dict[str, str]) -> Scores:
    host = pytest.importorskip("adapters.hosts.ray_host")
    import ray

    variables = {"env_vars": {"PYTHONPATH": environment["PYTHONPATH"]}}
    ray.init(
        address="local",  # never one that is there already
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env=variables,
    )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        dataset = ray.data.from_items([{"path": str(folder / "clip.mp4")}])
        (row,) = dataset.map_batches(
            host.VideoPredictor,
            fn_constructor_kwargs={"model": str(folder / "bundle")},
            compute=ray.data.ActorPoolStrategy(size=1),
        ).take_all()
    finally:
        ray.shutdown()
    return of_labels(row["predictions"][0]["labels"])


def label_studio(folder: Path, environment: dict[str, str]) -> Scores:
    controls = "".join(f'<Choices name="{n}" toName="v"><Choice value="{n}"/></Choices>' for n in ("cold", "warm"))
    body = {
        "label_config": f'<View><Video name="v" value="$video"/>{controls}</View>',
        "tasks": [{"id": 1, "data": {"video": "/data/local-files/?d=clip.mp4"}}],
    }
    with http_host([folder / "bundle"], "--root", folder, kind="label-studio") as host:
        (prediction,) = httpx.post(f"{host.url}/predict", json=body, timeout=PATIENT).json()["results"]
    return {region["value"]["choices"][0]: region["score"] for region in prediction["result"]}


def dataloop(folder: Path, environment: dict[str, str]) -> Scores:
    pytest.importorskip("dtlpy")
    from dataloop_gateway.client import logged_in
    from dataloop_gateway.server import gateway
    from dataloop_gateway.videos import confidence, make_world

    media = folder / "media"
    media.mkdir()
    with gateway() as served, logged_in(served, folder / "dataloop") as dl:
        from adapters.hosts.dataloop_host import ModelAdapter

        world = make_world(served, dl, media)
        world.items["/clip.mp4"] = world.state.add_item(world.dataset, "/clip.mp4", folder / "clip.mp4", {})["id"]
        model = world.add_model("pixels", {**CONFIG, "labels": ["cold", "warm"]})
        adapter = ModelAdapter(model_entity=dl.models.get(model_id=model))
        adapter.predict_items(items=world.get(["/clip.mp4"]))
        return {annotation["label"]: confidence(annotation) for annotation in world.predicted("/clip.mp4")}


@pytest.mark.parametrize("host", [shell, http, mlflow, ray, label_studio, dataloop], ids=lambda host: host.__name__)
def test_every_host_gives_the_scores_of_a_direct_prediction(
    host: Callable[[Path, dict[str, str]], Scores], folder: Path, environment: dict[str, str], expected: Scores
) -> None:
    assert host(folder, environment) == pytest.approx(expected, abs=1e-6)


def test_the_clip_is_what_it_should_be_and_each_of_it_shows_in_the_scores(folder: Path, expected: Scores) -> None:
    """A host that lost the rotation, the times or the shape of the pixels would be found out."""
    with open_video(folder / "clip.mp4") as video:
        assert (video.info.rotation_degrees, video.info.sample_aspect_ratio) == (90, pytest.approx(2 / 3))
        gaps = np.diff([time for time, _ in video.frames()])
    assert gaps.min() == pytest.approx(0.01)
    assert gaps.max() == pytest.approx(0.5)
    for number, changes in enumerate(({"turned": False}, {"even": True}, {"square": True})):
        other = direct(folder, write_clip(folder / f"other{number}.mp4", **changes))
        assert abs(other["warm"] - expected["warm"]) > 1e-3, changes


@pytest.mark.parametrize("host, package, extra", [("mlflow", "mlflow", "registry"), ("ray", "ray", "scale")])
def test_a_missing_platform_is_named_with_the_command_that_installs_it(host: str, package: str, extra: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import adapters.hosts.{host}_host"
    done = python(code)
    assert done.exit_code == 1
    assert f"{package} is not installed, but this needs it. Install it with: {install_command(extra)}" in done.stderr
