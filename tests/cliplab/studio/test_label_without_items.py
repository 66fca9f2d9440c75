"""Keys of the Label page while there is no item: the list is on its way, or a search has found nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from studio_page import browser, running_studio
from waiting import until

KEYS = [
    "a",
    "f",
    "m",
    "ArrowRight",
    "Shift+a",
    "Delete",
    "Enter",
    "Control+a",
    " ",
    "ArrowDown",
    "a",
    "f",
]


def test_keys_without_an_item_say_why_and_store_nothing(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((45, 80, 3), 60 * number, np.uint8))
    with running_studio(tmp_path, labels=("ad", "content"), annotator="ann") as (url, studio), browser() as chromium:
        page = chromium.new_page()
        held: list[Any] = []
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.route("**/items/index*", lambda route: held.append(route))
        page.goto(f"{url}/label")
        until(lambda: page.wait_for_timeout(20) or held, what="the request for the list")
        for key in KEYS:
            page.evaluate("document.querySelector('#said').textContent = ''")
            page.keyboard.press(key)
            assert page.inner_text("#said") == "the list is still loading: press the key again in a moment", key
        page.keyboard.press("Escape")
        for route in held:
            route.continue_()
        page.unroute("**/items/index*")
        until(lambda: page.inner_text("#name").startswith("frame"), what="the first row")

        page.fill("#filter-text", "no such name")
        until(lambda: page.inner_text("#stage").startswith("No item"), what="the empty list")
        page.keyboard.press("Escape")
        for key in KEYS:
            page.evaluate("document.querySelector('#said').textContent = ''")
            page.keyboard.press(key)
            assert page.inner_text("#said") == "no item is in this list", key
        assert not studio.store.item(1).labels
        assert not [one for one in asked if "undefined" in one or "NaN" in one]
        page.context.close()
