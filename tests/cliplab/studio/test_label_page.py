"""The Label page in Chromium: by keys alone, nothing lost and nothing doubled, and readable by everybody."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from loopback import steady_port
from studio_page import browser, running_studio
from waiting import PATIENT, until

from adapters.errors import StorageError

HOSTILE = "<img src=x onerror=alert(1)> \u202egpj.png"
COUNT = 41


def write_pictures(folder: Path, count: int = COUNT) -> None:
    for number in range(count):
        picture = np.full((90, 160, 3), 20 + number, np.uint8)
        cv2.putText(picture, str(number), (20 + 2 * number, 60), 0, 1.2, (255, 220, 180), 2)
        name = HOSTILE if number == 5 else f"frame_{number:03d}.png"
        cv2.imwrite(str(folder / name), picture)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("label")
    write_pictures(folder)
    with running_studio(folder, labels=("ad", "content"), annotator="ann") as found:
        yield found


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages of one context; a script that failed or a dialog that opened fails the test."""
    faults: list[str] = []
    contexts: dict[str, Any] = {}

    def opening(url: str, name: str = "", **options: Any) -> Any:
        if name not in contexts:
            size = {"width": 1280, "height": 720}
            contexts[name] = chromium.new_context(viewport=size, **options)
        page = contexts[name].new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{url}/label")
        until(lambda: page.inner_text("#count"), what="the list")
        until(lambda: "frame" in page.inner_text("#name") or "img" in page.inner_text("#name"), what="the first row")
        return page

    yield opening
    for context in contexts.values():
        context.close()
    assert faults == []


def said(page: Any) -> str:
    return page.inner_text("#said")


def saved(page: Any) -> None:
    until(lambda: page.inner_text("#saving") == "saved", what="all labels stored")


def stored(studio: Any, annotator: str) -> dict[int, str]:
    rows = studio.store.items(0, 1000)
    return {row.id: row.labels[annotator] for row in rows if annotator in row.labels}


