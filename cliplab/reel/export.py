"""The cut list of a reel for an editor, through OpenTimelineIO."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adapters.errors import ConfigError, MissingExtraError
from cliplab.library import is_remote, printable
from cliplab.reel.plan import PlacedClip, ReelFormat

# Our word: the adapter's name in OpenTimelineIO, the ending of its files, the package that brings it.
FORMATS = {
    "otio": ("otio_json", ".otio", "opentimelineio"),
    "edl": ("cmx_3600", ".edl", "otio-cmx3600-adapter"),
    "fcpxml": ("fcpx_xml", ".fcpxml", "otio-fcpx-xml-adapter"),
}
# Rates that editors know; a list of another rate counts in frames of a multiple of it.
_EDIT_RATES = tuple(Fraction(*rate) for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1),
                                                 (60000, 1001), (60, 1)))  # fmt: skip


def check_export(export: str | None) -> None:
    """Check that a cut list can be written.

    Args:
        export: "otio", "edl" or "fcpxml"; None for no cut list.

    Raises:
        ConfigError: The format is unknown.
        MissingExtraError: The format's package is not installed.
    """
    if export is None:
        return
    if export not in FORMATS:
        raise ConfigError(f"--export must be one of {', '.join(FORMATS)}, got {export!r}")
    adapter, _, package = FORMATS[export]
    try:
        import opentimelineio
    except ImportError:
        raise MissingExtraError("opentimelineio", "reel") from None
    if adapter not in opentimelineio.adapters.available_adapter_names():
        raise MissingExtraError(package, "reel")


def export_path(output: Path, export: str | None) -> Path | None:
    """The cut list's path: beside the reel, with the format's ending; None without an export."""
    return None if export is None else output.with_suffix(FORMATS[export][1])


def cut_list(
    timeline: Sequence[PlacedClip], reel_format: ReelFormat, name: str, export: str, with_sound: bool, notes: list[str]
) -> bytes:
    """The reel as a cut list for an editor: a track of pictures, crossfades as dissolves.

    Ranges are seconds since each source's first frame, in frames of one rate: the reel's or a multiple of it.

    Args:
        timeline: The clips in the order of the reel.
        reel_format: Size and rate of the reel.
        name: The list's title.
        export: "otio", "edl" or "fcpxml".
        with_sound: Also a track of the clips' own sound; only "otio" supports it.
        notes: A sentence is appended for what the format cannot express.

    Returns:
        The file's content.
    """
    import opentimelineio as otio

    document = otio.schema.Timeline(printable(name))
    document.tracks.append(_track(timeline, reel_format, "Video", export))
    if with_sound and export == "otio":
        document.tracks.append(_track(timeline, reel_format, "Audio", export))
    if export == "fcpxml" and any(placed.overlap for placed in timeline):
        notes.append("fcpxml: the crossfades are hard cuts in the cut list, as its adapter does not write them")
    text = str(otio.adapters.write_to_string(document, adapter_name=FORMATS[export][0]))
    return (_in_whole_frames(text, reel_format) if export == "fcpxml" else text).encode("utf-8")


def _track(timeline: Sequence[PlacedClip], reel_format: ReelFormat, kind: str, export: str) -> Any:
    import opentimelineio as otio

    multiple, rate = _edit_rate(reel_format.fps)
    fps = _spoken(rate) if export == "fcpxml" else float(rate)

    def time(frames: int) -> Any:
        return otio.opentime.RationalTime(frames * multiple, fps)

    track = otio.schema.Track(name="reel", kind=kind)
    for index, placed in enumerate(timeline):
        clip = placed.clip
        url = clip.path if is_remote(clip.path) else "file://" + quote(os.path.abspath(os.fsencode(clip.path)))
        following = timeline[index + 1].overlap if index + 1 < len(timeline) else 0
        # A dissolve lies over the cut between two clips; its frames are their handles and not in their ranges.
        before, after = placed.overlap // 2, following - following // 2
        if placed.overlap:
            track.append(
                otio.schema.Transition(
                    name="crossfade",
                    transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
                    in_offset=time(before),
                    out_offset=time(placed.overlap - before),
                )
            )
        span = otio.opentime.TimeRange(
            time(round(clip.start * reel_format.fps) + before), time(placed.frames - before - after)
        )
        if kind == "Audio" and not clip.has_audio:
            track.append(otio.schema.Gap(source_range=span))
            continue
        whole = otio.opentime.TimeRange(time(0), time(max(1, round(clip.duration * reel_format.fps))))
        name = printable(os.path.basename(clip.path))
        if export == "fcpxml":
            name = name.replace("'", "\u2019")  # in a query that the adapter makes of it
        item = otio.schema.Clip(name, otio.schema.ExternalReference(url, whole), span)
        # AX is a source without a reel of its own: an editor goes by the clip's name. Else reels would be named by the
        # first letters of files, the same for many.
        item.metadata["cmx_3600"] = {"reel": "AX"}
        track.append(item)
    return track


def _spoken(rate: Fraction) -> float:
    """The adapter of FCPXML knows 29.97 and not 30000/1001."""
    return round(float(rate), 2)


def _in_whole_frames(text: str, reel_format: ReelFormat) -> str:
    """FCPXML with its times, which the adapter counts in 1 / 29.97 s and the like, as multiples of the true frame."""
    _, rate = _edit_rate(reel_format.fps)

    def exact(found: re.Match[str]) -> str:
        seconds = round(Fraction(found[2]) * Fraction(_spoken(rate))) / rate
        return f'{found[1]}="{seconds}s"'

    return re.sub(r'\b(offset|start|duration)="([\d/]+)s"', exact, text)


def _edit_rate(fps: Fraction) -> tuple[int, Fraction]:
    """The smallest multiple of a rate that editors know, and that rate."""
    return next((times, fps * times) for times in (1, 2, 3, 4, 5) if fps * times in _EDIT_RATES)
