"""Training from ratings: when there are enough, again with every five new ones, and only to the better."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import AdapterError, BundleError, StorageError
from adapters.system import file_lock
from cliplab.clips.database import now
from cliplab.clips.listing import are_rated, count_ratings
from cliplab.clips.manager import ClipManager
from cliplab.clips.rating_model import RatingModel, read_models, write_models
from cliplab.clips.rating_training import TrainingResult, train_kind
from cliplab.clips.records import DEFAULT_MODEL, FEATURES_VERSION, MIN_SAMPLES, RETRAIN_EVERY
from cliplab.clips.training_rows import load_rated_clips
from cliplab.clips.training_state import read_history, read_state, write_state

_log = logging.getLogger(__name__)


class RatingBasedTrainer:
    """Learns what is liked from the ratings of a clip database, one model for audio clips and one for video clips.

    Attributes:
        manager: The database.
        model_path: The file of the models that serve.
        results: What the last training found, by type of clips; empty before.
        error: Why the last training in the background failed; None where it did not.
    """

    def __init__(self, manager: ClipManager, model_path: str | Path = DEFAULT_MODEL, *, automatic: bool = True) -> None:
        """Begin with the models that are there.

        Args:
            manager: The database.
            model_path: Where models are kept; the folder is made.
            automatic: Train in the background after every five new ratings that this manager stores.
        """
        self.manager, self.model_path = manager, Path(model_path)
        self.results: dict[str, TrainingResult] = {}
        self.error: str | None = None
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._read: tuple[int, dict[str, RatingModel]] | None = None
        if automatic:
            manager.on_rating(lambda _: self.train_if_due())

    def train_from_ratings(self, min_samples: int = MIN_SAMPLES) -> bool:
        """Train now, and let a new model serve where it ranks unseen ratings better than what there is.

        Args:
            min_samples: Minimum number of rated clips of a type that a model is trained on.

        Returns:
            Whether a new model serves. ``results`` says why, with figures.

        Raises:
            StorageError: The model cannot be written, or another process is training.
            ClipError: Stored features cannot be read.
            BundleError: The models that are there cannot be read.
            MissingExtraError: The ``clips`` extra is not installed.
        """
        if isinstance(min_samples, bool) or not isinstance(min_samples, int) or min_samples < 3:
            raise AdapterError(f"min_samples must be a whole number of at least 3, got {min_samples!r}")
        self._require_no_pickle()
        if threading.current_thread() is not self._thread:
            self.wait()  # for this trainer's own in the background
        lock = self.model_path.with_name(f"{self.model_path.name}.lock")
        with file_lock(lock, busy=self._busy):
            rated_before = self.manager.get_statistics()["ratings"]
            models = dict(self.models())
            self.results = {}
            for kind, clips in load_rated_clips(self.manager).items():
                if len(clips.ids) < min_samples:
                    continue
                result = train_kind(kind, clips, models.get(kind), now())
                self.results[kind] = result
                if result.serves and result.model is not None:
                    models[kind] = result.model
                elif result.takes_back:
                    del models[kind]
            served = [kind for kind, result in self.results.items() if result.serves]
            if served or any(result.takes_back for result in self.results.values()):
                write_models(self.model_path, models)
            write_state(self.manager, rated_before, self.results)
        for result in self.results.values():
            _log.info("%s", result.why)
        if not self.results:
            _log.info("no type of clips has %d rated ones yet", min_samples)
        return bool(served)

    def train_if_due(self) -> bool:
        """Train in the background where five ratings came since the last training, and ten clips are rated.

        Returns:
            Whether a training began, or goes on.
        """
        with self._guard:
            if self._thread is not None and self._thread.is_alive():
                return True
            # Asked after every rating, so that no clips are counted here.
            new = count_ratings(self.manager.database) - read_state(self.manager)["ratings"]
            if new < RETRAIN_EVERY or not are_rated(self.manager.database, MIN_SAMPLES):
                return False
            self._begin()
            return True

    def start_training(self) -> None:
        """Train in the background now, whatever came since the last training."""
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._in_background, name="rating-training", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a training in the background.

        Args:
            seconds: How long at most; None: until it ends.

        Returns:
            Whether none is under way any more.
        """
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def get_training_progress(self, statistics: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """How far training is.

        Args:
            statistics: Of ``ClipManager.get_statistics``, if the caller has them; None: they are read.

        Returns:
            ``ready_for_training``, ``rated_clips``, ``min_samples``, ``new_ratings`` since the last training,
            ``retrain_every``, ``training`` (under way now), ``models`` (by type: version, learner, figures), ``last``
            (what the last training found, by type), ``history`` (how ranking went from training to training) and
            ``error``.
        """
        statistics = self.manager.get_statistics() if statistics is None else statistics
        state = read_state(self.manager)
        rated = statistics["rated_clips"]
        return {
            "ready_for_training": rated >= MIN_SAMPLES,
            "rated_clips": rated,
            "min_samples": MIN_SAMPLES,
            "new_ratings": max(0, statistics["ratings"] - state["ratings"]),
            "retrain_every": RETRAIN_EVERY,
            "training": self._thread is not None and self._thread.is_alive(),
            "models": {
                kind: {"version": model.version, "learner": model.learner, **model.figures}
                for kind, model in self.models().items()
            },
            "last": state["results"],
            "history": read_history(self.manager),
            "error": self.error,
        }

    def models(self) -> dict[str, RatingModel]:
        """The models that serve, by type of clips; read again when the file changes.

        A model that learned from features of another version of cliplab does not serve until it is trained again.

        Raises:
            BundleError: The file is damaged, or of another version.
        """
        try:
            changed = self.model_path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._read is None or self._read[0] != changed:
            found = read_models(self.model_path)
            self._read = (changed, {kind: model for kind, model in found.items() if self._may_serve(kind, model)})
        return self._read[1]

    def predict(self, clip_type: str, features: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64] | None:
        """How much clips will be liked: float64 [N] in 0..1; None where no model of that type serves yet.

        Args:
            clip_type: "audio" or "video".
            features: Values by name of N clips.
        """
        model = self.models().get(clip_type)
        return None if model is None else model.predict(features)

    def _may_serve(self, kind: str, model: RatingModel) -> bool:
        version = model.figures.get("features_version")
        if version in (None, FEATURES_VERSION):
            return True
        _log.warning(
            "%s: the model of %s clips learned from features of version %s, but this cliplab measures version %s. It "
            "is not used. Run cliplab clips features, then cliplab clips train",
            self.model_path,
            kind,
            version,
            FEATURES_VERSION,
        )
        return False

    def _in_background(self) -> None:
        try:
            self.error = None
            self.train_from_ratings()
        except AdapterError as error:  # shown by get_training_progress; rating goes on
            self.error = str(error)
            _log.warning("training from ratings failed: %s", error)

    def _require_no_pickle(self) -> None:
        old = self.model_path.with_suffix(".pkl")
        if self.model_path.suffix in (".pkl", ".pickle"):
            raise BundleError(
                f"{self.model_path}: models are stored as .skops, because a pickle can run any code. Use a name that "
                "ends in .skops"
            )
        if old.exists() and not self.model_path.exists():
            _log.warning(
                "%s is a pickle, which is not opened; %s is trained from the ratings instead", old, self.model_path
            )

    def _busy(self, holder: str) -> AdapterError:
        return StorageError(f"{self.model_path}: {holder} is training. Wait until it finishes, or stop it")
