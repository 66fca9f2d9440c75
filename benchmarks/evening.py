"""Compose an evening of television: programme with two or three breaks, and where the breaks truly are.

    python benchmarks/evening.py OUTPUT.mkv [--split test] [--seed 0] [--variant all] [--minutes 14] [--breaks N]

writes the video, OUTPUT.json with the true breaks, the adverts and where each piece came from, and OUTPUT.edl. Adverts
are rendered by the samples' own renderer; lengths of adverts and the gaps between them are drawn from
tv_segments.jsonl, programme is the footage at hand. It is composed: adverts have more graphics than on television, and
a source of programme comes again within its evening. Variants:

    all       logo, black and silence between adverts, louder adverts
    no_logo   the same without a logo
    no_black  a logo, no black, no silence, the same loudness
    picture   no logo, no black, no sound
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from evening_pieces import FORMATS, Format, Piece, advert_piece, black_piece, programme_pieces, shared_media
from rendering import sound as jingles

VARIANTS = ("all", "no_logo", "no_black", "picture")
ADVERTS = 36  # of a split
RATE = 32_000


@dataclass(frozen=True)
class Evening:
    """A composed recording: the video, its true breaks in seconds, and the adverts by name."""

    path: Path
    breaks: list[tuple[float, float]]
    adverts: list[tuple[float, float, str]]
    seconds: float
    variant: str
    split: str
    format: str


def compose(path: Path, split: str, seed: int, variant: str, minutes: float = 14.0,
            adverts: Sequence[int] | None = None, pool: int = ADVERTS,
            format: Format | None = None, breaks: int | None = None) -> Evening:  # fmt: skip
    """Write an evening, or read it back where the same one lies there already."""
    note = path.with_suffix(".json")
    if note.exists() and path.exists():
        return Evening(**{**json.loads(note.read_text())["evening"], "path": path})
    rng = np.random.default_rng([seed, split == "test"])
    format = FORMATS[int(rng.choice(len(FORMATS), p=[0.6, 0.2, 0.2]))] if format is None else format
    parts = lay_out(rng, split, variant, minutes, format, adverts, pool, breaks)
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = None if variant == "picture" else compose_sound(rng, parts, split, variant)
    join(path, [each for each, _ in parts], format, sound)
    evening = describe(path, parts, variant, split, format)
    pieces = [{"source": each.source, "kind": each.kind, "seconds": each.seconds} for each, _ in parts]
    content = {"evening": {**vars(evening), "path": str(path.name)}, "pieces": pieces}
    note.write_text(json.dumps(content, indent=1) + "\n")
    path.with_suffix(".edl").write_text("".join(f"{a:.2f}\t{b:.2f}\t3\n" for a, b in evening.breaks))
    return evening


def lay_out(rng: Any, split: str, variant: str, minutes: float, format: Format, adverts: Sequence[int] | None,
            pool: int, breaks: int | None = None) -> list[tuple[Piece, int]]:  # fmt: skip
    """The pieces in order, each with the number of its break, -1 for programme."""
    shots = programme_pieces(split, format, variant in ("all", "no_black"))
    blacks = variant in ("all", "no_logo")
    order = list(rng.permutation(pool) if adverts is None else adverts)
    drawn = int(rng.integers(2, 4))
    breaks = drawn if breaks is None else breaks
    lengths = [int(rng.integers(3, 7)) for _ in range(breaks)]
    while lengths and sum(lengths) > len(order):
        lengths[int(np.argmax(lengths))] -= 1
    blocks = [[advert_piece(split, int(order.pop()), format) for _ in range(count)] for count in lengths]
    left = max(60 * minutes - sum(each.seconds for block in blocks for each in block), 120.0 * breaks)
    shares = rng.dirichlet(np.full(breaks + 1, 6.0)) * left
    parts: list[tuple[Piece, int]] = []
    queue: list[Piece] = []
    for number in range(breaks + 1):
        filled = 0.0
        while filled < shares[number]:
            queue = queue or [shots[place] for place in rng.permutation(len(shots))]
            parts.append((queue.pop(), -1))
            filled += parts[-1][0].seconds
            if blacks and rng.random() < 0.04:  # a programme fades to black now and then, too
                parts.append((black_piece(format.fps // 2, format), -1))
        for place, each in enumerate(blocks[number] if number < breaks else []):
            if blacks:
                gap = rng.choice([4, 6], p=[0.55, 0.45]) * format.fps // 25
                parts.append((black_piece(int(gap), format), number if place else -2))
            parts.append((each, number))
        if blacks and number < breaks:
            parts.append((black_piece(5 * format.fps // 25, format), -2))
    return parts


def advert_numbers(seed: int, first: int, last: int) -> list[int]:
    """The adverts from ``first`` up to ``last`` in an order of the seed's own."""
    return [int(number) for number in first + np.random.default_rng([seed, 9]).permutation(last - first)]


def describe(path: Path, parts: list[tuple[Piece, int]], variant: str, split: str, format: Format) -> Evening:
    """True breaks: from the middle of the black before the first advert to the middle of the black after the last."""
    at, extents, adverts = 0.0, {}, []
    for each, number in parts:
        if number >= 0:
            extents.setdefault(number, [at, at])[1] = at + each.seconds
        if each.kind == "advert":
            adverts.append((round(at, 3), round(at + each.seconds, 3), each.source))
        at += each.seconds
    pad = 0.1 if any(number == -2 for _, number in parts) else 0.0
    breaks = [(round(a - pad, 3), round(b + pad, 3)) for a, b in extents.values()]
    return Evening(path, breaks, adverts, round(at, 3), variant, split, format.name)


