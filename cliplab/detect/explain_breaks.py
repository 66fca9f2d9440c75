"""The picture of ``cliplab ads --explain``: frames, scores, evidence, sound, and the breaks with why each is one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from adapters.evaluation import BLUE, VERMILION, new_figure, plot_text, png_bytes
from adapters.media import open_video
from adapters.records import InputSpec, UInt8Array
from adapters.system import write_bytes_atomic
from cliplab.detect.break_decoder import AdBreak
from cliplab.detect.observations import ROWS, Observations
from cliplab.detect.recordings import Recording

_WIDTH, _DPI = 14.0, 110
_FRAMES, _FRAME_SPEC = 16, InputSpec(height=90, width=160, n_frames=1, aspect="pad")
_LISTED = 6  # breaks whose reasons are written out
_SHADE = "#D55E0030"
_UNKNOWN = "#55555560"
_CHARACTERS = 165  # of a line of reasons
_WORDS = {
    "black": "black",
    "uniform": "one colour",
    "silence": "silence",
    "shot_rate": "shots change fast",
    "logo": "station's logo",
    "speech": "speech",
    "music": "music",
    "loudness_jump": "loudness jumps",
    "aspect_change": "picture's shape changes",
    "repetition": "shown elsewhere too",
    "cue": "broadcaster's cue",
}


def draw_breaks(found: Recording, path: str | Path) -> None:
    """Draw what was found in a recording, and write it as a PNG.

    Args:
        found: The recording, which is opened once more for its frames.
        path: The picture to make or replace.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The picture cannot be written.
    """
    write_bytes_atomic(path, breaks_png(found))


def breaks_png(found: Recording) -> bytes:
    """The picture as a PNG, 1540 pixels wide.

    Args:
        found: As for ``draw_breaks``; its observations must be there.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    observations = found.observations
    assert observations is not None, "a recording that was watched"
    rows = [name for name in ROWS if np.isfinite(observations.row(name)).any()]
    lines = _reasons(found.breaks, found.notes)
    heights = [1.0, 1.3, 0.3 + 0.24 * max(len(rows), 1), 0.9, 0.25 + 0.19 * len(lines)]
    figure: Any = new_figure(_WIDTH, sum(heights) + 0.9, facecolor="white")
    axes = figure.subplots(5, 1, height_ratios=heights)
    for one in axes[1:4]:
        one.sharex(axes[0])
    count = "1 break" if len(found.breaks) == 1 else f"{len(found.breaks)} breaks"
    figure.suptitle(
        f"{plot_text(PurePath(found.path).name, 60)}: {count}, {found.ad_seconds:.0f} s of "
        f"{found.duration_seconds:.0f} s",
        x=0.01,
        ha="left",
        fontsize=14,
        fontweight="bold",
    )
    _draw_frames(axes[0], found)
    _draw_scores(axes[1], observations)
    _draw_rows(axes[2], observations, rows)
    _draw_sound(axes[3], observations)
    for one in axes[1:4]:
        _shade(one, found)
        one.set_xlim(0, max(found.duration_seconds, 1.0))
    _label_breaks(axes[1], found.breaks)
    axes[4].axis("off")
    axes[4].text(0, 1, "\n".join(lines), fontsize=8.5, va="top", transform=axes[4].transAxes, linespacing=1.35)
    return png_bytes(figure, _DPI)


def _draw_frames(axes: Any, found: Recording) -> None:
    """Frames at even distances, each over its own time."""
    width = max(found.duration_seconds, 1.0) / _FRAMES
    for place, picture in enumerate(_frames(found)):
        if picture is not None:
            axes.imshow(picture, extent=(place * width, (place + 1) * width, 0, 1), aspect="auto")
    axes.set_xlim(0, max(found.duration_seconds, 1.0))
    axes.set_ylim(0, 1)
    axes.axis("off")


def _frames(found: Recording) -> list[UInt8Array | None]:
    """A frame near the middle of each part of the recording; of a key frame where there is one, to decode little."""
    assert found.observations is not None
    keys, width = found.observations.key_times, found.duration_seconds / _FRAMES
    moments = []
    for place in range(_FRAMES):
        middle = (place + 0.5) * width
        near = keys[np.argmin(np.abs(keys - middle))] if len(keys) else middle
        moments.append(float(near) if abs(near - middle) < width / 2 else middle)
    taken: list[UInt8Array | None] = [None] * _FRAMES
    with open_video(found.path) as video:
        ranges = [(moment, moment + 0.01) for moment in moments]
        if any(later < earlier[1] for earlier, (later, _) in pairwise(ranges)):
            return taken  # shorter than its frames
        for seconds, picture in video.stretches(ranges, _FRAME_SPEC, fps=90.0, key_times=list(keys)):
            place = int(np.argmin(np.abs(np.array(moments) - seconds)))
            taken[place] = picture
    return taken


