"""A reel of 50 clips with crossfades: seconds of reel for each second of work, memory, and how far sound is off.

    python benchmarks/bench_reel.py [CLIPS]

prints a JSON line for each size of the sources. They are pieces of samples/broadcast.mp4 with some grain, 6 s at 30
frames per second with a beep, H.264 and AAC; the reel takes 5 s of each. mixed is a third each of 1280x720, 640x480 and
720x1280 upright.

times_real_time: seconds of reel over seconds of wall clock; promised: 1.5 on two cores. processor_times: the same over
processor seconds of two cores, which other work on the machine disturbs less. share_of_looking: of the time, what
choosing takes. peak_mb: of the process. late_ms_max: how far a beep of the source at one second, found in the reel's
sound, is from where it belongs.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SECONDS, SHOWN, FPS, RATE, BEEP_AT = 6, 5.0, 30, 48_000, 2.0
SOURCE = Path(__file__).resolve().parent.parent / "samples" / "broadcast.mp4"
SIZES = {
    "1920x1080": [(1920, 1080)],
    "mixed": [(1280, 720), (640, 480), (720, 1280)],
    "340x256": [(340, 256)],
}


def render_sources(folder: Path, sizes: list[tuple[int, int]], count: int) -> list[Path]:
    """Clips of their own content, with a beep of 50 ms at BEEP_AT."""
    import cv2

    from adapters.media import open_video

    with open_video(SOURCE) as video:
        frames = [frame for _, frame in video.frames(fps=FPS)]
    at = np.arange(SECONDS * RATE) / RATE
    wave = np.where((at >= BEEP_AT) & (at < BEEP_AT + 0.05), np.sin(2 * np.pi * 1000 * at), 0).astype(np.float32)
    paths = []
    for number in range(count):
        width, height = sizes[number % len(sizes)]
        grain = np.random.default_rng(number).integers(0, 5, (height, width, 1), np.uint8)
        first = number * (len(frames) - SECONDS * FPS) // count
        paths.append(folder / f"{number:03}.mp4")
        with av.open(str(paths[-1]), "w") as container:
            options = {"preset": "ultrafast", "crf": "20", "g": "60"}
            stream: Any = container.add_stream("libx264", rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, FPS)
            sound: Any = container.add_stream("aac", rate=RATE, layout="stereo")
            for index, frame in enumerate(frames[first : first + SECONDS * FPS]):
                # Mirrored, upside down, other colours: pieces that overlap must not look the same.
                varied = frame[:: 1 - number // 2 % 2 * 2, :: 1 - number % 2 * 2, np.roll([0, 1, 2], number // 4)]
                picture = cv2.resize(np.ascontiguousarray(varied), (width, height))
                picture = cv2.add(picture, np.roll(grain, 7 * index).repeat(3, 2))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture, np.uint8), "rgb24")))
            container.mux(stream.encode())
            samples = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", layout="stereo")
            samples.sample_rate, samples.pts = RATE, 0
            container.mux(sound.encode(samples))
            container.mux(sound.encode())
    return paths


def write_highlights(path: Path, clips: list[Path], shown: float = SHOWN) -> None:
    """As a scan writes them: windows of shown seconds."""
    rows = [
        {
            "path": str(clip),
            "score": 0.99,
            "duration": SECONDS,
            "windows": [{"start": 0.5, "end": 0.5 + shown, "score": 0.99}],
        }
        for clip in clips
    ]
    head = {
        "format": "cliplab-highlights", "version": 1, "library": str(path.parent), "label": "highlight",
        "model": {"name": "", "adapter": "a:B", "digest": "0"}, "sampling": {"mode": "fps", "fps": 1.0},
        "aggregation": "mean", "min_score": 0.7, "window_seconds": shown, "total_scanned": len(rows),
        "highlights_found": len(rows), "failed": 0,
    }  # fmt: skip
    path.write_text(json.dumps({**head, "highlights": rows, "failures": []}))


def late_ms(report: Any) -> float:
    """The largest distance of a beep in the reel from where its clip's place says, in milliseconds."""
    with av.open(report.output) as container:
        frames = list(container.decode(audio=0))
    sound = np.abs(np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0])
    begin = float(frames[0].time or 0.0)
    heard = np.flatnonzero(sound > 0.3) / RATE + begin
    onsets = heard[np.diff(heard, prepend=-9.0) > 0.5]
    due = [float(placed.first / report.format.fps) + BEEP_AT - placed.clip.start for placed in report.timeline]
    assert len(onsets) == len(due), (len(onsets), len(due))
    return float(np.abs(onsets - due).max() * 1e3)


def measure(name: str, folder: Path) -> dict[str, object]:
    from cliplab.reel import reel

    begun: dict[str, float] = {}
    wall, processor = time.perf_counter(), time.process_time()
    report = reel(
        folder / "h.json",
        folder / "reel.mp4",
        transitions=True,
        on_progress=lambda stage, done, total: begun.setdefault(stage, time.perf_counter()),  # type: ignore[arg-type]
    )
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    with av.open(report.output) as container:
        shown = float(container.streams.video[0].duration * container.streams.video[0].time_base)  # type: ignore[operator]
    assert abs(shown - report.seconds) < 1e-3
    assert not report.skipped, report.skipped
    return {
        "sources": name,
        "clips": len(report.timeline),
        "reel": f"{report.format.width}x{report.format.height} at {float(report.format.fps):g}",
        "reel_seconds": round(report.seconds, 1),
        "times_real_time": round(report.seconds / wall, 2),
        "processor_times": round(report.seconds / (processor / 2), 2),
        "share_of_looking": round((begun["rendering"] - begun["looking at sources"]) / wall, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "late_ms_max": round(late_ms(report), 1),
    }


def main() -> None:
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))), flush=True)
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    for name, sizes in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            write_highlights(Path(folder) / "h.json", render_sources(Path(folder), sizes, count))
            # A process each, whose peak of memory is that of the reel alone.
            subprocess.run([sys.executable, __file__, name, folder], check=True, env=os.environ)


if __name__ == "__main__":
    main()
