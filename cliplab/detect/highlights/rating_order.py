"""Candidates in the order of what people are expected to like, where a model of their ratings serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.errors import MissingExtraError
from cliplab.detect.highlights.candidates import Candidate

_WORDS = {1: "Poor", 2: "Below average", 3: "Average", 4: "Good", 5: "Excellent"}


def candidate_features(candidate: Candidate) -> dict[str, Any]:
    """What is known of a candidate before it is cut, by the names under which its clip is registered.

    Args:
        candidate: The candidate.
    """
    return {f"cue_{name}": value for name, value in candidate.cues.items()} | {"stage1_score": candidate.stage1}


class RatingOrder:
    """Expects stars of candidates with the models of ratings in a file, which is read again when it changes."""

    def __init__(self, path: str | Path) -> None:
        """Nothing is read here.

        Args:
            path: The file of ``cliplab clips train``, such as models/highlight_model.skops; it need not exist.
        """
        self._path = Path(path)
        self._read: tuple[int, dict[str, Any]] | None = None

    def apply(self, candidates: Sequence[Candidate]) -> tuple[list[Candidate], str | None]:
        """Label candidates and order them.

        Args:
            candidates: In any order.

        Returns:
            The candidates, in the order given, with expected stars and new scores, the mean of both; and the models
            that served, None where none did.

        Raises:
            BundleError: The file of models is damaged.
        """
        models = self._models()
        done, used = list[Candidate](), dict[str, int]()
        for one in candidates:
            model = models.get(one.kind)
            features = candidate_features(one)
            # A model that knows none of a candidate's features would say the same of each.
            if model is None or not set(features) & set(model.table.names):
                done.append(one)
                continue
            used[one.kind] = model.version
            value = float(model.predict([features])[0])
            stars = 1 + 4 * value
            why = f"{stars:.1f} stars expected, {_WORDS[round(stars)]}"
            done.append(replace(one, rating=value, score=(one.score + value) / 2, why=why))
        return done, ", ".join(f"{kind} {version}" for kind, version in sorted(used.items())) or None

    def _models(self) -> dict[str, Any]:
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._read is None or self._read[0] != changed:
            try:
                from cliplab.clips import read_models
            except MissingExtraError:
                return {}
            self._read = (changed, read_models(self._path))
        return self._read[1]
