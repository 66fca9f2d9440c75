"""Stage 2: a model looks at each candidate, drops what it does not believe and orders the rest."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError, MediaError
from adapters.inference import ClipFunction, open_model
from adapters.media import open_video
from adapters.records import Clip, InputSpec, Prediction
from cliplab.detect.highlights.candidates import Candidate
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.registry import CurrentModel, PromotedModel

SWITCH, MODEL_KEY = "DETECTION_USE_ML_STAGE2", "DETECTION_STAGE2_MODEL"
# Where the seed's guide keeps the manifest of highlight models, below the folder that a worker runs in.
DEFAULT_MODELS = Path("models/highlight")
LEAST_SCORE = 0.5
IN_REGISTRY = "registry:"  # before a reference such as base-highlight@production
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")
# Labels that mean "nothing of interest", so that every other one is a highlight.
_BACKGROUND = ("non-trick", "normal", "background", "none", "other", "negative", "non-highlight", "no")
_MOST_ENV_BYTES = 1 << 20
_BATCH = 8
_MOST_WINDOWS = 64  # of one candidate


def stage2_model(environment: Mapping[str, str] | None = None, folder: str | Path = ".") -> str | None:
    """The model of stage 2 that the environment or ``.env`` asks for.

    Args:
        environment: Variables; None: those of the process. They come before those of the file.
        folder: Where ``.env`` lies.

    Returns:
        A bundle, a folder of models with a manifest, or a reference to a registry; None where
        ``DETECTION_USE_ML_STAGE2`` is not true.

    Raises:
        ConfigError: The switch is neither true nor false, or no model is there.
    """
    values = {**_env_file(Path(folder) / ".env"), **(os.environ if environment is None else environment)}
    switch = values.get(SWITCH, "").strip().lower()
    if switch in _OFF:
        return None
    if switch not in _ON:
        raise ConfigError(f"{SWITCH} must be true or false, got {values[SWITCH]!r:.40}")
    model = values.get(MODEL_KEY, "").strip() or str(Path(folder) / DEFAULT_MODELS)
    if not model.startswith(IN_REGISTRY) and not Path(model).exists():
        raise ConfigError(
            f"{SWITCH} is true, but there is no model at {model}. Give a bundle, a folder with a manifest or "
            f"{IN_REGISTRY}NAME@production in {MODEL_KEY}, or set {SWITCH}=false"
        )
    return model


def _env_file(path: Path) -> dict[str, str]:
    """The variables of a ``.env`` file: KEY=VALUE lines, quotes and ``export`` allowed, comments left out."""
    if not path.is_file():
        return {}
    from adapters.system import read_regular_text

    found = {}
    for line in read_regular_text(path, _MOST_ENV_BYTES, ConfigError).splitlines():
        name, sign, value = line.strip().removeprefix("export ").partition("=")
        if sign and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value.split(" #")[0].strip()
    return found


class Judge(Protocol):
    """What looks at the candidates of stage 1 again: a model, or prompts."""

    def propose(self, source: str | Path, options: HighlightOptions, duration: float) -> list[Candidate]:
        """Further candidates of a whole file, which stage 1 did not see."""

    def apply(
        self, source: str | Path, candidates: Sequence[Candidate], offset: float = 0.0
    ) -> tuple[list[Candidate], str, list[str]]:
        """Candidates that are kept, with new scores; the model's name; and notes."""


