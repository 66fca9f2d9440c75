"""The Label page in Chromium: how fast a key shows the next frame, and what an outage loses. Needs `cliplab[studio]`.

    python benchmarks/bench_studio_page.py [ITEMS] [OUTAGE_SECONDS] [keys,outage,many]

prints JSON lines, one for each part.

1. key_to_frame: from the key's own time stamp until the next frame is decoded and painted, in ms (promised: p95 50,
   p99 100), over 300 labels; again after 10,000 labels (promised: within 1.2 times that); the steps of the machine's
   own clock are 0.1 ms.
2. outage: 500 labels while the server is killed with SIGKILL five times and the network is cut for OUTAGE_SECONDS
   (120): labels lost, and stored twice (promised: 0 and 0).
3. many: ITEMS items (100,000): ms from the request of a page in a new browser, with nothing in its cache, until the
   picture of its first item is painted (promised: p95 300), and tasks of the main thread over 50 ms while the list and
   the grid scroll (promised: 0), both by Chromium's own records; the memory of the server with its decoders in MB
   (promised: 300).

Frames are rendered, 640x360. Chromium, the server and whatever else runs share the machine's cores: the load average is
in each line.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FRAMES, KEYS, MANY_LABELS, OUTAGE_LABELS, KILLS, LOADS = 400, 300, 10_000, 500, 5, 20
STEPS = 200  # of the wheel, in the list and in the grid
# When the picture of the item is painted, from the moment at which the browser is asked for the page.
FIRST_PICTURE = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const found = list.getEntries().find((one) => one.element?.closest("#stage"));
  if (found) resolve(found.renderTime || found.loadTime);
}).observe({ type: "largest-contentful-paint", buffered: true }))"""
PAUSE_MS = 120  # between keys: 8 a second, twice what a fast person does


