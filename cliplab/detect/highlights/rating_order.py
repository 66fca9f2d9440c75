"""Candidates in the order of what people are expected to like, where a model of their ratings serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.errors import MissingExtraError
from cliplab.detect.highlights.candidates import Candidate

_MOST_MEASURED = 100  # candidates of a source: to measure one takes about a second
_WORDS = {1: "Poor", 2: "Below average", 3: "Average", 4: "Good", 5: "Excellent"}


def candidate_features(candidate: Candidate) -> dict[str, Any]:
    """What is known of a candidate before it is cut, by the names under which its clip is registered.

    Args:
        candidate: The candidate.
    """
    return {f"cue_{name}": value for name, value in candidate.cues.items()} | {"stage1_score": candidate.stage1}


class RatingOrder:
    """Expects stars of candidates with the rating models in a file, which is read again when it changes."""

    def __init__(self, path: str | Path) -> None:
        """Nothing is read here.

        Args:
            path: The file of ``cliplab clips train``, such as models/highlight_model.skops; it need not exist.
        """
        self._path = Path(path)
        self._read: dict[Path, tuple[int, dict[str, Any]]] = {}

    def apply(
        self,
        candidates: Sequence[Candidate],
        source: str = "",
        measure: Callable[[Candidate], Mapping[str, Any]] | None = None,
    ) -> tuple[list[Candidate], str | None]:
        """Label candidates and order them.

        Args:
            candidates: In any order.
            source: What they are of; while two versions are compared, it decides which of them orders.
            measure: Measures the features of a candidate's stretch, where a model knows more than its cues; asked for
                the 100 best ones of stage 1. None: cues alone.

        Returns:
            The candidates, in the order given, with expected stars and new scores, the mean of both; and the models
            that served, None where none did.

        Raises:
            BundleError: The file of models is damaged.
        """
        arm, models = self._models(source)
        done, used = list[Candidate](), dict[str, int]()
        best = set(sorted(range(len(candidates)), key=lambda place: -candidates[place].stage1)[:_MOST_MEASURED])
        for place, one in enumerate(candidates):
            model = models.get(one.kind)
            features = candidate_features(one)
            if measure is not None and model is not None and place in best and set(model.table.names) - set(features):
                features |= measure(one)
            # A model that knows none of a candidate's features would say the same of each.
            if model is None or not set(features) & set(model.table.names):
                done.append(one)
                continue
            used[one.kind] = model.version
            value = float(model.predict([features])[0])
            stars = 1 + 4 * value
            why = f"{stars:.1f} stars expected, {_WORDS[round(stars)]}"
            done.append(replace(one, rating=value, score=(one.score + value) / 2, why=why))
        words = ", ".join(f"{kind} {version}" for kind, version in sorted(used.items()))
        return done, f"{words}{arm}" if words else None

    def _models(self, source: str) -> tuple[str, dict[str, Any]]:
        """The models that order a source, and which arm of a comparison they are, in words."""
        if not self._path.is_file() and not self._path.with_suffix(".ab.json").is_file():
            return "", {}  # nothing is imported where nothing serves
        try:
            from cliplab.clips import read_ab
        except MissingExtraError:
            return "", {}
        test = read_ab(self._path)
        if test is None:
            return "", self._of(self._path)
        arm = test.arm(source)
        return f" (arm {arm.upper()})", self._of(test.path(arm))

    def _of(self, path: Path) -> dict[str, Any]:
        from cliplab.clips import read_models

        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if path not in self._read or self._read[path][0] != changed:
            self._read[path] = (changed, read_models(path))
        return self._read[path][1]
