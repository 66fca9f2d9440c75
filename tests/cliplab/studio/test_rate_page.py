"""The Rate page: over HTTP and in Chromium."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("alembic", reason="needs pip install 'cliplab[clips]'")
pytest.importorskip("skops", reason="needs pip install 'cliplab[clips]'")

from starlette.testclient import TestClient
from studio_page import browser, running_studio
from tiny_videos import render_video
from waiting import until

from cliplab.clips import ClipManager
from cliplab.studio.app import make_app
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio


def fill(folder: Path, clips: int = 12) -> None:
    folder.mkdir()
    (folder / "output_clips").mkdir()
    render_video(folder / "output_clips" / "0.mp4", "warm", 0)
    content = (folder / "output_clips" / "0.mp4").read_bytes()
    with ClipManager(folder / "clips.db") as manager:
        for n in range(clips):
            path = folder / "output_clips" / f"{n}.mp4"
            path.write_bytes(content)
            manager.register_clip(f"output_clips/{n}.mp4", n, n + 2.0, 0.5, "video", {"tempo": float(n)})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Any, Path]]:
    folder = tmp_path / "data"
    fill(folder)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    with open_studio(StudioOptions(folder)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        yield client, studio, folder


def rating(clip: Any, stars: Any, sequence: int = 0, **other: Any) -> dict[str, Any]:
    return {"clip": clip, "stars": stars, "rater": "ann", "client": "tab", "sequence": sequence, **other}


def test_clips_come_with_what_is_known_of_them(served: tuple[TestClient, Any, Path]) -> None:
    client, _, _ = served
    found = client.get("/rate/next?limit=5&rater=ann").json()
    assert len(found["clips"]) == 5
    assert {clip["reason"] for clip in found["clips"]} <= {"informative", "random"}
    assert found["statistics"]["total_clips"] == 12
    answer = client.get(f"/rate/clips/{found['clips'][0]['id']}/media", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, len(answer.content), answer.headers["content-type"]) == (206, 10, "video/mp4")
    page = client.get("/rate").text
    for name in ("Load Clips for Rating", "Submit Rating", "Train Model Now", "Poor", "Excellent"):
        assert name in page


def test_a_rating_that_is_sent_twice_is_stored_once(served: tuple[TestClient, Any, Path]) -> None:
    client, _, folder = served
    first, again = (client.post("/rate", json=rating(1, stars)).json() for stars in (5, 1))
    assert (first["stored"], again["stored"]) == (True, False)
    assert client.post("/rate", json=rating(1, None, 1)).json()["statistics"]["rated_clips"] == 0
    client.post("/rate", json=rating(2, 4, 2))
    with ClipManager(folder / "clips.db") as manager:
        assert (manager.get_clip(1).rating, manager.get_clip(2).rating) == (None, 4)


@pytest.mark.parametrize(
    "body, status",
    [
        (rating(1, 6), 400),
        (rating(1, "5"), 400),
        (rating(1, 3, rater=""), 400),
        (rating(1, 3, rater=None), 200),
        (rating(1, 3, rater="<b>\u202e"), 400),
        (rating(999, 3), 404),
        (rating("1", 3), 404),
        (rating(1, 3, client=""), 400),
        (rating(1, 3, sequence=-1), 400),
        (rating(1, 3, sequence="0"), 400),
        ({"clip": 1}, 400),
        ([1], 400),
    ],
)
def test_what_is_no_rating(served: tuple[TestClient, Any, Path], body: Any, status: int) -> None:
    client, _, _ = served
    assert client.post("/rate", json=body).status_code == status


def test_writes_need_the_header_of_this_page(served: tuple[TestClient, Any, Path]) -> None:
    client, _, _ = served
    for path, body in (("/rate", rating(1, 5)), ("/rate/train", {})):
        assert client.post(path, json=body, headers={"X-CSRF-Token": "other"}).status_code == 403
    assert client.get("/rate/state").json()["statistics"]["ratings"] == 0


@pytest.mark.parametrize("where", ["../secret.mp4", "{up}/secret.mp4", "output_clips/link.mp4"])
def test_no_file_outside_of_the_folder_is_shown(served: tuple[TestClient, Any, Path], where: str) -> None:
    client, _, folder = served
    (folder / "output_clips" / "link.mp4").symlink_to(folder.parent / "secret.mp4")
    with ClipManager(folder / "clips.db") as manager:
        number = manager.register_clip(where.format(up=folder.parent), 0, 1, 0.5, "video", {})
    answer = client.get(f"/rate/clips/{number}/media")
    assert answer.status_code == 403
    assert b"secret\n" not in answer.content


def test_a_clip_that_is_gone_or_no_video_is_named(served: tuple[TestClient, Any, Path]) -> None:
    client, _, folder = served
    (folder / "output_clips" / "3.mp4").unlink()
    found = client.get("/rate/next?limit=12").json()
    assert (len(found["clips"]), found["hidden"]) == (11, 1)
    assert 4 not in {clip["id"] for clip in found["clips"]}
    assert "cleanup" in client.get("/rate/clips/4/media").json()["error"]
    (folder / "page.html").write_text("<script>alert(1)</script>")
    with ClipManager(folder / "clips.db") as manager:
        number = manager.register_clip("page.html", 0, 1, 0.5, "video", {})
    assert client.get(f"/rate/clips/{number}/media").status_code == 415
    assert client.get("/rate/next?limit=0").status_code == 400
    assert client.get("/rate/next?limit=x").status_code == 400


def test_what_was_said_of_a_removed_clip_does_not_go_to_another_one(served: tuple[TestClient, Any, Path]) -> None:
    client, _, folder = served
    seen = {clip["id"]: clip["created_at"] for clip in client.get("/rate/next?limit=12").json()["clips"]}
    with ClipManager(folder / "clips.db") as manager:
        with manager.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM clips WHERE id = 12")
        again = manager.register_clip("output_clips/other.mp4", 0.0, 1.0, 0.5, "video", {})
    assert again == 12, "SQLite gives the number of the removed clip to the next one"
    answer = client.post("/rate", json=rating(12, 5, created_at=seen[12]))
    assert answer.status_code == 404
    assert "clip 12 was removed" in answer.json()["error"]
    assert client.post("/rate", json=rating(1, 5, created_at=seen[1])).json()["stored"]
    assert client.post("/rate", json=rating(12, 5, created_at=7)).status_code == 400
    body = {"better": 12, "worse": 1, "rater": "ann", "client": "tab", "sequence": 9}
    assert client.post("/compare", json={**body, "better_created_at": seen[12]}).status_code == 404
    times = {"better_created_at": seen[2], "worse_created_at": seen[1]}
    assert client.post("/compare", json={**body, "better": 2, **times}).json() == {"stored": True}
    with ClipManager(folder / "clips.db") as manager:
        assert manager.get_clip(12).rating is None


def test_without_clips_the_page_says_how_to_get_some(tmp_path: Path) -> None:
    with open_studio(StudioOptions(tmp_path)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        assert "There are no clips to rate yet" in client.get("/rate").text


def test_rate_by_keys_in_a_browser(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/rate")
        page.wait_for_selector("#stage video")
        for key in "5243":
            page.keyboard.press(key)
        page.keyboard.press("z")
        with ClipManager(folder / "clips.db") as manager:
            until(lambda: manager.get_statistics()["ratings"] == 4 and manager.get_statistics()["rated_clips"] == 3)
            assert {clip.rating for clip in manager.list_clips(rated=True)} == {5, 2, 4}
        until(lambda: page.locator("#saving").text_content() == "saved")
        page.get_by_label("4 ★★★★ Good").check()
        page.get_by_role("button", name="Submit Rating").click()
        with ClipManager(folder / "clips.db") as manager:
            until(lambda: manager.get_statistics()["rated_clips"] == 4)
        until(lambda: str(page.locator("#progress").text_content()).startswith("4 of 12"))
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python"
        )
        assert axe.Axe().run(page).response["violations"] == []
        page.close()


def test_undo_of_a_clip_that_is_shown_again_keeps_its_earlier_stars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliplab.clips.choosing._AGAIN", 1.0)
    folder = tmp_path / "data"
    fill(folder, clips=2)
    with ClipManager(folder / "clips.db") as manager, running_studio(folder) as (address, _), browser() as opened:
        for clip, stars in ((1, 4), (2, 2)):
            manager.rate_clip(clip, stars)
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/rate")
        page.wait_for_selector("#stage video")
        assert page.locator('input[name="stars"]:checked').count() == 0, "the earlier stars would lead the rater"
        page.keyboard.press("5")
        until(lambda: manager.get_statistics()["ratings"] == 3)
        page.keyboard.press("z")
        until(lambda: manager.get_statistics()["ratings"] == 4)
        assert {clip.id: clip.rating for clip in manager.list_clips()} == {1: 4, 2: 2}
        page.close()


def test_agreement_of_raters_over_http_and_on_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder, clips=3)
    with ClipManager(folder / "clips.db") as manager, running_studio(folder) as (address, _), browser() as opened:
        for clip, ann, ben in ((1, 5, 4), (2, 3, 2), (3, 1, 1)):
            manager.rate_clip(clip, ann, rater="ann")
            manager.rate_clip(clip, ben, rater="ben")
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/rate")
        until(lambda: "alpha 0." in str(page.locator("#agreement").text_content()))
        said = page.locator("#agreement").locator("li").all_text_contents()
        assert said[1].startswith("ann: +0.7 stars")
        assert said[2].startswith("ben: −0.7 stars")
        page.close()


def test_the_gallery_filters_pages_and_gives_files(served: tuple[TestClient, Any, Path]) -> None:
    client, _, folder = served
    with ClipManager(folder / "clips.db") as manager:
        for n in range(60):
            manager.register_clip(f"output_clips/{n % 12}.mp4", 100 + n, 101.0 + n, 0.5, "audio", {})
        manager.rate_clip(3, 4)
        manager.rate_clip(4, 5)
        manager.tag(4, "<b>goal</b>")
    first = client.get("/browse").text
    assert first.count('<article class="card">') == 50
    older = client.get("/browse?" + first.split('href="/browse?')[1].split('"')[0].replace("&amp;", "&")).text
    assert older.count('<article class="card">') == 22
    assert client.get("/browse", params={"rating": ">= 4"}).text.count('card">') == 2
    assert client.get("/browse", params={"rating": "= 4"}).text.count('card">') == 1
    tagged = client.get("/browse", params={"tag": "<b>goal</b>"}).text
    assert tagged.count('card">') == 1
    assert "<b>goal" not in tagged
    assert "No clip matches" in client.get("/browse", params={"rating": "unrated", "tag": "none"}).text
    answer = client.get("/browse/clips/1/download")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.content == (folder / "output_clips" / "0.mp4").read_bytes()
    archive = client.get("/browse/zip?id=1&id=2&id=2")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as found:
        assert found.namelist() == ["000001_0.mp4", "000002_1.mp4"]
    for bad in ("/browse/zip", "/browse/zip?id=x", "/browse?before=x", "/browse?rating=many"):
        assert client.get(bad).status_code == 400, bad
    assert client.get("/browse/zip?id=999").status_code == 404
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/browse/zip?id=1", headers=foreign).status_code == 403
    assert client.get("/browse?before=999").status_code == 404


def test_two_clips_are_compared(served: tuple[TestClient, Any, Path]) -> None:
    client, _, _ = served
    pairs = client.get("/compare/pairs").json()["pairs"]
    assert pairs
    assert all(one["id"] != other["id"] for one, other in pairs)
    body = {"better": 1, "worse": 2, "rater": "ann", "client": "tab", "sequence": 0}
    assert [client.post("/compare", json=body).json()["stored"] for _ in range(2)] == [True, False]
    assert client.post("/compare", json={**body, "worse": 1, "sequence": 1}).status_code == 400
    assert client.post("/compare", json={**body, "worse": 99, "sequence": 2}).status_code == 404


def compared(manager: ClipManager) -> Any:
    with manager.database.reading() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM comparisons").scalar()


def test_compare_and_browse_in_a_browser(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{address}/compare")
        page.wait_for_selector("#pair video")
        for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        until(lambda: page.locator("#saving").text_content() == "saved")
        with ClipManager(folder / "clips.db") as manager:
            until(lambda: compared(manager) == 2)
        assert axe.Axe().run(page).response["violations"] == []
        page.goto(f"{address}/browse")
        assert page.locator(".card").count() == 12
        # The list of clips and the button of one download, as the guide of the seed has them.
        names = page.get_by_label("Clip", exact=True).locator("option").all_text_contents()
        assert len(names) == 12
        chosen = page.get_by_label("Clip", exact=True).select_option(index=3)[0]
        with page.expect_download() as download:
            page.locator("#download-one").click()
        assert download.value.url.endswith(f"/browse/clips/{chosen}/download")
        assert names[3] == f"00:08.0 {download.value.suggested_filename}"
        assert axe.Axe().run(page).response["violations"] == []
        page.close()


def test_a_request_makes_no_database(tmp_path: Path) -> None:
    with open_studio(StudioOptions(tmp_path)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        for path in ("/rate/next", "/rate/state", "/browse/zip?id=1", "/browse/clips/1/download"):
            assert client.get(path).status_code == 404, path
    assert not (tmp_path / "clips.db").exists()


@pytest.mark.parametrize(
    ("key", "value", "status"), [("clip", 10**30, 404), ("client", "\ud800", 400), ("client", "\0", 400)]
)
def test_values_that_no_database_holds_are_refused(
    served: tuple[TestClient, Any, Path], key: str, value: Any, status: int
) -> None:
    client, _, _ = served
    body = {"clip": 1, "stars": 3, "rater": "ann", "client": "tab", "sequence": 0, key: value}
    assert client.post("/rate", content=json.dumps(body)).status_code == status
    body = {"better": body.pop("clip"), "worse": 2, **body}
    assert client.post("/compare", content=json.dumps(body)).status_code == status


def test_clips_that_nobody_can_see_are_said_on_every_page(served: tuple[TestClient, Any, Path]) -> None:
    """Of twelve clips one is deleted and one is moved out of the folder, while the pages are open."""
    client, _, folder = served
    (folder / "output_clips" / "3.mp4").unlink()
    (folder / "output_clips" / "5.mp4").rename(folder.parent / "5.mp4")
    (folder / "output_clips" / "5.mp4").symlink_to(folder.parent / "5.mp4")
    seen, hidden = set(), 0
    for _ in range(20):
        found = client.get("/compare/pairs").json()
        seen |= {clip["id"] for pair in found["pairs"] for clip in pair}
        hidden = max(hidden, found["hidden"])
    assert seen == set(range(1, 13)) - {4, 6}
    assert hidden == 2
    cards = client.get("/browse").text.split('<article class="card">')[1:]
    faults = {12 - place: card for place, card in enumerate(cards) if "<video" not in card}
    assert set(faults) == {4, 6}
    assert "3.mp4: the file is missing" in faults[4]
    assert "outside the studio&#39;s folder" in faults[6]
    assert not any('type="checkbox"' in card.split("</article>")[0] for card in faults.values())
    one = client.get("/browse").text.split('id="one"')[1].split("</select>")[0]
    assert one.count("<option") == 10, "those that can be taken away"
    for clip in (folder / "output_clips").glob("*.mp4"):
        clip.unlink()
    with ClipManager(folder / "clips.db") as manager:
        for n in range(50):
            manager.register_clip(f"output_clips/{n}.mp4", 100 + n, 101.0 + n, 0.5, "video", {})
    page = client.get("/browse").text
    assert page.count("the file is missing") == 50
    assert "Older clips" in page
    assert "zip" not in page.split("</head>")[1].split("browse-tools")[1]


def test_the_gallery_shows_the_thumbnail_beside_a_clip(served: tuple[TestClient, Any, Path]) -> None:
    client, _, folder = served
    (folder / "output_clips" / "1.jpg").write_bytes(b"\xff\xd8 a picture")
    (folder.parent / "secret.jpg").write_bytes(b"secret")
    (folder / "output_clips" / "2.jpg").symlink_to(folder.parent / "secret.jpg")
    assert client.get("/browse").text.count("poster=") == 1
    answer = client.get("/rate/clips/2/picture")
    assert (answer.content, answer.headers["content-type"]) == (b"\xff\xd8 a picture", "image/jpeg")
    assert [client.get(f"/rate/clips/{number}/picture").status_code for number in (1, 3, 99)] == [404, 404, 404]


def test_a_clip_that_goes_while_a_page_shows_it_is_named(tmp_path: Path) -> None:
    """On Rate and Compare in a browser; and what Rate says where no clip can be seen."""
    folder = tmp_path / "data"
    fill(folder)
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page(viewport={"width": 390, "height": 800})
        page.goto(f"{address}/browse")
        page.wait_for_selector(".card")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing is wider than a telephone"
        clips = {path: path.read_bytes() for path in (folder / "output_clips").glob("*.mp4")}

        def remove(route: Any) -> None:
            """Between the answer that names the clips and the browser that asks for them."""
            answer = route.fetch()
            for clip in clips:
                clip.unlink()
            route.fulfill(response=answer)

        for path, place in (("compare/pairs", "#pair [role=alert]"), ("rate/next?*", "#stage [role=alert]")):
            page.route(f"**/{path}", remove, times=1)
            page.goto(f"{address}/{path.split('/')[0]}")
            page.wait_for_selector(place)
            assert "the file is missing" in page.locator(place).first.text_content()
            for clip, content in clips.items():
                clip.write_bytes(content)
        for clip in clips:
            clip.unlink()
        page.reload()
        page.wait_for_selector("#empty >> text=12 clips are left out")
        page.close()


def test_one_clip_of_a_pair_is_heard_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page()
        page.goto(f"{address}/compare")
        page.wait_for_selector("#pair video")
        page.locator("body").click(position={"x": 2, "y": 300})
        muted = "[...document.querySelectorAll('#pair video')].map((one) => one.muted)"
        heard = [page.evaluate(muted)]
        for _ in range(3):
            page.keyboard.press("ArrowUp")
            heard.append(page.evaluate(muted))
        assert heard == [[True, True], [False, True], [True, False], [True, True]]
        page.evaluate("document.querySelectorAll('#pair video').forEach((one) => { one.muted = false; })")
        until(lambda: sum(page.evaluate(muted)) >= 1, what="one of two is muted again")
        page.close()


def test_a_database_that_is_moved_away_and_one_that_takes_its_place(served: tuple[TestClient, Any, Path]) -> None:
    """Ratings are to be sent again while there is none, and go to the one that is there, not to the one that was."""
    client, _, folder = served
    assert client.post("/rate", json=rating(1, 5)).json()["stored"]
    for name in ("clips.db", "clips.db-wal", "clips.db-shm"):
        (folder / name).rename(folder / f"old-{name.replace('clips', 'clips1')}")
    answer = client.post("/rate", json=rating(2, 4, 1))
    assert (answer.status_code, "Put it back" in answer.json()["error"]) == (503, True)
    compared = {"better": 1, "worse": 2, "rater": "ann", "client": "tab", "sequence": 9}
    assert client.post("/compare", json=compared).status_code == 503
    with ClipManager(folder / "clips.db") as manager:
        manager.register_clip("output_clips/7.mp4", 7.0, 9.0, 0.5, "video", {})
    assert [clip["filename"] for clip in client.get("/rate/next").json()["clips"]] == ["7.mp4"]
    assert client.post("/rate", json=rating(1, 2, 2)).json()["statistics"]["ratings"] == 1
    with ClipManager(folder / "clips.db") as manager:
        assert manager.get_clip(1).rating == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "Update cliplab"),
        ("DROP TABLE comparisons", "half migrated"),
    ],
)
def test_a_database_of_another_version_is_said_on_each_page(tmp_path: Path, change: str, said: str) -> None:
    folder = tmp_path / "data"
    fill(folder, clips=2)
    with closing(sqlite3.connect(folder / "clips.db")) as connection:
        connection.execute(change)
        connection.commit()
    with open_studio(StudioOptions(folder)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        for page in ("/rate", "/compare", "/browse"):
            assert said in client.get(page).text
        answer = client.post("/rate", json=rating(1, 5))
        assert answer.status_code >= 500, "the browser keeps the rating and sends it again"
        assert said in answer.json()["error"]


def test_a_locked_database_keeps_the_rating_in_the_browser(
    served: tuple[TestClient, Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliplab.sql._WAIT_SECONDS", 0.1)
    client, _, folder = served
    with closing(sqlite3.connect(folder / "clips.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/rate", json=rating(1, 5))
        assert (answer.status_code, "Another process" in answer.json()["error"]) == (507, True)
        for page in ("/rate", "/compare", "/browse", "/rate/next"):
            assert client.get(page).status_code == 200, "reading goes on"
        other.rollback()
    assert client.post("/rate", json=rating(1, 5)).json()["stored"]


def test_a_read_only_database_is_shown_and_a_rating_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    fill(folder, clips=2)
    connect = sqlite3.connect

    def read_only(path: str, **options: Any) -> sqlite3.Connection:
        """By the connection, since whoever runs as root may write any file."""
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    with open_studio(StudioOptions(folder)) as studio, monkeypatch.context() as patched:
        patched.setattr("sqlite3.dbapi2.connect", read_only)
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        client.headers["X-CSRF-Token"] = studio.csrf
        for page in ("/rate/next", "/browse", "/compare/pairs"):
            assert client.get(page).status_code == 200
        answer = client.post("/rate", json=rating(1, 5))
        assert answer.status_code == 507, "the browser keeps the rating and sends it again"
        assert "Give this user the right to write" in answer.json()["error"]


def test_a_clip_that_is_replaced_by_something_else_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    with running_studio(folder) as (address, _), browser() as opened:
        page = opened.new_page()

        def replace(route: Any) -> None:
            answer = route.fetch()
            for clip in (folder / "output_clips").glob("*.mp4"):
                clip.write_bytes(b"no video " * 100)
            route.fulfill(response=answer)

        page.route("**/rate/next?*", replace, times=1)
        page.goto(f"{address}/rate")
        page.wait_for_selector("#stage [role=alert] >> text=this browser cannot play it")
        page.goto(f"{address}/compare")
        page.wait_for_selector("#pair [role=alert] >> text=this browser cannot play it")
        page.close()