class Server:
    """``cliplab studio`` in a process of its own, that can be killed and started again at its port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.start()

    def command(self) -> list[str]:
        """The command that starts it."""
        command = [sys.executable, "-m", "cliplab", "studio", str(self.folder), "--labels", "ad,content"]
        return [*command, "--annotator", "ann", "--port", str(self.port), "--json"]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def memory_mb(self) -> float:
        """The memory of the server and its children, each shared page counted once; Linux."""
        parent = self.process.pid
        tasks = Path(f"/proc/{parent}/task").iterdir()
        pids = [parent, *(int(child) for task in tasks for child in (task / "children").read_text().split())]
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def render(folder: Path, count: int) -> None:
    """Frames that differ, so that each is decoded anew."""
    noise = np.random.default_rng(0)
    for number in range(count):
        grain = noise.integers(0, 40, (90, 160, 3), dtype=np.uint8)
        picture = cv2.resize(grain, (640, 360)) + np.uint8(40)
        cv2.circle(picture, ((number * 37) % 640, 180), 60, (90, 160, 240), -1)
        cv2.putText(picture, str(number), (220, 330), 0, 2, (255, 255, 255), 3)
        cv2.imwrite(str(folder / f"frame_{number:06d}.jpg"), picture)


def post_labels(url: str, items: list[int]) -> None:
    """Labels of another client, 500 at a time."""
    csrf = json.load(urllib.request.urlopen(f"{url}session"))["csrf"]
    for first in range(0, len(items), 500):
        events = [
            {"client": "load", "sequence": first + place, "annotator": "ann", "item": item, "action": "label", "at": 1}
            | {"value": {"label": "ad"}}
            for place, item in enumerate(items[first : first + 500])
        ]
        headers = {"X-CSRF-Token": csrf, "Content-Type": "application/json"}
        body = json.dumps({"events": events}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}events", body, headers)).read()


def write_line(**values: Any) -> None:
    load = [round(one, 1) for one in os.getloadavg()]
    print(json.dumps({**values, "cores": os.cpu_count(), "load": load}), flush=True)


def percentiles(values: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1), "count": len(values)}


def wait(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not happen")
        time.sleep(0.02)


def open_label(browser: Any, url: str) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.goto(f"{url}label")
    wait(lambda: page.inner_text("#count") and page.inner_text("#name").startswith("frame"))
    page.evaluate(
        "window.shown = []; document.addEventListener('item-shown', (event) => shown.push(event.detail.milliseconds))"
    )
    return page


def key_times(page: Any) -> list[float]:
    """Label KEYS items, and how long each took until the next was on screen."""
    page.keyboard.press("Home")
    page.wait_for_timeout(1000)
    page.evaluate("shown.length = 0")
    for number in range(KEYS):
        page.keyboard.press("ac"[number % 2])
        page.wait_for_timeout(PAUSE_MS)
    page.wait_for_timeout(500)
    return list(page.evaluate("shown"))


def measure_keys(browser: Any, folder: Path) -> None:
    server = Server(folder)
    try:
        page = open_label(browser, server.url)
        key_times(page)  # thumbnails and frames are decoded once
        before = key_times(page)
        numbers = list(range(1, FRAMES + 1))
        post_labels(server.url, (numbers * (MANY_LABELS // FRAMES + 1))[:MANY_LABELS])
        after = key_times(page)
        ratio = round(float(np.percentile(after, 95) / np.percentile(before, 95)), 2)
        write_line(measured="key_to_frame", ms=percentiles(before), ms_after_10000=percentiles(after), p95_ratio=ratio)
        page.context.close()
    finally:
        server.kill()


def measure_outage(browser: Any, folder: Path, seconds: float) -> None:
    server = Server(folder)
    page = open_label(browser, server.url)
    page.click("#who")
    page.fill("#who-name", "outage")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    page.keyboard.press("Home")
    chosen = [("ad", "content")[(number // 3) % 2] for number in range(OUTAGE_LABELS)]
    for number, label in enumerate(chosen):
        if number % (OUTAGE_LABELS // KILLS) == 50:
            server.kill()
        if number % (OUTAGE_LABELS // KILLS) == 90:
            server.start()
        if number == OUTAGE_LABELS // 2 - 10:
            page.context.set_offline(True)
        page.keyboard.press(label[0])
        page.wait_for_timeout(20)
        if number % FRAMES == FRAMES - 1:
            page.keyboard.press("Home")
        if number == OUTAGE_LABELS // 2 + 30:
            page.wait_for_timeout(1000 * seconds)
            page.context.set_offline(False)
    wait(lambda: page.inner_text("#saving") == "saved")
    server.process.terminate()
    server.process.wait()
    page.context.close()
    with sqlite3.connect(folder / "labels.db") as database:
        query = "SELECT value FROM events WHERE annotator = 'outage' AND action = 'label' ORDER BY client, sequence"
        rows = [json.loads(row[0])["label"] for row in database.execute(query)]
    lost = sum(one not in rows[place : place + 1] for place, one in enumerate(chosen))
    twice = max(0, len(rows) - OUTAGE_LABELS)
    write_line(measured="outage", labels=OUTAGE_LABELS, kills=KILLS, cut_seconds=seconds, lost=lost, twice=twice)


def measure_many(browser: Any, folder: Path, count: int) -> None:
    Server(folder).kill()  # which makes the store where no part before this one did
    with sqlite3.connect(folder / "labels.db") as database:
        # The frames again, each at another time of its footage: rows as many frames would have.
        for first in range(1, count // FRAMES):
            database.execute(
                "INSERT INTO items (kind, fingerprint, path, start_seconds, width, height, source, overlap) "
                "SELECT kind, fingerprint, path, ?, width, height, source, overlap FROM items WHERE start_seconds IS "
                "NULL",
                (float(first),),
            )
    server = Server(folder)
    try:
        loads = []
        for _ in range(LOADS):
            page = browser.new_context(viewport={"width": 1920, "height": 1080}).new_page()
            page.goto(f"{server.url}label", wait_until="commit")
            page.wait_for_selector("#stage img")
            loads.append(page.evaluate(FIRST_PICTURE))
            page.context.close()
        page = open_label(browser, server.url)
        page.evaluate(
            "window.long = []; new PerformanceObserver((list) => list.getEntries().forEach((one) => "
            "long.push(one.duration))).observe({ type: 'longtask' })"
        )
        long = {}
        for place in ("list", "grid"):
            if place == "grid":
                page.keyboard.press("Enter")
                page.wait_for_timeout(1000)
            page.evaluate("long.length = 0")
            page.hover(f"#{place}")
            for step in range(STEPS):
                page.mouse.wheel(0, 400 if step % 20 else 400_000)
                page.wait_for_timeout(30)
            page.wait_for_timeout(500)
            long[place] = [round(one) for one in page.evaluate("long")]
        items = int(page.inner_text("#count").split()[0].replace(",", ""))
        write_line(
            measured="many",
            items=items,
            first_page_ms=percentiles(loads),
            long_tasks_ms=long,
            server_mb=round(server.memory_mb()),
        )
        page.context.close()
    finally:
        server.kill()


def main() -> None:
    from playwright.sync_api import sync_playwright

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 120.0
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        folder = Path(name)
        render(folder, FRAMES)
        parts = {
            "keys": lambda: measure_keys(browser, folder),
            "outage": lambda: measure_outage(browser, folder, seconds),
            "many": lambda: measure_many(browser, folder, count),
        }
        for part in sys.argv[3].split(",") if len(sys.argv) > 3 else parts:
            parts[part]()
        browser.close()


if __name__ == "__main__":
    main()
