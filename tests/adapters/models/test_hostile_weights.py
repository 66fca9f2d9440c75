"""Weights files that refer to themselves, or name a few things many times: they cost no more than their bytes."""

from __future__ import annotations

import io
import pickle
import time

import numpy as np
import pytest
from test_weights import zip_file

from adapters.errors import WeightsError
from adapters.models.weights.checkpoint_content import CONTAINERS
from adapters.models.weights.keras_h5 import read_keras_file
from adapters.models.weights.torch_pickle import read_state_dict


def test_a_dict_that_holds_itself_under_every_name_is_looked_at_once() -> None:
    state: dict[object, object] = dict.fromkeys(range(20_000), 0)
    state.update(dict.fromkeys(CONTAINERS, state))
    began = time.process_time()
    with pytest.raises(WeightsError, match="no tensors"):
        read_state_dict(zip_file(pickle.dumps(state, 2), {}))
    assert time.process_time() - began < 5


def test_keys_that_no_message_can_show() -> None:
    with pytest.raises(WeightsError, match="thousands of digits"):
        read_state_dict(zip_file(pickle.dumps({10**6000: 1}, 2), {}))


def test_layers_and_weights_that_are_named_again_and_again() -> None:
    h5py = pytest.importorskip("h5py")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        group = file.create_group("a")
        group.create_dataset("w", data=np.zeros(3, np.float32))
        file.attrs["layer_names"] = np.array([b"a"] * 5000)
        group.attrs["weight_names"] = np.array([b"w"] * 5000)
    began = time.process_time()
    with pytest.raises(WeightsError, match="more than"):
        read_keras_file(stream.getvalue(), "a.h5")
    assert time.process_time() - began < 5
