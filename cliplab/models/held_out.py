"""The windows that a conversion is measured on: those of the clips that the model was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.base import BaseModelAdapter
from adapters.errors import DatasetError, MediaError
from adapters.records import Clip, take_evenly
from cliplab.models.measure import HELD_OUT, labelled_clips

if TYPE_CHECKING:
    from adapters.data import Example

MOST_WINDOWS = 400  # half of them at least where there are more: one changed label in 200 is 0.5%, and 2% is allowed
MOST_BYTES = 1 << 30  # of decoded frames, which stay in memory while the programs run on them


@dataclass(frozen=True)
class HeldOut:
    """The windows that a conversion is measured on.

    Attributes:
        clips: The windows, in the dataset's order.
        examples: The labelled clip that each window is of.
        origin: Which windows they are, how many clips could not be read, and the first reason, for a report.
    """

    clips: list[Clip]
    examples: list[Example]
    origin: str


def held_out_windows(
    adapter: BaseModelAdapter,
    data: str | Path,
    on_progress: Callable[[str, int, int], object] | None = None,
    *,
    most_windows: int = MOST_WINDOWS,
) -> tuple[list[Clip], str]:
    """The windows of ``labelled_windows`` and the text for a report.

    Args:
        adapter: The model whose windows are cut.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        on_progress: Called with the stage's name, the clips done and the clips in all.
        most_windows: Maximum number of windows to return.

    Raises:
        DatasetError: No clip is in these splits, or none can be read.
    """
    found = labelled_windows(adapter, data, on_progress, most_windows=most_windows)
    return found.clips, found.origin


def labelled_windows(
    adapter: BaseModelAdapter,
    data: str | Path,
    on_progress: Callable[[str, int, int], object] | None = None,
    *,
    most_windows: int = MOST_WINDOWS,
) -> HeldOut:
    """The windows of the validation and test clips, in the dataset's order.

    Windows are cut as ``predict`` cuts them: one per labelled clip, or several where the config has windows or a rate.
    Beyond most_windows, or MOST_BYTES of frames, every second window is used, then every fourth and so on, so that the
    windows stay evenly spread over the dataset. Clips that cannot be read are left out.

    Args:
        adapter: The model whose windows are cut.
        data: A dataset in any format that ``adapters.data.read_dataset`` reads.
        on_progress: Called with the stage's name, the clips done and the clips in all.
        most_windows: Maximum number of windows to return.

    Returns:
        The windows with their labelled clips, and a text that says which they are.

    Raises:
        DatasetError: No clip is in these splits, or none can be read.
    """
    from adapters.media import open_video

    examples, spec = labelled_clips(adapter, data, HELD_OUT), adapter.input_spec
    chosen = take_evenly(examples, most_windows)
    kept: list[tuple[Clip, Example]] = []
    failures: list[str] = []
    size = number = 0
    step = 1
    for done, item in enumerate(chosen):
        try:
            with open_video(item.path) as video:
                for clip in video.clips(spec, item.start_seconds, item.end_seconds):
                    if number % step == 0:
                        kept.append((clip, item))
                        size += clip.frames.nbytes
                    number += 1
                    if len(kept) > 1 and (len(kept) > most_windows or size > MOST_BYTES):
                        del kept[1::2]
                        step, size = step * 2, sum(one.frames.nbytes for one, _ in kept)
        except (MediaError, OSError) as error:
            failures.append(str(error))
        if on_progress is not None:
            on_progress("validation and test clips", done + 1, len(chosen))
    if not kept:
        raise DatasetError(f"{data}: none of {len(chosen)} clips can be read; the first: {failures[0]}")
    which = f"validation and test clips of {data}"
    which += f", {len(chosen)} of {len(examples)}" if len(chosen) < len(examples) else ""
    which += f", one in {step} of {number} windows" if step > 1 else ""
    which += f"; {len(failures)} could not be read, the first: {failures[0]}" if failures else ""
    return HeldOut([clip for clip, _ in kept], [example for _, example in kept], which)
