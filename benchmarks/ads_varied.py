"""A composed evening in another form: another rate, real fields, black bars, other loudness, sound of six channels.

    python benchmarks/ads_varied.py EVENING.mkv FORM OUTPUT.mkv|.ts

EVENING.mkv is one that evening.py wrote, with its .json; OUTPUT has the same breaks at the same times. Forms:

    rate       29.97 frames per second, so that cuts fall between frames of the source
    fields     720x576 with pixels of 64:45, MPEG-2, the lines of each frame from two moments: a cut is within a frame
    bars       programme and every other advert cut to 4:3 with black bars at the sides
    loudness   sound from 26 dB under the source's to 6 dB under it, rising over the evening, adverts no louder
    surround   AC-3 of six channels: the source in the centre, half of it at the sides

The first three encode the picture again, the last two the sound; an evening without sound stays without.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FORMS = ("rate", "fields", "bars", "loudness", "surround")
_QUICK = {"preset": "ultrafast", "crf": "25", "x264-params": "bframes=0:ref=1"}
Picture = tuple[float, Any]  # seconds, frame


def write_form(source: Path, form: str, output: Path) -> None:
    """Write the evening in a form, with its notes.

    Args:
        source: The evening.
        form: One of FORMS.
        output: The new file.
    """
    note = json.loads(source.with_suffix(".json").read_text())
    temporary = output.with_name(f"part-{output.name}")
    if form in ("rate", "fields", "bars"):
        _write_pictures(source, form, temporary, note["evening"])
    else:
        _write_sound(source, form, temporary, note["evening"])
    temporary.rename(output)
    evening = {**note["evening"], "path": output.name, "variant": f"{note['evening']['variant']}, {form}"}
    output.with_suffix(".json").write_text(json.dumps({**note, "evening": evening}, indent=1) + "\n")


def _write_pictures(source: Path, form: str, output: Path, evening: dict[str, Any]) -> None:
    with av.open(str(source)) as container, av.open(str(output), "w") as target:
        original = container.streams.video[0]
        original.thread_type = "AUTO"
        made: Any
        if form == "fields":
            # Interlaced coding, as television has it: both fields of a block apart, and motion of each field.
            made = target.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "g": "12", "bf": "2"})
            made.width, made.height, made.bit_rate = 720, 576, 5_000_000
            made.codec_context.sample_aspect_ratio = Fraction(64, 45)
        else:
            rate = Fraction(30_000, 1001) if form == "rate" else original.average_rate
            made = target.add_stream("libx264", rate=rate, options={**_QUICK, "g": str(round(rate))})
            made.width, made.height = original.width, original.height
        made.pix_fmt = "yuv420p"
        sound = container.streams.audio[0] if container.streams.audio else None
        heard = target.add_stream_from_template(sound) if sound is not None else None
        with av.open(str(source)) as other:
            packets = other.demux(audio=0) if heard is not None else iter(())
            waiting = next(packets, None)
            frames = _PICTURES[form](_decoded(container, original), evening)
            for number, frame in enumerate(frames):
                frame.pts, frame.time_base = number, 1 / made.codec_context.framerate
                frame.pict_type = av.video.frame.PictureType.NONE
                target.mux(made.encode(frame))
                while waiting is not None and (not waiting.size or waiting.pts * waiting.time_base <= frame.time):
                    waiting = _passed(waiting, target, heard) and next(packets, None)
            target.mux(made.encode(None))


def _passed(packet: Any, target: Any, stream: Any) -> bool:
    if packet.size:
        packet.stream = stream
        target.mux(packet)
    return True


def _decoded(container: Any, stream: Any) -> Iterator[Picture]:
    for frame in container.decode(stream):
        yield float(frame.time), frame.reformat(format="yuv420p")


def _resampled(frames: Iterator[Picture], evening: dict[str, Any]) -> Iterator[Any]:
    """The frame that is shown at each moment of 29.97 per second."""
    number, before = 0, None
    for seconds, frame in frames:
        while before is not None and number * 1001 / 30_000 < seconds - 1e-9:
            yield av.VideoFrame.from_ndarray(before, "yuv420p")
            number += 1
        before = frame.to_ndarray()
    while before is not None and number * 1001 / 30_000 < evening["seconds"]:
        yield av.VideoFrame.from_ndarray(before, "yuv420p")
        number += 1


def _woven(frames: Iterator[Picture], evening: dict[str, Any]) -> Iterator[Any]:
    """Frames at 25 per second of 720x576: the upper lines of one picture, the lower lines of the next."""
    pictures = _at_25(frames, evening["seconds"])
    before = next(pictures, None)
    for after in pictures:
        woven = before.copy()
        for first, last, width in ((0, 576, 720), (576, 720, 720), (720, 864, 720)):  # Y, U and V lie one after another
            half = _lines(woven, first, last, width), _lines(after, first, last, width)
            half[0][1::2] = half[1][1::2]
        yield av.VideoFrame.from_ndarray(woven, "yuv420p")
        before = after


def _lines(picture: Any, first: int, last: int, width: int) -> Any:
    """Lines of a plane as a view: those of U and V are half as wide, two of them in each row of the array."""
    rows = picture[first:last]
    return rows if first == 0 else rows.reshape(-1, width // 2)


def _at_25(frames: Iterator[Picture], seconds: float) -> Iterator[Any]:
    number, before = 0, None
    for at, frame in frames:
        while before is not None and number / 25 < at - 1e-9:
            yield before
            number += 1
        before = frame.reformat(width=720, height=576, interpolation="BILINEAR").to_ndarray()
    while before is not None and number / 25 < seconds:
        yield before
        number += 1


def _with_bars(frames: Iterator[Picture], evening: dict[str, Any]) -> Iterator[Any]:
    wide = [(start, end) for start, end, _ in evening["adverts"]][::2]
    for seconds, frame in frames:
        picture = frame.to_ndarray()
        if not any(start - 1e-3 <= seconds < end - 1e-3 for start, end in wide):
            height, width = frame.height, frame.width
            bar = (width - height * 4 // 3) // 2 // 4 * 4
            picture[:height, :bar] = picture[:height, width - bar :] = 16
            for first in (height, height * 5 // 4):
                plane = picture[first : first + height // 4].reshape(-1, width // 2)
                plane[:, : bar // 2] = plane[:, (width - bar) // 2 :] = 128
        yield av.VideoFrame.from_ndarray(picture, "yuv420p")


_PICTURES: dict[str, Callable[[Iterator[Picture], dict[str, Any]], Iterator[Any]]] = {
    "rate": _resampled,
    "fields": _woven,
    "bars": _with_bars,
}


def _write_sound(source: Path, form: str, output: Path, evening: dict[str, Any]) -> None:
    with av.open(str(source)) as container, av.open(str(output), "w") as target:
        if not container.streams.audio:
            raise SystemExit(f"{source}: has no sound to change. Choose another variant")
        picture = target.add_stream_from_template(container.streams.video[0])
        rate = 48_000 if form == "surround" else container.streams.audio[0].rate
        codec, layout = ("ac3", "5.1") if form == "surround" else ("aac", "mono")
        made: Any = target.add_stream(codec, rate=rate, layout=layout)
        made.bit_rate = 384_000 if form == "surround" else 64_000
        resampler, at = av.AudioResampler("fltp", "mono", rate, frame_size=1536 if form == "surround" else 1024), 0
        for packet in container.demux(video=0, audio=0):
            if packet.stream.type == "video":
                if packet.size:
                    packet.stream = picture
                    target.mux(packet)
                continue
            for frame in packet.decode():
                for part in resampler.resample(frame):
                    at = _mux_sound(part, at, form, made, target, evening)
        for part in resampler.resample(None):
            at = _mux_sound(part, at, form, made, target, evening)
        target.mux(made.encode(None))


def _mux_sound(part: Any, at: int, form: str, made: Any, target: Any, evening: dict[str, Any]) -> int:
    wave = part.to_ndarray()[0]
    seconds = at / part.sample_rate
    if form == "loudness":
        decibels = -26.0 + 20.0 * min(seconds / evening["seconds"], 1.0)
        channels = wave[None] * np.float32(10 ** (decibels / 20))
    else:  # FL, FR, FC, LFE, BL, BR
        channels = np.stack([0.5 * wave, 0.5 * wave, wave, 0 * wave, 0.3 * wave, 0.3 * wave])
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(channels, np.float32), "fltp", "5.1" if form == "surround" else "mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = part.sample_rate, at, Fraction(1, part.sample_rate)
    target.mux(made.encode(frame))
    return at + len(wave)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write a composed evening in another form.")
    parser.add_argument("evening", type=Path)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    write_form(options.evening, options.form, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
