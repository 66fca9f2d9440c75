"""The label loop over HTTP: events are stored once, names are harmless, and a store that cannot be written says so."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from starlette.testclient import TestClient

from adapters.errors import StorageError
from cliplab.studio.alike import difference_hash
from cliplab.studio.app import make_app
from cliplab.studio.item_index import DISAGREE, FLAGGED, OTHER_LABEL
from cliplab.studio.items import fill_items
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio

HOSTILE = "<img src=x onerror=alert(1)> \u202egpj\nx.png"


def write_pictures(folder: Path, count: int) -> None:
    for number in range(count):
        picture = np.full((48, 64, 3), 20 + 3 * number, np.uint8)
        cv2.circle(picture, (8 + 9 * (number // 3) % 50, 24), 8, (0, 200, 255), -1)
        cv2.imwrite(str(folder / f"frame_{number:03d}.png"), picture)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Any]]:
    folder = tmp_path / "data"
    folder.mkdir()
    write_pictures(folder, 6)
    with open_studio(StudioOptions(folder, labels=("ad", "content"), output=tmp_path / "labels.json")) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        yield client, studio


def event(sequence: int, item: int, label: str = "ad", **other: Any) -> dict[str, Any]:
    whole = {"client": "tab", "sequence": sequence, "annotator": "ann", "item": item, "action": "label", "at": 1.0}
    return {**whole, "value": {"label": label}, **other}


def post(client: TestClient, *events: Any) -> dict[str, Any]:
    answer = client.post("/events", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def index(client: TestClient, annotator: str = "ann", **filters: str) -> tuple[list[int], list[int], list[int]]:
    data = client.get("/items/index", params={"as": annotator, **filters}).content
    count = len(data) // 7
    return (
        np.frombuffer(data, "<u4", count).tolist(),
        np.frombuffer(data, "<u2", count, 4 * count).tolist(),
        np.frombuffer(data, "u1", count, 6 * count).tolist(),
    )


def test_events_are_stored_once(served: tuple[TestClient, Any]) -> None:
    client, studio = served
    events = [event(0, 1), event(1, 2, "content"), event(2, 3, "nothing"), {"client": "tab"}, 5]
    found = post(client, *events)
    assert found["durable"] == {"tab": [0, 1]}
    assert [one["sequence"] for one in found["refused"]].count(2) == 1
    assert len(found["refused"]) == 3
    assert post(client, *events[:2])["durable"] == {"tab": [0, 1]}
    assert studio.store.progress()["events"] == 2
    numbers, labels, _ = index(client)
    assert labels == [1, 2, 0, 0, 0, 0]
    assert numbers == sorted(numbers)
    assert "stored before" in post(client, event(1, 4))["refused"][0]["error"]


def test_two_annotators_disagree_and_both_are_kept(served: tuple[TestClient, Any]) -> None:
    client, studio = served
    studio.store.set_overlap(100)
    post(client, event(0, 1, "ad"))
    row = client.get("/items?ids=1&as=bob").json()["items"][0]
    assert row["labels"] == {}  # the second labels without seeing the first one's
    assert row["own"] is None
    post(client, event(0, 1, "content", client="other", annotator="bob"))
    row = client.get("/items?ids=1&as=bob").json()["items"][0]
    assert row["labels"] == {"ann": "ad", "bob": "content"}
    assert row["disagree"]
    assert index(client, "ann")[1][0] == 1
    assert index(client, "bob")[1][0] == 2
    assert index(client)[2][0] & DISAGREE
    assert index(client, state="disagree")[0] == [1]


def test_flags_and_undo(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    post(client, event(0, 2), event(1, 2, action="flag", value={"on": True}))
    assert index(client)[2][1] & FLAGGED
    post(client, event(2, 2, action="undo", value={"client": "tab", "sequence": 0}))
    assert index(client)[1] == [0] * 6
    post(client, event(3, 2, action="redo", value={"client": "tab", "sequence": 0}))
    assert index(client)[1][1] == 1


def test_the_index_has_the_places_of_the_classes_that_are_offered(served: tuple[TestClient, Any]) -> None:
    client, studio = served
    post(client, event(0, 1), event(1, 2, "content"))
    studio.store.set_classes(["content", "trailer"])
    assert index(client)[1] == [OTHER_LABEL, 1, 0, 0, 0, 0], "a label of a class that is offered no more"
    studio.store.set_classes(["trailer", "ad", "content"])
    assert index(client)[1] == [2, 3, 0, 0, 0, 0]


def test_output_is_in_step(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    output = tmp_path / "out" / "labels.json"
    output.parent.mkdir()
    with open_studio(StudioOptions(tmp_path, labels=("ad", "content"), output=output)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080", headers={"X-CSRF-Token": studio.csrf})
        post(client, event(0, 1), event(1, 3, "content"))
    assert json.loads(output.read_text()) == {"ad": ["../frame_000.png"], "content": ["../frame_002.png"]}


@pytest.mark.parametrize("name", ["labels.json", "dataset.jsonl"])
def test_an_output_that_others_wrote_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    write_pictures(folder, 3)
    output = tmp_path / name

    def label(number: int, item: int) -> list[str]:
        with open_studio(StudioOptions(folder, labels=("ad", "content"), output=output)) as studio:
            client = TestClient(
                make_app(studio), base_url="http://127.0.0.1:8080", headers={"X-CSRF-Token": studio.csrf}
            )
            post(client, event(number, item))
        return sorted(path.name for path in tmp_path.iterdir() if path.is_file())

    output.write_text("five hundred labels of last year")
    both = label(0, 1)
    assert len(both) == 2
    assert "it is kept as" in caplog.text
    [copy] = [path for path in both if path != name]
    assert (tmp_path / copy).read_text() == "five hundred labels of last year"
    caplog.clear()
    assert label(1, 2) == both, "its own file is replaced"
    assert "frame_001" in output.read_text()
    assert caplog.text == ""


def test_hostile_names_are_shown_harmlessly(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    picture = (tmp_path / "frame_000.png").read_bytes()
    (tmp_path / HOSTILE.replace("/", "_")).write_bytes(picture + b"1")
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.png", "wb") as file:
        file.write(picture + b"2")
    with open_studio(StudioOptions(tmp_path, labels=("<b>x</b>", "a&b\u2066c"))) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        names = [row["name"] for row in client.get("/items").json()["items"]]
        assert len(names) == 3
        assert any("\\u202egpj\\nx" in name for name in names)
        assert all("\n" not in name and "\u202e" not in name for name in names)
        page = client.get("/label").text
        assert "<b>x</b>" not in page
        assert ">a&amp;b\\u2066c<" in page
        assert str(tmp_path) not in client.get("/items").text


def test_store_that_cannot_be_written(served: tuple[TestClient, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client, studio = served

    def full(events: object) -> None:
        raise StorageError("labels.db: the disk is full. Free some space; nothing was lost")

    monkeypatch.setattr(studio.store, "append", full)
    answer = client.post("/events", json={"events": [event(0, 1)]})
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [{"events": 5}, {"events": [{}] * 501}, {}, [], {"events": [event(0, 1, at=float("1e400"))]}]
)
def test_wrong_batches(served: tuple[TestClient, Any], body: Any) -> None:
    client, studio = served
    answer = client.post("/events", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert studio.store.progress()["events"] == 0


WRONG_QUERIES = ("items?after=x", "items?limit=-1", "items?ids=1,x", "items?state=nothing", "items?score_below=x")
WRONG_INDEXES = ("next?want=all", "next?after=1.5", "items/index?state=x", f"items?ids={','.join('1' * 201)}")


@pytest.mark.parametrize("path", [*WRONG_QUERIES, *WRONG_INDEXES])
def test_wrong_queries(served: tuple[TestClient, Any], path: str) -> None:
    assert served[0].get(f"/{path}").status_code == 400


def test_unknown_items(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    assert client.get("/state/99").status_code == 404
    assert client.get("/items?ids=99").json() == {"items": []}
    assert client.get("/items/99/alike").status_code == 404
    assert "no item" in post(client, event(0, 99))["refused"][0]["error"]


def test_first_screen_asks_for_media_and_classes(tmp_path: Path) -> None:
    with open_studio(StudioOptions(tmp_path)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080", headers={"X-CSRF-Token": studio.csrf})
        page = client.get("/label").text
        assert 'name="media"' in page
        assert 'name="classes"' in page
        empty = client.post("/setup", json={"media": "", "classes": ["ad"]})
        assert "no picture or video" in empty.json()["error"]
        for nowhere in ("nowhere", "~nobody-of-this-name", "a" * 10_000, "/" + "a" * 10_000, "\0", "\ud800"):
            content = json.dumps({"media": nowhere, "classes": ["ad"]})
            assert client.post("/setup", content=content).status_code == 400, nowhere[:30]
        for names in (["ad", "AD"], [""], "ad", [5], ["a\nb"]):
            assert client.post("/setup", json={"media": "", "classes": names}).status_code == 400
        write_pictures(tmp_path, 2)
        assert client.post("/setup", json={"media": "", "classes": ["ad", "content"]}).json()["items"] == 2
        assert 'id="label-page"' in client.get("/label").text


def test_other_machines_cannot_name_a_folder_outside(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_pictures(tmp_path, 1)
    options = StudioOptions(folder, host="0.0.0.0", token="a-token-of-at-least-16")
    with open_studio(options) as studio:
        client = TestClient(make_app(studio), base_url="http://studio.lan:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        assert client.post("/token", json={"token": options.token}).status_code == 204
        for media in (str(tmp_path), "..", "/", "/etc"):
            assert client.post("/setup", json={"media": media, "classes": ["ad"]}).status_code == 403


def test_nearly_identical_neighbours(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    fill_items(served[1].store)
    assert client.get("/items/2/alike").json()["items"] == [1, 3]
    still = np.full((40, 60), 90, np.uint8)
    assert difference_hash(still) == difference_hash(still + 30) == 0


def test_a_change_is_told_to_the_pages(served: tuple[TestClient, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client, studio = served
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(studio.hub, "publish", lambda topic, data: told.append((topic, data)))
    post(client, event(0, 1))
    post(client, event(0, 1))
    assert told == [("labels", {"items": [1], "annotators": ["ann"], "clients": ["tab"]})]
