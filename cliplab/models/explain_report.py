"""What ``cliplab explain`` found: every figure, as values and as JSON, and the main ones in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from adapters.records import Float64Array, InputSpec, LabelScore, UInt8Array
from adapters.reports import rounded

TimeWay = Literal["blank", "bridge"]
CurveKind = Literal["per_frame", "after_each_frame", "growing_clip"]
# A change of less than this is called none in words: it is what re-encoding a clip does to a score.
SMALL_CHANGE = 0.02
ALIKE = 0.6  # the least share of the largest drop that hiding any other part must reach to be called alike
WAYS: dict[TimeWay, str] = {
    "blank": "frames filled with the clip's mean colour",
    "bridge": "frames replaced by a cross-fade of their neighbours",
}
CURVES: dict[CurveKind, str] = {
    "per_frame": "score of each frame",
    "after_each_frame": "score after each frame",
    "growing_clip": "score if the clip stopped there",
}


@dataclass(frozen=True)
class PixelBox:
    """A part of the video's picture as shown, in pixels from its upper left corner.

    Attributes:
        left_pixels: Of its left side.
        top_pixels: Of its upper side.
        width_pixels: Its width.
        height_pixels: Its height.
    """

    left_pixels: float
    top_pixels: float
    width_pixels: float
    height_pixels: float


@dataclass(frozen=True)
class SeenPicture:
    """What one network of the model sees of the picture.

    Attributes:
        box: The part of the video's picture.
        aspect: How the picture is fitted: crop, pad or stretch.
        input_width_pixels: The width of the network's input.
        input_height_pixels: Its height.
        bar_left_pixels: The width of the black bar left of the picture in the input.
        bar_top_pixels: The height of the black bar above it.
        bar_right_pixels: The width of the black bar right of it.
        bar_bottom_pixels: The height of the black bar below it.
    """

    box: PixelBox
    aspect: str
    input_width_pixels: int
    input_height_pixels: int
    bar_left_pixels: int
    bar_top_pixels: int
    bar_right_pixels: int
    bar_bottom_pixels: int


@dataclass(frozen=True)
class WindowScore:
    """A window that ``cliplab predict`` answers for.

    Attributes:
        start_seconds: Where it begins, in seconds since the video's first frame.
        end_seconds: Where it ends.
        score: Of the label, in 0..1.
        explained: Whether it is the one that is explained.
    """

    start_seconds: float
    end_seconds: float
    score: float
    explained: bool


@dataclass(frozen=True)
class TimeMask:
    """A stretch of time that was hidden, in two ways.

    Attributes:
        start_seconds: Where it begins, in seconds since the video's first frame.
        end_seconds: Where it ends.
        first_frame: The first hidden frame of the clip, from 0.
        last_frame: The last one.
        blank_score: The label's score with these frames in the clip's mean colour.
        blank_change: That less the score of the whole clip: below 0 where the stretch speaks for the label.
        bridge_score: The label's score with these frames replaced by a cross-fade between their neighbours.
        bridge_change: That less the score of the whole clip.
    """

    start_seconds: float
    end_seconds: float
    first_frame: int
    last_frame: int
    blank_score: float
    blank_change: float
    bridge_score: float
    bridge_change: float


@dataclass(frozen=True)
class StretchChange:
    """A stretch of time, and what hiding it does by the way of hiding that counts.

    Attributes:
        start_seconds: Where it begins, in seconds since the video's first frame.
        end_seconds: Where it ends.
        change: The mean change of the score over the masks that hide this stretch.
    """

    start_seconds: float
    end_seconds: float
    change: float


def counting_way(masks: Sequence[TimeMask], single_frames: bool) -> TimeWay:
    """Which way of hiding time counts for a model.

    A flash of plain colour is a sudden change, which a model that sees motion answers to wherever it is. So for such a
    model blank frames count only where they are selective: their largest drop is larger than that of cross-fades, and
    more than twice their median change. For a model of single frames a blank frame is what it is, and always counts.

    Args:
        masks: Time hidden in both ways.
        single_frames: Whether the model sees single frames.
    """
    if single_frames or not masks:
        return "blank"
    blank = [mask.blank_change for mask in masks]
    drop = -min(blank)
    selective = drop > 2 * abs(median(blank)) and drop > -min(mask.bridge_change for mask in masks)
    return "blank" if selective else "bridge"


@dataclass(frozen=True)
class PictureMask:
    """A part of the picture that was hidden in all frames.

    Attributes:
        box: The part of the video's picture.
        score: The label's score with this part in the clip's mean colour.
        change: That less the score of the whole clip: below 0 where the part speaks for the label.
    """

    box: PixelBox
    score: float
    change: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gave a clip its score.

    Attributes:
        model: The model as the caller named it.
        video: The video as the caller named it.
        label: The class that is explained.
        score: Its score for the clip, in 0..1.
        scores: The best classes of the clip, best first.
        start_seconds: Where the clip begins, in seconds since the video's first frame.
        end_seconds: Where it ends.
        video_width_pixels: The width of the video's picture as shown.
        video_height_pixels: Its height.
        spec: How the clip was sampled.
        frame_times_seconds: When each frame of the clip is shown, in seconds since the video's first frame.
        windows: Every window that predict answers for; empty where a range was asked for.
        seen: What each network sees of the picture, each way once.
        curve_kind: What ``curve`` means; see ``CURVES``.
        curve: (seconds, score) in order of time.
        time_masks: In order of time, overlapping; empty for a clip of one frame.
        time_way: Which way of hiding time counts; see ``counting_way``.
        stretches: In order of time, one after the other; empty for a clip of one frame.
        picture_masks: From the upper left to the lower right.
        cell_changes: float64 [rows, columns], for each cell of a grid over what the model sees the mean change of the
            masks over it.
        grid_box: Where that grid lies in the video's picture.
        mask_color: The clip's mean colour, (R, G, B) in 0..255.
        runs: How many clips the model scored.
        notes: What to know, in sentences.
        frames: uint8 [T, H, W, 3] RGB, the frames as the model's input has them.
        picture: uint8 [H, W, 3] RGB, the whole picture in the middle of the clip.
    """

    model: str
    video: str
    label: str
    score: float
    scores: tuple[LabelScore, ...]
    start_seconds: float
    end_seconds: float
    video_width_pixels: int
    video_height_pixels: int
    spec: InputSpec
    frame_times_seconds: tuple[float, ...]
    windows: tuple[WindowScore, ...]
    seen: tuple[SeenPicture, ...]
    curve_kind: CurveKind
    curve: tuple[tuple[float, float], ...]
    time_masks: tuple[TimeMask, ...]
    time_way: TimeWay
    stretches: tuple[StretchChange, ...]
    picture_masks: tuple[PictureMask, ...]
    cell_changes: Float64Array
    grid_box: PixelBox
    mask_color: tuple[int, int, int]
    runs: int
    notes: tuple[str, ...]
    frames: UInt8Array
    picture: UInt8Array

    def time_change(self, mask: TimeMask) -> float:
        """The change of the score by the way of hiding that counts."""
        return mask.blank_change if self.time_way == "blank" else mask.bridge_change

    @property
    def decisive_time(self) -> TimeMask | None:
        """The mask in time that lowers the score most; None where none lowers it by ``SMALL_CHANGE``."""
        found = min(self.time_masks, key=self.time_change, default=None)
        return found if found is not None and self.time_change(found) <= -SMALL_CHANGE else None

    @property
    def decisive_part(self) -> PictureMask | None:
        """The part of the picture whose hiding lowers the score most; None where none lowers it by ``SMALL_CHANGE``."""
        found = min(self.picture_masks, key=lambda mask: mask.change)
        return found if found.change <= -SMALL_CHANGE else None

    def sentences(self) -> list[str]:
        """The main figures in words, for people."""
        found = [f"{self.label} {self.score:.3f} from {self.start_seconds:.2f} to {self.end_seconds:.2f} s"]
        found += [self._time_sentence()] if self.time_masks else []
        part = self.decisive_part
        if part is None:
            found.append(f"no single part of the picture matters: {_largest([m.change for m in self.picture_masks])}")
        else:
            where = _place(part.box, self.grid_box)
            found.append(f"part that matters most: {where}; without it the score is {part.score:.3f}")
        return found

    def _time_sentence(self) -> str:
        found, changes = self.decisive_time, [self.time_change(mask) for mask in self.time_masks]
        if found is None:
            return f"no single time range matters: {_largest(changes)}"
        score = found.blank_score if self.time_way == "blank" else found.bridge_score
        if _alike(changes):
            return f"all time ranges matter equally: without any one of them the score is {score:.3f} or more"
        return (
            f"time that matters most: {found.start_seconds:.2f} to {found.end_seconds:.2f} s; without it the score is "
            f"{score:.3f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Every figure, with the unit in the name of each key. Scores and changes are shares of 1."""
        spec = self.spec
        content = {
            "model": self.model,
            "video": self.video,
            "label": self.label,
            "score": self.score,
            "scores": [{"label": item.label, "score": item.score} for item in self.scores],
            "start_seconds": self.start_seconds,
            "end_seconds": self.end_seconds,
            "summary": self.sentences(),
            "notes": list(self.notes),
            "runs": self.runs,
            "windows": [asdict(window) for window in self.windows],
            "input": {
                "n_frames": len(self.frame_times_seconds),
                "sampling": spec.sampling,
                "frames_per_second": spec.fps,
                "frame_times_seconds": list(self.frame_times_seconds),
            },
            "picture": {
                "video_width_pixels": self.video_width_pixels,
                "video_height_pixels": self.video_height_pixels,
                "seen": [_with_box(asdict(item)) for item in self.seen],
            },
            "score_over_time": {
                "kind": self.curve_kind,
                "points": [{"time_seconds": at, "score": value} for at, value in self.curve],
            },
            "time_masks": {
                "counting_way": self.time_way,
                "stretches": [asdict(stretch) for stretch in self.stretches],
                "masks": [asdict(mask) for mask in self.time_masks],
            },
            "picture_masks": {
                "mask_color_rgb": list(self.mask_color),
                "grid": asdict(self.grid_box),
                "cell_changes": self.cell_changes.tolist(),
                "masks": [_with_box(asdict(mask)) for mask in self.picture_masks],
            },
        }
        return dict(rounded(content))


def _alike(changes: list[float]) -> bool:
    """Whether hiding any one lowers the score nearly as much as hiding any other."""
    return len(changes) > 1 and max(changes) <= ALIKE * min(changes) < 0


def _largest(changes: list[float]) -> str:
    largest = max(changes, key=abs)
    most = f"{largest:+.3f} at most" if abs(largest) >= 0.001 else "less than 0.001"
    return f"hiding one changes the score by {most}"


def _place(box: PixelBox, whole: PixelBox) -> str:
    """Where a box lies in what the model sees, such as "upper left"."""
    x = (box.left_pixels + box.width_pixels / 2 - whole.left_pixels) / whole.width_pixels
    y = (box.top_pixels + box.height_pixels / 2 - whole.top_pixels) / whole.height_pixels
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else "middle"
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
    return "middle" if row == column else f"{row} {column}"


def _with_box(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the four numbers of its box beside the others."""
    return {**row["box"], **{key: value for key, value in row.items() if key != "box"}}
