"""`cliplab explain`: what a model saw of a clip, its score over time, and what hiding parts of the clip does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter, OnProgress
from adapters.errors import ConfigError, MissingExtraError
from adapters.inference import OnVideoProgress, open_model
from adapters.media import fit_frames, one_clip_spec, picture_fit
from adapters.records import Clip, InputSpec, Prediction, UInt8Array
from cliplab.models import explain_masks as masks
from cliplab.models.explain_clip import ChosenClip, check_label, choose_clip
from cliplab.models.explain_report import (
    CurveKind,
    Explanation,
    PictureMask,
    PixelBox,
    SeenPicture,
    StretchChange,
    TimeMask,
    TimeWay,
    counting_way,
)
from cliplab.models.source import ModelSource
from cliplab.outputs import require_new

GRID, GRIDS = 7, (2, 32)
_PICTURES = (".jpg", ".jpeg", ".svg", ".pdf", ".gif", ".webp")


def explain(
    model: ModelSource,
    video: str | Path,
    *,
    label: str | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    overrides: Mapping[str, Any] | None = None,
    window_seconds: float | None = None,
    stride_seconds: float | None = None,
    grid: int = GRID,
    output: str | Path | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    on_video: OnVideoProgress | None = None,
) -> Explanation:
    """Explain the score of one clip: its frames, the crop, the score over time, and the effect of hiding parts of it.

    The same model, clip and arguments give the same figures.

    Args:
        model: A bundle directory, a .tflite, a config file, a ready config's name, or the config itself.
        video: The video.
        label: The class to explain; None: the one that scores highest.
        start_seconds: Where the clip begins, in seconds since the video's first frame; None with end_seconds None: the
            window that scores highest, of those that ``predict`` answers for.
        end_seconds: Where it ends.
        overrides: Config keys to change.
        window_seconds: Short for this key of overrides: the length of each window.
        stride_seconds: Short for this key of overrides: seconds from one window's start to the next.
        grid: Cells of the heat map along each side of the picture, 2 to 32.
        output: A folder for ``explain.png`` and ``explain.json``, or one file whose name ends in .png or .json; None
            writes nothing.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with "explain", model runs done, and runs in all.
        on_video: As for ``predict_videos``, while the windows are predicted.

    Returns:
        Every figure, with the frames and the picture that the drawing needs.

    Raises:
        ConfigError: A key, the label, the grid or the name of the output is wrong.
        BundleError: The model is missing or damaged.
        WeightsError: Pretrained weights could not be downloaded.
        MediaError: The video cannot be read, or the range is outside it.
        StorageError: The output exists, or cannot be written.
        MissingExtraError: A picture is to be drawn and matplotlib is not installed.
    """
    _check_output(output, force)
    if not GRIDS[0] <= grid <= GRIDS[1]:
        raise ConfigError(f"grid must be a whole number from {GRIDS[0]} to {GRIDS[1]}, got {grid}")
    windows = {"window_seconds": window_seconds, "stride_seconds": stride_seconds}
    adapter = open_model(
        model, {**(overrides or {}), **{k: v for k, v in windows.items() if v is not None}}, trust_adapters
    )
    name = model.get("name", "a config") if isinstance(model, Mapping) else str(model)
    found = explain_video(
        adapter,
        video,
        label=label,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        grid=grid,
        model_name=name,
        on_progress=on_progress,
        on_video=on_video,
    )
    if output is not None:
        write_explanation(found, output)
    return found


def explain_video(
    adapter: BaseModelAdapter,
    video: str | Path,
    *,
    label: str | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    grid: int = GRID,
    model_name: str = "",
    on_progress: OnProgress | None = None,
    on_video: OnVideoProgress | None = None,
) -> Explanation:
    """``explain`` with a model that is open already; nothing is written.

    Args:
        adapter: The model.
        video: The video.
        label: As for ``explain``.
        start_seconds: As for ``explain``.
        end_seconds: As for ``explain``.
        grid: As for ``explain``.
        model_name: What the report calls the model.
        on_progress: As for ``explain``.
        on_video: As for ``explain``.

    Raises:
        ConfigError: The label is unknown.
        MediaError: The video cannot be read, or the range is outside it.
    """
    check_label(adapter, label)
    chosen = choose_clip(adapter, video, label, start_seconds, end_seconds, on_video)
    clip, specs = chosen.clip, _distinct(adapter.network_specs)
    size = chosen.video_size
    edges = _edges(chosen, adapter.input_spec)
    view = _View(clip, _seen_by_all(specs, clip), masks.stretches(len(clip.frames)), edges, size)
    patches, shape = masks.patches(clip, view.seen, grid)
    scorer = masks.Scorer(adapter, chosen.as_stream)
    base = scorer([clip])[0]
    label = chosen.label or base.top_k(1)[0].label
    run = _Runs(scorer, base.score_of(label), label, on_progress)
    kind, growing = _curve_plan(adapter, base, clip)
    run.total = 1 + 2 * len(view.time_spans) + len(patches) + len(growing)
    time_masks = _time_masks(run, view)
    way = counting_way(time_masks, adapter.scores_frames)
    picture_masks = _picture_masks(run, view, patches)
    return Explanation(
        model=model_name or str(adapter.config["adapter"]),
        video=str(video),
        label=label,
        score=run.base,
        scores=tuple(base.top_k(max(int(adapter.config.get("top_k", 5)), 1))),
        start_seconds=clip.start,
        end_seconds=clip.end,
        video_width_pixels=size[0],
        video_height_pixels=size[1],
        spec=adapter.input_spec,
        frame_times_seconds=tuple(clip.times.tolist()),
        windows=chosen.windows,
        seen=tuple(_seen_picture(spec, size) for spec in specs),
        curve_kind=kind,
        curve=_curve(run, base, clip, growing),
        time_masks=time_masks,
        time_way=way,
        stretches=_stretches(view, time_masks, way),
        picture_masks=picture_masks,
        cell_changes=masks.cell_means(patches, [mask.change for mask in picture_masks], shape),
        grid_box=_pixel_box(view.seen, size),
        mask_color=(int(view.color[0]), int(view.color[1]), int(view.color[2])),
        runs=scorer.runs,
        notes=_notes(chosen, clip),
        frames=fit_frames(clip.frames, specs[0]) if len(specs) == 1 else clip.frames,
        picture=chosen.picture,
    )


def write_explanation(found: Explanation, output: str | Path) -> list[Path]:
    """Write an explanation as a picture, as JSON, or as both.

    Args:
        found: The explanation.
        output: A folder for ``explain.png`` and ``explain.json``, or one file whose name ends in .png or .json.

    Returns:
        The files that were written.

    Raises:
        StorageError: They cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    from adapters.system import write_bytes_atomic, write_json_atomic
    from cliplab.models.explain_figure import explanation_png

    path = Path(output)
    suffix = path.suffix.lower()
    files = [path] if suffix in (".png", ".json") else [path / "explain.png", path / "explain.json"]
    for file in files:
        if file.suffix.lower() == ".png":
            write_bytes_atomic(file, explanation_png(found))
        else:
            write_json_atomic(file, found.to_json())
    return files


