"""The golden clip: a short reference clip, the scores that a model must give for it, and how far off it may be.

By default the clip is rendered, so that nobody's footage travels with a model: the bundle keeps the parameters of the
rendering and the SHA-256 of its pixels. A clip that was given is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from adapters.bundle.rendered_clip import render_clip, rendered_variant
from adapters.errors import BundleError
from adapters.records import Clip, Float32Array, InputSpec, Prediction, UInt8Array

__all__ = [
    "DEFAULT_TOLERANCES",
    "PERTURBATIONS",
    "Golden",
    "PredictFunction",
    "check_golden",
    "make_golden",
    "measure_tolerance",
    "render_clip",
]

PredictFunction = Callable[[Sequence[Clip]], Sequence[Prediction]]

# Largest absolute difference of any class score (0..1). float32 leaves room for another order of summation on another
# processor; the others are rounding of the weights, or of weights and activations. These hold for most models; a
# conversion that has the program at hand stores a tighter one with `measure_tolerance`.
DEFAULT_TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "float16": 5e-3, "dynamic": 5e-2, "int8": 1e-1}

# Fine and strong patterns first: image networks answer to them, so that the search mostly ends at once.
_SEARCH_ORDER = (5, 2, 6, 0, 3, 1, 4, 7)
# A mistake that moves a score by this much is told from any float32 or float16 rounding: twice the latter's tolerance.
_AWAKE = 1e-2
# Below this a model's scores do not depend on the order of frames at all (a mean over frames, summed differently).
_INDIFFERENT = 1e-6

_TIME = "reversed time"
PERTURBATIONS: Mapping[str, Callable[[UInt8Array], UInt8Array]] = {
    "swapped channels": lambda frames: np.ascontiguousarray(frames[..., ::-1]),
    "a shifted mean": lambda frames: frames + np.uint8(16),
    _TIME: lambda frames: np.ascontiguousarray(frames[::-1]),
}


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden clip: the reference clip, its scores and how far off they may be.

    Attributes:
        clip: The reference clip.
        scores: float32 [C] in 0..1, the scores of the float32 model for it.
        labels: C names; empty if they are not to be compared.
        tolerances: The largest allowed absolute difference of any score, by precision.
        variant: Which rendering the clip is, 0..7; None for a given clip.
        sensitivity: The largest score difference that a mistake makes, by mistake, measured when the golden was made.
    """

    clip: Clip
    scores: Float32Array
    labels: tuple[str, ...] = ()
    tolerances: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_TOLERANCES))
    variant: int | None = None
    sensitivity: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scores.dtype != np.float32 or self.scores.ndim != 1:
            raise ValueError(f"scores must be float32 [C], got {self.scores.dtype} {list(self.scores.shape)}")
        if self.labels and len(self.labels) != len(self.scores):
            raise ValueError(f"{len(self.labels)} labels for {len(self.scores)} scores")
        if not np.isfinite(self.scores).all():
            raise ValueError(f"golden scores must be finite, got {self.scores}")
        bad = {name: value for name, value in self.tolerances.items() if not 0 < value < 1}
        if bad or not self.tolerances:
            raise ValueError(f"tolerances must be precision -> a number between 0 and 1, got {dict(self.tolerances)}")

    @classmethod
    def of(
        cls,
        clip: Clip,
        scores: Float32Array,
        labels: Sequence[str] = (),
        tolerances: Mapping[str, float] = DEFAULT_TOLERANCES,
    ) -> Golden:
        """A golden from a clip and its scores; ``make_golden`` also measures what it can detect.

        Args:
            clip: A rendered or given clip.
            scores: float32 [C] in 0..1.
            labels: C names, or none.
            tolerances: The largest allowed difference by precision.
        """
        return cls(clip, np.array(scores, dtype=np.float32), tuple(labels), dict(tolerances), rendered_variant(clip))

    def blind_to(self, precision: str) -> tuple[str, ...]:
        """The mistakes that this clip would let pass for this model.

        Reversed time is not among them for a model that does not see the order of frames: for it, that is not a
        mistake.

        Args:
            precision: The precision whose tolerance counts.
        """
        limit = self.tolerances.get(precision, 0.0)
        return tuple(
            name
            for name, difference in self.sensitivity.items()
            if difference <= limit and not (name == _TIME and difference <= _INDIFFERENT)
        )

    def with_tolerance(self, precision: str, tolerance: float) -> Golden:
        """The same golden with another tolerance for one precision.

        Args:
            precision: The precision.
            tolerance: The largest allowed score difference, above 0 and below 1.
        """
        return replace(self, tolerances={**self.tolerances, precision: tolerance})


def make_golden(
    spec: InputSpec,
    predict: PredictFunction,
    tolerances: Mapping[str, float] = DEFAULT_TOLERANCES,
    clip: Clip | None = None,
) -> Golden:
    """Make the golden of a model: its scores for a clip, and how much each mistake would change them.

    By default a clip is rendered: the first variant for which swapped channels, a shifted mean and (if the model sees
    time at all) reversed time each change a score by more than 0.01. If no variant qualifies, the most sensitive one is
    used, and ``sensitivity`` and ``blind_to`` say so. This takes 4 predictions, up to 32 for a model that hardly
    responds to rendered clips.

    Args:
        spec: The size and length of the clip.
        predict: The float32 model, as ``adapter.predict``.
        tolerances: The largest allowed difference by precision.
        clip: A clip to use as it is; None to render one.

    Raises:
        BundleError: predict does not return one prediction for one clip.
    """
    if clip is not None:
        return _measure(clip, predict, tolerances, None)
    best, alertness = None, -1.0
    for variant in _SEARCH_ORDER:
        golden = _measure(render_clip(spec, variant), predict, tolerances, variant, floor=alertness)
        if _alertness(golden) > alertness:
            best, alertness = golden, _alertness(golden)
        if alertness > _AWAKE:
            break
    assert best is not None
    return best