def _draw_scores(axes: Any, observations: Observations) -> None:
    middles = observations.times + observations.grid_seconds / 2
    if np.isfinite(observations.ad_scores).any():
        axes.plot(middles, observations.ad_scores, color=BLUE, lw=0.9)
        axes.axhline(0.5, color="#AAAAAA", lw=0.6)
    else:
        axes.text(0.5, 0.35, "no model: evidence only", transform=axes.transAxes, ha="center", color="#777777")
    cuts = np.asarray(observations.cuts)
    axes.vlines(cuts, 0, 0.12 * np.asarray(observations.cut_strength), color="#444444", lw=0.5)
    axes.set_ylim(0, 1.25)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("score of\nan ad", fontsize=9, rotation=0, ha="right", va="center")
    axes.tick_params(labelbottom=False, labelsize=8)


def _draw_rows(axes: Any, observations: Observations, rows: Sequence[str]) -> None:
    """Each kind of evidence as a strip: dark where there is much of it, grey where it is unknown."""
    if not rows:
        axes.text(0.5, 0.5, "no evidence", transform=axes.transAxes, ha="center", va="center", color="#777777")
        axes.set_yticks([])
        return
    table = np.ma.masked_invalid(np.stack([observations.row(name) for name in rows]))
    from matplotlib import colormaps

    colors = colormaps["Blues"].with_extremes(bad="#CFCFCF")
    end = len(observations.times) * observations.grid_seconds
    axes.imshow(
        _widened(table), aspect="auto", cmap=colors, vmin=0, vmax=1, extent=(0, end, len(rows), 0), interpolation="none"
    )
    axes.set_yticks(np.arange(len(rows)) + 0.5, [_WORDS[name] for name in rows], fontsize=8.5)
    for line in range(1, len(rows)):
        axes.axhline(line, color="white", lw=1.5)
    axes.tick_params(labelbottom=False, left=False, labelsize=8.5)


def _widened(table: Any) -> Any:
    """The strips at about the resolution of the picture: of a long recording the most of each column's seconds."""
    columns = int(_WIDTH * _DPI)
    share = -(-table.shape[1] // columns)
    if share <= 1:
        return table
    count = -(-table.shape[1] // share)
    padded = np.ma.masked_invalid(np.full((table.shape[0], count * share), np.nan))
    padded[:, : table.shape[1]] = table
    return padded.reshape(table.shape[0], count, share).max(axis=2)


def _draw_sound(axes: Any, observations: Observations) -> None:
    levels = observations.loudness
    if len(levels) and np.isfinite(levels).any():
        height = np.nan_to_num(np.clip((levels + 60) / 60, 0, 1))
        middles = observations.times + observations.grid_seconds / 2
        axes.fill_between(middles, -height, height, step="mid", color="#4C7A9A", lw=0)
    else:
        axes.text(0.5, 0.5, "no sound", transform=axes.transAxes, ha="center", va="center", color="#777777")
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_ylabel("sound", fontsize=9, rotation=0, ha="right", va="center")
    axes.xaxis.set_major_formatter(lambda value, _: _clock(value))
    axes.tick_params(labelsize=8.5)


def _shade(axes: Any, found: Recording) -> None:
    for one in found.breaks:
        axes.axvspan(one.start_seconds, one.end_seconds, color=_SHADE, lw=0)
        for edge in (one.start_seconds, one.end_seconds):
            axes.axvline(edge, color=VERMILION, lw=1.0)
    for start, end in found.unknown:
        axes.axvspan(start, end, facecolor=_UNKNOWN, hatch="///", edgecolor="#333333", lw=0)


def _label_breaks(axes: Any, breaks: Sequence[AdBreak]) -> None:
    for number, one in enumerate(breaks, 1):
        middle = (one.start_seconds + one.end_seconds) / 2
        axes.text(middle, 1.2, str(number), ha="center", va="top", fontsize=10, fontweight="bold", color=VERMILION)


def _reasons(breaks: Sequence[AdBreak], notes: Sequence[str]) -> list[str]:
    """The lines of text below: each break with its confidence and why it is one."""
    lines = list[str]()
    for number, one in enumerate(breaks[:_LISTED], 1):
        head = (
            f"{number}  {_clock(one.start_seconds, True)} to {_clock(one.end_seconds, True)}, "
            f"{one.end_seconds - one.start_seconds:.2f} s, confidence {one.confidence:.2f}. "
        )
        other = f" Alternative: {one.alternatives[0].what}." if one.alternatives else ""
        lines += textwrap.wrap(plot_text(head + " ".join(one.why) + other, 600), _CHARACTERS, subsequent_indent="    ")
    if len(breaks) > _LISTED:
        lines.append(f"and {len(breaks) - _LISTED} more breaks; --json lists the reasons for each")
    if not breaks:
        lines.append("No break was found.")
    for note in notes[:4]:
        lines += textwrap.wrap(plot_text(f"Note: {note}", 300), _CHARACTERS, subsequent_indent="    ")
    return lines


def _clock(seconds: float, exact: bool = False) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if exact else f"{hours}:{minutes:02}:{int(rest):02}"
