"""A reel in a real browser: it plays, and shows and says what it should at the times that it should."""

from __future__ import annotations

import functools
import http.server
import json
import queue
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import serving
from reel_helpers import COLOURS, highlights, source

from cliplab.reel import reel

PAGE = """<!doctype html><video id="v" muted></video><script>
const once = (target, name) => new Promise(done => target.addEventListener(name, done, {once: true}));
async function look() {
  const video = document.getElementById("v"), canvas = document.createElement("canvas"), said = {colours: []};
  const failed = once(video, "error").then(() => { throw new Error(video.error.message); });
  const within = event => Promise.race([event, failed]);
  const loaded = once(video, "loadeddata");
  video.src = URL.createObjectURL(await (await fetch("reel.mp4")).blob());
  await within(loaded);
  Object.assign(said, {duration: video.duration, width: video.videoWidth, height: video.videoHeight});
  canvas.width = said.width; canvas.height = said.height;
  for (const seconds of TIMES) {
    // Sought is not yet shown.
    const sought = once(video, "seeked"), shown = new Promise(done => video.requestVideoFrameCallback(done));
    video.currentTime = seconds;
    await within(Promise.all([sought, shown]));
    canvas.getContext("2d").drawImage(video, 0, 0);
    said.colours.push([...canvas.getContext("2d").getImageData(said.width / 2, said.height / 2, 1, 1).data]);
  }
  const sound = new OfflineAudioContext(2, 48000 * 4, 48000);
  const heard = await sound.decodeAudioData(await (await fetch("reel.mp4")).arrayBuffer());
  said.loud = TIMES.map(t => Math.max(...heard.getChannelData(0).slice(48000 * (t - 0.1), 48000 * (t + 0.1))));
  video.currentTime = 0;
  const ended = once(video, "ended");
  await video.play();
  await within(ended);
  return said;
}
look().catch(error => ({error: String(error)})).then(
  said => fetch("/said", {method: "POST", body: JSON.stringify(said)}));
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and a place for what the page says."""

    said: queue.Queue[Any] = queue.Queue()

    def do_POST(self) -> None:
        self.said.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(tmp_path))
    with serving(handler) as server:
        yield f"{server.url}/page.html"


def test_a_browser_plays_it_to_its_end(tmp_path: Path, address: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium; what a browser needs of the file is probed in test_reel.py")
    red = source(tmp_path / "red.mp4", "red", seconds=1, size=(320, 180))
    blue = source(tmp_path / "blue.mp4", "blue", seconds=1, size=(180, 320), sound_rate=None)
    marked = highlights(tmp_path / "h.json", (red, 0, 1), (blue, 0, 1))
    report = reel(marked, tmp_path / "reel.mp4")
    (tmp_path / "page.html").write_text(PAGE.replace("TIMES", "[0.5, 1.5]"))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    with subprocess.Popen(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        try:
            said = Handler.said.get(timeout=90)
        finally:
            browser.terminate()
    assert "error" not in said, said
    assert (said["width"], said["height"]) == (320, 180)
    assert said["duration"] == pytest.approx(report.seconds, abs=0.03)
    shown = np.array(said["colours"])[:, :3]
    assert np.abs(shown - [COLOURS["red"], COLOURS["blue"]]).max() < 12
    assert said["loud"][0] > 0.1 > 0.01 > said["loud"][1]
