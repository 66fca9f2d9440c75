"""The golden clip's figures: what is within a tolerance, what a clip tells, and how a tolerance is measured."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.bundle import Golden, check_golden, golden_to_bytes, make_golden, measure_tolerance, render_clip
from adapters.bundle.golden import DEFAULT_TOLERANCES, PERTURBATIONS
from adapters.bundle.golden_file import golden_from_bytes
from adapters.errors import BundleError
from adapters.records import Clip, InputSpec, Prediction

SPEC = InputSpec(16, 24, 4, fps=5.0)
LABELS = ("a", "b", "c")
SCORES = np.array([0.5, 0.25, 0.125], np.float32)
CLIP = render_clip(SPEC)


def gives(*scores: float) -> Callable[[Sequence[Clip]], list[Prediction]]:
    """A model that answers so, whatever it is shown."""
    return lambda clips: [Prediction(np.array(scores, np.float32), LABELS, 0.0, 1.0) for _ in clips]


def means(of: Callable[[Any], Any]) -> Callable[[Sequence[Clip]], list[Prediction]]:
    """A model whose first score follows from the frames."""

    def predict(clips: Sequence[Clip]) -> list[Prediction]:
        found = []
        for clip in clips:
            value = float(of(clip.frames.astype(np.float64) / 255))
            found.append(Prediction(np.array([value, 0.5, 0], np.float32), LABELS, clip.start, clip.end))
        return found

    return predict


def test_tolerances_are_those_of_the_docs() -> None:
    assert dict(DEFAULT_TOLERANCES) == {"float32": 1e-4, "float16": 5e-3, "dynamic": 5e-2, "int8": 1e-1}
    assert dict(Golden.of(CLIP, SCORES).tolerances) == dict(DEFAULT_TOLERANCES)


@pytest.mark.parametrize("precision", DEFAULT_TOLERANCES)
def test_a_score_may_be_off_by_the_tolerance_and_no_more(precision: str) -> None:
    golden, limit = Golden.of(CLIP, SCORES, LABELS), DEFAULT_TOLERANCES[precision]
    for sign in (1, -1):
        difference = check_golden(golden, gives(0.5, 0.25 + sign * limit * 0.9, 0.125), precision)
        assert difference == pytest.approx(limit * 0.9, rel=1e-2)
        with pytest.raises(BundleError, match=rf'{precision}\): "b" scored'):
            check_golden(golden, gives(0.5, 0.25 + sign * limit * 1.1, 0.125 + limit * 0.2), precision)
    exact = replace(golden, tolerances={precision: 0.25})
    assert check_golden(exact, gives(0.5, 0.5, 0.125), precision) == 0.25


def test_the_message_has_both_scores_and_the_difference() -> None:
    with pytest.raises(BundleError) as caught:
        check_golden(Golden.of(CLIP, SCORES, LABELS), gives(0.5, 0.25, 0.625), "int8")
    for text in ('"c" scored 0.625000', "must be 0.125000", "within 0.1", "off by 0.500000", "preprocessing"):
        assert text in str(caught.value)


def test_a_measured_tolerance_is_twice_the_difference_and_never_under_that_of_float32() -> None:
    golden = Golden.of(CLIP, SCORES, LABELS)
    for scores, expected in (
        ((0.5, 0.25, 0.125), 1e-4),
        ((0.5, 0.25 + 4e-5, 0.125), 1e-4),
        ((0.53, 0.25, 0.115), 0.06),
        ((0.0, 0.25, 0.9), 0.999),
    ):
        measured = measure_tolerance(golden, gives(*scores), "float16")
        assert measured.tolerances["float16"] == pytest.approx(expected, rel=1e-3)
        assert {key: value for key, value in measured.tolerances.items() if key != "float16"} == {
            key: value for key, value in DEFAULT_TOLERANCES.items() if key != "float16"
        }
    assert dict(golden.tolerances) == dict(DEFAULT_TOLERANCES)
    wide = golden.with_tolerance("float32", 0.3)
    assert measure_tolerance(wide, gives(0.5, 0.25, 0.125), "int8").tolerances["int8"] == 0.3
    with pytest.raises(BundleError, match="Labels keep"):
        measure_tolerance(replace(golden, labels=("a", "c", "b")), gives(0.5, 0.25, 0.125), "int8")


def test_what_a_clip_lets_pass_at_a_precision() -> None:
    sensitivity = {"swapped channels": 5e-3, "a shifted mean": 0.2, "reversed time": 1e-6}
    golden = replace(Golden.of(CLIP, SCORES, LABELS), sensitivity=sensitivity)
    assert golden.blind_to("float32") == ()
    assert golden.blind_to("float16") == ("swapped channels",)  # at the limit it could pass
    assert golden.blind_to("int8") == ("swapped channels",)
    assert golden.blind_to("unknown") == ()
    timed = replace(golden, sensitivity={**sensitivity, "reversed time": 2e-6})
    assert timed.blind_to("float32") == ("reversed time",)


def test_the_mistakes_are_what_they_are_called() -> None:
    frames = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3) + 220
    np.testing.assert_array_equal(PERTURBATIONS["swapped channels"](frames), frames[..., [2, 1, 0]])
    np.testing.assert_array_equal(PERTURBATIONS["a shifted mean"](frames), (frames.astype(int) + 16) % 256)
    np.testing.assert_array_equal(PERTURBATIONS["reversed time"](frames), frames[[3, 2, 1, 0]])


def test_sensitivities_are_the_largest_difference_of_any_score() -> None:
    golden = make_golden(SPEC, means(lambda x: x[..., 0].mean()), clip=CLIP)
    frames = CLIP.frames.astype(np.float64) / 255
    assert golden.sensitivity["swapped channels"] == pytest.approx(
        abs(frames[..., 0].mean() - frames[..., 2].mean()), abs=1e-6
    )
    assert golden.sensitivity["reversed time"] == pytest.approx(0, abs=1e-7)
    assert golden.variant == 0 or golden.variant is None
    assert golden.labels == LABELS


def test_the_search_ends_at_the_first_clip_that_tells_and_takes_the_best_of_those_that_do_not() -> None:
    shown: list[int] = []

    def counted(predict: Callable[[Sequence[Clip]], list[Prediction]]) -> Any:
        def noted(clips: Sequence[Clip]) -> list[Prediction]:
            shown.append(len(clips))
            return predict(clips)

        return noted

    awake = make_golden(SPEC, counted(means(lambda x: (x[..., 0] * x[..., 1]).mean())))
    assert (awake.variant, len(shown)) == (5, 4)
    shown.clear()
    weak = make_golden(SPEC, counted(means(lambda x: 1e-3 * (x[..., 0] * x[..., 1]).mean())))
    assert 8 < len(shown) <= 32
    alertness = {}
    for variant in range(8):
        golden = make_golden(
            SPEC, means(lambda x: 1e-3 * (x[..., 0] * x[..., 1]).mean()), clip=render_clip(SPEC, variant)
        )
        alertness[variant] = min(golden.sensitivity[name] for name in ("swapped channels", "a shifted mean"))
    assert alertness[weak.variant] == max(alertness.values())  # type: ignore[index]
    assert set(weak.sensitivity) == set(PERTURBATIONS)


@pytest.mark.parametrize("mistake", ["swapped channels", "reversed time"])
def test_a_mistake_is_named_only_where_the_clip_could_tell_it(mistake: str) -> None:
    weights = np.random.default_rng(0).normal(0, 1, CLIP.frames.shape)
    predict = means(lambda x: 0.5 + np.tanh((x * weights).sum() / 40) / 2)
    golden = make_golden(SPEC, predict, clip=CLIP)
    change = PERTURBATIONS[mistake]

    def mistaken(clips: Sequence[Clip]) -> list[Prediction]:
        return predict([replace(clip, frames=change(clip.frames)) for clip in clips])

    with pytest.raises(BundleError, match=f"match those of {mistake}"):
        check_golden(golden, mistaken, "float32")
    blind = replace(golden, sensitivity={**golden.sensitivity, mistake: 0.0})
    with pytest.raises(BundleError, match="Check the preprocessing"):
        check_golden(blind, mistaken, "float32")


def test_times_labels_and_figures_come_back() -> None:
    clip = replace(CLIP, end=3.0, times=np.arange(4) * 0.75)
    golden = replace(Golden.of(clip, SCORES, LABELS, {"float32": 0.01}), sensitivity={"a shifted mean": 0.5}, variant=0)
    back = golden_from_bytes(golden_to_bytes(golden))
    np.testing.assert_allclose(back.clip.times, clip.times)
    assert (back.clip.start, back.clip.end, back.clip.source) == (0.0, 3.0, CLIP.source)
    assert (back.labels, back.tolerances, back.sensitivity) == (LABELS, {"float32": 0.01}, {"a shifted mean": 0.5})
    assert back.variant == 0
    np.testing.assert_array_equal(back.scores, SCORES)


@pytest.mark.parametrize("tolerances", [{}, {"float32": 0.0}, {"float32": 1.0}, {"float32": -1}, {"int8": 2}])
def test_tolerances_that_are_none(tolerances: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="tolerances"):
        Golden(CLIP, SCORES, LABELS, tolerances)
    with pytest.raises(ValueError, match="float32"):
        Golden(CLIP, SCORES.astype(np.float64))  # type: ignore[arg-type]


def test_no_prediction_and_several_are_refused() -> None:
    for count in (0, 2):
        answers = gives(0.5, 0.25, 0.125)([CLIP] * count)
        with pytest.raises(BundleError, match=f"{count} predictions"):
            make_golden(SPEC, lambda clips: answers)  # noqa: B023 # called before the next


def edited(golden: Golden, **changes: Any) -> bytes:
    """golden.npz with other facts about it, saved again."""
    arrays = dict(np.load(io.BytesIO(golden_to_bytes(golden))))
    about = json.loads(arrays["about"].tobytes()) | changes
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"renderer": 2}, "renderer 2, this version has 1"),
        ({"variant": 3}, "pixels"),
        ({"frames_sha256": "0" * 64}, "pixels"),
        ({"shape": [4, 16, 25, 3]}, "pixels"),
        ({"variant": 8}, "is not a golden clip"),
        ({"labels": ["a"]}, "1 labels for 3 scores"),
    ],
)
def test_a_golden_of_other_pixels_or_another_rendering_is_refused(changes: dict[str, Any], word: str) -> None:
    golden = Golden.of(CLIP, SCORES, LABELS)
    assert golden_from_bytes(edited(golden)).variant == 0
    with pytest.raises(BundleError, match=rf"x\.npz: .*{word}"):
        golden_from_bytes(edited(golden, **changes), "x.npz")


def test_of_clips_that_tell_alike_the_first_of_the_search_is_taken() -> None:
    assert make_golden(SPEC, gives(0.5, 0.25, 0.125)).variant == 5


def test_a_clip_must_also_tell_the_order_of_frames_where_the_model_sees_it() -> None:
    """Colours move the score by a tenth; the order of frames by a thousandth, so that the search goes on."""
    places = np.arange(4) / 3

    def of(x: Any) -> Any:
        levels = x.mean(axis=(1, 2))
        return 0.3 * (levels[:, 0] * (1 + levels[:, 1])).mean() + 2e-3 * (levels[:, 0] * places).mean()

    found = [make_golden(SPEC, means(of), clip=render_clip(SPEC, variant)) for variant in range(8)]
    assert all(min(item.sensitivity[name] for name in ("swapped channels", "a shifted mean")) > 0 for item in found)
    assert all(1e-6 < item.sensitivity["reversed time"] < 1e-2 for item in found)
    golden = make_golden(SPEC, means(of))
    assert golden.sensitivity["reversed time"] == max(item.sensitivity["reversed time"] for item in found)
