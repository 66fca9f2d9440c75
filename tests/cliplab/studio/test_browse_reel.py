"""A reel of chosen clips on the Browse page: over HTTP and in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("alembic", reason="needs pip install 'cliplab[clips]'")

from starlette.testclient import TestClient
from studio_page import browser, running_studio
from tiny_videos import render_video
from waiting import until

from adapters.media import probe
from cliplab.clips import ClipManager
from cliplab.studio.app import make_app
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio


def fill(folder: Path) -> Path:
    """Three clips of 1 s, registered with stars 2, 5 and none; the third began first."""
    (folder / "output_clips").mkdir(parents=True)
    with ClipManager(folder / "clips.db") as manager:
        for number, (stars, start) in enumerate(((2, 10.0), (5, 20.0), (None, 5.0))):
            render_video(folder / "output_clips" / f"{number}.mp4", ("warm", "cold")[number % 2], number)
            clip = manager.register_clip(f"output_clips/{number}.mp4", start, start + 1.0, 0.5, "video", {})
            if stars is not None:
                manager.rate_clip(clip, stars)
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Any, Path]]:
    folder = fill(tmp_path / "data")
    with open_studio(StudioOptions(folder)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        yield client, studio, folder


def chosen(*clips: Any, **other: Any) -> dict[str, Any]:
    return {"clips": list(clips), "order": "rating", "transitions": False, **other}


def test_a_reel_is_made_and_taken_away(served: tuple[TestClient, Any, Path], tmp_path: Path) -> None:
    client, studio, folder = served
    begun = client.post("/browse/reels", json=chosen(1, 2, 3, 2, order="time")).json()
    job = studio.jobs.get(begun["job"])
    until(lambda: job.state != "running")
    assert (job.state, job.result["clips"], job.result["problems"]) == ("done", 3, [])
    answer = client.get(f"/browse/reels/{begun['reel']}")
    assert "attachment" in answer.headers["content-disposition"]
    made = tmp_path / "reel.mp4"
    made.write_bytes(answer.content)
    assert probe(made).duration_seconds == pytest.approx(3.0, abs=0.3)
    (folder / "output_clips" / "0.mp4").write_bytes(b"damaged")
    begun = client.post("/browse/reels", json=chosen(1, 3)).json()
    job = studio.jobs.get(begun["job"])
    until(lambda: job.state != "running")
    assert job.result["clips"] == 1
    assert job.result["problems"][0].startswith("0.mp4 is left out")
    assert client.get("/models/jobs/" + job.id).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (chosen(), 400),
        (chosen("1"), 400),
        (chosen(True), 400),
        (chosen(*range(1, 60)), 400),
        (chosen(1, order="random"), 400),
        (chosen(1, transitions="yes"), 400),
        (chosen(99), 404),
        ({"clips": [1]}, 400),
    ],
)
def test_what_is_no_selection(served: tuple[TestClient, Any, Path], body: dict[str, Any], status: int) -> None:
    assert served[0].post("/browse/reels", json=body).status_code == status


def test_who_may_ask(served: tuple[TestClient, Any, Path], tmp_path: Path) -> None:
    client, _, folder = served
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    with ClipManager(folder / "clips.db") as manager:
        outside = manager.register_clip("../secret.mp4", 0.0, 1.0, 0.5, "video", {})
    assert client.post("/browse/reels", json=chosen(outside)).status_code == 403
    assert client.post("/browse/reels", json=chosen(1), headers={"X-CSRF-Token": "other"}).status_code == 403
    for name in ("0123456789abcdef", "..%2f..%2fclips.db", "x"):
        assert client.get(f"/browse/reels/{name}").status_code == 404


def test_a_reel_in_a_browser(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/browse")
        until(lambda: page.locator("#taken").text_content() == "0 clips chosen")
        assert page.locator("#make-reel").is_disabled()
        for box in page.locator('.take input[name="id"]').all()[:2]:
            box.check()
        until(lambda: page.locator("#taken").text_content() == "2 clips chosen")
        page.locator("#make-reel").click()
        until(lambda: page.locator("#reel-state a").count() == 1)
        assert "2 clips" in str(page.locator("#reel-state").text_content())
        with page.expect_download() as download:
            page.locator("#reel-state a").click()
        assert download.value.suggested_filename == "reel.mp4"
        assert axe.Axe().run(page).response["violations"] == []
        page.close()
