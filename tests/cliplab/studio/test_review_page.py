"""The Review and Annotators pages: their requests, and a walk through them by keys in a browser."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from studio_page import browser, running_studio
from waiting import until

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
import httpx

from cliplab.studio import LabelEvent
from cliplab.studio.review import review_queue
from cliplab.studio.review_order import MISLABELS, QUEUE

HOSTILE = "red <img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    rng = np.random.default_rng(0)
    for number in range(6):
        for name, colour in (("red", (20, 20, 220)), ("blue", (220, 20, 20))):
            pixels = np.clip(np.array(colour) + rng.normal(0, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{name}{number}.png"), pixels)
    (folder / "red5.png").rename(folder / HOSTILE)
    with running_studio(folder, labels=("red", "blue"), annotator="ann") as (address, studio):
        store = studio.store
        items = store.items(limit=50)
        store.set_scores(
            "colours",
            [
                row
                for number, item in enumerate(items)
                for row in ((item.id, "red", 0.5 + number / 40), (item.id, "blue", 0.5 - number / 40))
            ],
        )
        store.set_queue(QUEUE, [item.id for item in reversed(items)])
        yield address, studio


@pytest.fixture(scope="module")
def client(found):
    address, studio = found
    with httpx.Client(base_url=address, headers={"X-CSRF-Token": studio.csrf}, timeout=120) as opened:
        yield opened


def test_queue_follows_its_order_and_filters(client, found):
    _, studio = found
    answer = client.get("/review/queue", params={"kind": "uncertain"}).json()
    assert answer["items"] == studio.store.queue(QUEUE)
    assert answer["model"] == "colours"
    low = client.get("/review/queue", params={"kind": "sure", "low": "0.7"}).json()
    assert 0 < len(low["items"]) < len(answer["items"])
    red = client.get("/review/queue", params={"kind": "uncertain", "label": "red"}).json()
    assert red["items"] == answer["items"], "all of them are red by their best score, and none is blue"
    assert client.get("/review/queue", params={"kind": "uncertain", "label": "blue"}).json()["items"] == []
    none = client.get("/review/queue", params={"kind": "sure", "text": "nothing of this name"}).json()
    assert (none["items"], none["empty"]) == ([], "No item fits these filters.")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"kind": "best"}, "kind"),
        ({"low": "nan"}, "low"),
        ({"high": "7"}, "high"),
        ({"low": "0.9", "high": "0.1"}, "low"),
    ],
)
def test_queues_that_do_not_exist(client, parameters, word):
    answer = client.get("/review/queue", params=parameters)
    assert answer.status_code == 400
    assert word in answer.json()["error"]


def test_too_few_labels_are_said_and_nothing_starts(client):
    answer = client.post("/review/retrain", json={"model": "efficientnet_lite0"})
    assert answer.status_code == 409
    assert "needs 2 labelled items" in answer.json()["error"]
    assert "needs 2 labelled items" in client.get("/review/state").json()["not_yet"]


@pytest.mark.parametrize("model", ["/etc/passwd", "../../secret", "os:system", 7, {"adapter": "os:system"}])
def test_models_that_the_page_does_not_offer(client, model):
    assert client.post("/review/prelabel", json={"model": model}).status_code == 400


@pytest.mark.parametrize("body", [{"percent": "all"}, {"percent": 120}, {"percent": True}, {}])
def test_wrong_shares(client, body):
    assert client.post("/annotators/overlap", json=body).status_code == 400


def test_leases(client):
    answer = client.post("/annotators/lease", json={"annotator": "bo", "count": 3, "minutes": 5}).json()
    assert len(answer["items"]) == 3
    people = client.get("/annotators/data").json()["people"]
    assert [one["leased"] for one in people if one["name"] == "bo"] == [3]
    assert client.post("/annotators/lease", json={"annotator": "bo", "count": 0, "minutes": 5}).json()["items"] == []
    assert client.post("/annotators/lease", json={"annotator": "", "count": 1, "minutes": 5}).status_code == 400
    assert client.post("/annotators/lease", json={"annotator": "bo", "count": 1e9, "minutes": 5}).status_code == 400


def shown(page, name):
    """The text of an element. The studio's headers forbid Playwright to evaluate strings while it waits."""
    return page.locator(f"#{name}").text_content() or ""