def _check_output(output: str | Path | None, force: bool) -> None:
    """Refuse before long work what could not be written after it."""
    require_new(output, force)
    if output is None:
        return
    suffix = Path(output).suffix.lower()
    if suffix in _PICTURES:
        raise ConfigError(f"{output}: the picture is written as PNG. Name a file that ends in .png, or a folder")
    if suffix != ".json":
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError:
            raise MissingExtraError("matplotlib", "train") from None


# What the model sees ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _View:
    """The clip and what is hidden of it."""

    clip: Clip
    seen: masks.Box
    stretches: list[masks.FrameRange]
    edges: tuple[float, ...]
    video_size: tuple[int, int]

    def seconds(self, frames: masks.FrameRange) -> tuple[float, float]:
        """Where the time of some frames begins and ends."""
        return self.edges[frames.first], self.edges[frames.after]

    @property
    def time_spans(self) -> list[tuple[int, int]]:
        return masks.time_masks(self.stretches)

    @property
    def color(self) -> UInt8Array:
        return masks.mean_color(self.clip, self.seen)


def _distinct(specs: Sequence[InputSpec]) -> list[InputSpec]:
    """One spec for each way of fitting the picture, in order."""
    return list({(spec.width, spec.height, spec.aspect, spec.crop_fraction): spec for spec in specs}.values())


def _seen_by_all(specs: Sequence[InputSpec], clip: Clip) -> masks.Box:
    """The smallest box that holds what each network sees of the clip's frames."""
    height, width = clip.frames.shape[1:3]
    boxes = np.array([picture_fit(spec, width, height).seen(spec) for spec in specs])
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def _pixel_box(box: masks.Box, size: tuple[int, int]) -> PixelBox:
    left, top, right, bottom = box
    return PixelBox(left * size[0], top * size[1], (right - left) * size[0], (bottom - top) * size[1])


def _seen_picture(spec: InputSpec, size: tuple[int, int]) -> SeenPicture:
    fit = picture_fit(spec, *size)
    left, top = max(-fit.left, 0), max(-fit.top, 0)
    right, bottom = max(spec.width - left - fit.width, 0), max(spec.height - top - fit.height, 0)
    return SeenPicture(_pixel_box(fit.seen(spec), size), spec.aspect, spec.width, spec.height, left, top, right, bottom)


