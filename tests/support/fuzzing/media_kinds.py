"""Damaged videos, read in this process and sent to the HTTP host."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np

from fuzzing.case import Kind, Run, outcome, random_of
from fuzzing.model_kinds import SHARED
from fuzzing.mutators import CONTAINERS, mutate

WIDTH, HEIGHT, FRAMES = 64, 48, 12
# Of the files that stand beside the checkout, those that are small: other muxers' files, and awkward ones.
LARGEST_BYTES = 130_000
_KINDS = (
    ("plain.mp4", "mpeg4", {}, {}),
    ("reordered.mp4", "libx264", {"preset": "ultrafast", "bf": "2"}, {}),
    ("fragments.mp4", "libx264", {"preset": "ultrafast"}, {"movflags": "frag_keyframe+empty_moov"}),
    ("intra.mov", "mjpeg", {}, {}),
    ("plain.mkv", "libx264", {"preset": "ultrafast"}, {}),
    ("plain.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}, {}),
    ("plain.avi", "mpeg4", {}, {}),
    ("plain.ts", "mpeg2video", {}, {}),
    ("plain.mpg", "mpeg1video", {}, {}),
    ("plain.flv", "flv", {}, {}),
    ("plain.gif", "gif", {}, {}),
    ("plain.h264", "libx264", {"preset": "ultrafast"}, {}),
    ("plain.mjpeg", "mjpeg", {}, {}),
)


def render(path: Path, codec: str, options: dict[str, str], container_options: dict[str, str]) -> Path:
    """A second of a moving bar."""
    rate = 25 if "mpeg" in codec and codec != "mpeg4" else 12
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        stream.time_base = Fraction(1, rate)
        for index in range(FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            picture[:, 4 * index : 4 * index + 8] = (200, 60, 20 * index)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Sound files by suffix, rendered now; and, where the folder stands beside the checkout, awkward ones."""
    found = []
    for name, codec, options, container_options in _KINDS:
        path = render(folder / name, codec, options, container_options)
        found.append((path.suffix, path.read_bytes()))
        path.unlink()
    for path in sorted([*(SHARED / "cases" / "media").glob("*.*"), *(SHARED / "media" / "odd").glob("*.*")]):
        if path.stat().st_size <= LARGEST_BYTES and path.suffix not in (".py", ".tsv"):
            found.append((path.suffix, path.read_bytes()))
    return found


def mutated_video(random: Random, sound: list[tuple[str, bytes]], folder: Path) -> Path:
    """One of the files, damaged; sometimes under another's suffix."""
    suffix, data = random.choice(sound)
    alike = [other for kind, other in sound if kind == suffix]
    path = folder / f"case{random.choice(sound)[0] if random.random() < 0.05 else suffix}"
    path.write_bytes(mutate(random, data, CONTAINERS.get(suffix, ()), alike))
    return path


@contextmanager
def video(folder: Path) -> Iterator[Run]:
    from adapters.inference import open_model, predict_videos
    from adapters.media import MediaLimits, open_video
    from adapters.records import InputSpec
    from fuzzing.model_kinds import described_program
    from fuzzing.programs import frame_program

    sound = seeds(folder)
    (folder / "model.tflite").write_bytes(described_program(frame_program()))
    model = open_model(folder / "model.tflite")
    spec = InputSpec(height=16, width=16, n_frames=4, fps=4.0, window_seconds=1.0, stride_seconds=0.5)

    def read(path: Path, random: Random) -> None:
        limits = MediaLimits(10_000_000) if random.random() < 0.7 else None
        with open_video(path, limits=limits, threads=random.choice((1, 2))) as opened:
            list(itertools.islice(opened.clips(spec), 20))
            list(itertools.islice(opened.key_frames(spec), 20))
            list(itertools.islice(opened.frames(height=16, width=16), 200))
            assert all(opened.warnings)

    def predict(path: Path) -> str:
        (result,) = predict_videos(model, [path], limits=MediaLimits(10_000_000))
        return f"refused: {result.error[:160]}" if result.error else "read"

    def run(seed: int) -> str:
        random = random_of("video", seed)
        path = mutated_video(random, sound, folder)
        return predict(path) if random.random() < 0.3 else outcome(lambda: read(path, random))

    yield run


@contextmanager
def video_http(folder: Path) -> Iterator[Run]:
    from fuzzing.served_host import served

    sound = seeds(folder)
    with served(folder) as client:

        def run(seed: int) -> str:
            path = mutated_video(random_of("video_http", seed), sound, folder)
            return client.upload(path.name, path.read_bytes())

        yield run


KINDS = {"video": Kind(500, video), "video_http": Kind(500, video_http)}