class Stage2:
    """Scores candidates with a bundle, or with the model that a manifest or a registry calls current at that moment.

    Attributes:
        least: Candidates that the model scores lower are dropped; 0 only orders them.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        label: str | None = None,
        least: float = LEAST_SCORE,
        trust_adapters: Sequence[str] = (),
    ) -> None:
        """Open the model.

        Args:
            model: A bundle, a .tflite, a folder with a manifest, or ``registry:NAME@ENVIRONMENT``. The last two are
                followed: a model that is promoted there is used from the next candidates on.
            label: Which of its labels means a highlight; None: its positive label, or every label that does not mean
                "nothing".
            least: As the attribute, 0..1.
            trust_adapters: As for ``open_model``.

        Raises:
            ConfigError: A value is not allowed, or the model has no such label.
            BundleError: The model cannot be read.
            StorageError: There is no registry.
        """
        if isinstance(least, bool) or not 0 <= least <= 1:
            raise ConfigError(f"stage2_min must be a number from 0 to 1, got {least!r}")
        self.least, self._label, self._name = least, label, str(model)
        self._fixed: BaseModelAdapter | None = None
        self._current: CurrentModel | PromotedModel | None = None
        if self._name.startswith(IN_REGISTRY):
            self._current = PromotedModel(self._name, trust_adapters=trust_adapters)
        elif (Path(model) / "model_manifest.json").is_file():
            self._current = CurrentModel(model, trust_adapters=trust_adapters)
        else:
            self._fixed = open_model(model, trust_adapters=trust_adapters)
        _highlight_labels(self._adapter()[1], label)

    def _adapter(self) -> tuple[str, BaseModelAdapter]:
        if self._current is not None:
            return self._current.get_named()
        assert self._fixed is not None
        return self._name, self._fixed

    def propose(self, source: str | Path, options: HighlightOptions, duration: float) -> list[Candidate]:
        """Nothing: a model of stage 2 judges what stage 1 found."""
        return []

    def apply(
        self, source: str | Path, candidates: Sequence[Candidate], offset: float = 0.0
    ) -> tuple[list[Candidate], str, list[str]]:
        """Score candidates.

        Args:
            source: The file that they are of.
            candidates: In any order.
            offset: Where the file begins in the source of the candidates, in seconds.

        Returns:
            Those that are kept with their new scores, in the order given; the model's name; and notes. A candidate that
            the model cannot score is kept as it is.
        """
        name, adapter = self._adapter()
        places = _highlight_labels(adapter, self._label)
        kept, notes = list[Candidate](), list[str]()
        if not candidates:
            return kept, name, notes
        with open_video(source) as video:
            for one in candidates:
                try:
                    clips = video.clips(_spec(adapter), max(one.start - offset, 0.0), one.end - offset)
                    score = _best_score(adapter, places, clips)
                except MediaError as error:
                    score, notes = (
                        math.nan,
                        [*notes, f"stage 2 could not score the candidate at {one.start:.2f} s ({error})"],
                    )
                if math.isnan(score):
                    kept.append(one)
                elif score >= self.least:
                    # The model decides the order; what stage 1 saw parts those that it finds alike.
                    kept.append(replace(one, stage2=score, score=0.8 * score + 0.2 * one.stage1))
        return kept, name, notes


def _highlight_labels(adapter: BaseModelAdapter, label: str | None) -> list[int]:
    """Which of a model's labels mean a highlight."""
    names = adapter.labels
    wanted = label if label is not None else adapter.config.get("positive_label")
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(f"the label {wanted!r} is unknown to the model. It has {', '.join(names[:20])}")
        return [names.index(wanted)]
    found = [place for place, name in enumerate(names) if name.lower().replace("_", "-") not in _BACKGROUND]
    if not found or len(found) == len(names):
        raise ConfigError(
            "it is unknown which label of the model means a highlight. Give it with --stage2-label; the model has "
            f"{', '.join(names[:20])}"
        )
    return found


def _spec(adapter: BaseModelAdapter) -> InputSpec:
    """Windows of the model's own length, each beginning in the middle of the one before."""
    spec, fps = adapter.input_spec, adapter.fps
    window = spec.window_seconds or (spec.n_frames / fps if fps and spec.n_frames > 1 else 2.0)
    return spec.with_windows(None if spec.sampling == "rate" else window, max(window / 2, 0.5))


def _best_score(adapter: BaseModelAdapter, places: Sequence[int], clips: Iterable[Clip]) -> float:
    """The highest score of any window; NaN where none could be scored."""
    predict, best = ClipFunction(adapter.predict), math.nan
    batch = list[Clip]()
    for number, clip in enumerate(clips):
        batch.append(clip)
        if len(batch) == _BATCH:
            best = _higher(best, predict(batch), places)
            batch = list[Clip]()
        if number + 1 == _MOST_WINDOWS:
            break
    return _higher(best, predict(batch), places) if batch else best


def _higher(best: float, results: Sequence[object], places: Sequence[int]) -> float:
    for result in results:
        if not isinstance(result, Prediction):
            continue
        score = min(max(float(result.scores[list(places)].sum()), 0.0), 1.0)
        if math.isfinite(score) and not score <= best:
            best = score
    return best
