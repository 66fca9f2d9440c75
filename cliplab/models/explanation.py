"""`cliplab explain`: what a model saw of a clip, its score over time, and what hiding parts of the clip does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter, OnProgress
from adapters.errors import ConfigError, MissingExtraError
from adapters.inference import OnVideoProgress, open_model
from adapters.media import fit_frames
from adapters.records import Clip
from cliplab.models import explain_masks as masks
from cliplab.models.explain_clip import ChosenClip, check_label, choose_clip
from cliplab.models.explain_report import Explanation, counting_way
from cliplab.models.explain_runs import (
    LabelRuns,
    Scorer,
    plan_curve,
    run_picture_masks,
    run_time_masks,
    score_curve,
    stretch_changes,
)
from cliplab.models.explain_view import (
    ClipView,
    distinct_ways,
    frame_edges,
    lasting_stretches,
    pixel_box,
    seen_by_all,
    seen_picture,
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
    clip, specs = chosen.clip, distinct_ways(adapter.network_specs)
    size = chosen.video_size
    edges = frame_edges(chosen, adapter.input_spec)
    view = ClipView(clip, seen_by_all(specs, clip), lasting_stretches(edges), edges, size)
    patches, shape = masks.patches(clip, view.seen, grid)
    scorer = Scorer(adapter, chosen.as_stream)
    base = scorer([clip])[0]
    label = chosen.label or base.top_k(1)[0].label
    run = LabelRuns(scorer, base.score_of(label), label, on_progress)
    kind, growing = plan_curve(adapter, base, clip)
    run.total = 1 + 2 * len(view.time_spans) + len(patches) + len(growing)
    time_masks = run_time_masks(run, view)
    way = counting_way(time_masks, adapter.scores_frames)
    picture_masks = run_picture_masks(run, view, patches)
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
        seen=tuple(seen_picture(spec, size) for spec in specs),
        curve_kind=kind,
        curve=score_curve(run, base, clip, growing),
        time_masks=time_masks,
        time_way=way,
        stretches=stretch_changes(view, time_masks, way),
        picture_masks=picture_masks,
        cell_changes=masks.cell_means(patches, [mask.change for mask in picture_masks], shape),
        grid_box=pixel_box(view.seen, size),
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
        raise ConfigError(f"{output}: the picture is written as PNG. Use a name that ends in .png, or a folder")
    if suffix != ".json":
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError:
            raise MissingExtraError("matplotlib", "learn") from None


def _notes(chosen: ChosenClip, clip: Clip) -> tuple[str, ...]:
    notes = list(chosen.notes)
    shown_twice = len(clip.times) - len(np.unique(clip.times))
    if shown_twice and not chosen.as_stream:
        notes.append(
            f"{shown_twice} of {len(clip.times)} frames are repetitions: the video has fewer frames in this time than "
            "the model takes"
        )
    if len(clip.frames) == 1:
        notes.append("a clip of one frame has no time range to hide")
    return tuple(notes)
