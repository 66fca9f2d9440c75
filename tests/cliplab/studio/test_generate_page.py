"""The Generate page: over HTTP and in Chromium."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("alembic", reason="needs pip install 'cliplab[clips]'")

from highlight_files import write_recording
from starlette.testclient import TestClient
from studio_page import browser, running_studio
from waiting import until

from cliplab.clips import ClipManager
from cliplab.studio import web_addresses
from cliplab.studio.app import make_app
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio

DURATION = 24.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "day.mp4"
    return write_recording(path, DURATION, [(8.0, "roar"), (17.0, "rush")])


@pytest.fixture
def folder(tmp_path: Path, recording: Path) -> Path:
    found = tmp_path / "data"
    found.mkdir()
    os.link(recording, found / "day.mp4")
    return found


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with open_studio(StudioOptions(folder)) as studio:
        made = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        made.headers["X-CSRF-Token"] = studio.csrf
        yield made


def ended(client: TestClient, job: str) -> dict[str, Any]:
    """The job once it has ended."""
    until(lambda: client.get(f"/models/jobs/{job}/state").json()["state"] != "running")
    found: dict[str, Any] = client.get(f"/models/jobs/{job}/state").json()
    return found


def source(text: Any, **other: Any) -> dict[str, Any]:
    return {"source": text, "clip_seconds": 4, "min_gap_seconds": 3, **other}


def test_a_recording_becomes_highlights_and_clips(client: TestClient, folder: Path) -> None:
    page = client.get("/generate").text
    for name in ("Stream URL", "Clip duration", "Minimum gap", "Analyze Stream", "Generate Clips"):
        assert name in page
    begun = client.post("/generate/analyze", json=source("day.mp4")).json()
    job = ended(client, begun["job"])
    assert job["error"] is None
    assert job["result"]["found"] >= 2
    found = client.get(f"/generate/reports/{begun['report']}").json()
    assert found["duration"] == pytest.approx(DURATION, abs=0.5)
    assert {one["kind"] for one in found["candidates"]} == {"audio", "video"}
    assert found["source"] == "day.mp4", "not where the folder is"
    assert found["sound"]["peaks"]
    part = client.get(f"/generate/reports/{begun['report']}/media", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-type"]) == (206, "video/mp4")
    chosen = [{"number": 0, "start": 7.0, "end": 10.5}]
    for bad in (
        [],
        "all",
        [{"number": 99, "start": 1, "end": 2}],
        [{"number": True, "start": 1, "end": 2}],
        [{"number": 0, "start": 5, "end": 5}],
        [{"number": 0, "start": -1, "end": 5}],
        [{"number": 0, "start": 1, "end": 1e9}],
        [{"number": 0}],
        [1],
    ):
        assert client.post("/generate/clips", json={"report": begun["report"], "clips": bad}).status_code == 400, bad
    made = ended(
        client, client.post("/generate/clips", json={"report": begun["report"], "clips": chosen}).json()["job"]
    )
    assert made["result"] == {"made": 1, "kept": 0, "failed": 0, "problems": []}
    with ClipManager(folder / "clips.db") as manager:
        (clip,) = manager.list_clips()
        assert (clip.start_time, clip.end_time) == (7.0, 10.5)
        assert Path(clip.filepath).parent == folder / "output_clips"
        assert client.get(f"/rate/clips/{clip.id}/media").status_code == 200


def test_a_damaged_source_is_named(client: TestClient, folder: Path) -> None:
    (folder / "bad.mp4").write_bytes(b"no video" * 200)
    job = ended(client, client.post("/generate/analyze", json=source("bad.mp4")).json()["job"])
    assert job["state"] == "failed"
    assert job["error"].startswith("bad.mp4: ")


@pytest.mark.parametrize(
    "body, status",
    [
        (source(""), 400),
        (source(7), 400),
        (source("gone.mp4"), 404),
        (source("../secret.mp4"), 403),
        (source("/etc/passwd"), 403),
        (source("a\0b"), 400),
        (source("file:///etc/passwd"), 403),
        (source("concat:/etc/passwd"), 403),
        (source("rtmp://203.0.113.5/live"), 403),
        (source("http://127.0.0.1:9/x.m3u8"), 403),
        (source("http://localhost/x.m3u8"), 403),
        (source("http://[::1]/x.m3u8"), 403),
        (source("http://[::ffff:10.0.0.1]/x.m3u8"), 403),
        (source("http://0x7f000001/x.m3u8"), 403),
        (source("http://169.254.169.254/latest"), 403),
        (source("https://10.1.2.3/x.m3u8"), 403),
        (source("https://user:word@203.0.113.5/x.m3u8"), 400),
        (source("https://"), 403),
        (source("https://[bad"), 400),
        (source("https://a b/"), 400),
        (source("day.mp4", clip_seconds=0), 400),
        (source("day.mp4", clip_seconds="30"), 400),
        (source("day.mp4", min_gap_seconds=-1), 400),
        ({"source": "day.mp4"}, 400),
    ],
)
def test_what_a_page_may_not_name(client: TestClient, body: Any, status: int) -> None:
    assert client.post("/generate/analyze", json=body).status_code == status
    assert client.get("/models/jobs/none/state").status_code == 404


def test_a_host_that_does_not_exist_is_named(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        raise web_addresses.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(web_addresses.socket, "getaddrinfo", resolve)
    answer = client.post("/generate/analyze", json=source("https://nowhere.invalid/live.m3u8"))
    assert answer.status_code == 400
    assert "nowhere.invalid: cannot be found" in answer.json()["error"]
    assert "Check the address" in answer.json()["error"]


def test_public_addresses_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (host, port))]

    monkeypatch.setattr(web_addresses.socket, "getaddrinfo", resolve)
    for text in ("https://93.184.215.14/live.m3u8?a=b", "http://[2606:2800:21f:cb07::1]:8080/x.mp4"):
        assert web_addresses.require_public_address(text) == text
    assert not web_addresses.is_address("C/day.mp4")


def test_reports_of_others_are_not_read(client: TestClient, folder: Path) -> None:
    (folder / "day.json").write_text("{}")
    for name in ("day", "..%2F..%2Fday", "0" * 16, "x" * 16):
        assert client.get(f"/generate/reports/{name}").status_code == 404, name
        assert client.get(f"/generate/reports/{name}/media").status_code == 404, name
    stored = folder / ".studio" / "highlights" / ("a" * 16 + ".json")
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text("[")
    assert client.get(f"/generate/reports/{'a' * 16}").status_code == 404
    (folder.parent / "secret.mp4").write_bytes(b"secret")
    outside = {"source": str(folder.parent / "secret.mp4"), "candidates": [], "notes": [], "duration_seconds": 1}
    stored.write_text(json.dumps(outside))
    assert client.get(f"/generate/reports/{'a' * 16}/media").status_code == 403
    for path, body in (("/generate/analyze", source("day.mp4")), ("/generate/clips", {"report": "a", "clips": []})):
        assert client.post(path, json=body, headers={"X-CSRF-Token": "other"}).status_code == 403


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"source": 5, "candidates": [], "notes": [], "duration_seconds": 1},
        {"source": "day.mp4", "candidates": {}, "notes": [], "duration_seconds": 1},
        {"source": "day.mp4", "candidates": [], "notes": 3, "duration_seconds": 1},
        {"source": "day.mp4", "candidates": [], "notes": [], "duration_seconds": "long"},
        {"source": "day.mp4", "candidates": [{"start": 2}], "notes": [], "duration_seconds": 1},
        None,
    ],
)
def test_a_stored_analysis_that_the_disk_damaged_is_named_so(client: TestClient, folder: Path, stored: Any) -> None:
    path = folder / ".studio" / "highlights" / ("b" * 16 + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    if stored is None:
        os.mkfifo(path)
    else:
        path.write_text(json.dumps(stored))
    chosen = {"report": "b" * 16, "clips": [{"number": 0, "start": 0.0, "end": 1.0}]}
    reports = f"/generate/reports/{'b' * 16}"
    for answer in (client.get(reports), client.get(f"{reports}/media"), client.post("/generate/clips", json=chosen)):
        assert answer.status_code == 404, answer.text
        assert "Analyze the stream again" in answer.text


def test_generate_by_keys_in_a_browser(folder: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/generate")
        page.get_by_label("Stream URL or video").fill("day.mp4")
        page.get_by_label("Clip duration (s)").fill("4")
        page.get_by_label("Minimum gap (s)").fill("3")
        page.get_by_role("button", name="Analyze Stream").click()
        rows = page.locator("#highlights li")
        until(lambda: rows.count() >= 2)
        count = rows.count()
        page.keyboard.press("Escape")
        page.locator("body").click(position={"x": 5, "y": 130})
        before = page.locator("#selected").text_content()
        page.keyboard.press("[")
        until(lambda: page.locator("#selected").text_content() != before)
        page.keyboard.press("x")
        until(lambda: str(page.locator("#count").text_content()).startswith(f"{count - 1} of {count}"))
        assert axe.Axe().run(page).response["violations"] == []
        page.get_by_role("button", name="Generate Clips").click()
        until(lambda: f"{count - 1} clips written" in str(page.locator("#made").text_content()))
        page.close()
    with ClipManager(folder / "clips.db") as manager:
        assert len(manager.list_clips()) == count - 1
