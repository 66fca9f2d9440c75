"""The golden clip catches swapped channels, a shifted mean and reversed time, in every precision of a real program."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_programs import LABELS, PRECISIONS, SPEC, predictor, tiny_program

from adapters.bundle import (
    VARIANTS,
    Golden,
    check_golden,
    golden_to_bytes,
    make_golden,
    measure_tolerance,
    render_card,
    render_clip,
)
from adapters.bundle.golden import PredictFunction
from adapters.bundle.golden_file import golden_from_bytes
from adapters.errors import BundleError
from adapters.records import Clip, InputSpec, Prediction

MISTAKES = {
    "swapped channels": lambda frames: frames[..., ::-1],
    "a shifted mean": lambda frames: frames + 16 / 255,
    "reversed time": lambda frames: frames[::-1],
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return make_golden(SPEC, predictor(tiny_program("float32")))


def test_the_rendering_is_the_same_on_every_machine() -> None:
    frames = np.concatenate([render_clip(InputSpec(18, 33, 5), variant).frames for variant in range(VARIANTS)])
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    assert digest == "f7176ce498138a0c123730c8e7c0ee21758f62ac5ddcc06a4545828dc69cb95a", (
        "a stored golden clip would no longer render: give the change a new RENDERER"
    )


def test_the_rendering_is_the_one_in_the_docs() -> None:
    """docs/bundle.md gives the formula, so that a device without Python can render the clip too."""
    height, width, frames = 23, 31, 4
    for v in range(VARIANTS):
        clip = render_clip(InputSpec(height, width, frames), v)
        for i, r, c, k in np.ndindex(frames, height, width, 3):
            x, y, t = c * 256 // width, r * 256 // height, i * 256 // frames
            wave = (
                (2 + v) * x + v * y + 3 * t,
                (3 * v + 1) * y - 2 * t + 96 * v,
                (1 + v % 3) * (x + 2 * y) - 5 * t + 64 * v,
            )[k]
            level = min(255, abs(wave % 512 - 256)) // (1 + (k + v) % 3) + (x // 8 + y // 8) % 2 * (8 + 4 * (v % 4))
            left, top = 24 + t * t // 512, 32 + 16 * (v % 5) + t // 4
            if left <= x < left + 72 and top <= y < top + 72:
                level = (37 * v + 230 - 90 * k) % 256
            assert clip.frames[i, r, c, k] == 16 + min(255, level * (128 + t // 2) // 256) * 215 // 255


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    n_frames=st.integers(1, 12),
    fps=st.none() | st.floats(0.1, 120),
    variant=st.integers(0, VARIANTS - 1),
)
def test_any_spec_renders_and_comes_back_from_its_parameters(
    height: int, width: int, n_frames: int, fps: float | None, variant: int
) -> None:
    clip = render_clip(InputSpec(height, width, n_frames, fps=fps), variant)
    assert clip.frames.shape == (n_frames, height, width, 3)
    assert clip.frames.min() >= 16
    assert clip.frames.max() <= 231
    stored = golden_to_bytes(Golden.of(clip, np.array([0.5], np.float32)))
    assert len(stored) < 2000  # parameters, not pixels
    back = golden_from_bytes(stored).clip
    np.testing.assert_array_equal(back.frames, clip.frames)
    np.testing.assert_array_equal(back.times, clip.times)
    assert (back.start, back.end, back.source) == (clip.start, clip.end, clip.source)


def test_colour_and_time_differ_in_every_variant() -> None:
    for variant in range(VARIANTS):
        frames = render_clip(InputSpec(64, 64, 8), variant).frames.astype(float)
        means = frames.mean(axis=(0, 1, 2))
        assert np.abs(means[:, None] - means).max() > 20
        assert all(np.abs(frames[i] - frames[i + 1]).mean() > 5 for i in range(7))
        assert np.abs(frames - frames[::-1]).mean() > 10


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_passes_within_its_tolerance(golden: Golden, precision: str) -> None:
    difference = check_golden(golden, predictor(tiny_program(precision)), precision)
    assert 0 <= difference <= golden.tolerances[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_in_each_precision(golden: Golden, precision: str, mistake: str) -> None:
    if precision in ("dynamic", "int8"):
        golden = measure_tolerance(golden, predictor(tiny_program(precision)), precision)
    assert golden.blind_to(precision) == ()
    with pytest.raises(BundleError, match=rf"golden clip \({precision}\): \"(kitchen|café|at sea)\" scored"):
        check_golden(golden, predictor(tiny_program(precision), MISTAKES[mistake]), precision)


@pytest.mark.parametrize("mistake", ["swapped channels", "reversed time"])
def test_the_likely_mistake_is_named(golden: Golden, mistake: str) -> None:
    with pytest.raises(BundleError, match=f"The scores match those of {mistake}"):
        check_golden(golden, predictor(tiny_program("float32"), MISTAKES[mistake]), "float32")


def test_other_weights_are_refused(golden: Golden) -> None:
    with pytest.raises(BundleError, match="Check the preprocessing"):
        check_golden(golden, predictor(tiny_program("float32", seed=1)), "float32")


def test_a_published_stream_model_is_caught_in_every_mistake(shared: Path) -> None:
    """MoViNet A0 stream (Kinetics-600) sees colour, brightness and time; its golden tells all three."""
    predict = _movinet_stream(shared / "weights" / "movinet_a0_stream_int8.tflite")
    golden = make_golden(InputSpec(172, 172, 8, fps=5.0), predict, {"float32": 1e-3})
    assert golden.blind_to("float32") == ()
    assert check_golden(golden_from_bytes(golden_to_bytes(golden)), predict, "float32") == 0.0


def colour_model(brightness_counts: bool) -> PredictFunction:
    """A saturated model: only clips much redder than blue move its scores."""

    def predict(clips: Sequence[Clip]) -> list[Prediction]:
        out = []
        for clip in clips:
            red, _, blue = clip.frames.mean(axis=(0, 1, 2)) / 255
            score = float(
                np.clip((red - blue - 0.1) * 4, 0, 1) * (clip.frames.mean() / 255 if brightness_counts else 1)
            )
            out.append(Prediction(np.array([1 - score, score], np.float32), ("other", "red"), clip.start, clip.end))
        return out

    return predict


def test_a_variant_is_chosen_to_which_the_model_answers() -> None:
    predict = colour_model(brightness_counts=True)
    golden = make_golden(SPEC, predict)
    assert golden.blind_to("float32") == ()  # and the order of frames is nothing to this model
    assert golden.sensitivity["reversed time"] < 1e-6
    asleep = make_golden(SPEC, predict, clip=render_clip(SPEC, 5))
    assert asleep.blind_to("float32") == ("swapped channels", "a shifted mean")


def test_what_the_clip_cannot_tell_is_said() -> None:
    golden = make_golden(SPEC, colour_model(brightness_counts=False))
    assert "a shifted mean" in golden.blind_to("float32")
    assert "does not detect: " in render_card({}, golden.labels, {}, golden)


def test_a_given_clip_is_kept_as_it_is() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (SPEC.n_frames, 32, 40, 3), dtype=np.uint8)
    clip = Clip(frames, np.arange(SPEC.n_frames) / 5.0, "own.mp4", 2.0, 3.2)
    predict = predictor(tiny_program("float32"))
    golden = golden_from_bytes(golden_to_bytes(make_golden(SPEC, predict, clip=clip)))
    assert golden.variant is None
    np.testing.assert_array_equal(golden.clip.frames, frames)
    assert (golden.clip.source, golden.clip.start, golden.clip.end) == ("own.mp4", 2.0, 3.2)
    check_golden(golden, predict, "float32")


def test_a_rendered_clip_that_was_changed_is_stored_with_its_pixels() -> None:
    clip = render_clip(SPEC)
    changed = replace(clip, frames=255 - clip.frames)
    back = golden_from_bytes(golden_to_bytes(Golden.of(changed, np.array([1.0], np.float32))))
    np.testing.assert_array_equal(back.clip.frames, changed.frames)


def test_labels_in_another_order_are_refused_though_scores_agree(golden: Golden) -> None:
    predict = predictor(tiny_program("float32"))

    def sorted_labels(clips: list[Clip]) -> list[Prediction]:
        return [replace(item, labels=tuple(sorted(item.labels))) for item in predict(clips)]

    with pytest.raises(BundleError, match='label 0 is "at sea", "kitchen" is expected'):
        check_golden(golden, sorted_labels, "float32")


def test_what_cannot_be_compared_is_an_error(golden: Golden) -> None:
    predict = predictor(tiny_program("float32"))
    with pytest.raises(BundleError, match='no tolerance for precision "int4"; it has float32, float16, dynamic, int8'):
        check_golden(golden, predict, "int4")
    check_golden(golden.with_tolerance("int4", 0.5), predict, "int4")
    with pytest.raises(BundleError, match="2 predictions for one clip"):
        check_golden(golden, lambda clips: predict([*clips, *clips]), "float32")
    two = Prediction(np.array([0.5, 0.5], np.float32), ("a", "b"), 0.0, 1.0)
    with pytest.raises(BundleError, match="2 scores; 3 are expected"):
        check_golden(golden, lambda clips: [two], "float32")


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), change=st.integers(1, 255))
def test_a_damaged_file_is_refused_or_still_says_the_same(golden: Golden, at: int, change: int) -> None:
    data = bytearray(golden_to_bytes(golden))
    data[at % len(data)] ^= change
    try:
        back = golden_from_bytes(bytes(data), "x/golden.npz")
    except BundleError as error:
        assert str(error).startswith("x/golden.npz: ")  # noqa: PT017 (whether it raises depends on the byte)
        return
    np.testing.assert_array_equal(back.scores, golden.scores)
    np.testing.assert_array_equal(back.clip.frames, golden.clip.frames)
    assert back.labels == golden.labels


def test_no_pickle_is_read() -> None:
    file = io.BytesIO()
    np.savez(file, about=np.array([print], dtype=object), scores=np.zeros(1, np.float32))
    with pytest.raises(BundleError, match="is not a golden clip"):
        golden_from_bytes(file.getvalue())


def test_the_same_golden_is_the_same_bytes(golden: Golden) -> None:
    assert golden_to_bytes(golden) == golden_to_bytes(golden_from_bytes(golden_to_bytes(golden)))


def test_values_that_make_no_golden_are_refused() -> None:
    clip = render_clip(SPEC)
    with pytest.raises(ValueError, match="2 labels for 3 scores"):
        Golden(clip, np.zeros(3, np.float32), LABELS[:2])
    with pytest.raises(ValueError, match="finite"):
        Golden(clip, np.array([np.nan], np.float32))
    with pytest.raises(ValueError, match="tolerances"):
        Golden(clip, np.zeros(3, np.float32), LABELS, {"float32": 0.0})


def _movinet_stream(path: Path):  # type: ignore[no-untyped-def]
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path), num_threads=2).get_signature_runner("serving_default")
    zeros = {
        name: np.zeros(detail["shape"], detail["dtype"])
        for name, detail in runner.get_input_details().items()
        if name != "image"
    }

    def predict(clips: list[Clip]) -> list[Prediction]:
        out = []
        for clip in clips:
            state = dict(zeros)
            for frame in clip.frames:
                outputs = runner(image=(frame[None, None] / np.float32(255)), **state)
                logits = outputs.pop("logits")[0].astype(np.float64)
                state = outputs
            scores = np.exp(logits - logits.max())
            labels = tuple(str(i) for i in range(600))
            out.append(Prediction((scores / scores.sum()).astype(np.float32), labels, clip.start, clip.end))
        return out

    return predict
