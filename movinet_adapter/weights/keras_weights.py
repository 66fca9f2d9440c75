"""Weights that Keras saved of tf-models' MovinetClassifier (.h5), as Dataloop's MoViNet app keeps a trained model.

Names in such a file repeat and depend on what the process had built before, so variables are found by their order: of
the backbone first every trainable one, then the statistics, each in tf-models' order; then the classifier's. (Keras
lists a layer's weights so, tf_keras/src/saving/legacy/hdf5_format.py; the backbone is one layer of the classifier.)
"""

from __future__ import annotations

from adapters.models.weights import read_keras_file
from movinet_adapter.architecture import Architecture, variable_specs
from movinet_adapter.weights.checkpoint_graph import StoredVariable
from movinet_adapter.weights.mapping import Variables, fit_by_order

_STATISTICS = ("moving_mean", "moving_variance")
_CLASSIFIER = "classifier/"


def read_keras_weights(data: bytes, of: Architecture, where: str) -> Variables:
    """Read a MoViNet's variables from a file of Keras' weights.

    Args:
        data: The file.
        of: The architecture that it must fit.
        where: What messages call it.

    Returns:
        float32 arrays by name.

    Raises:
        WeightsError: It is damaged or of another network; the message names the first variable that does not fit.
        MissingExtraError: h5py is not installed.
    """
    stored = [StoredVariable(name, value) for name, value in read_keras_file(data, where).ordered]
    return fit_by_order(of, _in_model_order(of, stored), where)


def _in_model_order(of: Architecture, stored: list[StoredVariable]) -> list[StoredVariable]:
    """The file's variables in tf-models' order; unchanged where their number is another."""
    names = [spec.name for spec in variable_specs(of, 1)]
    backbone = [place for place, name in enumerate(names) if not name.startswith(_CLASSIFIER)]
    rest = [place for place, name in enumerate(names) if name.startswith(_CLASSIFIER)]
    statistics = [place for place in backbone if names[place].rpartition("/")[2] in _STATISTICS]
    order = [place for place in backbone if place not in statistics] + statistics + rest
    if len(order) != len(stored):
        return stored
    placed = dict(zip(order, stored, strict=True))
    return [placed[place] for place in range(len(order))]