def measure_tolerance(golden: Golden, predict: PredictFunction, precision: str) -> Golden:
    """The golden with a tolerance measured on the program itself: twice its difference on this machine.

    It is never under the float32 tolerance. The program must have been compared with its source before, as conversion
    does: a wrong program would otherwise get a wide tolerance.

    Args:
        golden: The golden of the float32 model.
        predict: The program of that precision, as ``adapter.predict``.
        precision: Its precision.

    Raises:
        BundleError: The labels or the number of scores differ.
    """
    labels, scores = _scores(golden.clip, predict)
    _compare_labels(golden, labels)
    smallest = golden.tolerances.get("float32", DEFAULT_TOLERANCES["float32"])
    return golden.with_tolerance(precision, min(0.999, max(smallest, 2 * _difference(scores, golden.scores))))


def check_golden(golden: Golden, predict: PredictFunction, precision: str) -> float:
    """Predict the golden clip and compare the scores.

    Args:
        golden: The golden clip.
        predict: The model, as ``adapter.predict``.
        precision: The model's precision, whose tolerance counts.

    Returns:
        The largest score difference, 0..1.

    Raises:
        BundleError: A score is off by more than the tolerance (the message names the label and, if the scores fit a
            clip with swapped channels or reversed time, that mistake); the precision has no tolerance; or labels
            differ.
    """
    tolerance = golden.tolerances.get(precision)
    if tolerance is None:
        known = ", ".join(golden.tolerances)
        raise BundleError(
            f'golden clip: no tolerance for precision "{precision}"; it has {known}. Save the model again.'
        )
    labels, scores = _scores(golden.clip, predict)
    _compare_labels(golden, labels)
    difference = _difference(scores, golden.scores)
    if difference <= tolerance:
        return difference
    worst = int(np.argmax(np.abs(scores - golden.scores)))
    advice = _diagnosis(golden, predict, tolerance)
    raise BundleError(
        f'golden clip ({precision}): "{labels[worst]}" scored {scores[worst]:.6f}, must be '
        f"{golden.scores[worst]:.6f} within {tolerance:g} (off by {difference:.6f}). {advice}"
    )


def _compare_labels(golden: Golden, labels: tuple[str, ...]) -> None:
    if len(labels) != len(golden.scores):
        what = f"predict returned {len(labels)} scores; {len(golden.scores)} are expected"
    elif golden.labels and labels != golden.labels:
        at = next(i for i, (got, wanted) in enumerate(zip(labels, golden.labels, strict=True)) if got != wanted)
        what = f'label {at} is "{labels[at]}", "{golden.labels[at]}" is expected'
    else:
        return
    raise BundleError(f"golden clip: {what}. Labels keep the bundle's order: do not sort or edit them.")


def _scores(clip: Clip, predict: PredictFunction) -> tuple[tuple[str, ...], Float32Array]:
    predictions = predict([clip])
    if len(predictions) != 1:
        raise BundleError(
            f"golden clip: predict returned {len(predictions)} predictions for one clip. It must return one."
        )
    return predictions[0].labels, predictions[0].scores


def _difference(one: Float32Array, other: Float32Array) -> float:
    return float(np.abs(one - other).max(initial=0.0))


def _measure(
    clip: Clip, predict: PredictFunction, tolerances: Mapping[str, float], variant: int | None, floor: float = -1.0
) -> Golden:
    """A golden with its sensitivities; the first that shows it less alert than ``floor`` ends the measuring."""
    labels, scores = _scores(clip, predict)
    sensitivity = {}
    for name, change in PERTURBATIONS.items():
        _, changed = _scores(replace(clip, frames=change(clip.frames)), predict)
        sensitivity[name] = _difference(scores, changed)
        if name != _TIME and sensitivity[name] <= floor:
            break
    return Golden(clip, np.array(scores), labels, dict(tolerances), variant, sensitivity)


def _alertness(golden: Golden) -> float:
    """The smallest score difference that a mistake makes; the order of frames counts only where it matters at all."""
    return min(
        difference for name, difference in golden.sensitivity.items() if name != _TIME or difference > _INDIFFERENT
    )


def _diagnosis(golden: Golden, predict: PredictFunction, tolerance: float) -> str:
    for name in ("swapped channels", _TIME):
        if golden.sensitivity.get(name, 0.0) <= tolerance:
            continue
        undone = replace(golden.clip, frames=PERTURBATIONS[name](golden.clip.frames))
        if _difference(_scores(undone, predict)[1], golden.scores) <= tolerance:
            return f"The scores match those of {name}: frames must reach the model as RGB and in order of time."
    return "Check the preprocessing (mean, scale, colour order) and the weights, or save the model again."
