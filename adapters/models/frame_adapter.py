"""Models that score single frames: an item is a frame, and a clip's score aggregates those of its frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from adapters.errors import WeightsError
from adapters.inference import merge_frames
from adapters.media import to_model_input
from adapters.models.model_adapter import ModelAdapter
from adapters.models.network import Pretrained, Variables
from adapters.models.state import RunsItems
from adapters.records import Clip, Float32Array, Prediction


class FrameModelAdapter(ModelAdapter):
    """A network on single frames. See ``ModelAdapter`` for what a subclass declares.

    It also declares where its published weights are (``published_path``) and how a file of weights is read
    (``read_weights``).
    """

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self._read: tuple[str, Pretrained] | None = None  # the file of "weights", and what it holds
        self._fitted: tuple[tuple[str, str], Pretrained] | None = None  # the same for the config's labels

    @abstractmethod
    def published_path(self) -> Path:
        """The file of the published weights ("weights": "imagenet"), found or downloaded, and verified.

        Raises:
            WeightsError: It cannot be found.
        """

    @abstractmethod
    def read_weights(self, path: Path) -> Pretrained:
        """Read a file of weights.

        Args:
            path: The file.

        Raises:
            WeightsError: It is missing, damaged or of another network; the message says which.
        """

    def pretrained(self) -> Pretrained:
        name, config = self.config["weights"], self.config
        # A file is read once for a model, and its classifier fitted once for the config's labels.
        key = (name, str([config[part] for part in ("labels", "positive_label", "task", "head")]))
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = (key, self._fit(name))
        return self._fitted[1]

    def file_weights(self) -> Pretrained:
        """Everything that the file of ``weights`` holds; it is read once.

        Raises:
            WeightsError: It is missing, damaged or of another network.
        """
        name = self.config["weights"]
        if self._read is None or self._read[0] != name:
            path = self.published_path() if name in self.published_names else Path(name).expanduser()
            self._read = (name, self.read_weights(path))
        return self._read[1]

    def require_weights(self) -> None:
        # Which classifier fits is a question for when the labels are known: of a training, those of its clips.
        if not self.trained and self.config["weights"] in self.published_names:
            self.file_weights()
        else:
            super().require_weights()

    def _fit(self, name: str) -> Pretrained:
        from adapters.models.weights import fitting_classifier, require_finite

        found = self.file_weights()
        fitting = fitting_classifier(found.classifier, self.config, self.labels)
        if fitting is not None:
            require_finite(fitting, name)
            return Pretrained(found.backbone, fitting)
        if self.config["labels"] is None:
            raise WeightsError(
                f'{name}: {classifier_text(found.classifier)}, and without "labels" a model predicts the '
                f"{len(self.labels)} classes of the published weights. List the classes of its outputs, in their "
                'order, in "labels", or train it on labelled clips (cliplab train)'
            )
        return found

    @property
    def brings_classifier(self) -> bool:
        if self.config["labels"] is None or not self.names_a_file:
            return self.config["labels"] is None
        from adapters.models.weights import fitting_classifier

        return fitting_classifier(self.pretrained().classifier, self.config, self.labels) is not None

    @property
    def scores_frames(self) -> bool:
        return True

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (self.image_size, self.image_size, 3)

    @property
    def items_per_clip(self) -> int:
        return int(self.config["n_frames"])

    @property
    def has_frame_scores(self) -> bool:
        return self.items_per_clip > 1 or self.config["sampling"] == "every"

    def items(self, clip: Clip) -> Float32Array:
        """Every frame: float32 [T, imgz, imgz, 3]."""
        return to_model_input(clip, self.input_spec, self.config["mean"], self.config["scale"])

    def predict_with_features(self, batch: Sequence[Clip]) -> list[tuple[Prediction, Float32Array | None]]:
        """Scores and features of one run of the program."""
        if not batch:
            return []
        self._require_trained()
        program = self.active_program()
        if "features" not in program.output_shapes:
            return super().predict_with_features(batch)
        inputs = [self.program_inputs(clip) for clip in batch]
        outputs = cast(RunsItems, program).run(np.concatenate(inputs))
        places = np.cumsum([len(rows) for rows in inputs])[:-1]
        scores, features = (np.split(self.rows_of(outputs, name), places) for name in ("scores", "features"))
        predictions = [self.prediction_of(clip, rows) for clip, rows in zip(batch, scores, strict=True)]
        return [(each, self.clip_features(rows)) for each, rows in zip(predictions, features, strict=True)]

    @property
    def merges_pieces(self) -> bool:
        return True

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """One prediction of a video from those of its pieces: the aggregate of all frames, as of one long clip."""
        return merge_frames(pieces, self.clip_scores)


def classifier_text(classifier: Variables) -> str:
    """What a weights file has for a classifier, for messages.

    Args:
        classifier: Its variables by their names in the head.
    """
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in classifier.items())
    if not shapes:
        return "it has no classifier with one linear layer"
    return f"its classifier {shapes} has {next(iter(classifier.values())).shape[-1]} classes"
