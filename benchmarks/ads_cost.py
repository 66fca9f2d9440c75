"""What ``cliplab ads`` costs: time, processor time and memory of a recording, and of deciding it again.

    python benchmarks/ads_cost.py RECORDING [--model BUNDLE] [--repeat N] [--height H] [--seconds S]

Runs the command as a user does, in a process of its own with an empty store, and then once more with another profile.
--repeat makes a longer recording of the same packets, one copy after the other. --height encodes the first S seconds
again at that height first, as broadcasters do: H.264, a key frame each second. Prints a JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

ROOT = Path(__file__).resolve().parent.parent


def repeated(source: Path, path: Path, times: int) -> Path:
    """The packets of a recording, repeated ``times`` times."""
    with av.open(str(path), "w") as target:
        with av.open(str(source)) as first:
            streams = [target.add_stream_from_template(each) for each in (*first.streams.video, *first.streams.audio)]
            length = Fraction(int(first.duration), av.time_base)
        for copy in range(times):
            with av.open(str(source)) as container:
                for packet in container.demux(video=0, audio=0) if len(streams) > 1 else container.demux(video=0):
                    if packet.size:
                        shift = int(copy * length / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = streams[0 if packet.stream.type == "video" else 1]
                        target.mux(packet)
    return path


def encoded(source: Path, path: Path, height: int, seconds: float) -> Path:
    """The beginning of a recording at another height, with its sound."""
    with av.open(str(source)) as container, av.open(str(path), "w") as target:
        original = container.streams.video[0]
        original.thread_type = "AUTO"
        rate = original.average_rate
        made: Any = target.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "23", "g": str(rate)})
        made.width, made.height, made.pix_fmt = height * 16 // 9 // 2 * 2, height, "yuv420p"
        sound = container.streams.audio[0] if container.streams.audio else None
        heard = None if sound is None else target.add_stream_from_template(sound)
        number = 0
        for packet in container.demux(*[each for each in (original, sound) if each is not None]):
            if packet.pts is not None and packet.pts * packet.time_base >= seconds:
                continue
            if packet.stream.type == "audio" and packet.size:
                packet.stream = heard
                target.mux(packet)
            elif packet.stream.type == "video":
                for frame in packet.decode():
                    again = frame.reformat(made.width, made.height, "yuv420p")
                    again.pts, again.time_base = number, 1 / rate
                    again.pict_type = av.video.frame.PictureType.NONE
                    target.mux(made.encode(again))
                    number += 1
        target.mux(made.encode(None))
    return path


def run(*words: object) -> dict[str, float]:
    """Wall and processor seconds and the highest memory in MB of a command that must end well."""
    command = [sys.executable, "-m", "cliplab", *map(str, words)]
    began = time.perf_counter()
    process = os.posix_spawn(
        sys.executable, command, {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )  # fmt: skip
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    wall = time.perf_counter() - began
    return {
        "seconds": round(wall, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "memory_mb": round(used.ru_maxrss / 1024, 1),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure what finding ad breaks costs.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--height", type=int)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--keep", type=Path, help="write the recording that is measured here, or take it from here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        video = options.recording
        if options.keep is not None and options.keep.exists():
            video = options.keep
        else:
            if options.height:
                video = encoded(video, place / "other.mkv", options.height, options.seconds)
            if options.repeat > 1 or options.keep is not None:
                video = repeated(video, options.keep or place / "long.mkv", options.repeat)
        with av.open(str(video)) as container:
            length, height = int(container.duration) / av.time_base, container.streams.video[0].height
        model = () if options.model is None else ("--model", options.model)
        first = run("ads", video, "--store", place / "store", *model)
        again = run("ads", video, "--store", place / "store", *model, "--profile", "sports")
        shown = {
            "recording": options.recording.name, "height": height, "minutes": round(length / 60, 1),
            "model": options.model is not None, **first,
            "times_real_time": round(length / first["seconds"], 1),
            "times_real_time_per_core": round(length / first["processor_seconds"], 1),
            "again": again, "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip
    print(json.dumps(shown), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
