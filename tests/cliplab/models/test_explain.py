"""`cliplab explain` finds the part of the picture and the stretch of time that decide, whatever kind of model it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest
from command_line import cli
from tiny_adapter import TinyAdapter

from adapters.base import BaseModelAdapter, OpenStream
from adapters.errors import ConfigError, MediaError, StorageError
from adapters.inference import merge_frames
from adapters.media import open_video
from adapters.records import Clip, Float32Array, InputSpec, Prediction
from cliplab.models import Explanation, explain, explain_video, explanation_png
from cliplab.models import explain_masks as masks
from cliplab.models.explain_report import PixelBox, TimeMask, counting_way
from cliplab.models.explain_view import lasting_stretches

CONFIG = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "imgz": 48, "n_frames": 12, "contrast": 0.02}
FPS, SECONDS, SIZE = 10, 6.0, 96
Corner = tuple[float, float]  # of a square's middle, as shares of the picture
CORNERS: dict[str, Corner] = {"upper left": (0.2, 0.2), "lower right": (0.8, 0.8), "upper right": (0.8, 0.2)}


def red_square(
    path: Path, at: Corner, begin: float, end: float, width: int = SIZE, height: int = SIZE, seconds: float = SECONDS
) -> Path:
    """A noisy gray video with a red square in one place, from begin to end."""
    rng = np.random.default_rng(1)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for number in range(round(seconds * FPS)):
            frame = (
                rng.integers(100, 140, (height // 8, width // 8, 1), np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2)
            )
            if begin <= number / FPS < end:
                x, y, half = round(at[0] * width), round(at[1] * height), min(width, height) // 8
                frame[y - half : y + half, x - half : x + half] = (230, 20, 20)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return red_square(tmp_path_factory.mktemp("explain") / "clip.mp4", CORNERS["upper right"], 3.6, 4.8)


class FrameAdapter(TinyAdapter):
    """Scores each frame by how much redder than blue it is."""

    @property
    def scores_frames(self) -> bool:
        return True

    def _rows(self, clip: Clip) -> Float32Array:
        redness = (clip.frames[..., 0].mean(axis=(1, 2)) - clip.frames[..., 2].mean(axis=(1, 2))) / 255
        warm = 1 / (1 + np.exp(-(redness - 0.035) / self.config["contrast"]))
        return np.stack([1 - warm, warm], axis=1).astype(np.float32)

    def _predict_one(self, clip: Clip) -> Prediction:
        rows = self._rows(clip)
        return Prediction(rows.mean(axis=0), self.labels, clip.start, clip.end, clip.source, rows)

    @property
    def merges_pieces(self) -> bool:
        return True

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        return merge_frames(pieces, lambda rows: np.asarray(rows.mean(axis=0), np.float32))


class StreamAdapter(FrameAdapter):
    """The mean of the frames so far, after each of them."""

    @property
    def scores_frames(self) -> bool:
        return False

    @property
    def streams(self) -> bool:
        return True

    @property
    def fps(self) -> float:
        return 5.0

    def open_stream(self, fps: float | None = None, *, source: str = "", on_note: Any = None) -> OpenStream:
        return cast(OpenStream, _Stream(self, source))


class _Stream:
    def __init__(self, adapter: StreamAdapter, source: str) -> None:
        self.fps, self._adapter, self._source = 5.0, adapter, source
        self._rows: list[Float32Array] = []

    def push(self, frame: Any, seconds: float) -> Prediction:
        clip = Clip(frame[None], np.array([seconds]), self._source, seconds, seconds)
        self._rows.append(self._adapter._rows(clip)[0])
        mean = np.asarray(np.mean(self._rows, axis=0), np.float32)
        return Prediction(mean, self._adapter.labels, 0.0, seconds, self._source, mean[None])


KINDS: list[Callable[[Any], BaseModelAdapter]] = [TinyAdapter, FrameAdapter, StreamAdapter]


def warmest_cell(found: Explanation) -> Corner:
    """Where the cell lies whose hiding lowers the score most, as shares of what the model sees."""
    row, column = np.unravel_index(found.cell_changes.argmin(), found.cell_changes.shape)
    rows, columns = found.cell_changes.shape
    return (float(column) + 0.5) / columns, (float(row) + 0.5) / rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_and_the_time_that_decide_are_found(kind: Callable[[Any], BaseModelAdapter], video: Path) -> None:
    found = explain_video(kind(CONFIG), video, label="warm")
    x, y = warmest_cell(found)
    assert abs(x - 0.8) < 0.15
    assert abs(y - 0.2) < 0.15
    assert found.decisive_part is not None
    assert "upper right" in found.sentences()[-1]
    decisive = found.decisive_time
    assert decisive is not None
    overlap = min(decisive.end_seconds, 4.8) - max(decisive.start_seconds, 3.6)
    assert overlap >= 0.5 * (decisive.end_seconds - decisive.start_seconds)
    # Stretches apart from it, and the opposite corner, change little.
    far = [item.change for item in found.stretches if item.end_seconds < 2.4]
    assert max(map(abs, far)) < 0.4 * abs(found.time_change(decisive))
    assert abs(found.cell_changes[-1, 0]) < 0.2 * abs(found.cell_changes.min())


@pytest.mark.parametrize("name", CORNERS)
def test_each_corner_is_named(name: str, tmp_path: Path) -> None:
    path = red_square(tmp_path / "clip.mp4", CORNERS[name], 0.0, 9.0, seconds=2.0)
    assert name in explain_video(TinyAdapter(CONFIG), path, label="warm").sentences()[-1]


def test_what_speaks_against_a_label_raises_its_score_when_hidden(video: Path) -> None:
    found = explain_video(TinyAdapter(CONFIG), video, label="cold")
    row, column = np.unravel_index(found.cell_changes.argmax(), found.cell_changes.shape)
    assert (row, column) == np.unravel_index(
        explain_video(TinyAdapter(CONFIG), video, label="warm").cell_changes.argmin(), found.cell_changes.shape
    )
    assert found.cell_changes.max() > 0.02


def test_a_clip_without_anything_to_find_is_called_so(tmp_path: Path) -> None:
    path = red_square(tmp_path / "plain.mp4", (0.5, 0.5), 9.0, 9.0, seconds=2.0)
    found = explain_video(TinyAdapter({**CONFIG, "contrast": 1.0}), path)
    assert found.decisive_part is found.decisive_time is None
    assert all("no single" in text for text in found.sentences()[1:])


def test_stretches_that_matter_alike_are_called_so(video: Path) -> None:
    class Texture(FrameAdapter):
        def _rows(self, clip: Clip) -> Float32Array:
            warm = (clip.frames.std(axis=(1, 2, 3)) > 2).astype(np.float64)
            return np.stack([1 - warm, warm], axis=1).astype(np.float32)

    assert "all time ranges matter equally" in explain_video(Texture(CONFIG), video, label="warm").sentences()[1]


# What went in ---------------------------------------------------------------------------------------------------------


def test_frames_and_times_are_those_that_predict_takes(video: Path) -> None:
    adapter = TinyAdapter(CONFIG)
    found = explain_video(adapter, video)
    with open_video(video) as opened:
        (clip,) = opened.clips(adapter.input_spec)
    assert found.frame_times_seconds == tuple(clip.times)
    assert np.array_equal(found.frames, clip.frames)
    assert found.score == adapter.predict([clip])[0].top_k(1)[0].score
    assert found.runs == 1 + 2 * 5 + 36 + 11  # itself, time in two ways, the picture, the growing clip
    assert found.curve_kind == "growing_clip"
    assert found.curve[-1] == (clip.times[-1], found.score)


@pytest.mark.parametrize("aspect, box, bars", [
    ("crop", PixelBox(48, 0, 96, 96), (0, 0, 0, 0)),
    ("pad", PixelBox(0, 0, 192, 96), (0, 12, 0, 12)),
    ("stretch", PixelBox(0, 0, 192, 96), (0, 0, 0, 0)),
])  # fmt: skip
def test_the_crop_is_where_the_model_looks(tmp_path: Path, aspect: str, box: PixelBox, bars: Any) -> None:
    path = red_square(tmp_path / "wide.mp4", (0.5, 0.5), 0, 9, width=192, seconds=1.0)
    found = explain_video(TinyAdapter({**CONFIG, "aspect": aspect}), path)
    (seen,) = found.seen
    assert seen.box == found.grid_box == box
    assert (seen.bar_left_pixels, seen.bar_top_pixels, seen.bar_right_pixels, seen.bar_bottom_pixels) == bars
    assert found.frames.shape[1:] == (48, 48, 3)
    assert found.picture.shape == (96, 192, 3)
    # The square in the middle, under the masks that touch it.
    touching = [mask for mask in found.picture_masks if mask.change < -0.05]
    assert touching
    for mask in touching:
        assert mask.box.left_pixels < 108
        assert mask.box.left_pixels + mask.box.width_pixels > 84


def test_each_way_in_which_members_see_the_picture_is_shown(video: Path) -> None:
    class Several(TinyAdapter):
        @property
        def network_specs(self) -> tuple[InputSpec, ...]:
            wide, whole = InputSpec(48, 48, 4, crop_fraction=0.5), InputSpec(32, 32, 4, "stretch")
            return (wide, whole, wide)

    labels = ["$x^", "\x1b[31m very long " + "名" * 90]  # which a drawing must survive
    found = explain_video(Several({**CONFIG, "labels": labels, "positive_label": None}), video)
    assert [item.box for item in found.seen] == [PixelBox(24, 24, 48, 48), PixelBox(0, 0, 96, 96)]
    assert found.grid_box == PixelBox(0, 0, 96, 96)
    assert explanation_png(found).startswith(b"\x89PNG")


def test_the_window_that_scores_highest_is_explained(video: Path) -> None:
    found = explain_video(TinyAdapter({**CONFIG, "window_seconds": 1.5, "n_frames": 4}), video, label="warm")
    assert [window.start_seconds for window in found.windows] == [0.0, 1.5, 3.0, 4.5]
    assert [window.explained for window in found.windows] == [False, False, True, False]
    assert (found.start_seconds, found.end_seconds) == (3.0, 4.5)
    assert found.score == max(window.score for window in found.windows)


def test_of_a_video_whose_frames_are_all_scored_the_best_piece_is_explained(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EveryFrame(FrameAdapter):
        @property
        def input_spec(self) -> InputSpec:
            return InputSpec(height=48, width=48, n_frames=4, sampling="every", fps=5)

    whole = explain_video(EveryFrame(CONFIG), video, label="warm")
    assert len(whole.frame_times_seconds) == 30
    (window,) = whole.windows
    assert whole.score == window.score
    monkeypatch.setattr("cliplab.models.explain_clip.MOST_PIECE_FRAMES", 8)
    found = explain_video(EveryFrame(CONFIG), video, label="warm")
    assert (found.start_seconds, found.end_seconds) == (3.2, 4.8)
    assert any("whole video from 30 frames" in note for note in found.notes)
    assert found.curve_kind == "per_frame"


def test_a_range_is_sampled_as_a_labelled_clip(video: Path) -> None:
    found = explain_video(TinyAdapter({**CONFIG, "window_seconds": 1.0}), video, start_seconds=1.0, end_seconds=3.0)
    assert found.windows == ()
    assert (found.start_seconds, found.end_seconds) == (1.0, 3.0)
    assert len(found.frame_times_seconds) == 12
    stream = explain_video(StreamAdapter(CONFIG), video, start_seconds=3.0, end_seconds=5.0, label="warm")
    assert stream.frame_times_seconds == pytest.approx(np.arange(10) / 5 + 3)
    assert stream.curve_kind == "after_each_frame"


def test_a_long_stream_is_explained_up_to_its_peak(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.models.explain_clip.MOST_STREAM_FRAMES", 10)
    found = explain_video(StreamAdapter(CONFIG), video, label="warm")
    assert len(found.frame_times_seconds) == 10
    assert found.end_seconds == pytest.approx(4.8)
    assert any("of 30 frames the 10" in note for note in found.notes)


def test_a_clip_of_one_frame_has_no_time(video: Path) -> None:
    found = explain_video(TinyAdapter({**CONFIG, "n_frames": 1}), video, start_seconds=4.0, end_seconds=4.4)
    assert found.time_masks == found.stretches == ()
    assert found.decisive_part is not None
    assert explanation_png(found).startswith(b"\x89PNG")


# Masks ----------------------------------------------------------------------------------------------------------------


def clip_of(frames: Any) -> Clip:
    return Clip(frames, np.arange(len(frames)) / 5, "clip", 0.0, len(frames) / 5)


@pytest.mark.parametrize("count", [2, 3, 4, 9, 10, 11, 50, 128])
def test_stretches_hold_each_frame_once_and_masks_never_all(count: int) -> None:
    parts = masks.stretches(count)
    assert [n for part in parts for n in range(part.first, part.after)] == list(range(count))
    spans = masks.time_masks(parts)
    assert {n for first, after in spans for n in range(first, after)} == set(range(len(parts)))
    assert all(after - first < len(parts) for first, after in spans)


def test_frames_that_stand_for_no_time_belong_to_the_stretch_before_them() -> None:
    assert lasting_stretches((0.0, 0.2, 0.4, 0.6)) == masks.stretches(3)
    assert lasting_stretches((0.0, 0.2, 0.4, 0.4, 0.4)) == [masks.FrameRange(0, 1), masks.FrameRange(1, 4)]
    for count in (5, 20, 50):
        edges = (*(n / 5 for n in range(6)), *[1.0] * count)
        parts = lasting_stretches(edges)
        assert [n for part in parts for n in range(part.first, part.after)] == list(range(len(edges) - 1))
        assert all(edges[part.after] > edges[part.first] for part in parts)


def test_a_bridge_fades_from_the_frame_before_to_the_frame_after() -> None:
    levels = np.array([0, 200, 10, 250, 90, 40], np.uint8)
    clip = clip_of(np.broadcast_to(levels[:, None, None, None], (6, 4, 4, 3)).copy())
    assert masks.with_bridged_time(clip, masks.FrameRange(1, 4)).frames[:, 0, 0, 0].tolist() == [0, 22, 45, 68, 90, 40]
    assert masks.with_bridged_time(clip, masks.FrameRange(0, 2)).frames[:, 0, 0, 0].tolist() == [
        10,
        10,
        10,
        250,
        90,
        40,
    ]
    assert masks.with_bridged_time(clip, masks.FrameRange(4, 6)).frames[:, 0, 0, 0].tolist() == [
        0,
        200,
        10,
        250,
        250,
        250,
    ]
    assert clip.frames[:, 0, 0, 0].tolist() == levels.tolist()


def test_patches_cover_what_is_seen_and_nothing_else() -> None:
    clip = clip_of(np.zeros((1, 40, 80, 3), np.uint8))
    seen = (0.25, 0.0, 0.75, 1.0)
    found, shape = masks.patches(clip, seen, 4)
    hidden = np.zeros((40, 80), int)
    for patch in found:
        hidden += masks.with_blank_part(clip, patch.box, np.array([1, 1, 1], np.uint8)).frames[0, ..., 0]
    assert shape == (4, 4)
    assert len(found) == 9
    assert (hidden[10:30, 30:50] == 4).all()  # inner cells are under four patches, those in the corners under one
    assert (hidden[:10, 20:30] == 1).all()
    assert hidden[:, :20].sum() == hidden[:, 60:].sum() == 0
    tiny = clip_of(np.zeros((1, 3, 2, 3), np.uint8))
    assert masks.patches(tiny, (0, 0, 1, 1), 8)[1] == (3, 2)
    assert masks.patches(clip_of(np.zeros((1, 1, 1, 3), np.uint8)), (0, 0, 1, 1), 8)[1] == (1, 1)


def test_a_flash_that_a_model_answers_to_everywhere_does_not_count() -> None:
    def time_masks(blank: Sequence[float], bridge: Sequence[float]) -> list[TimeMask]:
        return [TimeMask(0, 1, 0, 1, 0.5, a, 0.5, b) for a, b in zip(blank, bridge, strict=True)]

    everywhere = time_masks([-0.9, -0.8, -0.9, -0.9], [0.0, -0.2, 0.0, 0.1])
    assert counting_way(everywhere, single_frames=False) == "bridge"
    assert counting_way(everywhere, single_frames=True) == "blank"
    raised = time_masks([0.1, 0.1, 0.1, 0.1], [0.0, -0.2, 0.0, 0.1])
    assert counting_way(raised, single_frames=False) == "bridge"
    selective = time_masks([-0.01, -0.6, -0.02, 0.0], [0.0, -0.2, 0.0, 0.0])
    assert counting_way(selective, single_frames=False) == "blank"


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_picture_and_the_same_figures_each_time(tmp_path: Path, video: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    words = ("explain", tmp_path / "tiny.json", video, "--label", "warm", "--trust-adapter", "tiny_adapter:TinyAdapter")
    shown = cli(*words, "-o", tmp_path / "out", code=0).stdout
    assert "warm" in shown
    assert "58 runs of the model" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["explain.json", "explain.png"]
    picture = cv2.imread(str(tmp_path / "out" / "explain.png"))
    assert picture is not None
    assert picture.shape[1] == 1430
    as_json = json.loads(cli(*words, "--json", code=0).stdout)
    assert as_json == json.loads((tmp_path / "out" / "explain.json").read_text())
    again = cli(*words, "-o", tmp_path / "out", code=1)
    assert "--force" in again.stderr
    picture_bytes = (tmp_path / "out" / "explain.png").read_bytes()
    (tmp_path / "x.png").write_text("something old")
    cli(*words, "-o", tmp_path / "x.png", "--force", code=0)
    assert (tmp_path / "x.png").read_bytes() == picture_bytes


def test_progress_counts_the_runs(video: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = explain_video(TinyAdapter(CONFIG), video, on_progress=lambda *now: seen.append(now))
    assert seen[-1] == ("explain", found.runs, found.runs)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_what_cannot_be_explained_is_said_before_any_work(tmp_path: Path, video: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    tiny = TinyAdapter(CONFIG)
    with pytest.raises(ConfigError, match=r"'wram' is not a label.*nearest is 'warm'.*cold, warm"):
        explain_video(tiny, video, label="wram")
    for start, end, said in (
        (7.0, None, "--start is 7 s, but the video ends at 6.00 s"),
        (1.0, 9.0, "--end is 9 s, but the video ends at 6.00 s"),
        (2.0, 1.0, "must be after --start"),
        (0.0, float("nan"), "--end is nan; it must be a number of seconds of at least 0"),
        (float("nan"), None, "--start is nan"),
        (-5.0, None, "--start is -5; it must be"),
    ):
        with pytest.raises(MediaError, match=said):
            explain_video(tiny, video, start_seconds=start, end_seconds=end)
    with pytest.raises(MediaError, match=r"text\.mp4"):
        explain_video(tiny, tmp_path / "text.mp4")
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        explain_video(tiny, tmp_path / "gone.mp4", start_seconds=1.0)
    trust = {"trust_adapters": ["tiny_adapter:TinyAdapter"]}
    with pytest.raises(ConfigError, match="grid"):
        explain(CONFIG, video, grid=1, **trust)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="PNG"):
        explain(CONFIG, video, output=tmp_path / "x.jpg", **trust)  # type: ignore[arg-type]
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(StorageError, match="--force"):
        explain(CONFIG, video, output=tmp_path / "there.json", **trust)  # type: ignore[arg-type]
