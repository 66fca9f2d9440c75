"""Adverts that come again in a folder of recordings: how many of their seconds are known, and what else is claimed.

    python benchmarks/ads_repetition.py [--folders N] [--recordings N] [--minutes M] [--pool N] [--cache FILE.npz]
                                        [--sound-only]

Each folder is a week of one channel: recordings with two or three breaks whose adverts are drawn from one pool, so that
some come again and some do not. The sound is evening.py's, at a loudness, a sample offset and an AAC bit rate of each
recording's own, encoded and decoded. Of the picture the key frames are drawn, at a phase of each showing's own, with
coding noise, and nothing is encoded. Programme is the footage of evening_pieces.py: its shots come again in every
recording, and so does music under different adverts. Two ways: sound alone (a recording without picture hashes), and
sound with picture. With --sound-only no picture is drawn.

Seconds within 1.5 s of an advert's edges are left out, as in bench_ads.py. Prints a JSON line for each way, with 95%
intervals over folders' recordings.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from evening import RATE, advert_sound, programme_sound, sound_library
from evening_pieces import (
    SCENES,
    TEMPLATES,
    _sample_footage,
    advert_plan,
    cartoons,
    footage,
    footage_frames,
    programme_files,
)

from adapters.evaluation import share_interval
from cliplab.detect.fingerprints import Fingerprint, picture_hashes, sound_hashes
from cliplab.detect.repetition import RepetitionIndex
from cliplab.detect.sound import SAMPLE_RATE

SPLIT, PHASES, SIZE = "test", 4, 32
BIT_RATES = (64_000, 96_000, 128_000)
NOISE = 2.0  # grey levels, of coding
EDGE_SECONDS = 1.5


@dataclass(frozen=True, eq=False)
class Shown:
    """A piece as small grey pictures, PHASES per second, float32 [N, 32, 32]."""

    name: str
    seconds: float
    pictures: Any


def small(image: Any) -> Any:
    """A picture as fingerprint_recording sees it."""
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA).mean(axis=2, dtype=np.float32)


def programme() -> Iterator[Shown]:
    """The shots of programme."""
    for number, (path, start, seconds) in enumerate(programme_files(SPLIT)):
        frames = [small(each) for each in footage_frames(path, start, seconds, PHASES, (1.0, 0.85, 0.7)[number % 3])]
        if len(frames) >= PHASES:
            yield Shown(f"programme-{number}", len(frames) / PHASES, np.stack(frames))
    for scene in SCENES[SPLIT]["programme"]:
        frames = [small(cartoons.render(scene, 11, at / PHASES)) for at in range(5 * PHASES)]
        yield Shown(scene, 5.0, np.stack(frames))


def adverts(count: int) -> Iterator[Shown]:
    """Adverts by number."""
    folder = _sample_footage()
    for number in range(count):
        style, shots, seconds = advert_plan(SPLIT, number)
        edges = np.cumsum([0.0, *(length for _, _, length in shots)])
        frames = []
        for moment in np.arange(0, seconds - 1e-6, 1 / PHASES):
            place = min(int(np.searchsorted(edges, moment + 1e-6, side="right")) - 1, len(shots) - 1)
            (template, background, length), inner = shots[place], moment - edges[place]
            if isinstance(background, footage.Take):
                image = footage.render(folder, background, inner, length).copy()
            else:
                image = cartoons.render(*background, inner)
            frames.append(small(image if template is None else TEMPLATES[template](image, inner, length, style)))
        yield Shown(f"advert-{number}", seconds, np.stack(frames))


def pieces(count: int, cache: Path | None) -> tuple[list[Shown], list[Shown]]:
    """Programme and adverts, from the cache where they were drawn before."""
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            names = [str(name) for name in stored["names"]]
            made = [Shown(name, float(stored["seconds"][n]), stored[f"p{n}"]) for n, name in enumerate(names)]
    else:
        made = [*programme(), *adverts(count)]
        if cache is not None:
            arrays = {f"p{n}": each.pictures for n, each in enumerate(made)}
            np.savez(cache, names=[each.name for each in made], seconds=[each.seconds for each in made], **arrays)
    shots = [each for each in made if not each.name.startswith("advert-")]
    return shots, [each for each in made if each.name.startswith("advert-")][:count]


def unseen(count: int) -> tuple[list[Shown], list[Shown]]:
    """Programme and adverts by their lengths alone, for sound without a picture."""
    nothing = np.zeros((0, SIZE, SIZE), np.float32)
    shots = [Shown(f"programme-{number}", 3.0 + number % 5, nothing) for number in range(60)]
    return shots, [Shown(f"advert-{n}", advert_plan(SPLIT, n)[2], nothing) for n in range(count)]


def lay_out(rng: Any, shots: list[Shown], ads: list[Shown], minutes: float) -> list[Shown]:
    """The pieces of one recording in order."""
    order, count = list(rng.permutation(len(ads))), int(rng.integers(2, 4))
    blocks = [[ads[order.pop()] for _ in range(int(rng.integers(3, 7)))] for _ in range(count)]
    left = 60 * minutes - sum(each.seconds for block in blocks for each in block)
    parts: list[Shown] = []
    queue: list[Shown] = []
    for number, share in enumerate(rng.dirichlet(np.full(count + 1, 6.0)) * left):
        filled = 0.0
        while filled < share:
            queue = queue or [shots[place] for place in rng.permutation(len(shots))]
            parts.append(queue.pop())
            filled += parts[-1].seconds
        parts += blocks[number] if number < count else []
    return parts


def sound_of(rng: Any, parts: list[Shown], library: dict[str, list[Any]]) -> Any:
    """The recording's sound, float32 at SAMPLE_RATE, as it comes out of its AAC."""
    louder, total = float(rng.uniform(1.2, 2.0)), round(sum(each.seconds for each in parts) * RATE)
    out, at, end = np.zeros(total + RATE, np.float32), 0, 0.0
    talk = np.zeros(0, np.float32)
    for each in parts:
        end += each.seconds
        count = round(end * RATE) - at
        if each.name.startswith("advert-"):
            stretch = advert_sound(int(each.name.rsplit("-", 1)[1]), each.seconds, library)[:count] * louder
        else:
            while len(talk) < count:
                talk = np.concatenate([talk, programme_sound(rng, library)])
            stretch, talk = talk[:count], talk[count:]
        out[at : at + len(stretch)] += stretch
        at += count
    wave = np.clip(out[:total] * float(rng.uniform(0.3, 1.2)), -0.99, 0.99)
    late = int(rng.integers(0, RATE // 10))  # the sound begins somewhere within a hop
    return coded(np.concatenate([np.zeros(late, np.float32), wave])[:total], int(rng.choice(BIT_RATES)))


def coded(wave: Any, bit_rate: int) -> Any:
    """Sound through AAC and back, at SAMPLE_RATE."""
    held = io.BytesIO()
    with av.open(held, "w", format="matroska") as container:
        stream: Any = container.add_stream("aac", rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        for at in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    held.seek(0)
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(held) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


def fingerprint(rng: Any, parts: list[Shown], wave: Any, picture: bool) -> Fingerprint:
    """The recording's fingerprints; each showing's key frames fall at a phase of their own."""
    times, hashes, _ = sound_hashes(wave)
    found = Fingerprint(times, hashes, seconds=sum(each.seconds for each in parts))
    if picture:
        at, frames = 0.0, []
        for each in parts:
            # A key frame at the cut, and then one per second from a random phase on.
            for place in sorted({0, *range(int(rng.integers(PHASES)), len(each.pictures), PHASES)}):
                grain = rng.normal(0, NOISE, (SIZE, SIZE)).astype(np.float32)
                frames.append((at + place / PHASES, each.pictures[place] + grain))
            at += each.seconds
        found.picture_times, found.pictures = picture_hashes(frames)
    return found


def judged(row: Any, parts: list[Shown], again: set[str]) -> tuple[Any, Any]:
    """Of the seconds that count: whether each was claimed, and whether it is of an advert that comes again."""
    at, end = np.arange(len(row)) + 0.5, 0.0
    wanted, edge = np.zeros(len(row), bool), np.zeros(len(row), bool)
    for each in parts:
        start, end = end, end + each.seconds
        if each.name.startswith("advert-"):
            edge |= (np.abs(at - start) <= EDGE_SECONDS) | (np.abs(at - end) <= EDGE_SECONDS)
            if each.name in again:
                wanted |= (at > start) & (at < end)
    return (row > 0.5)[~edge], wanted[~edge]


def bench_folder(folder: int, shots: list[Shown], ads: list[Shown], options: Any) -> dict[str, list[tuple[Any, Any]]]:
    """(claimed, wanted) of each recording of one folder, by way."""
    rng = np.random.default_rng([folder, 31])
    library = sound_library(SPLIT)
    made = [lay_out(rng, shots, ads, options.minutes) for _ in range(options.recordings)]
    waves = [sound_of(rng, parts, library) for parts in made]
    names = [each.name for parts in made for each in parts if each.name.startswith("advert-")]
    again = {name for name in names if names.count(name) > 1}
    found: dict[str, list[tuple[Any, Any]]] = {}
    for way in ("sound",) if options.sound_only else ("sound", "sound and picture"):
        with tempfile.TemporaryDirectory() as place, RepetitionIndex(Path(place) / "index.sqlite") as index:
            for number, (parts, wave) in enumerate(zip(made, waves, strict=True)):
                index.add(str(number), fingerprint(rng, parts, wave, way != "sound"))
            rows = [index.row(str(number)) for number in range(len(made))]
        found[way] = [judged(row, parts, again) for row, parts in zip(rows, made, strict=True)]
    return found


def shares(recordings: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Precision and recall of seconds, with intervals over recordings."""
    group = np.concatenate([np.full(len(claimed), number) for number, (claimed, _) in enumerate(recordings)])
    claimed, wanted = (np.concatenate([each[side] for each in recordings]) for side in (0, 1))
    shown: dict[str, Any] = {"seconds_wanted": int(wanted.sum()), "seconds_claimed": int(claimed.sum())}
    for name, right, among in (("precision", wanted, claimed), ("recall", claimed, wanted)):
        shown[name] = round(float(right[among].mean()), 4) if among.any() else None
        shown[f"{name}_interval"] = [round(end, 4) for end in share_interval(right[among], list(group[among]))]
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure how adverts that come again are known.")
    parser.add_argument("--folders", type=int, default=2)
    parser.add_argument("--recordings", type=int, default=10, help="in each folder")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--pool", type=int, default=60, help="adverts that a channel shows")
    parser.add_argument("--first", type=int, default=0, help="number of the first folder, which is its seed")
    parser.add_argument("--sound-only", action="store_true")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args(arguments)
    shots, ads = unseen(options.pool) if options.sound_only else pieces(options.pool, options.cache)
    found: dict[str, list[tuple[Any, Any]]] = {}
    for folder in range(options.first, options.first + options.folders):
        began = time.process_time()
        for way, recordings in bench_folder(folder, shots, ads, options).items():
            found.setdefault(way, []).extend(recordings)
        print(json.dumps({"folder": folder, "processor_seconds": round(time.process_time() - began, 1)}), flush=True)
    for way, recordings in found.items():
        shown = {"bench": "repetition", "way": way, "recordings": len(recordings), **shares(recordings)}
        print(json.dumps(shown), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
