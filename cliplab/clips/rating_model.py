"""A rating model for one type of clips, and the file that holds those of all types: skops, never pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError, MissingExtraError
from adapters.system import atomic_path, check_regular_file
from cliplab.clips.feature_table import FeatureTable

Float64Array = npt.NDArray[np.float64]

_FORMAT = 1
_MOST_BYTES = 512 << 20  # of a file when it is unpacked
_SHOWN_EFFECT = 0.005
# Beside what skops trusts by itself, all of it data of scikit-learn.
_TRUSTED = [
    "sklearn.tree._tree.Tree",
    # The loss of gradient boosting, which skops knows from 0.12 on.
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in ("ConstantKernel", "DotProduct", "Product", "RBF", "Sum", "WhiteKernel")
    ),
]


@dataclass(frozen=True)
class RatingModel:
    """What was learned from ratings of clips of one type.

    Attributes:
        table: The features that it knows.
        learner: Which of ``LEARNERS``.
        regressor: The fitted scikit-learn regressor.
        clip_ids: The clips that it learned from.
        version: 1, 2, ...: one more with each model of this type that served.
        trained_at: When, ISO 8601.
        figures: How it ranks clips that it did not learn from, beside stage 1 and the model before.
    """

    table: FeatureTable
    learner: str
    regressor: Any
    clip_ids: tuple[int, ...]
    version: int
    trained_at: str
    figures: dict[str, Any]

    def predict(self, features: Sequence[Mapping[str, Any]]) -> Float64Array:
        """How much each clip will be liked: float64 [N] in 0..1, for 1 to 5 stars.

        Args:
            features: Values by name of N clips.
        """
        if not features:
            return np.zeros(0)
        return np.asarray(np.clip(self.regressor.predict(self.table.matrix(features)), 0.0, 1.0), np.float64)

    def explain(self, features: Mapping[str, Any], most: int = 5) -> list[tuple[str, float]]:
        """Which features raised or lowered a clip: what its score would lose with the usual value of each.

        Args:
            features: Values by name of the clip.
            most: Maximum number of features to name.

        Returns:
            (name, effect on the score in 0..1), the largest first; effects below 0.005 are left out.
        """
        row = self.table.matrix([features])
        rows = np.repeat(row, len(self.table.names) + 1, axis=0)
        for number, name in enumerate(self.table.names, 1):
            rows[number, self.table.columns(name)] = 0.0  # the usual value
        scores = self.regressor.predict(rows)
        effects = [(name, float(scores[0] - score)) for name, score in zip(self.table.names, scores[1:], strict=True)]
        effects.sort(key=lambda item: -abs(item[1]))
        return [item for item in effects[:most] if abs(item[1]) >= _SHOWN_EFFECT]


def write_models(path: Path, models: Mapping[str, RatingModel]) -> None:
    """Write the models of all types of clips as one file, whole or not at all.

    Args:
        path: The file, which ends in .skops; its folder is made.
        models: By type of clips.

    Raises:
        StorageError: It cannot be written.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    dump, _ = _skops()
    content = {
        "format": _FORMAT,
        "models": {kind: {**vars(model), "table": vars(model.table)} for kind, model in models.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, suffix=path.suffix) as unproven:
        dump(content, unproven)


def read_models(path: Path) -> dict[str, RatingModel]:
    """Read a file of ``write_models``. No code of the file is run: only scikit-learn's and numpy's own types are made.

    Args:
        path: The file.

    Returns:
        Models by type of clips.

    Raises:
        BundleError: It is damaged, of a later version, too large, or holds other types; or it is a pickle.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    if path.suffix.lower() in (".pkl", ".pickle", ".joblib"):
        raise BundleError(
            f"{path}: is a pickle, which can run any code, so it is not opened. Train again from the ratings with "
            "cliplab clips train"
        )
    check_regular_file(path, BundleError)
    _, load = _skops()
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _MOST_BYTES:
            raise BundleError(f"{path}: unpacks to {size:,} bytes; at most {_MOST_BYTES:,} are allowed")
        content = load(path, trusted=_TRUSTED)
        if content["format"] != _FORMAT:
            raise BundleError(
                f"{path}: has format {content['format']!r}; this cliplab reads {_FORMAT}. Train again with "
                "cliplab clips train"
            )
        return {str(kind): _model(values) for kind, values in content["models"].items()}
    except BundleError:
        raise
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever skops finds in a file that is not its own
        raise BundleError(
            f"{path}: is not a rating model, or is damaged: {error}. Train again: cliplab clips train"
        ) from error


def _model(values: Mapping[str, Any]) -> RatingModel:
    table = FeatureTable(
        tuple(map(str, values["table"]["names"])),
        tuple(map(int, values["table"]["widths"])),
        np.asarray(values["table"]["usual"], np.float64),
        np.asarray(values["table"]["spread"], np.float64),
    )
    if len(table.names) != len(table.widths) or {table.usual.shape, table.spread.shape} != {(sum(table.widths),)}:
        raise ValueError("its features do not match each other")
    _check_trees(values["regressor"], len(table.usual))
    return RatingModel(**{**values, "table": table, "clip_ids": tuple(map(int, values["clip_ids"]))})


def _check_trees(regressor: Any, columns: int) -> None:
    """Compiled code follows the indices of trees without looking, so that a wrong one would read other memory."""
    for tree in np.ravel(getattr(regressor, "estimators_", [])):
        nodes = tree.tree_
        children = np.concatenate([nodes.children_left, nodes.children_right])
        # Every child comes after its parent, so that no way leads back.
        after = np.tile(np.arange(nodes.node_count), 2)
        inner = children != -1
        if not (
            (children[inner] < nodes.node_count).all()
            and (children[inner] > after[inner]).all()
            and (nodes.feature[nodes.children_left != -1] < columns).all()
            and (nodes.feature[nodes.children_left != -1] >= 0).all()
            and ((nodes.children_left == -1) == (nodes.children_right == -1)).all()
        ):
            raise ValueError("one of its trees is incomplete")


def _skops() -> tuple[Any, Any]:
    try:
        from skops.io import dump, load
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "skops", "clips", "a rating model") from error
    return dump, load
