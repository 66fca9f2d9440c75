"""One training from ratings: what was said as numbers, the learner that ranks best, and whether it may serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cliplab.clips.consensus import Consensus
from cliplab.clips.evidence import BETTING, FALSE_RATE, Evidence, find_evidence
from cliplab.clips.feature_table import feature_table
from cliplab.clips.learners import LEARNERS, fitted, may_learn
from cliplab.clips.ranking import Ranking, advantage, divide, rank
from cliplab.clips.rating_model import RatingModel
from cliplab.clips.records import FEATURES_VERSION, VERSION_KEY

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FEWEST_TO_LEARN = 3


@dataclass(frozen=True)
class RatedClips:
    """Clips of one type that people said something of.

    Attributes:
        ids: N of them.
        features: Values by name of each.
        scores: float64 [N]: what stage 1 gave them.
        sources: Where each comes from.
        consensus: What people said.
        order: Places of the clips that have stars, in the order of their first rating; None: all, as they are.
    """

    ids: tuple[int, ...]
    features: Sequence[dict[str, Any]]
    scores: Float64Array
    sources: Sequence[str]
    consensus: Consensus
    order: Sequence[int] | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What one training found.

    Attributes:
        kind: The type of clips.
        serves: Whether the new model is used from now on.
        why: The reason, in a sentence with its figures.
        learner: The one that ranks best.
        ranking: Of the new model, on clips that it did not learn from.
        stage1: Of stage 1's scores, on the same pairs.
        before: Of the model that served before, learned again without the clips that are judged; None without one.
        model: The new model, also where it does not serve; None where nothing could be learned.
        evidence: How often the stake was won by betting on ratings before they were given; None: nothing was learned.
        takes_back: Whether the model that served before must not serve any more.
    """

    kind: str
    serves: bool
    why: str
    learner: str | None
    ranking: Ranking | None
    stage1: Ranking | None
    before: Ranking | None
    model: RatingModel | None
    evidence: float | None = None
    takes_back: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without the model."""
        rankings = {name: getattr(self, name) for name in ("ranking", "stage1", "before")}
        return {
            "clip_type": self.kind,
            "serves": self.serves,
            "why": self.why,
            "learner": self.learner,
            "evidence": None if self.evidence is None else float(f"{self.evidence:.3g}"),
            "takes_back": self.takes_back,
            **{name: None if value is None else value.to_json() for name, value in rankings.items()},
        }


def train_kind(kind: str, clips: RatedClips, old: RatingModel | None, trained_at: str, seed: int = 0) -> TrainingResult:
    """Train on the clips of one type, on one core: matrices this small gain nothing from more, and others need them.

    Args:
        kind: The type.
        clips: Its clips.
        old: The model that serves now; None without one.
        trained_at: The moment, for the model.
        seed: The seed of the divisions.

    Returns:
        The new model, and whether it ranks better than what there is.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return _train(kind, clips, old, trained_at, seed)


