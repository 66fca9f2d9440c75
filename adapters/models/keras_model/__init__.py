"""Whole networks in files of Keras (.h5, .keras): read as data, built from layers that are known, converted."""

from adapters.models.keras_model.building import KerasNetwork, read_keras_model

__all__ = ["KerasNetwork", "read_keras_model"]
