"""Videos that the browser cannot play, and a label that is not there, on the Label page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from media_patterns import write_numbered
from studio_page import browser, running_studio
from waiting import until


@pytest.fixture
def page(tmp_path: Path) -> Any:
    write_numbered(tmp_path / "old.avi", 40, fps=10, codec="mpeg4")
    write_numbered(tmp_path / "other.avi", 40, fps=10, codec="mpeg4")
    with (
        running_studio(tmp_path, labels=("ad", "content"), annotator="ann") as (url, _),
        browser() as chromium,
    ):
        page = chromium.new_page(reduced_motion="no-preference")
        page.goto(f"{url}/label")
        until(lambda: page.inner_text("#name") == "old.avi")
        yield page


def space(page: Any, expected: str) -> None:
    page.keyboard.press("Space")
    until(lambda: page.inner_text("#said").startswith(expected), what=expected)


def test_space_pauses_what_is_shown_as_pictures_also_when_it_is_shown_again(page: Any) -> None:
    picture = "document.querySelector('#stage img')?.src ?? ''"
    until(lambda: "&t=" in page.evaluate(picture), what="the pictures in turn")
    space(page, "paused")
    page.keyboard.press("ArrowRight")
    until(lambda: page.inner_text("#name") == "other.avi")
    page.keyboard.press("ArrowLeft")
    until(lambda: page.inner_text("#name") == "old.avi")
    first = page.evaluate(picture)
    until(lambda: page.evaluate(picture) not in ("", first), what="pictures that go on after the return")
    space(page, "paused")
    space(page, "playing, eight pictures in turn")


def test_a_label_that_is_not_there_is_not_removed(page: Any) -> None:
    page.keyboard.press("Delete")
    until(lambda: page.inner_text("#said") == "no label to remove: old.avi")
    assert page.inner_text("#name") == "old.avi"
    page.keyboard.press("a")
    until(lambda: page.inner_text("#name") == "other.avi")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Delete")
    until(lambda: page.inner_text("#said") == "label removed: old.avi")