def _train(kind: str, clips: RatedClips, old: RatingModel | None, trained_at: str, seed: int) -> TrainingResult:
    targets, weight = clips.consensus.quality, clips.consensus.weight
    table = feature_table(clips.features)
    if np.ptp(targets) < 1e-3 or not table.names:
        why = "all clips have the same rating" if table.names else "the clips have no numeric features"
        return TrainingResult(kind, False, f"{kind}: {why}, so nothing can be learned", None, None, None, None, None)
    rows, division = table.matrix(clips.features), divide(clips.sources, seed)

    def held_out(learner: str, allowed: IntArray) -> Float64Array:
        def predict(learn: IntArray, judge: IntArray) -> Float64Array:
            learn = learn[np.isin(learn, allowed)]
            if len(learn) < _FEWEST_TO_LEARN or np.ptp(targets[learn]) < 1e-3:
                return np.zeros(len(judge))
            return np.asarray(fitted(learner, rows[learn], targets[learn], weight[learn]).predict(rows[judge]))

        return division.held_out(predict)

    everything = np.arange(len(targets))
    scored = {name: held_out(name, everything) for name in LEARNERS if may_learn(name, len(targets))}
    found = {name: rank(division, scores, targets, seed) for name, scores in scored.items()}
    best = max(found, key=lambda name: found[name].share)
    gain = advantage(division, scored[best], clips.scores, targets, seed)
    stage1 = rank(division, clips.scores, targets, seed)
    before = None
    if old is not None:
        known = np.flatnonzero(np.isin(clips.ids, old.clip_ids))
        same = old.learner if may_learn(old.learner, len(targets)) else best
        before = rank(division, held_out(same, known), targets, seed)
    order = everything if clips.order is None else np.asarray(clips.order, np.int64)
    said = [clips.sources[place] for place in order]
    betting = [name for name in scored if name in BETTING]
    evidence = find_evidence(rows[order], targets[order], weight[order], clips.scores[order], said, betting)
    serves, why = _decide(kind, found[best], stage1, before, gain, evidence)
    takes_back = old is not None and not evidence.is_proven and _served_on_evidence(old)
    if takes_back:
        why = f"{why}. The model before is taken back: later ratings do not bear it out"
    figures = {
        "evidence": evidence.factor,
        "features_version": FEATURES_VERSION if any(VERSION_KEY in values for values in clips.features) else None,
        "ranking": found[best].to_json(),
        "stage1": stage1.to_json(),
        "better_than_stage1_by": list(gain),
        "by_learner": _shares(found),
    }
    model = RatingModel(
        table,
        best,
        fitted(best, rows, targets, weight),
        clips.ids,
        1 + (old.version if old is not None else 0),
        trained_at,
        figures,
    )
    return TrainingResult(
        kind, serves, why, best, found[best], stage1, before, model, evidence.factor, takes_back and not serves
    )


def _served_on_evidence(old: RatingModel) -> bool:
    """Whether a model serves because ratings spoke for it, or as one of an older version; not by a person's choice."""
    factor = old.figures.get("evidence")
    return factor is None or float(factor) >= 1 / FALSE_RATE


def _decide(
    kind: str,
    new: Ranking,
    stage1: Ranking,
    before: Ranking | None,
    gain: tuple[float, float],
    evidence: Evidence,
) -> tuple[bool, str]:
    """Whether a new model may serve, and why, in words with figures. gain: 80% interval of its lead over stage 1."""
    low, high = new.interval
    least, most = new.spearman_interval
    said = (
        f"{kind}: {new.share:.0%} of pairs in the right order (95% interval {low:.0%} to {high:.0%}, {new.clips} "
        f"clips, chance 50%), rank correlation {new.spearman:.2f} ({least:.2f} to {most:.2f}), stage 1 "
        f"{stage1.share:.0%}" + ("" if before is None else f", the model before {before.share:.0%}")
    )
    said += f", evidence {_odds(evidence.factor)}"
    if not evidence.is_proven:
        needed = f"{1 / FALSE_RATE:.0f} to 1"
        return False, f"Not yet better: {said}. It is not shown to be better than chance before evidence of {needed}"
    if not evidence.beats_stage1:
        return False, f"Not yet better: {said}. Predictions by stage 1's score have come true more often"
    if not new.better_than_chance:
        return False, f"Not yet better: {said}. It is not shown to be better than chance"
    if new.share <= stage1.share:
        return False, f"Not yet better: {said}. It ranks no better than stage 1's score"
    if gain[0] <= 0:
        lead = f"its lead in rank correlation is {gain[0]:.2f} to {gain[1]:.2f} (80% interval)"
        return False, f"Not yet better: {said}. It is not shown to rank better than stage 1's score: {lead}"
    if before is not None and new.share < before.share:
        return False, f"Not yet better: {said}. It ranks no better than the model before"
    return True, said


def _odds(factor: float) -> str:
    return f"{min(factor, 1e6):,.0f} to 1" if factor >= 10 else f"{factor:.2g} to 1"


def _shares(found: dict[str, Ranking]) -> dict[str, float]:
    return {name: round(ranking.share, 4) for name, ranking in found.items()}
