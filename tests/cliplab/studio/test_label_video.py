"""The Label page of videos in a browser: exact frames, intervals by keys, undo, and nothing lost without a network."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from media_patterns import number_of, write_numbered
from studio_media import NTSC, VARIABLE, write_ntsc, write_shots, write_variable
from studio_page import browser, running_studio
from waiting import PATIENT, until

from adapters.errors import DatasetError
from cliplab.studio.events import LabelEvent

SHOTS, SHOWN_NTSC, SHOWN_VARIABLE, UNPLAYABLE, HOSTILE = 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("studio")
    write_shots(folder / "a_shots.mp4", (25, 40, 30))
    write_ntsc(folder / "b_ntsc.mp4")
    write_variable(folder / "c_variable.mkv")
    write_numbered(folder / "d_old.avi", 40, codec="mpeg4", fps=10)
    write_numbered(folder / "e <img src=x onerror=alert(1)> \u202egpj.mp4", 30, fps=10)
    with running_studio(folder, labels=("ad", "content"), annotator="anna") as found:
        yield found


@pytest.fixture(scope="module")
def page(served: tuple[str, Any]) -> Iterator[Any]:
    with browser() as opened:
        # Without transitions: axe would measure the colours in the middle of one.
        found = opened.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce").new_page()
        found.set_default_timeout(1000 * PATIENT)
        found.faults = []
        found.on("pageerror", lambda error: found.faults.append(str(error)))
        found.on("dialog", lambda dialog: found.faults.append(dialog.message))
        yield found
        assert found.faults == []


def show(page: Any, served: tuple[str, Any], item: int) -> None:
    page.goto(f"{served[0]}/label/video/{item}")
    page.wait_for_selector("#intervals[data-ready]")
    wait(page, "intervalsPage.player.shown !== undefined || intervalsPage.player.error")


def wait(page: Any, condition: str) -> None:
    """Poll: the page's policy allows no function made of text, which Playwright's own waiting needs."""
    until(lambda: page.evaluate(condition), what=condition)


def state(page: Any) -> list[tuple[str, float, float]]:
    found = page.evaluate("intervalsPage.mine.sorted")
    return [(one["label"], one["start"], one["end"]) for one in found]


def stored(served: tuple[str, Any], item: int) -> list[tuple[str, float, float]]:
    return [(one.label, one.start, one.end) for one in served[1].store.intervals(item) if one.annotator == "anna"]


def saved(page: Any, served: tuple[str, Any], item: int) -> list[tuple[str, float, float]]:
    wait(page, "document.getElementById('saving').textContent === 'saved'")
    assert stored(served, item) == state(page)
    return state(page)


def seek(page: Any, seconds: float) -> None:
    page.evaluate("(to) => intervalsPage.player.seek(to)", seconds)


def number_shown(page: Any) -> int:
    data = page.evaluate("document.querySelector('canvas.exact').toDataURL('image/png').split(',')[1]")
    return number_of(cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR))


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tap(page: Any, key: str, alt: bool = False) -> None:
    """Press and let go in one task of the page: on a busy machine two messages may be far apart."""
    page.evaluate(
        """([key, altKey]) => ["keydown", "keyup"].forEach((kind) =>
        document.dispatchEvent(new KeyboardEvent(kind, { key, altKey, bubbles: true })))""",
        [key, alt],
    )


@pytest.mark.parametrize("item", [SHOWN_NTSC, SHOWN_VARIABLE])
def test_steps_show_the_very_next_frame(page: Any, served: tuple[str, Any], item: int) -> None:
    show(page, served, item)
    expected = np.array(VARIABLE) / 30 if item == SHOWN_VARIABLE else np.arange(70) / float(NTSC)
    place = 0
    for key, step in ((".", 1), (".", 1), (".", 1), (",", -1), (".", 1), (".", 1), (",", -1)):
        press(page, key)
        place += step
        wait(page, f"Math.abs(intervalsPage.player.shown - {expected[place]}) < 0.0006")
        assert number_shown(page) == place
    press(page, "End", ".", ".")
    wait(page, f"Math.abs(intervalsPage.player.shown - {expected[-1]}) < 0.0006")
    assert number_shown(page) == len(expected) - 1
    press(page, "Home", ",")
    wait(page, "intervalsPage.player.shown === 0")


def test_a_held_key_paints_and_a_tap_goes_on(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, SHOTS)
    frames = served[1].frames.times(SHOTS, 0, 100)
    press(page, "Space")
    wait(page, "intervalsPage.player.time > 0.3")
    page.keyboard.down("a")
    wait(page, "intervalsPage.player.time > 1")
    page.keyboard.up("a")
    wait(page, "intervalsPage.mine.size === 1")
    tap(page, "c")  # goes on until the next tap
    wait(page, "intervalsPage.player.time > 1.8")
    tap(page, "a")  # begins where the other ends
    wait(page, "intervalsPage.player.time > 2.2")
    tap(page, "a", alt=True)
    wait(page, "intervalsPage.mine.size === 3")
    press(page, "Space")
    found = saved(page, served, SHOTS)
    assert [label for label, _, _ in found] == ["ad", "content", "ad"]
    assert found[1][2] == found[2][1]
    assert {edge for _, *edges in found for edge in edges} <= set(frames.tolist())
    assert found[0][1] >= 0.3
    assert found[0][2] >= 1.0


def test_points_nudges_shared_edges_and_undo(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, SHOWN_NTSC)
    times = served[1].frames.times(SHOWN_NTSC, 0, 100).tolist()
    for label, first, last in (("a", 10, 19), ("c", 20, 29)):
        seek(page, times[first])
        press(page, "i")
        seek(page, times[last])
        page.evaluate("intervalsPage.player.times.around(intervalsPage.player.time, 1)")
        press(page, "o")
        wait(page, "intervalsPage.timeline.points.out !== null")
        press(page, label)
    wait(page, "intervalsPage.mine.size === 2")
    assert saved(page, served, SHOWN_NTSC) == [("ad", times[10], times[20]), ("content", times[20], times[30])]
    seek(page, times[21])
    press(page, "]")
    wait(page, f"intervalsPage.mine.sorted[0].end === {times[21]}")
    press(page, "[")
    wait(page, f"intervalsPage.mine.sorted[0].end === {times[20]}")
    press(page, "[")
    wait(page, f"intervalsPage.mine.sorted[0].end === {times[19]}")
    assert saved(page, served, SHOWN_NTSC) == [("ad", times[10], times[19]), ("content", times[19], times[30])]
    press(page, "z", "z", "z")
    assert saved(page, served, SHOWN_NTSC) == [("ad", times[10], times[20]), ("content", times[20], times[30])]
    press(page, "Shift+z")
    assert saved(page, served, SHOWN_NTSC) == [("ad", times[10], times[21]), ("content", times[21], times[30])]
    seek(page, times[15])
    press(page, "c")  # one label over the other: both are one now, or two that touch
    assert [label for label, _, _ in saved(page, served, SHOWN_NTSC)] == ["content", "content"]
    press(page, "Delete")
    assert len(saved(page, served, SHOWN_NTSC)) == 1
    press(page, "z", "z", "z", "z", "z", "z", "z", "z")
    assert saved(page, served, SHOWN_NTSC) == []


def test_without_a_network_nothing_is_lost_or_doubled(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, SHOWN_VARIABLE)
    times = served[1].frames.times(SHOWN_VARIABLE, 0, 100).tolist()
    seek(page, times[5])
    page.context.set_offline(True)
    try:
        for first, last, label in ((2, 6, "ad"), (4, 9, "content"), (12, 15, "ad")):
            page.evaluate("([l, a, b]) => intervalsPage.paint(l, a, b)", [label, times[first], times[last]])
        press(page, "z", "Shift+z")
        wait(page, "document.getElementById('saving').textContent.includes('kept here')")
        assert stored(served, SHOWN_VARIABLE) == []
    finally:
        page.context.set_offline(False)
    expected = [("ad", times[2], times[4]), ("content", times[4], times[9]), ("ad", times[12], times[15])]
    assert saved(page, served, SHOWN_VARIABLE) == expected
    show(page, served, SHOWN_VARIABLE)
    assert state(page) == expected


def test_what_is_still_unsaved_is_shown_after_a_reload(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, HOSTILE)
    assert "<img" in page.inner_text(".intervals-side h1")
    page.route("**/events", lambda route: route.abort())
    page.evaluate("intervalsPage.paint('ad', 0, 1)")
    page.evaluate("intervalsPage.paint('ad', 2, 2.5)")
    press(page, "z")
    show(page, served, HOSTILE)
    assert state(page) == [("ad", 0, 1)]
    page.unroute("**/events")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange')), dispatchEvent(new Event('online'))")
    assert saved(page, served, HOSTILE) == [("ad", 0, 1)]


def test_what_the_browser_cannot_play_is_played_from_frames(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, UNPLAYABLE)
    wait(page, "intervalsPage.timeline.rows.find((row) => row.id === 'sound').note.includes('no sound')")
    press(page, "Space")
    wait(page, "intervalsPage.player.time > 0.5")
    press(page, "k")
    assert "decoded frames" in page.inner_text("#source")
    wait(page, "intervalsPage.player.shown === intervalsPage.player.time")
    assert number_shown(page) == round(page.evaluate("intervalsPage.player.time") * 10)
    press(page, "End", "j")
    wait(page, "intervalsPage.player.time < 3.5")
    press(page, "k")


def test_cuts_loop_and_speed(page: Any, served: tuple[str, Any]) -> None:
    show(page, served, SHOTS)
    press(page, "Home", "n")
    wait(page, "intervalsPage.player.time === 2.5")
    for _ in range(8):
        press(page, "=")
    assert page.inner_text("#speed") == "16×"
    for _ in range(12):
        press(page, "-")
    assert page.inner_text("#speed") == "0.1×"
    for _ in range(3):
        press(page, "=")
    seek(page, 8.0)
    page.evaluate("intervalsPage.paint('content', 8, 8.6)")
    press(page, "Shift+L")
    start, end = page.evaluate("[intervalsPage.player.loop.start, intervalsPage.player.loop.end]")
    assert (start, end) == (8, 8.6)
    press(page, "Space")
    wait(page, f"intervalsPage.player.time > {start + 0.3}")
    wait(page, f"intervalsPage.player.time < {start + 0.2}")  # it began anew
    assert start - 0.1 <= page.evaluate("intervalsPage.player.time") <= end + 0.1
    press(page, "Space", "Shift+L")


def test_others_are_shown_and_not_changed(page: Any, served: tuple[str, Any]) -> None:
    store = served[1].store
    value = {"interval": "of-bob", "label": "content", "start": 1.0, "end": 2.0}
    store.append([LabelEvent("bob-1", 0, "bob", SHOTS, "interval", value, 1.0)])
    show(page, served, SHOTS)
    before = len(state(page))
    rows = page.evaluate("intervalsPage.timeline.rows.map((row) => [row.name, row.kind, Boolean(row.editable)])")
    assert ["bob", "intervals", False] in rows
    assert len(state(page)) == before
    assert "cannot be changed here" in page.inner_text("#notice")


def test_a_file_that_goes_says_so_in_place_of_the_picture(page: Any, served: tuple[str, Any]) -> None:
    folder = served[1].options.data_dir
    show(page, served, UNPLAYABLE)
    os.replace(folder / "d_old.avi", folder / "away.avi.part")
    try:
        seek(page, 1.7)
        page.wait_for_selector(".problem:not([hidden])")
        assert "labels are kept" in page.inner_text(".problem")
    finally:
        os.replace(folder / "away.avi.part", folder / "d_old.avi")
    seek(page, 1.6)
    page.wait_for_selector(".problem", state="hidden")


# Random actions on one video, against an array of the label of each frame.
MODEL = """async ({seed, actions}) => {
  const { Intervals } = await import("/static/interval_model.js");
  let number = seed; const random = (n) => { number = (number * 1103515245 + 12345) % 2147483648; return number % n; };
  const model = new Intervals(), frames = new Array(80).fill(null), history = [], faults = [];
  const labels = ["a", "b", "c"];
  for (let action = 0; action < actions; action++) {
    const before = [...frames], kind = random(4);
    let changes = [];
    if (kind < 2) {
      const start = random(79), end = start + 1 + random(Math.min(20, 80 - start)), label = labels[random(3)];
      changes = model.paint(label, start, Math.min(end, 80));
      for (let frame = start; frame < Math.min(end, 80); frame++) frames[frame] = label;
    } else if (kind === 2 && model.size) {
      const one = model.sorted[random(model.size)], edge = random(2) ? one.start : one.end, to = random(81);
      const moved = model.moveEdge(edge, to, 1, 80);
      changes = moved.changes;
      const left = frames[edge - 1] ?? null, right = frames[edge] ?? null;
      const [low, high] = [Math.min(edge, moved.to), Math.max(edge, moved.to)];
      for (let frame = low; frame < high; frame++) frames[frame] = moved.to > edge ? left : right;
      if (!changes.length) frames.splice(0, 80, ...before);
    } else if (history.length) {
      const last = history.pop(); model.revert(last.changes); frames.splice(0, 80, ...last.before);
      changes = null;
    } else continue;
    if (changes) { model.apply(changes); history.push({ changes, before }); }
    const found = new Array(80).fill(null); let end = 0;
    for (const one of model.sorted) {
      if (one.start < end || one.end <= one.start) faults.push(`overlap at ${action}`);
      end = one.end;
      for (let frame = one.start; frame < one.end; frame++) found[frame] = one.label;
    }
    if (found.join() !== frames.join()) { faults.push(`${action} ${kind}: ${found} not ${frames}`); break; }
  }
  return faults;
}"""


@pytest.mark.parametrize("seed", [1, 77, 4711])
def test_random_actions_on_intervals(page: Any, served: tuple[str, Any], seed: int) -> None:
    if not page.url.startswith(served[0]):
        show(page, served, SHOTS)
    assert page.evaluate(MODEL, {"seed": seed, "actions": 600}) == []


def test_axe_finds_nothing(page: Any, served: tuple[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    show(page, served, SHOTS)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
        assert found.violations_count == 0, found.generate_report()


def test_requests_of_the_media(served: tuple[str, Any]) -> None:
    import httpx

    with httpx.Client(base_url=served[0]) as client:
        first = client.get(f"/items/{SHOWN_NTSC}/frame?t=1&h=64")
        assert float(first.headers["X-Frame-Time"]) == pytest.approx(29 / float(NTSC))
        again = client.get(f"/items/{SHOWN_NTSC}/frame?t=1&h=64", headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        part = client.get(f"/items/{SHOTS}/media", headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        for path in (
            "frame?t=nan",
            "frame?t=x",
            "frame?h=0",
            "frame?h=100000",
            "times?start=0&end=1e99",
            "peaks?per_second=0",
            "cut?after=x",
        ):
            answer = client.get(f"/items/{SHOTS}/{path}")
            assert answer.status_code == 400, path
            assert answer.json()["error"]
        assert client.get("/items/999/frame").status_code == 404
        assert client.get("/label/video/999").status_code == 404


def test_intervals_are_a_dataset(page: Any, served: tuple[str, Any]) -> None:
    from adapters.data import read_dataset

    show(page, served, UNPLAYABLE)
    page.evaluate("intervalsPage.paint('content', 0.5, 1.2)")
    page.evaluate("intervalsPage.paint('ad', 1.2, 2)")
    expected = saved(page, served, UNPLAYABLE)
    found = read_dataset(served[1].options.data_dir)
    rows = [one for one in found.examples if one.path.name == "d_old.avi"]
    assert sorted((one.label, one.start_seconds, one.end_seconds) for one in rows) == sorted(expected)


def test_a_model_scores_the_video_over_time(
    page: Any, served: tuple[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is offered without a model; then its scores are rows below the intervals, also after a reload."""
    from adapters.bundle import write_bundle
    from adapters.config import check_config

    monkeypatch.setattr("cliplab.studio.video_scores.cache_dir", lambda: tmp_path)
    show(page, served, SHOTS)
    until(lambda: "no model that can score" in page.inner_text("#score-state"), 120)
    config = check_config(
        {"schema_version": 2, "adapter": "movinet_adapter:MoViNetAdapter", "labels": ["ad", "content"]}
    )
    write_bundle(
        served[1].options.models_folder / "ads_v1",
        config=config,
        programs={},
        weights=None,
        metrics={},
        golden=None,
        card="# Card",
    )
    scored = {"labels": ["ad", "content"], "starts": [0.0, 2.0], "ends": [2.0, 4.0], "thresholds": {"ad": 0.5}}
    scored |= {"scores": [[0.9, 0.1], [0.2, 0.8]], "warnings": []}
    asked: list[dict[str, Any]] = []

    def run_child(job: Any, target: str, arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(arguments)
        if len(asked) == 1:
            raise DatasetError("the decoder ended")
        return scored

    monkeypatch.setattr("cliplab.studio.routes.video_scores.run_child", run_child)
    show(page, served, SHOTS)
    until(lambda: page.is_visible("#score-video"), 120)
    page.click("#score-video")
    until(lambda: "not scored: the decoder ended" in page.inner_text("#score-state"), 120)
    page.click("#score-video")
    names = "intervalsPage.timeline.rows.filter((row) => row.kind === 'scores').map((row) => row.name)"
    until(lambda: page.evaluate(names) == ["ad, by ads_v1", "content, by ads_v1"], 120)
    assert (asked[1]["window"], asked[1]["stride"], len(asked)) == (2.0, None, 2)
    show(page, served, SHOTS)
    until(lambda: len(page.evaluate(names)) == 2, 120)
    answer = page.request.post(f"{served[0]}/items/{SHOTS}/video-scores", data={"model": "x"})
    assert answer.status == 403  # without the CSRF header