def compose_sound(rng: Any, parts: list[tuple[Piece, int]], split: str, variant: str) -> Any:
    """Mono sound, float32: speech and crowds under programme, music and jingles under adverts."""
    library = sound_library(split)
    louder = float(rng.uniform(1.2, 2.0)) if variant != "no_black" else 1.0
    at, total = 0, round(sum(each.seconds for each, _ in parts) * RATE)
    out = np.zeros(total + RATE, np.float32)
    talk, end = np.zeros(0, np.float32), 0.0
    for each, _ in parts:
        end += each.seconds
        count = round(end * RATE) - at
        if each.kind == "advert":
            number = int(each.source.rsplit("-", 1)[1])
            stretch = advert_sound(number, each.seconds, library)[:count] * louder
        elif each.kind == "black":
            stretch = np.zeros(count, np.float32)
        else:
            while len(talk) < count:
                talk = np.concatenate([talk, programme_sound(rng, library)])
            stretch, talk = talk[:count], talk[count:]
        out[at : at + len(stretch)] += stretch
        at += count
    return np.clip(out[:total], -0.99, 0.99)


def sound_library(split: str) -> dict[str, list[Any]]:
    """Recorded sounds of a split by kind, float32 at RATE."""
    folder, odd = shared_media() / "real/sound", split == "test"
    kinds = {"speech": "speech/*.ogg", "music": "music/*.ogg", "crowd": "crowd/*.ogg"}
    found = {name: [read_sound(path) for path in sorted(folder.glob(glob))[odd::2]] for name, glob in kinds.items()}
    talk = "diarizationExample2.ogg" if odd else "diarizationExample.ogg"
    return found | {"talk": [read_sound(folder / "segments" / talk)]}


def read_sound(path: Path) -> Any:
    """A file's sound, mono float32 at RATE, at a common loudness."""
    resampler = av.AudioResampler("fltp", "mono", RATE)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames + resampler.resample(None)])
    return (wave * (0.08 / max(float(np.sqrt(np.mean(wave**2))), 1e-4))).astype(np.float32)


def programme_sound(rng: Any, library: dict[str, list[Any]]) -> Any:
    """A few seconds of talk, of speech pieced together, or of a crowd."""
    kind = rng.choice(["talk", "speech", "crowd"], p=[0.5, 0.4, 0.1])
    wave = library[kind][rng.integers(len(library[kind]))]
    if kind == "talk":
        start = int(rng.integers(0, len(wave) - 8 * RATE))
        wave = wave[start : start + 8 * RATE]
    pause = np.zeros(int(rng.uniform(0, 0.5) * RATE), np.float32)
    noise = rng.normal(0, 0.002, len(wave) + len(pause)).astype(np.float32)
    return np.concatenate([wave, pause]) + noise


def advert_sound(number: int, seconds: float, library: dict[str, list[Any]]) -> Any:
    """Music, a jingle and now and then a voice, the same each time the advert is shown."""
    rng = np.random.default_rng([number, 77])
    count = round(seconds * RATE)
    wave = 0.35 * jingles.jingle(seconds, 1000 + number)[:count]
    loop = library["music"][rng.integers(len(library["music"]))]
    wave = wave + 0.6 * np.resize(loop, len(wave))
    for start in rng.uniform(0, max(seconds - 1, 0.1), int(seconds / 4)):
        voice = library["speech"][rng.integers(len(library["speech"]))]
        at = int(start * RATE)
        wave[at : at + len(voice)] += voice[: max(len(wave) - at, 0)]
    return wave.astype(np.float32)


def join(path: Path, pieces: list[Piece], format: Format, sound: Any) -> None:
    """One file: the packets of the pieces one after the other, and the sound."""
    temporary, offset = path.with_suffix(".part.mkv"), 0
    with av.open(str(temporary), "w", format="matroska") as container:
        with av.open(str(pieces[0].path)) as first:
            video = container.add_stream_from_template(first.streams.video[0])
        audio: Any = None
        if sound is not None:
            audio = container.add_stream("aac", rate=RATE, layout="mono")
            audio.bit_rate = 64_000
        at = 0
        for each in pieces:
            count = round(each.seconds * format.fps)
            with av.open(str(each.path)) as source:
                number = 0
                for packet in source.demux(source.streams.video[0]):
                    if packet.size == 0:
                        continue
                    packet.stream, packet.time_base = video, Fraction(1, format.fps)
                    packet.pts = packet.dts = offset + number
                    packet.duration = 1
                    container.mux(packet)
                    number += 1
            if number != count:
                raise RuntimeError(f"{each.path}: has {number} packets, not {count}. Remove it and compose again")
            offset += count
            while audio is not None and at < min(offset * RATE // format.fps, len(sound)):
                part = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = RATE, at, Fraction(1, RATE)
                container.mux(audio.encode(part))
                at += 1024
        if audio is not None:
            container.mux(audio.encode(None))
    temporary.rename(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compose an evening of television with its true breaks.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", choices=VARIANTS, default="all")
    parser.add_argument("--minutes", type=float, default=14.0)
    parser.add_argument("--adverts", default=f"0:{ADVERTS}", metavar="FROM:TO",
                        help="numbers of the adverts to draw from; other numbers are other adverts")  # fmt: skip
    parser.add_argument("--breaks", type=int, help="how many breaks; default: two or three. 0: programme alone")
    options = parser.parse_args(arguments)
    if not shared_media().is_dir():
        print(f"{shared_media()}: not found. CLIPLAB_SHARED names the folder that holds media/", file=sys.stderr)
        return 2
    first, last = map(int, options.adverts.split(":"))
    drawn = None if (first, last) == (0, ADVERTS) else advert_numbers(options.seed, first, last)
    evening = compose(options.output, options.split, options.seed, options.variant, options.minutes, drawn,
                      breaks=options.breaks)  # fmt: skip
    print(json.dumps({**vars(evening), "path": str(evening.path)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
