"""Our adapter on the imitated service, training, embedding and evaluating, with small networks of our own."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dataloop_gateway.client import logged_in
from dataloop_gateway.query import Json
from dataloop_gateway.server import gateway
from dataloop_gateway.snapshots import check_snapshot
from dataloop_gateway.videos import LABELS, World, confidence, make_world, times

from adapters.errors import AdapterError
from adapters.inference import read_config
from adapters.records import InputSpec

SMALL = {
    "adapter": "small_network:SmallNetworkAdapter",
    "weights": "random",
    "head": [{"units": 256, "activation": "relu"}, {"dropout": 0.3}],
    "imgz": 64,
    "n_frames": 4,
    "top_k": 2,
    "augment_views": 0,
    "num_epochs": 3,
    "learning_rate": 0.01,
}
TINY = {"adapter": "tiny_adapter:TinyAdapter", "labels": ["cold", "warm"], "top_k": 1}
# As the contract suite has it, so that both need one conversion.
MOVINET = {**read_config("movinet_a0_base"), "weights": "random", "imgz": 32, "n_frames": 2}


class Progress:
    """What the platform hands to a function of a model, for it to say how far it is."""

    def __init__(self) -> None:
        self.updates: list[Json] = []

    def update(self, **said: Any) -> None:
        self.updates.append(said)


@pytest.fixture(scope="module")
def world(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One project for all tests; afterwards nothing lies in the working directory."""
    cwd = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch, gateway() as served:
        patch.chdir(cwd)
        with logged_in(served, tmp_path_factory.mktemp("dataloop")) as dl:
            yield make_world(served, dl, tmp_path_factory.mktemp("media"))
    assert list(cwd.iterdir()) == []


@pytest.fixture(autouse=True)
def _no_faults(world: World) -> None:
    world.gateway.faults.planned.clear()


@pytest.fixture(scope="module")
def trained(world: World) -> tuple[str, Progress, list[Json]]:
    """A small network that was trained through dtlpy: its id, what was told on the way, the PATCHes."""
    model, progress = world.add_model("lite0", SMALL), Progress()
    runner(world, model).train_model(model=world.dl.models.get(model_id=model), progress=progress)
    return model, progress, [request.body for request in world.state.asked("PATCH", model)]


def runner(world: World, model: str) -> Any:
    from adapters.hosts.dataloop_host import ModelAdapter

    return ModelAdapter(model_entity=world.dl.models.get(model_id=model))


def test_training_goes_from_training_to_trained(world: World, trained: tuple[str, Progress, list[Json]]) -> None:
    model, progress, patches = trained
    assert world.state.models[model]["status"] == "trained"
    statuses = [patch["status"] for patch in patches]
    assert statuses == sorted(statuses, key=["pre-trained", "training", "trained"].index)
    shares = [said["progress"] for said in progress.updates if "progress" in said]
    assert shares == [33, 66, 100, 99], "each epoch, and what dtlpy says of the saving"
    last = {**patches[-1], "artifacts": patches[-1]["artifacts"][:1]}
    check_snapshot("patches_of_a_training", [patches[0], last])


def test_the_plots_come_epoch_by_epoch_while_it_trains(world: World, trained: tuple[str, Progress, list[Json]]) -> None:
    model, _, _ = trained
    sent = [r for r in world.state.asked("POST", "/ml/metrics/publish") if r.body[0]["modelId"] == model]
    assert [request.body[0]["data"]["x"] for request in sent] == [1, 2, 3]
    plots = {(sample["figure"], sample["legend"]) for request in sent for sample in request.body}
    assert plots == {(figure, legend) for figure in ("loss", "accuracy") for legend in ("train", "validation")}
    done = next(r for r in world.state.asked("POST", "/items") if r.body["path"].startswith("/artifacts/models/lite0/"))
    assert sent[-1].ended < done.started, "the last epoch is there before the model is saved"
    json.dumps([request.body for request in sent], allow_nan=False)
    first = [{**sample, "data": dict.fromkeys(sample["data"], "<number>")} for sample in sent[0].body]
    check_snapshot("figures_of_an_epoch", first)


