"""The imitation of the Dataloop service carries the unmodified dtlpy through all that a model adapter does there.

The adapter here is a trivial one, so that what fails here is the gateway; test_dataloop_gateway_host.py has ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dataloop_gateway.client import logged_in
from dataloop_gateway.query import matches, page
from dataloop_gateway.routes import ROUTES
from dataloop_gateway.server import Gateway, gateway
from dataloop_gateway.state import State
from waiting import until

# What dtlpy would write into the model's configuration while it constructs an adapter (ml/base_model_adapter.py).
DEFAULTS = {"include_background": False, "upload_annotations": True, "clean_annotations": True, "batch_size": 2}


@dataclass
class World:
    """A service with a project, a dataset of four short texts in two folders, and a model."""

    gateway: Gateway
    dl: Any
    project: str
    dataset: str
    items: list[str]
    model: str

    @property
    def state(self) -> State:
        return self.gateway.state


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Any]]:
    with gateway() as served, logged_in(served, tmp_path_factory.mktemp("dataloop")) as dl:
        yield served, dl


@pytest.fixture
def world(client: tuple[Gateway, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")  # dtlpymetrics writes beside the working directory
    served, dl = client
    served.faults.planned.clear()
    state = served.state
    state.requests.clear()
    project = state.add_project()["id"]
    dataset = state.add_dataset(project, "texts", ("cold", "warm"))["id"]
    items = []
    for number, folder in enumerate(("train", "train", "validation", "validation")):
        label = ("cold", "warm")[number % 2]
        items.append(state.add_item(dataset, f"/{folder}/{number}.txt", f"{label} {number}".encode())["id"])
        state.add_class(items[-1], label)
    subsets = {name: {"filter": {"$and": [{"dir": f"/{name}"}]}} for name in ("train", "validation")}
    model = state.add_model(project, "trivial", dict(DEFAULTS), datasetId=dataset, subsets=subsets, inputType="item")
    return World(served, dl, project, dataset, items, model["id"])


def make_adapter(world: World) -> Any:
    """An adapter that reads the label off the text, and keeps a file as its weights."""
    dl = world.dl

    class Trivial(dl.BaseModelAdapter):  # type: ignore[misc, name-defined]
        def load(self, local_path: str, **kwargs: Any) -> None:
            weights = Path(local_path) / "deep" / "weights.txt"
            self.model = weights.read_text() if weights.exists() else "none"

        def save(self, local_path: str, **kwargs: Any) -> None:
            (Path(local_path) / "deep").mkdir(parents=True, exist_ok=True)
            (Path(local_path) / "deep" / "weights.txt").write_text(self.model)

        def train(self, data_path: str, output_path: str, **kwargs: Any) -> None:
            self.seen = sorted(str(p.relative_to(data_path)) for p in Path(data_path).rglob("*") if p.is_file())
            self.model = "trained"
            sample = dl.PlotSample(figure="loss", legend="train", x=1, y=0.5)
            self.model_entity.metrics.create(samples=sample, dataset_id=self.model_entity.dataset_id)
            kwargs["on_epoch_end_callback"](0, 1)

        def convert_from_dtlpy(self, data_path: str, **kwargs: Any) -> None:
            pass

        def predict(self, batch: list[Any], **kwargs: Any) -> list[Any]:
            return [self._annotate(item) for item in batch]

        def _annotate(self, item: Any) -> Any:
            label = item.download(save_locally=False).read().decode().split()[0]
            found = dl.AnnotationCollection()
            about = {"name": self.model_entity.name, "model_id": self.model_entity.id, "confidence": 0.9}
            found.add(dl.Classification(label=label), model_info=about)
            return found

        def embed(self, batch: list[Any], **kwargs: Any) -> list[Any]:
            return [[float(len(item.name)), 1.0] for item in batch]

    return Trivial(model_entity=dl.models.get(model_id=world.model))


def test_every_route_is_made_from_a_place_in_dtlpy_that_is_there(client: tuple[Gateway, Any]) -> None:
    """After an update of dtlpy this says which imitation to look at again."""
    root = Path(client[1].__file__).parent
    gone = []
    for route in ROUTES:
        for place in route.places:
            file, name = place.split(": ")
            owner, method = name.split(".")
            source = (root / file).read_text(encoding="utf-8")
            body = re.search(rf"^class {owner}\b.*?(?=^class |\Z)", source, re.S | re.M)
            if body is None or not re.search(rf"\bdef {method}\b", body[0]):
                gone.append(f"{route.method} {route.path}: {place}")
    assert not gone


def test_an_unknown_route_fails_by_its_method_and_path(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"DELETE /datasets/7"), gateway() as served:  # noqa: SIM117
        with logged_in(served, tmp_path) as dl, pytest.raises(dl.exceptions.NotFound):
            dl.client_api.check_response(*dl.client_api.gen_request("delete", "/datasets/7"))


def test_logging_in_leaves_no_trace_in_dtlpy(client: tuple[Gateway, Any], tmp_path: Path) -> None:
    outer, dl = client
    with gateway() as served, logged_in(served, tmp_path):
        assert dl.client_api.environment == served.url
    assert dl.client_api.environment == outer.url


def test_predict_items_uploads_annotations(world: World) -> None:
    items = [world.dl.items.get(item_id=key) for key in world.items]
    _, annotations = make_adapter(world).predict_items(items=items)
    assert len(annotations) == 4
    ours = [a for key in world.items for a in world.state.annotations_of(key) if "model" in a["metadata"]["system"]]
    assert [a["label"] for a in ours] == ["cold", "warm", "cold", "warm"]
    make_adapter(world).predict_items(items=items)
    assert len(world.state.annotations_of(world.items[0])) == 2, (
        "earlier predictions are replaced, a person's label stays"
    )


def test_predict_dataset_takes_the_items_of_a_filter(world: World) -> None:
    dataset = world.dl.datasets.get(dataset_id=world.dataset)
    filters = world.dl.Filters(field="dir", values="/train")
    make_adapter(world).predict_dataset(dataset=dataset, filters=filters)
    assert [len(world.state.annotations_of(key)) for key in world.items] == [2, 2, 1, 1]


def test_train_model_downloads_subsets_and_uploads_artifacts(world: World) -> None:
    adapter = make_adapter(world)
    model = adapter.train_model(model=world.dl.models.get(model_id=world.model))
    assert model.status == "trained"
    assert world.state.statuses[-2:] == ["training", "trained"]
    assert adapter.seen == [
        *("train/items/train/0.txt", "train/items/train/1.txt", "train/json/train/0.json", "train/json/train/1.json"),
        *(
            f"validation/{kind}/validation/{n}.{end}"
            for kind, end in (("items", "txt"), ("json", "json"))
            for n in (2, 3)
        ),
    ]
    assert [m["figure"] for m in world.state.metrics if m["modelId"] == world.model] == ["loss"]
    stored = [i["filename"] for i in world.state.items_of(world.state.binaries(world.project)["id"])]
    assert "/artifacts/models/trivial/deep/weights.txt" in stored
    assert make_adapter(world).model == "trained", "another adapter loads what was uploaded"


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dtlpymetrics, of pandas
def test_evaluate_model_compares_with_labels_of_people(world: World) -> None:
    adapter = make_adapter(world)
    adapter.evaluate_model(model=adapter.model_entity, dataset=world.dl.datasets.get(dataset_id=world.dataset))
    table = next(i for i in world.state.items.values() if i["filename"] == f"/.modelscores/{world.model}.csv")
    rows = world.state.files[table["id"]].decode().splitlines()
    assert len(rows) == 5, "a head and a row for each item"


def test_embed_uploads_vectors(world: World) -> None:
    world.state.models[world.model]["configuration"]["embeddings_size"] = 2
    adapter = make_adapter(world)
    adapter.embed_items(items=[world.dl.items.get(item_id=key) for key in world.items[:2]])
    vectors = [v for v in world.state.vectors.values() if v["entityId"] in world.items]
    assert [v["value"] for v in vectors] == [[5.0, 1.0], [5.0, 1.0]]


def test_a_model_is_cloned_with_its_artifacts_and_another_configuration(world: World) -> None:
    project = world.dl.projects.get(project_id=world.project)
    source = project.models.get(model_name="trivial")
    dataset = project.datasets.get(dataset_name="texts")
    new = project.models.clone(source, "second", dataset=dataset, configuration={"batch_size": 8})
    assert (new.labels, new.configuration["batch_size"], new.id != source.id) == (["cold", "warm"], 8, True)
    assert world.state.models[world.model]["configuration"]["batch_size"] == 2


def test_a_download_cut_short_is_taken_up_again(world: World, tmp_path: Path) -> None:
    content = bytes(range(250)) * 80
    item = world.dl.items.get(item_id=world.state.add_item(world.dataset, "/long.bin", content)["id"])
    world.gateway.faults.cut(f"{item.id}/stream", 12_000, times=1)
    assert Path(item.download(local_path=str(tmp_path / "file.bin"))).read_bytes() == content
    ranges = [request.headers["range"] for request in world.state.asked("GET", f"{item.id}/stream")]
    assert ranges == ["bytes=0-", "bytes=8192-"], "dtlpy keeps whole blocks of 8192"


def test_a_request_fails_as_often_as_asked_and_waits_as_long(world: World) -> None:
    world.gateway.faults.fail("GET", "/ml/models", status=500, times=1)
    world.gateway.faults.stall("GET", "/ml/models", 0.2, times=1)
    with pytest.raises(world.dl.exceptions.InternalServerError, match="failed on request"):
        world.dl.models.get(model_id=world.model)
    assert world.dl.models.get(model_id=world.model).name == "trivial"
    _, waited = world.state.asked("GET", f"/ml/models/{world.model}")
    until(lambda: waited.ended, what="the service notes the end only after its answer")
    assert waited.ended - waited.started >= 0.2


@pytest.mark.parametrize(
    "query, fits",
    [
        ({"a.b": 1}, True),
        ({"a.c": {"$exists": False}}, True),
        ({"a.b": {"$exists": False}}, False),
        ({"$or": [{"name": "x"}, {"list": 2}]}, True),
        ({"$and": [{"name": "file.txt"}, {"a.b": {"$gt": 1}}]}, False),
        ({"dir": "/one*"}, True),
        ({"dir": "/one/**"}, False),
        ({"name": {"$in": ["file.txt", "other"]}, "a.b": {"$ne": 2}}, True),
    ],
)
def test_queries(query: dict[str, Any], fits: bool) -> None:
    assert matches({"a": {"b": 1}, "name": "file.txt", "list": [1, 2], "dir": "/one"}, query) is fits


def test_pages() -> None:
    entries = [{"id": str(n)} for n in range(5)]
    body = {"page": 1, "pageSize": 2, "sort": {"id": "descending"}}
    assert page(entries, body) == {
        "items": [{"id": "2"}, {"id": "1"}],
        "totalItemsCount": 5,
        "totalPagesCount": 3,
        "hasNextPage": True,
    }
    assert json.dumps(page(entries, {"pageSize": 0})["items"]) == "[]"