# Runs of the model --------------------------------------------------------------------------------------------------


class _Runs:
    """Scores of masked clips, with progress."""

    def __init__(self, scorer: masks.Scorer, base: float, label: str, on_progress: OnProgress | None) -> None:
        self.base, self.label, self.total = base, label, 1
        self._scorer, self._on_progress = scorer, on_progress

    def __call__(self, clips: Any) -> list[float]:
        return masks.score_array(self._scorer(clips, self._report), self.label).tolist()  # type: ignore[no-any-return]

    def _report(self, count: int) -> None:
        if self._on_progress is not None:
            self._on_progress("explain", self._scorer.runs, self.total)


def _time_masks(run: _Runs, view: _View) -> tuple[TimeMask, ...]:
    clip, color, parts = view.clip, view.color, view.stretches
    hidden = [masks.FrameRange(parts[first].first, parts[after - 1].after) for first, after in view.time_spans]
    blank = run(masks.with_blank_time(clip, frames, color) for frames in hidden)
    bridged = run(masks.with_bridged_time(clip, frames) for frames in hidden)
    return tuple(
        TimeMask(*view.seconds(frames), frames.first, frames.after - 1, b, b - run.base, c, c - run.base)
        for frames, b, c in zip(hidden, blank, bridged, strict=True)
    )


def _edges(chosen: ChosenClip, spec: InputSpec) -> tuple[float, ...]:
    """Which time each frame of a clip stands for: seconds [T + 1], from one to the next.

    With "spread" the frames are those in the middles of equal parts; otherwise each is shown until the next one begins.
    """
    clip = chosen.clip
    sampling = spec.sampling if chosen.windows else one_clip_spec(spec).sampling
    if sampling == "spread" and not spec.parts and not chosen.as_stream:
        return tuple(np.linspace(clip.start, clip.end, len(clip.times) + 1).tolist())
    return (clip.start, *clip.times[1:].tolist(), max(clip.end, float(clip.times[-1])))


def _stretches(view: _View, found: Sequence[TimeMask], way: TimeWay) -> tuple[StretchChange, ...]:
    changes = [mask.blank_change if way == "blank" else mask.bridge_change for mask in found]
    means = masks.stretch_means(view.time_spans, changes, len(view.stretches))
    return tuple(StretchChange(*view.seconds(frames), mean) for frames, mean in zip(view.stretches, means, strict=True))


def _picture_masks(run: _Runs, view: _View, patches: Sequence[masks.Patch]) -> tuple[PictureMask, ...]:
    color = view.color
    scores = run(masks.with_blank_part(view.clip, patch.box, color) for patch in patches)
    return tuple(
        PictureMask(_pixel_box(patch.box, view.video_size), score, score - run.base)
        for patch, score in zip(patches, scores, strict=True)
    )


def _curve_plan(adapter: BaseModelAdapter, base: Prediction, clip: Clip) -> tuple[CurveKind, list[int]]:
    """How the score over time is had, and for a growing clip after how many frames it is scored."""
    count = len(clip.frames)
    if base.frame_scores is not None and len(base.frame_scores) == count:
        return ("after_each_frame" if adapter.streams else "per_frame"), []
    if count == 1:
        return "growing_clip", []
    points = np.linspace(1, count, min(count, masks.MOST_CURVE_POINTS)).round().astype(int)
    return "growing_clip", points.tolist()[:-1]  # the last is the whole clip


def _curve(run: _Runs, base: Prediction, clip: Clip, growing: Sequence[int]) -> tuple[tuple[float, float], ...]:
    times = clip.times.tolist()
    if base.frame_scores is not None and len(base.frame_scores) == len(times):
        column = base.frame_scores[:, base.labels.index(run.label)].tolist()
        return tuple(zip(times, column, strict=True))
    scores = run(masks.with_held_end(clip, shown) for shown in growing)
    points = [(times[shown - 1], score) for shown, score in zip(growing, scores, strict=True)]
    return (*points, (times[-1], run.base))


def _notes(chosen: ChosenClip, clip: Clip) -> tuple[str, ...]:
    notes = list(chosen.notes)
    shown_twice = len(clip.times) - len(np.unique(clip.times))
    if shown_twice and not chosen.as_stream:
        notes.append(
            f"{shown_twice} of {len(clip.times)} frames are repetitions: the video has fewer frames in this time than "
            "the model takes"
        )
    if len(clip.frames) == 1:
        notes.append("a clip of one frame has no time to hide")
    return tuple(notes)
