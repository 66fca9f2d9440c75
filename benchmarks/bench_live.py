"""A live HLS stream on loopback, in real time: segments lost over joints, and how soon after its end a clip is ready.

    python benchmarks/bench_live.py [--minutes 4] [--segment-seconds 4] [--every 40] [--height 720] [--folder DIR]

prints JSON. A stream of rendered pictures with sound, 30 frames per second, is published segment by segment as time
goes on; the playlist shows the last five. Every --every seconds the stream breaks off and goes on with another clock
(EXT-X-DISCONTINUITY). A roar is heard or everything moves once in each part. ``generate_clips`` follows it and writes
clips. "after its end" is the time from the moment at which a clip ends, as a camera would record it, to its finished
file in the folder; a segment comes only when it is full, so that up to its length is in each of these times (aim: 10 s
and 0 segments lost). Processor time is that of following and cutting.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]

WINDOW = 5


class LiveHandler(BaseHTTPRequestHandler):
    """A playlist of the segments that are full by now, and those files."""

    def do_GET(self) -> None:
        body = self._playlist() if self.path == "/live.m3u8" else self._segment()
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _playlist(self) -> bytes:
        server, seconds = self.server, self.server.segment_seconds
        shown = min(int((time.monotonic() - server.begun) / seconds), server.count)
        first = max(shown - WINDOW, 0)
        head = [f"#EXT-X-TARGETDURATION:{round(seconds)}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        lines = ["#EXTM3U", *head, f"#EXT-X-DISCONTINUITY-SEQUENCE:{sum(1 for one in server.joints if one < first)}"]
        for number in range(first, shown):
            lines += ["#EXT-X-DISCONTINUITY"] if number in server.joints else []
            lines += [f"#EXTINF:{seconds},", f"{number}.ts"]
        return "\n".join(lines + (["#EXT-X-ENDLIST"] if shown == server.count else [])).encode()

    def _segment(self) -> bytes | None:
        path = self.server.folder / self.path.strip("/")
        return path.read_bytes() if path.is_file() else None

    def log_message(self, *_: object) -> None:
        pass


def render(folder: Path, parts: int, seconds: float, segment_seconds: float, height: int) -> None:
    """The segments of all parts; each part has a clock of its own."""
    import highlight_files

    highlight_files.WIDTH, highlight_files.HEIGHT, highlight_files.FPS = height * 16 // 9, height, 30
    for part in range(parts):
        events = [(seconds / 2, ("roar", "rush")[part % 2])]
        whole = highlight_files.write_recording(
            folder / "whole.ts", seconds, events, start=1.0 + 5000 * part, gop=round(30 * segment_seconds)
        )
        highlight_files.split_recording(whole, segment_seconds, folder, round(part * seconds / segment_seconds))
        whole.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--segment-seconds", type=float, default=4.0)
    parser.add_argument("--every", type=float, default=40.0)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--folder", type=Path, help="where segments are kept for another run")
    given = parser.parse_args()
    from loopback import serving

    from cliplab.detect import HighlightOptions, generate_clips

    parts, each = round(given.minutes * 60 / given.every), round(given.every / given.segment_seconds)
    with tempfile.TemporaryDirectory() as temporary, serving(LiveHandler) as server:
        server.folder = given.folder or Path(temporary) / "segments"
        server.count, server.segment_seconds = parts * each, given.segment_seconds
        server.joints = {part * each for part in range(1, parts)}
        server.folder.mkdir(exist_ok=True)
        if len(list(server.folder.glob("*.ts"))) != server.count:
            render(server.folder, parts, given.every, given.segment_seconds, given.height)
        server.begun, used = time.monotonic(), time.process_time()
        ready: list[tuple[float, float]] = []

        def note(clip: object) -> None:
            at = time.monotonic() - server.begun
            ready.append((at - clip.end, at - given.segment_seconds * -(-clip.end // given.segment_seconds)))

        options = HighlightOptions(clip_seconds=10.0, min_gap_seconds=12.0, min_score=0.5)
        report = generate_clips(
            f"{server.url}/live.m3u8", Path(temporary) / "out", database=None, options=options, on_clip=note
        )
        after = np.array(ready)
        counts = {"parts": parts, "segments": server.count, "clips": len(report.clips), "failed": report.failed}
        times = {
            "after its end, s": [round(float(one), 1) for one in sorted(after[:, 0])],
            "after the segment with its end, s": [round(float(one), 1) for one in sorted(after[:, 1])],
            "processor s per minute": round((time.process_time() - used) / given.minutes, 2),
            "load": round(os.getloadavg()[0], 1),
        }
        print(json.dumps({**counts, "said": report.notes[0], **times}))


if __name__ == "__main__":
    main()
