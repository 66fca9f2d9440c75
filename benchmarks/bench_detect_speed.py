"""Speed and memory of `cliplab detect` on a long recording.

    python benchmarks/bench_detect_speed.py VIDEO [--minutes 2] [--runs 3] [--folder DIR]

VIDEO is repeated without decoding until it is --minutes long, with the sound that it has, so that a short clip makes
hours. Printed for each run: times real time, by the clock and by processor time, and the most memory of the process
(aims: 20 times real time of 720p with sound on two cores; 300 MB for six hours).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import av

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def repeat(source: Path, seconds: float, target: Path) -> None:
    """Write a video again and again into one file, packet by packet."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        packets = [one for one in container.demux(streams) if one.size and one.dts is not None]
        packets.sort(key=lambda one: float(one.dts * one.time_base))
        begin = min(float(one.dts * one.time_base) for one in packets)
        length = max(float((one.pts + (one.duration or 0)) * one.time_base) for one in packets) - begin
        outs = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        known = [(bytes(one), one.stream.index, one.pts, one.dts, one.duration, one.time_base) for one in packets]
        keys = [one.is_keyframe for one in packets]
        for number in range(max(round(seconds / length), 1)):
            for (data, stream, pts, dts, duration, base), key in zip(known, keys, strict=True):
                packet, shift = av.Packet(data), round(number * length / base)
                packet.pts, packet.dts, packet.duration, packet.time_base = pts + shift, dts + shift, duration, base
                packet.is_keyframe, packet.stream = key, outs[stream]
                output.mux(packet)


def main() -> None:
    """Repeat, detect, print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the long recording is kept for another run")
    given = parser.parse_args()
    from cliplab.detect import HighlightOptions, find_highlights

    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        path = folder / f"{given.video.stem}_{given.minutes:g}.mp4"
        if not path.exists():
            repeat(given.video, given.minutes * 60, path)
        for _ in range(given.runs):
            begun, used = time.perf_counter(), time.process_time()
            report = find_highlights(path, HighlightOptions())
            begun, used = time.perf_counter() - begun, time.process_time() - used
            row = {"seconds": round(report.duration_seconds), "candidates": len(report.candidates)}
            speed = {
                "times real time": round(report.duration_seconds / begun, 1),
                "per processor second": round(report.duration_seconds / used, 1),
            }
            memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(json.dumps({**row, **speed, "MB": memory, "load": round(os.getloadavg()[0], 1)}), flush=True)


if __name__ == "__main__":
    main()