@pytest.fixture(scope="module")
def page(found):
    address, _ = found
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/review")
        until(lambda: shown(page, "name") != "")
        yield page


def test_review_by_keys(page, found):
    """Enter takes the model's answer, a class's key another, Z takes it back."""
    _, studio = found
    store, order = studio.store, studio.store.queue(QUEUE)
    page.keyboard.press("Enter")
    until(lambda: store.item(order[0]).labels == {"ann": "red"})
    until(lambda: shown(page, "place").startswith("2 "))
    page.keyboard.press("b")
    until(lambda: store.item(order[1]).labels == {"ann": "blue"})
    until(lambda: shown(page, "place").startswith("3 "))
    page.keyboard.press("z")
    until(lambda: store.item(order[1]).labels == {})
    until(lambda: shown(page, "place").startswith("2 "))
    page.keyboard.press("/")
    page.keyboard.type("blu")
    page.keyboard.press("Enter")
    until(lambda: store.item(order[1]).labels == {"ann": "blue"})
    until(lambda: shown(page, "place").startswith("3 "))
    page.keyboard.press("f")
    until(lambda: store.item(order[2]).flagged)


def test_a_note_is_kept_and_offered_again(page, client, found):
    _, studio = found
    number = studio.store.queue(QUEUE)[2]
    page.keyboard.press("m")
    page.keyboard.type("blurred")  # b is a class's key, and goes into the note
    page.keyboard.press("Control+Enter")
    until(lambda: shown(page, "said").startswith("note kept"))
    until(lambda: client.get(f"/review/items/{number}").json()["notes"] == {"ann": "blurred"})
    assert studio.store.item(number).labels == {}
    page.keyboard.press("m")
    until(lambda: page.input_value("#note-text") == "blurred")
    page.keyboard.press("Escape")


def test_hostile_names_are_text(page, client, found):
    _, studio = found
    number = next(item.id for item in studio.store.items(limit=50) if item.path == HOSTILE)
    assert client.get(f"/review/items/{number}").json()["name"] == HOSTILE
    page.fill("#filter-text", "onerror")
    page.press("#filter-text", "Tab")
    until(lambda: "<img" in shown(page, "name"))
    assert page.locator("#review-page img[src='x']").count() == 0
    page.fill("#filter-text", "")
    page.press("#filter-text", "Tab")


def test_a_decision_over_a_likely_wrong_label(page, found):
    """On an item with a label, a class's key decides; the label that was given stays in the history."""
    _, studio = found
    store = studio.store
    item = next(one for one in store.items(limit=50) if not one.labels)
    store.append([LabelEvent("c", 0, "bo", item.id, "label", {"label": "blue"}, 1.0)])
    store.set_queue(MISLABELS, [item.id])
    page.click("[data-kind=mislabels]")
    until(lambda: shown(page, "place") == "1 of 1")
    page.keyboard.press(studio.store.classes()[0].key)
    until(lambda: store.item(item.id).review == "red")
    assert store.item(item.id).labels == {"bo": "blue"}
    assert review_queue(store, "mislabels") == []


def test_annotators_page(page, found):
    address, studio = found
    items = studio.store.items(limit=50)[-4:]
    studio.store.append(
        LabelEvent(who, number, who, item.id, "label", {"label": label}, 1.0)
        for who, labels in (("<b>cy</b>", ("red", "blue", "red", "blue")), ("dee", ("red", "blue", "blue", "blue")))
        for number, (item, label) in enumerate(zip(items, labels, strict=True))
    )
    page.goto(f"{address}/annotators")
    until(lambda: "<b>cy</b>" in page.inner_text("#figures"))
    text = page.inner_text("#figures")
    assert "95%" in text
    page.fill("#overlap-percent", "25")
    page.click("#overlap button")
    until(lambda: json.loads(studio.store.setting("overlap_percent") or "0") == 25)


def test_axe_finds_nothing(page, found):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python")
    address, _ = found
    for place in ("/review", "/annotators"):
        page.goto(f"{address}{place}")
        if place == "/review":
            until(lambda: shown(page, "place") not in ("", "loading"))
        result = axe.Axe().run(page)
        found_here = [
            (one["id"], [node["html"][:100] for node in one["nodes"]]) for one in result.response["violations"]
        ]
        assert found_here == [], place