def set_name(page: Any, name: str) -> None:
    page.click("#who")
    page.fill("#who-name", name)
    page.keyboard.press("Enter")
    until(lambda: name in page.inner_text("#who") and page.evaluate("document.activeElement.id") == "list")


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def test_by_keys_alone(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    page = open_page(url)
    press(page, "Home a c 1 2")
    assert said(page) == "content: frame_002.png"
    press(page, "Shift+ArrowRight r ArrowLeft f")
    assert "flagged" in said(page)
    saved(page)
    first = {1: "ad", 2: "content", 3: "ad", 4: "content", 15: "content"}
    until(lambda: stored(studio, "ann") == first)
    press(page, "z")  # the flag
    press(page, "z")
    assert said(page).startswith("undone: content")
    saved(page)
    until(lambda: 15 not in stored(studio, "ann"))
    press(page, "Shift+z")
    saved(page)
    until(lambda: stored(studio, "ann") == first)
    press(page, "Home u")
    assert "frame_003" in page.inner_text("#name")
    press(page, "x")
    until(lambda: "uncertain" in said(page))
    press(page, "m")
    page.keyboard.type("look again: a")
    page.keyboard.press("Control+Enter")
    until(lambda: "note kept" in said(page))
    saved(page)
    until(lambda: studio.store.notes_of(5) == {"ann": "look again: a"})
    press(page, "? Escape")
    assert page.evaluate("document.getElementById('keys-list').children.length") > 15
    press(page, "Control+k")
    page.keyboard.type("cont")
    page.keyboard.press("Enter")
    until(lambda: said(page).startswith("content"))
    press(page, "/")
    page.keyboard.type("frame_01")
    until(lambda: page.inner_text("#count").startswith("10 "))
    press(page, "Escape")
    assert page.evaluate("document.activeElement.id") == "list"


def test_reload_keeps_undo_and_labels(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    page = open_page(url)
    set_name(page, "rita")
    press(page, "Home a a")
    saved(page)
    page.reload()
    until(lambda: page.inner_text("#own") == "unlabelled" and page.inner_text("#count"))
    press(page, "z")
    saved(page)
    until(lambda: stored(studio, "rita") == {1: "ad"})


def test_grid_labels_a_group(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    page = open_page(url)
    set_name(page, "gina")
    press(page, "Home Enter Shift+ArrowRight Shift+ArrowRight")
    assert said(page).startswith("3 selected")
    press(page, "c")
    saved(page)
    until(lambda: stored(studio, "gina") == {1: "content", 2: "content", 3: "content"})
    page.click("#grid .cell[aria-posinset='6']")
    page.click("#grid .cell[aria-posinset='8']", modifiers=["Shift"])
    press(page, "a")
    saved(page)
    until(lambda: [number for number, label in stored(studio, "gina").items() if label == "ad"] == [6, 7, 8])
    press(page, "z")
    saved(page)
    until(lambda: len(stored(studio, "gina")) == 3)


def test_a_list_that_loads_keeps_what_is_selected(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    """As after another name was typed: the answer comes in the middle of a selection."""
    page = open_page(served[0])
    waiting: list[Any] = []
    page.route("**/items/index?*", lambda route: waiting.append(route))
    set_name(page, "mona")
    until(lambda: waiting or page.wait_for_timeout(10))  # Playwright hears of requests while it waits
    press(page, "Home Enter Shift+ArrowRight")
    assert said(page).startswith("2 selected")
    page.evaluate("document.getElementById('count').textContent = ''")
    waiting[0].continue_()
    until(lambda: page.inner_text("#count"), what="the list")
    press(page, "Shift+ArrowRight")
    assert said(page).startswith("3 selected")


def test_rows_that_arrive_after_the_person_went_on_are_shown(
    served: tuple[str, Any], open_page: Callable[..., Any]
) -> None:
    """They were asked for with another item on screen, and nothing asks for them again."""
    page = open_page(served[0])
    press(page, "Home ArrowRight ArrowRight")
    waiting: list[Any] = []
    page.route("**/items?*", lambda route: waiting.append(route))
    page.reload()
    until(lambda: waiting or page.wait_for_timeout(10))  # Playwright hears of requests while it waits
    assert page.inner_text("#name") == "item 3"
    press(page, "ArrowLeft")
    for route in waiting:
        route.continue_()
    until(lambda: page.inner_text("#name") == "frame_000.png", what="the name of the item on screen")


def test_hostile_name_is_shown_as_it_is(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    page = open_page(served[0])
    press(page, "/")
    page.keyboard.type("img src")
    until(lambda: page.inner_text("#count").startswith("1 "))
    until(lambda: page.inner_text("#name") == "<img src=x onerror=alert(1)> \\u202egpj.png")
    press(page, "Enter a")  # into the list, and label
    assert "onerror" in said(page)


def test_no_network_and_a_closed_tab_lose_nothing(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    page = open_page(url)
    set_name(page, "otto")
    press(page, "Home")
    until(lambda: page.evaluate("[...document.querySelectorAll('#list img')].every((one) => one.complete)"))
    page.context.set_offline(True)
    press(page, " ".join("ac" * 10))
    until(lambda: page.inner_text("#saving") == "offline: 20 kept here", what="the labels on this browser's disk")
    until(lambda: stored(studio, "otto") == {})
    context = page.context
    page.close()
    context.set_offline(False)
    other = open_page(url)
    saved(other)
    labels = stored(studio, "otto")
    assert len(labels) == 20
    assert labels[1] == "ad"
    assert labels[20] == "content"
    assert sum(event.annotator == "otto" for _, event in studio.store.events()) == 20


def test_two_tabs(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    one, two = open_page(url), open_page(url)
    set_name(one, "tina")
    two.reload()
    until(lambda: "tina" in two.inner_text("#who") and two.inner_text("#name"))
    press(one, "Home")
    press(two, "Home ArrowRight")
    for _ in range(5):
        press(one, "a ArrowRight")
        press(two, "c ArrowRight")
    saved(one)
    saved(two)
    labels = stored(studio, "tina")
    assert labels == {number: "ad" if number % 2 else "content" for number in range(1, 11)}
    until(lambda: "content" in one.inner_text("#list"), what="the labels of the other tab")


# A label that is given while the outbox counts what it holds, and one that is given while it opens.
RACES = """async () => {
  const { outbox } = await import("/static/studio.js"), { Outbox } = await import("/static/outbox.js");
  await outbox.opening;
  const counting = outbox.count();
  outbox.put("race", 1, "label", { label: "ad" });
  await counting;
  const opening = new Outbox("another");
  const words = [opening.word];
  opening.put("race", 2, "label", { label: "ad" });
  await opening.opening;
  return [outbox.waiting, outbox.word, opening.waiting, opening.word, ...words];
}"""


def test_saved_is_said_of_stored_labels_only(served: tuple[str, Any], open_page: Callable[..., Any]) -> None:
    url, studio = served
    page = open_page(url)
    page.route("**/events", lambda route: route.abort())
    one, word, other, other_word, unknown = page.evaluate(RACES)
    assert (one, other, unknown) == (1, 1, "")
    assert "saved" not in (word, other_word)
    page.unroute("**/events")
    saved(page)
    until(lambda: stored(studio, "race").get(1) == "ad")


def test_full_disk_is_said_and_labels_are_held(
    served: tuple[str, Any], open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, studio = served
    page = open_page(url)
    set_name(page, "fred")
    append = studio.store.append

    def full(events: object) -> None:
        raise StorageError("labels.db: the disk is full. Free some space, then it goes on by itself")

    monkeypatch.setattr(studio.store, "append", full)
    press(page, "Home a a")
    until(lambda: page.inner_text("#saving") == "cannot save: 2 kept here")
    assert "disk is full" in page.inner_text("#trouble")
    monkeypatch.setattr(studio.store, "append", append)
    saved(page)
    assert page.is_hidden("#trouble")
    until(lambda: stored(studio, "fred") == {1: "ad", 2: "ad"})


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing(served: tuple[str, Any], open_page: Callable[..., Any], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = open_page(served[0], color_scheme=scheme, reduced_motion="reduce")
    page.keyboard.press("a")
    for key, there in (("ArrowRight", "img"), ("Enter", "#grid:not([hidden])"), ("?", "#keys-sheet[open]")):
        page.keyboard.press(key)
        page.wait_for_selector(there)
        found = axe.run(page)
        assert found.violations_count == 0, f"after {key}: {found.generate_report()}"


def test_first_screen(chromium: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    with running_studio(tmp_path, annotator="ann") as (url, studio):
        page = chromium.new_page(color_scheme="dark")
        page.goto(url)
        assert axe.run(page).violations_count == 0
        page.fill("#class-names", "ad\ncontent")
        page.click("#begin")
        until(lambda: "no picture" in page.inner_text("#setup-state"))
        write_pictures(tmp_path, 2)
        page.click("#begin")
        page.wait_for_selector("#label-page")
        assert [one.name for one in studio.store.classes()] == ["ad", "content"]
        page.close()


def test_token_of_the_fragment_opens_the_studio(chromium: Any, tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    token = "a-token-of-at-least-16"
    with running_studio(tmp_path, labels=("ad",), annotator="ann", host="0.0.0.0", token=token) as (url, studio):
        page = chromium.new_context().new_page()
        page.goto(url)
        assert "requires its token" in page.inner_text("h1")
        page.goto("about:blank")
        page.goto(f"{url}/#token={token}")
        page.wait_for_selector("#label-page")
        until(lambda: page.inner_text("#count"))
        assert token not in page.url
        press(page, "a")
        saved(page)
        until(lambda: stored(studio, "ann"))
        page.context.close()


def test_killed_server_loses_nothing(chromium: Any, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    port = steady_port()
    server, url = start_server(tmp_path, port)
    page = chromium.new_context().new_page()
    try:
        page.goto(f"{url}label")
        until(lambda: page.inner_text("#count"))
        press(page, "Home " + " ".join("ac" * 5))
        server.send_signal(signal.SIGKILL)
        server.wait()
        press(page, " ".join("ac" * 5))
        until(lambda: page.inner_text("#saving").startswith("offline"))
        server, _ = start_server(tmp_path, port)
        saved(page)
    finally:
        page.context.close()
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENT) == 0
    with sqlite3.connect(tmp_path / "labels.db") as database:
        labels = database.execute("SELECT item, label FROM current_labels ORDER BY item").fetchall()
        assert labels == [(number, "ad" if number % 2 else "content") for number in range(1, 21)]
        assert database.execute("SELECT count(*) FROM events").fetchone() == (20,)


def start_server(folder: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "cliplab", "studio", str(folder), "--json", "--labels", "ad,content"]
    server = subprocess.Popen(
        [*command, "--annotator", "ann", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert server.stdout is not None
    return server, json.loads(server.stdout.readline())["url"]
