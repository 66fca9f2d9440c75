"""State dicts that are written, read by the standard library's own zip and pickle, and by our reader."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.errors import WeightsError
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.models.weights.torch_writer import state_dict_bytes

TYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class Unpickler(pickle.Unpickler):
    """What PyTorch's would be asked for, as plain tuples."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: arguments
        assert module == "torch"
        return name

    def persistent_load(self, pid: Any) -> Any:
        return pid


def unpickled(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return Unpickler(io.BytesIO(archive.read("archive/data.pkl"))).load()


ARRAYS = st.dictionaries(
    st.text("abc.é", min_size=1, max_size=8),
    st.sampled_from(list(TYPES.values())).flatmap(
        lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    min_size=1,
    max_size=4,
)


@given(ARRAYS, st.booleans())
def test_arrays_come_back_and_are_what_pytorch_is_told(arrays: dict[str, Any], turned: bool) -> None:
    given = {name: np.asarray(array, order="F") if turned else array for name, array in arrays.items()}
    data = state_dict_bytes(given)
    assert data == state_dict_bytes(arrays)
    found = read_state_dict(data)
    told = unpickled(data)
    assert list(found) == list(told) == list(arrays)
    for number, (name, array) in enumerate(arrays.items()):
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        (kind, storage, key, place, count), offset, shape, strides, gradient, hooks = told[name]
        assert (kind, TYPES[storage], key, place) == ("storage", array.dtype, str(number), "cpu")
        assert (count, offset, shape, gradient, hooks) == (array.size, 0, array.shape, False, OrderedDict())
        expected = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
        assert strides == expected


def test_the_archive_is_laid_out_as_pytorch_lays_it_out() -> None:
    data = state_dict_bytes({"w": np.arange(70, dtype=np.float32), "b": np.ones(3, ">f8")})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = ["data.pkl", "byteorder", "data/0", "data/1", "version"]
        assert archive.namelist() == [f"archive/{name}" for name in names]
        assert archive.read("archive/byteorder") == b"little"
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/data/1") == np.ones(3, "<f8").tobytes()
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            name_length, extra_length = struct.unpack_from("<2H", data, info.header_offset + 26)
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("size", [255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**40])
def test_sizes_of_any_length_are_written(size: int) -> None:
    """Of arrays that have no elements, and so take no memory."""
    array = np.empty((0, size), np.float32)
    data = state_dict_bytes({"w": array})
    assert unpickled(data)["w"][2] == (0, size)
    assert read_state_dict(data)["w"].shape == (0, size)


@pytest.mark.parametrize("count", [255, 256, 257, 65535, 65536, 65537])
def test_storages_of_any_length_are_written(count: int) -> None:
    array = np.arange(count, dtype=np.int32)
    np.testing.assert_array_equal(read_state_dict(state_dict_bytes({"w": array}))["w"], array)


@pytest.mark.parametrize("dtype", [np.complex64, np.uint16, np.uint32, "U3", object, ">c8"])
def test_types_that_pytorch_has_no_storage_for_are_named(dtype: Any) -> None:
    with pytest.raises(WeightsError, match=r"x\.pth: 'w' is .* \[2\]"):
        state_dict_bytes({"w": np.zeros(2, dtype)}, "x.pth")
    with pytest.raises(WeightsError, match="no arrays"):
        state_dict_bytes({})
