"""The few connections of a browser: labels of many tabs are saved, and the first picture comes before all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from studio_page import browser, running_studio
from waiting import until

from cliplab.studio import LabelEvent

TABS = 9  # browsers open six connections to an address
# A headless browser calls every tab visible: what it does to a tab that goes behind another.
SET_VISIBILITY = """(state) => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("tabs")
    for number in range(12):
        cv2.imwrite(str(folder / f"frame_{number:02d}.png"), np.full((45, 80, 3), 15 * number, np.uint8))
    with running_studio(folder, labels=("ad", "content"), annotator="ann") as found:
        yield found


def test_labels_of_the_ninth_tab_are_saved_and_the_first_catches_up(served: tuple[str, Any]) -> None:
    url, studio = served
    with browser() as chromium:
        context = chromium.new_context(viewport={"width": 1280, "height": 720})
        tabs = []
        for _ in range(TABS):
            page = context.new_page()
            page.goto(f"{url}/label", timeout=20_000)
            until(lambda page=page: page.inner_text("#name").startswith("frame"), what="the first row")
            if len(tabs) < TABS - 1:
                page.evaluate(SET_VISIBILITY, "hidden")
            tabs.append(page)
        tabs[-1].keyboard.press("Home")
        tabs[-1].keyboard.press("a")
        until(lambda: tabs[-1].inner_text("#saving") == "saved", what="the label of the last tab")
        assert studio.store.item(1).labels == {"ann": "ad"}

        # What happens while a tab is behind others is there once it is looked at.
        other = LabelEvent("another program", 0, "ann", 2, "label", {"label": "content"}, 1.0)
        studio.store.append([other])
        tabs[0].keyboard.press("Home")
        assert tabs[0].inner_text("#own") == "unlabelled"
        tabs[0].evaluate(SET_VISIBILITY, "visible")
        until(lambda: "ad" in tabs[0].inner_text("#own"), what="the label of another tab")
        tabs[0].keyboard.press("ArrowRight")
        until(lambda: "content" in tabs[0].inner_text("#own"), what="the label that came while the tab was hidden")
        context.close()


def test_the_first_picture_is_asked_for_before_thumbnails_and_neighbours(served: tuple[str, Any]) -> None:
    url, _ = served
    with browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 720}).new_page()
        asked: list[str] = []
        answered: list[int] = []  # how many pictures had been asked for when the first came

        def hear(request: Any) -> None:
            if "/frame?" in request.url or "/thumbnail" in request.url:
                asked.append(request.url)

        def heard(response: Any) -> None:
            if "/frame?" in response.url:
                answered.append(sum("/frame?" in one for one in asked))

        page.on("request", hear)
        page.on("response", heard)
        page.goto(f"{url}/label")
        page.wait_for_selector("#stage img")
        until(lambda: page.wait_for_timeout(20) or sum("/frame?" in one for one in asked) > 1, what="the neighbours")
        assert "/frame?" in asked[0]
        assert answered[0] == 1
        page.context.close()


@pytest.mark.parametrize(("height", "scale", "last"), [(720, 1, "h=720"), (1400, 2, "h=2160")])
def test_the_page_comes_with_the_first_picture(served: tuple[str, Any], height: int, scale: int, last: str) -> None:
    url, _ = served
    first = re.search(r'<img data-item="(\d+)" src="(/items/\1/frame\?h=720)"', httpx.get(f"{url}/label").text)
    assert first is not None
    with browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": height}, device_scale_factor=scale).new_page()
        asked: list[str] = []
        page.on(
            "request", lambda request: asked.append(request.url) if f"/items/{first[1]}/frame?" in request.url else None
        )
        page.goto(f"{url}/label")
        until(lambda: page.inner_text("#name").startswith("frame"), what="the first row")
        # A picture that is large enough stays; a smaller one is shown until one of the right size is there.
        until(lambda: page.wait_for_timeout(20) or last in page.get_attribute("#stage img", "src"), what="the picture")
        assert [one.partition("?")[2] for one in asked] == list(dict.fromkeys(["h=720", last]))
        page.keyboard.press("ArrowRight")
        following = f"/items/{int(first[1]) + 1}/"
        until(lambda: following in page.get_attribute("#stage img", "src"), what="the next picture")
        page.reload()
        until(lambda: following in page.get_attribute("#stage img", "src"), what="the picture that was on screen")
        page.context.close()
