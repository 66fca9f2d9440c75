"""How soon an edge is drawn at its new place in a video of thousands of intervals, in Chromium.

    python benchmarks/bench_studio_intervals.py [--quick]

prints a Markdown table. Needs `pip install 'cliplab[studio]' playwright` and Debian's chromium. A video of an hour at
one frame per second is rendered and labelled with 3,000 and with 100,000 intervals by one person. A key press moves
the edge at the playhead by a frame, and the time runs from the browser's own time of the key to the end of the drawing
that shows it; the event is in the browser's store by then or soon after. A drag is the same for movements of a pressed
pointer. Longest task: what Chromium's records of long tasks (50 ms and more) have seen meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

SECONDS = 3600
WATCH = """() => {
  const page = intervalsPage, waits = (globalThis.waits = []);
  let since = null;
  for (const kind of ["keydown", "pointermove"]) {
    addEventListener(kind, (event) => { since ??= event.timeStamp; }, { capture: true });
  }
  const row = () => page.timeline.rows.find((one) => one.id === "labels");
  const draw = page.timeline._draw.bind(page.timeline);
  let drawn = row();
  page.timeline._draw = () => {
    draw();
    if (row() !== drawn && since !== null) { waits.push(performance.now() - since); since = null; }
    drawn = row();
  };
  globalThis.tasks = [];
  const watched = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)));
  watched.observe({ type: "longtask" });
}"""


def write_hour(path: Path) -> None:
    """A video of an hour at one frame per second, small."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "40"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for second in range(SECONDS):
            picture = np.full((64, 96, 3), second % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def label(store: Any, count: int) -> None:
    """Intervals that share their edges all over the video, of two classes in turn."""
    from cliplab.studio.events import LabelEvent

    edges = np.linspace(0, SECONDS, count + 1)
    events = [
        LabelEvent("bench", place, "anna", 1, "interval", value, 1.0)
        for place, value in enumerate(
            {"interval": f"i{place}", "label": ("ad", "content")[place % 2], "start": start, "end": end}
            for place, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        )
    ]
    for first in range(0, count, 5000):
        store.append(events[first : first + 5000])


# More than the video has frames, so in the page alone, where frames are made to be as dense.
MANY = """(count) => {
  const page = intervalsPage, step = 3600 / count, label = (place) => (place % 2 ? "content" : "ad");
  const list = Array.from({ length: count }, (_, place) => ({
    id: `i${place}`, label: label(place), start: place * step, end: (place + 1) * step,
  }));
  page.mine.replaceAll(list);
  page.player.info.fps = 1000;
  page.player.times.around = async (time, count) => time + count * 0.009;
  page.redrawIntervals();
}"""


def measure(page: Any, moves: int) -> dict[str, Any]:
    """Waits in milliseconds of keys and of drags, and the longest task."""
    page.wait_for_timeout(500)
    page.evaluate(WATCH)
    rng = np.random.default_rng(0)
    for number in range(moves):
        page.evaluate("(to) => intervalsPage.player.seek(to)", float(rng.uniform(60, SECONDS - 60)))
        page.keyboard.press("]" if number % 2 else "[")
        page.wait_for_timeout(30)
    keys = page.evaluate("waits.splice(0)")
    page.evaluate("intervalsPage.timeline.setView(1000, 1012)")
    box = page.locator(".timeline-canvas").bounding_box()
    assert box is not None
    row = page.evaluate("intervalsPage.timeline.rows.find((row) => row.id === 'labels').top") + 15
    for _ in range(moves // 10):
        edge = page.evaluate("intervalsPage.timeline.xOf(intervalsPage.mine.nearestEdge(1006))")
        page.mouse.move(box["x"] + edge, box["y"] + row)
        page.mouse.down()
        for step in range(10):
            page.mouse.move(box["x"] + edge + 4 * (step - 5), box["y"] + row)
            page.wait_for_timeout(20)
        page.mouse.up()
        page.wait_for_timeout(20)
    found = {"keys": keys, "drags": page.evaluate("waits.splice(0)")}
    return {**found, "longest": max([0.0, *page.evaluate("tasks")])}


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    moves = 40 if "--quick" in arguments else 200
    print("| intervals | moved by | n | p50 ms | p95 ms | longest task ms |")
    print("|---|---|---|---|---|---|")
    from studio_page import browser, running_studio

    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        write_hour(Path(folder) / "hour.mp4")
        with running_studio(Path(folder), labels=("ad", "content"), annotator="anna") as (url, studio):
            label(studio.store, 3000)
            page = opened.new_context(viewport={"width": 1280, "height": 720}).new_page()
            for count in (3000, 100_000):
                page.goto(f"{url}/label/video/1")
                page.wait_for_selector("#intervals[data-ready]")
                if count > 3000:
                    page.route("**/events", lambda route: route.abort())
                    page.evaluate(MANY, count)
                found = measure(page, moves)
                for name in ("keys", "drags"):
                    p50, p95 = np.percentile(found[name], [50, 95])
                    figures = f"{p50:.0f} | {p95:.0f} | {found['longest']:.0f}"
                    print(f"| {count:,} | {name} | {len(found[name])} | {figures} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
