"""What the studio's pages refuse of a request, with the status and the reason, and what they answer at the bound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("alembic", reason="needs pip install 'cliplab[clips]'")

from starlette.testclient import TestClient

from cliplab.clips import ClipManager, clips_export
from cliplab.studio.app import make_app
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio

REPORT, REEL = "0123456789abcdef", "fedcba9876543210"
ROW = {"number": 0, "start": 0.0, "end": 5.0}
RATING = {"clip": 1, "stars": 4, "rater": "ann", "client": "tab", "sequence": 0}
LEASE = {"annotator": "ann", "count": 5, "minutes": 5}
ANALYZE = {"source": "a.mp4", "clip_seconds": 30, "min_gap_seconds": 30}
CHOSEN = {"report": REPORT}
BETTER = {"better": 1, "worse": 2, "rater": "ann", "client": "tab", "sequence": 0}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Any]]:
    folder = tmp_path_factory.mktemp("studio") / "data"
    (folder / ".studio" / "reels").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), 30 + 50 * number, np.uint8))
    with ClipManager(folder / "clips.db") as manager:
        for n in range(3):
            (folder / f"{n}.mp4").write_bytes(b"not a video")
            manager.register_clip(folder / f"{n}.mp4", n, n + 30.0, 0.25 * n, "audio", {"tempo": n})
    with open_studio(StudioOptions(folder, labels=("ad", "content"))) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        reports = next(folder / name for name in _report_folders())
        reports.mkdir(parents=True, exist_ok=True)
        candidates = [{"start": 1.0, "end": 5.0}]
        report = {"source": "0.mp4", "duration_seconds": 60.0, "candidates": candidates, "notes": ["a note"]}
        (reports / f"{REPORT}.json").write_text(json.dumps(report))
        yield client, studio


def _report_folders() -> Iterator[Path]:
    from cliplab.studio.routes import generate

    yield generate._REPORTS


GET: list[tuple[str, int, str]] = [
    ("/items?ids=" + ",".join(["1"] * 201), 400, "at most 200"),
    ("/items?ids=one", 400, "ids must be a whole number"),
    ("/items?after=-1", 400, "after must be a whole number"),
    ("/items?limit=x", 400, "limit must be a whole number"),
    ("/items?after=1234567890123456789", 400, "after must be a whole number"),
    ("/items?score_below=x", 400, "score_below must be a number"),
    ("/items?score_above=x", 400, "score_above must be a number"),
    ("/items?state=done", 400, "state must be one of"),
    ("/state/99", 404, "no item 99"),
    ("/items/99/alike", 404, "no item 99"),
    ("/next?want=all", 400, "want must be one of"),
    ("/next?after=x", 400, "after must be a whole number"),
    ("/items/1/frame?h=0", 400, "h must be a height from 1 to 4320"),
    ("/items/1/frame?h=4321", 400, "h must be a height"),
    ("/items/1/frame?h=x", 400, "h must be a number"),
    ("/items/1/frame?t=x", 400, "t must be a number"),
    ("/items/99/frame", 404, "no item 99"),
    ("/items/99/thumbnail", 404, "no item 99"),
    ("/items/99/media", 404, "no item 99"),
    ("/review/queue?kind=all", 400, "kind must be one of"),
    ("/review/queue?low=x", 400, "low must be a number from 0 to 1"),
    ("/review/queue?low=-0.1", 400, "low must be a number from 0 to 1"),
    ("/review/queue?high=1.1", 400, "high must be a number from 0 to 1"),
    ("/review/queue?low=0.6&high=0.5", 400, "0 <= low <= high <= 1"),
    ("/rate/next?limit=0", 400, "limit must be a number from 1 to 50"),
    ("/rate/next?limit=51", 400, "limit must be a number from 1 to 50"),
    ("/rate/next?limit=x", 400, "limit must be a number"),
    ("/rate/clips/99/media", 404, "99"),
    ("/browse?rating=x", 400, "rating"),
    ("/browse?before=x", 400, "by their numbers"),
    ("/browse?before=99", 404, "99"),
    ("/browse/zip", 400, "choose 1 to 50 clips, got 0"),
    ("/browse/zip?" + "&".join(f"id={n}" for n in range(1, 52)), 400, "got 51"),
    ("/browse/zip?id=one", 400, "by their numbers"),
    ("/browse/zip?id=1234567890123", 400, "by their numbers"),
    ("/browse/zip?id=99", 404, "99"),
    (f"/browse/reels/{REEL}", 404, "no longer exists"),
    ("/browse/reels/..%2f", 404, ""),
    ("/browse/clips/99/download", 404, "99"),
    ("/generate/reports/0000000000000000", 404, "no such analysis"),
    ("/generate/reports/x", 404, "no such analysis"),
]


@pytest.mark.parametrize(("path", "status", "said"), GET)
def test_a_question_that_cannot_be_answered(path: str, status: int, said: str, served: tuple[TestClient, Any]) -> None:
    answer = served[0].get(path)
    assert answer.status_code == status, answer.text
    assert said in answer.text


POST: list[tuple[str, Any, int, str]] = [
    ("/events", [], 400, "JSON object"),
    ("/events", {}, 400, "no key 'events'"),
    ("/events", {"events": {}}, 400, "events must be a list"),
    ("/events", {"events": [0] * 501}, 400, "at most 500"),
    ("/setup", {"media": "", "classes": "ad"}, 400, "classes must be a list"),
    ("/setup", {"media": "", "classes": [1]}, 400, "classes must be a list"),
    ("/setup", {"media": "", "classes": ["a"] * 1001}, 400, "at most 1000"),
    ("/setup", {"media": 1, "classes": []}, 400, "media must be the path"),
    ("/setup", {"classes": []}, 400, "no key 'media'"),
    ("/setup", {"media": "none", "classes": []}, 400, "is not a folder"),
    ("/setup", {"media": "..", "classes": []}, 403, "outside"),
    ("/annotators/overlap", {"percent": True}, 400, "percent must be a number"),
    ("/annotators/overlap", {"percent": "5"}, 400, "percent must be a number"),
    ("/annotators/overlap", {"percent": 101}, 400, "overlap must be a percentage"),
    ("/annotators/overlap", {}, 400, "no key 'percent'"),
    ("/annotators/lease", {**LEASE, "count": -1}, 400, "count must be a number from 0 to 5,000"),
    ("/annotators/lease", {"annotator": "ann", "count": 5001, "minutes": 5}, 400, "count must be"),
    ("/annotators/lease", {"annotator": "ann", "count": True, "minutes": 5}, 400, "count must be"),
    ("/annotators/lease", {**LEASE, "minutes": 0}, 400, "minutes must be a number from 1 to 10,080"),
    ("/annotators/lease", {"annotator": "ann", "count": 5, "minutes": 10_081}, 400, "minutes must be"),
    ("/annotators/lease", {"annotator": "", "count": 5, "minutes": 5}, 400, "annotator"),
    ("/review/prelabel", {}, 400, "no key 'model'"),
    ("/review/prelabel", {"model": "m", "threshold": 1.1}, 400, "threshold must be a number from 0 to 1"),
    ("/review/prelabel", {"model": "m", "threshold": True}, 400, "threshold"),
    ("/review/prelabel", {"model": 7}, 400, "model must be a name, got int"),
    ("/review/prelabel", {"model": "none"}, 400, "there is no model 'none'"),
    ("/review/retrain", {}, 409, ""),
    ("/rate", {**RATING, "client": ""}, 400, "client must be text"),
    ("/rate", {**RATING, "client": "c" * 101}, 400, "client must be text"),
    ("/rate", {**RATING, "client": "a\nb"}, 400, "client must be text"),
    ("/rate", {**RATING, "sequence": -1}, 400, "sequence must be"),
    ("/rate", {**RATING, "sequence": 2**31}, 400, "sequence must be"),
    ("/rate", {**RATING, "sequence": True}, 400, "sequence must be"),
    ("/rate", {**RATING, "stars": 6}, 400, "6"),
    ("/rate", {**RATING, "clip": 99}, 404, "99"),
    ("/rate", {**RATING, "rater": ""}, 400, ""),
    ("/rate", {**RATING, "confidence": 2.0}, 400, "confidence"),
    ("/compare", {**BETTER, "worse": 1}, 400, "cannot be compared with itself"),
    ("/compare", {**BETTER, "better": 99}, 404, "99"),
    ("/compare", {**BETTER, "sequence": -1}, 400, "sequence must be"),
    ("/browse/reels", {"clips": "1", "order": "time", "transitions": True}, 400, "list of their numbers"),
    ("/browse/reels", {"clips": [0], "order": "time", "transitions": True}, 400, "list of their numbers"),
    ("/browse/reels", {"clips": [2**53], "order": "time", "transitions": True}, 400, "list of their numbers"),
    ("/browse/reels", {"clips": [True], "order": "time", "transitions": True}, 400, "list of their numbers"),
    ("/browse/reels", {"clips": [], "order": "time", "transitions": True}, 400, "choose 1 to 50 clips, got 0"),
    ("/browse/reels", {"clips": list(range(1, 52)), "order": "time", "transitions": True}, 400, "got 51"),
    ("/browse/reels", {"clips": [1], "order": "score", "transitions": True}, 400, "rating or time"),
    ("/browse/reels", {"clips": [1], "order": "time", "transitions": 1}, 400, "true or false"),
    ("/browse/reels", {"clips": [99], "order": "time", "transitions": True}, 404, "99"),
    ("/generate/analyze", {**ANALYZE, "source": " "}, 400, "give a stream URL"),
    ("/generate/analyze", {**ANALYZE, "source": 7}, 400, "give a stream URL"),
    ("/generate/analyze", {**ANALYZE, "clip_seconds": 0.9}, 400, "clip_seconds must be a number from 1 to 300"),
    ("/generate/analyze", {**ANALYZE, "clip_seconds": 300.1}, 400, "clip_seconds"),
    ("/generate/analyze", {**ANALYZE, "min_gap_seconds": -1}, 400, "min_gap_seconds"),
    ("/generate/analyze", {**ANALYZE, "min_gap_seconds": "x"}, 400, "min_gap_seconds"),
    ("/generate/analyze", {"source": "none.mp4", "clip_seconds": 1, "min_gap_seconds": 0}, 404, "no such file"),
    ("/generate/analyze", {"source": "../x.mp4", "clip_seconds": 300, "min_gap_seconds": 0}, 403, "outside"),
    ("/generate/analyze", {**ANALYZE, "source": "http://127.0.0.1/a"}, 403, "private network"),
    ("/generate/analyze", {**ANALYZE, "source": "ftp://a/b"}, 403, "only http"),
    ("/generate/analyze", {**ANALYZE, "source": "http://u:p@a/b"}, 400, "user name or password"),
    ("/generate/analyze", {**ANALYZE, "source": "http://a b"}, 400, "without spaces"),
    ("/generate/analyze", {**ANALYZE, "source": "http://" + "a" * 4000}, 400, "at most 4000"),
    ("/generate/clips", {"report": "x", "clips": [ROW]}, 404, "no such analysis"),
    ("/generate/clips", {"report": 7, "clips": [ROW]}, 404, "no such analysis"),
    ("/generate/clips", {"report": REPORT, "clips": []}, 400, "choose 1 to 500"),
    ("/generate/clips", {"report": REPORT, "clips": [ROW] * 501}, 400, "choose 1 to 500"),
    ("/generate/clips", {"report": REPORT, "clips": "x"}, 400, "choose 1 to 500"),
    ("/generate/clips", {**CHOSEN, "clips": [{"number": 0}]}, 400, "number, start and end"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "number": 1}]}, 400, "0 to 0, got 1"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "number": -1}]}, 400, "got -1"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "number": True}]}, 400, "got True"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "start": -0.1}]}, 400, "start must be a number from 0 to 60"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "end": 61.1}]}, 400, "end must be a number from 0 to 61"),
    ("/generate/clips", {**CHOSEN, "clips": [{**ROW, "end": 0.19}]}, 400, "at least 0.2 s after"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "said"), POST)
def test_a_request_that_is_refused(
    path: str, body: Any, status: int, said: str, served: tuple[TestClient, Any]
) -> None:
    client, studio = served
    before = (studio.store.version(), len(studio.jobs.all()))
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert (studio.store.version(), len(studio.jobs.all())) == before, "nothing was stored or begun"


def test_a_body_that_is_no_json_is_refused(served: tuple[TestClient, Any]) -> None:
    answer = served[0].post("/events", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "must be JSON" in answer.text


def pictures(client: TestClient) -> list[int]:
    return [row["id"] for row in client.get("/items?kind=frame").json()["items"]]


def test_answers_at_the_bounds(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    picture = pictures(client)[0]
    assert len(client.get("/items?ids=" + ",".join(["1"] * 200)).json()["items"]) == 200
    assert [row["id"] for row in client.get("/items?limit=2&after=1").json()["items"]] == [2, 3]
    assert client.post("/events", json={"events": [0] * 500}).status_code == 200
    for limit in (1, 50):
        assert client.get(f"/rate/next?limit={limit}").status_code == 200
    assert len(client.get("/rate/next?limit=1").json()["clips"]) == 1
    for height in (1, 4320):
        assert client.get(f"/items/{picture}/thumbnail?h={height}").headers["content-type"] == "image/jpeg", height
    assert client.post("/annotators/overlap", json={"percent": 100}).json() == {"percent": 100.0}
    assert client.post("/annotators/overlap", json={"percent": 0}).json() == {"percent": 0.0}
    body = {"annotator": "zoe", "count": 2, "minutes": 10_080}
    assert client.post("/annotators/lease", json=body).json() == {"items": [1, 2]}
    assert client.post("/annotators/lease", json={**body, "annotator": "yan", "count": 1}).json() == {"items": [3]}
    assert client.post("/annotators/lease", json={**body, "count": 0}).json() == {"items": []}
    assert client.post("/annotators/lease", json={**body, "annotator": "yan", "count": 0}).json() == {"items": []}


def test_an_item_under_review_has_all_of_its_facts(served: tuple[TestClient, Any]) -> None:
    client, studio = served
    *others, number = pictures(client)
    base = {"client": "review", "annotator": "ann", "item": number, "at": 1.0}
    done = {"label": {"label": "ad"}, "note": {"text": "a note"}, "flag": {"on": True}, "review": {"label": "content"}}
    for sequence, (action, value) in enumerate(done.items()):
        body = {**base, "sequence": sequence, "action": action, "value": value}
        assert client.post("/events", json={"events": [body]}).json()["refused"] == []
    studio.store.set_scores("m", [(number, "ad", 0.75), (number, "content", 0.25)])
    found = client.get(f"/review/items/{number}").json()
    name = studio.store.item(number).path
    assert (found["id"], found["kind"], found["name"], found["source"]) == (number, "frame", name, "")
    assert (found["labels"], found["review"], found["flagged"]) == ({"ann": "ad"}, "content", True)
    assert found["disagree"] is False
    assert found["notes"] == {"ann": "a note"}
    assert found["scores"] == [{"label": "ad", "score": 0.75}, {"label": "content", "score": 0.25}]
    assert found["start_seconds"] is found["end_seconds"] is None
    state = client.get(f"/state/{number}?as=ann").json()
    assert (state["own"], state["notes"], state["scores"]) == ("ad", {"ann": "a note"}, {"ad": 0.75, "content": 0.25})
    for filters, items in (
        ("annotator=ann", [number]), ("label=ad", [number]), ("state=flagged", [number]), ("state=unlabelled", others),
        (f"text={name.upper()}", [number]), ("kind=frame", [*others, number]), ("kind=video", []),
        ("score_above=0.75", [number]),
        ("score_above=0.76", []), ("score_below=0.75", []), ("score_below=0.76", [number]), ("predicted=ad", [number]),
        ("predicted=content", []), ("model=m&predicted=ad", [number]), ("model=other&predicted=ad", []),
    ):  # fmt: skip
        rows = client.get(f"/items?{filters}").json()["items"]
        assert [row["id"] for row in rows if row["kind"] == "frame"] == items, filters


def test_a_rating_and_a_comparison_are_stored_once_with_who_and_what(
    served: tuple[TestClient, Any], tmp_path: Path
) -> None:
    client, studio = served
    body = {**RATING, "clip": 3, "sequence": 70, "confidence": 0.5}
    assert client.post("/rate", json=body).json()["stored"] is True
    assert client.post("/rate", json=body).json()["stored"] is False
    with ClipManager(studio.options.clip_database) as manager:
        assert manager.get_clip(3).rating == 4
    clips_export(tmp_path / "x.json", studio.options.clip_database)
    (row,) = [one for one in json.loads((tmp_path / "x.json").read_text()) if one["filepath"].endswith("2.mp4")]
    assert (row["stars"], row["rater"], row["confidence"]) == (4, "ann", 0.5)
    chosen = {**BETTER, "better": 1, "worse": 2, "sequence": 71}
    assert client.post("/compare", json=chosen).json() == {"stored": True}
    assert client.post("/compare", json=chosen).json() == {"stored": False}


def test_an_analysis_is_shown_with_its_facts(served: tuple[TestClient, Any]) -> None:
    found = served[0].get(f"/generate/reports/{REPORT}").json()
    assert (found["source"], found["local"], found["duration"], found["playable"]) == ("0.mp4", True, 60.0, True)
    (candidate,) = found["candidates"]
    assert (candidate["start"], candidate["end"], found["notes"], found["sound"]) == (1.0, 5.0, ["a note"], None)


def test_a_zip_is_made_for_the_studios_own_pages_only(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    for site, status in (("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)):
        answer = client.get("/browse/zip?id=1&id=2&id=1", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status, (site, answer.text)