def test_the_order_of_labels_is_one_in_model_bundle_and_predictions(
    world: World, trained: tuple[str, Progress, list[Json]]
) -> None:
    model, _, _ = trained
    stored = world.state.models[model]
    assert stored["labels"] == list(LABELS)
    assert stored["configuration"]["id_to_label_map"] == {str(i): label for i, label in enumerate(LABELS)}
    again = runner(world, model)
    assert again.adapter.labels == LABELS, "from the artifacts that were uploaded"
    places = [f"/validation/{kind}{seed}.mp4" for kind in LABELS for seed in range(2)]
    again.predict_items(items=world.get(places))
    best = [world.predicted(place)[0]["label"] for place in places]
    assert best == [label for label in LABELS for _ in range(2)]
    for place in places:
        assert sum(map(confidence, world.predicted(place))) == pytest.approx(1, abs=1e-4)


def test_the_artifacts_are_a_bundle(world: World, trained: tuple[str, Progress, list[Json]], tmp_path: Path) -> None:
    from adapters.inference import open_model

    binaries = world.state.binaries(world.project)["id"]
    for item in world.state.items_of(binaries):
        if item["filename"].startswith("/artifacts/models/lite0/"):
            file = tmp_path / item["filename"].removeprefix("/artifacts/models/lite0/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(world.state.files[item["id"]])
    assert open_model(tmp_path).labels == LABELS
    sent = [r.body for r in world.state.asked("POST", f"{binaries}/items") if r.body["path"].endswith("/bundle.json")]
    check_snapshot("upload_of_an_artifact", {**sent[0], "file": "<bytes>"})
    stray = {path.name for path in tmp_path.iterdir()} - {"bundle.json", "config.json", "card.md", "metrics.json"}
    assert stray <= {"programs", "weights.safetensors", "golden.npz", "curves"}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dtlpymetrics, of pandas
def test_the_trained_model_is_evaluated(world: World, trained: tuple[str, Progress, list[Json]]) -> None:
    model, before = trained[0], len(world.state.metrics)
    filters = world.dl.Filters(field="dir", values="/validation")
    entity = world.dl.models.get(model_id=model)
    dataset = world.dl.datasets.get(dataset_id=world.dataset)
    runner(world, model).evaluate_model(model=entity, dataset=dataset, filters=filters)
    figures = {sample["legend"]: sample["data"]["y"] for sample in world.state.metrics[before:]}
    assert figures["accuracy"] == 1
    assert all(value >= 0 for value in figures.values())


def test_features_are_uploaded(world: World, trained: tuple[str, Progress, list[Json]]) -> None:
    model = trained[0]
    items = world.get(["/train/warm0.mp4", "/train/cold0.mp4"])
    runner(world, model).embed_items(items=items)
    vectors = {v["entityId"]: v["value"] for v in world.state.vectors.values()}
    assert list(vectors) == [item.id for item in items]
    (feature_set,) = world.state.feature_sets.values()
    assert {len(value) for value in vectors.values()} == {feature_set["size"]} == {256}
    (sent,) = world.state.asked("POST", "/features/vectors")
    check_snapshot("upload_of_features", [{**vector, "value": "<numbers>"} for vector in sent.body])


def test_a_picture_gets_its_label_without_times(world: World, trained: tuple[str, Progress, list[Json]]) -> None:
    """A model of single frames takes pictures too."""
    import cv2
    from tiny_videos import render_video

    from adapters.media import open_video

    with tempfile.TemporaryDirectory() as folder:
        video = render_video(Path(folder) / "clip.mp4", "cold", 300)
        with open_video(video) as opened:
            (clip,) = opened.clips(InputSpec(height=64, width=64, n_frames=1))
    picture = cv2.imencode(".png", clip.frames[0][..., ::-1])[1].tobytes()
    world.items["/picture.png"] = world.state.add_item(world.dataset, "/picture.png", picture)["id"]
    runner(world, trained[0]).predict_items(items=world.get(["/picture.png"]))
    best = world.predicted("/picture.png")[0]
    assert best["label"] == "cold"
    assert best["metadata"]["system"].pop("model")["confidence"] > 0.5
    check_snapshot("annotation_of_a_picture", {**best, "metadata": best["metadata"]["system"]})


@pytest.fixture
def one_subset() -> Json:
    """dtlpy waits two seconds for the download of each."""
    return {"train": {"filter": {"$and": [{"dir": "/train"}]}}}


def test_a_training_that_fails_says_so_to_the_platform(world: World, one_subset: Json) -> None:
    """Here of labels that the model was not made for. dtlpy alone would leave the status at training."""
    model = world.add_model(
        "broken", {**TINY, "labels": ["left", "right"], "positive_label": "left"}, subsets=one_subset
    )
    with pytest.raises(AdapterError, match="warm"):
        runner(world, model).train_model(model=world.dl.models.get(model_id=model))
    assert world.state.models[model]["status"] == "failed"
    assert world.state.models[model]["artifacts"] == []


def test_a_training_whose_model_does_not_arrive_is_failed(world: World, one_subset: Json) -> None:
    """dtlpy alone logs it and says that the model is trained."""
    model = world.add_model("unsaved", TINY, subsets=one_subset)
    binaries = world.state.binaries(world.project)["id"]
    world.gateway.faults.fail("POST", f"/datasets/{binaries}/items")
    with pytest.raises(AdapterError, match=r"are not on the platform.*bundle\.json"):
        runner(world, model).train_model(model=world.dl.models.get(model_id=model))
    assert world.state.models[model]["status"] == "failed"


def test_figures_that_cannot_be_published_do_not_end_a_training(world: World, one_subset: Json) -> None:
    model = world.add_model("plain", TINY, subsets=one_subset)
    world.gateway.faults.fail("POST", "/ml/metrics/publish")
    runner(world, model).train_model(model=world.dl.models.get(model_id=model))
    assert world.state.models[model]["status"] == "trained"


def test_artifacts_that_do_not_come_or_are_damaged_are_refused(
    world: World, trained: tuple[str, Progress, list[Json]]
) -> None:
    binaries = world.state.items_of(world.state.binaries(world.project)["id"])
    weights = next(i["id"] for i in binaries if i["filename"] == "/artifacts/models/lite0/weights.safetensors")
    world.gateway.faults.fail("GET", f"/items/{weights}/stream", status=404)
    with pytest.raises(AdapterError, match="'lite0' cannot be downloaded"):
        runner(world, trained[0])
    world.gateway.faults.planned.clear()
    whole = world.state.files[weights]
    world.state.files[weights] = b"\0" + whole[1:]
    try:
        with pytest.raises(AdapterError, match=r"weights\.safetensors: is damaged"):
            runner(world, trained[0])
    finally:
        world.state.files[weights] = whole


def test_an_item_that_does_not_come_is_left_out_of_training_and_logged(
    world: World, one_subset: Json, caplog: pytest.LogCaptureFixture
) -> None:
    item = world.items["/train/cold1.mp4"]
    model = world.add_model("fewer", TINY, subsets=one_subset)
    world.gateway.faults.fail("GET", f"/items/{item}/stream", status=404)
    runner(world, model).train_model(model=world.dl.models.get(model_id=model))
    assert world.state.models[model]["status"] == "trained"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(item in message and "failed on request" in message for message in said)


def test_a_runner_that_is_used_again_trains_on_the_present_labels(world: World, one_subset: Json) -> None:
    """dtlpy alone finds its folder of the first time, and trains on that."""
    model = world.add_model("twice", TINY, subsets=one_subset)
    adapter = runner(world, model)
    adapter.train_model(model=world.dl.models.get(model_id=model))
    (annotation,) = world.state.annotations_of(world.items["/train/cold0.mp4"])
    annotation["label"] = "lukewarm"
    try:
        with pytest.raises(AdapterError, match="lukewarm"):
            adapter.train_model(model=world.dl.models.get(model_id=model))
    finally:
        annotation["label"] = "cold"


def test_a_movinet_predicts_a_timeline(world: World) -> None:
    model = world.add_model("a0", {**MOVINET, "window_seconds": 0.5}, labels=[])
    adapter = runner(world, model)
    adapter.predict_items(items=world.get(["/train/warm1.mp4"]))
    found = world.predicted("/train/warm1.mp4")
    assert len(adapter.adapter.labels) == 600
    assert {annotation["label"] for annotation in found} <= set(adapter.adapter.labels)
    assert (min(times(a)[0] for a in found), max(times(a)[1] for a in found)) == (0, 1)
    assert all(0 < confidence(annotation) < 1 for annotation in found)
