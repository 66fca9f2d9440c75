"""Weights from elsewhere: checkpoints of training programs, wrappers' prefixes, other files, hostile files."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import random
import resource
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_resnet
from test_weights import legacy_file, number, tensor, text, zip_file

from adapters.errors import AdapterError, WeightsError
from adapters.inference import open_model
from adapters.models.efficientnet_lite import torch_names as lite_names
from adapters.models.resnet18.network import torch_to_variables
from adapters.models.weights import OUTPUT_BIAS, OUTPUT_KERNEL, write_safetensors, write_state_dict
from adapters.models.weights.torch_pickle import read_state_dict
from adapters.system import parse_safetensors

STATE = torch_resnet.random_state(5, classes=3)
SMALL = {"conv1.weight": np.arange(6, dtype="<f4").reshape(2, 3), "fc.bias": np.ones(2, "<f4")}


# What training programs write -----------------------------------------------------------------------------------------


class _Tensors:
    """Pickle instructions of a nested dict whose arrays are tensors, and the storages that belong to it."""

    def __init__(self, legacy: bool) -> None:
        self.legacy, self.storages = legacy, dict[str, np.ndarray]()

    def instructions(self, value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            key = f"k{len(self.storages)}"
            self.storages[key] = value
            return tensor(value, key, self.legacy)
        if isinstance(value, dict):
            items = b"".join(self.instructions(key) + self.instructions(item) for key, item in value.items())
            return b"}(" + items + b"u"
        if isinstance(value, str):
            return text(value)
        return pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"").replace(b"q\x01", b"")

    def file(self, value: Any) -> bytes:
        state = b"\x80\x02" + self.instructions(value) + b"."
        return (legacy_file if self.legacy else zip_file)(state, self.storages)


class SomeoneElses:
    """A class that only the writer of a checkpoint has."""

    def __init__(self) -> None:
        self.values = [1, 2]


CHECKPOINTS: dict[str, Any] = {
    "flat": lambda w: w,
    "torchvision references": lambda w: {"model": w, "optimizer": {"state": {0: {"step": 7}}}, "epoch": 3},
    "timm": lambda w: {"epoch": 3, "arch": "resnet18", "state_dict": w, "metric": 0.5},
    "hand-made": lambda w: {"model_state_dict": w, "loss": 0.1},
    "lightning": lambda w: {"epoch": 1, "state_dict": {f"model.{k}": v for k, v in w.items()}, "loops": {}},
    "ema": lambda w: {"ema": w, "epoch": 2},
    "basicsr": lambda w: {"params": w},
    "network": lambda w: {"net": {f"module.{k}": v for k, v in w.items()}, "acc": 91.0},
    "stacked": lambda w: {"model": {"state_dict": w}, "epoch": 1},
}


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("form", CHECKPOINTS)
def test_the_weights_in_a_checkpoint_are_found(form: str, legacy: bool) -> None:
    found = read_state_dict(_Tensors(legacy).file(CHECKPOINTS[form](SMALL)))
    assert sorted(name.rpartition("conv1")[1] + name.rpartition("fc")[1] for name in found) == ["conv1", "fc"]
    for array, expected in zip(found.values(), SMALL.values(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_of_a_model_and_its_average_the_average_is_taken_and_it_is_said() -> None:
    notes: list[str] = []
    other = {name: value + 1 for name, value in SMALL.items()}
    averaged = {f"module.{name}": value for name, value in other.items()} | {"n_averaged": np.array(5, "<i8")}
    found = read_state_dict(_Tensors(True).file({"model": SMALL, "model_ema": averaged}), on_note=notes.append)
    np.testing.assert_array_equal(found["module.conv1.weight"], other["conv1.weight"])
    assert "'model_ema' is used" in notes[0]
    assert "'model'" in notes[0]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_objects_of_unknown_classes_beside_the_weights_stay_names(protocol: int) -> None:
    """Lightning keeps hyper-parameters and callbacks of whatever classes a person has."""
    import argparse
    import collections
    import datetime

    others = {
        "hyper_parameters": argparse.Namespace(lr=0.1, when=datetime.date(2026, 1, 1)),
        "callbacks": {SomeoneElses: SomeoneElses(), ("a", 1): collections.Counter("abc")},
        "sets": {1, 2, frozenset({3})},
        "ordered": OrderedDict(a=np.float64(0.5)),
        "bytes": (b"x", bytearray(b"y"), 2**70, -1.5, None),
    }
    tensors = _Tensors(True)
    weights = tensors.instructions(SMALL)
    state = b"\x80" + bytes([protocol]) + b"}(" + text("state_dict") + weights
    for key, value in others.items():
        dumped = pickle.dumps(value, protocol)[2:-1]
        if protocol > 3 and dumped[:1] == b"\x95":
            dumped = dumped[9:]
        state += text(key) + dumped
    found = read_state_dict(legacy_file(state + b"u.", tensors.storages))
    assert set(found) == set(SMALL)


def test_objects_in_the_place_of_weights_are_refused_by_name() -> None:
    for value in ({"model": SomeoneElses()}, SomeoneElses(), {"conv1.weight": SomeoneElses()}):
        with pytest.raises(WeightsError, match=r"test_checkpoints\.SomeoneElses"):
            read_state_dict(legacy_file(pickle.dumps(value, 2), {}))


# Prefixes, heads, names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["", *("".join(p) for n in (1, 2, 3) for p in itertools.permutations(("module.", "_orig_mod.", "model."), n))],
)
def test_prefixes_of_wrappers_are_removed_in_any_order(prefix: str) -> None:
    found = torch_to_variables({prefix + name: value for name, value in STATE.items()} | {"n_averaged": np.array(1)})
    np.testing.assert_array_equal(found.backbone["conv1/kernel"], STATE["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(found.classifier[OUTPUT_KERNEL], STATE["fc.weight"].T)


def test_a_backbone_beside_its_head_and_a_loss_with_weights_is_found() -> None:
    """As a Lightning module has them: the head is not in the backbone's attribute, the loss none of the network."""
    renamed = {f"backbone.{name}" if "fc" not in name else name: value for name, value in STATE.items()}
    found = torch_to_variables(renamed | {"criterion.pos_weight": np.ones(3), "train_acc.total": np.array(4)})
    assert set(found.classifier) == {OUTPUT_KERNEL, OUTPUT_BIAS}


HEADS = {
    "none": {},
    "two layers": {"fc.0.weight": np.ones((8, 512)), "fc.0.bias": np.ones(8), "fc.2.weight": np.ones((2, 8))},
    "another name": {"head.fc.weight": np.ones((7, 512)), "head.fc.norm.weight": np.ones(512)},
    "another width": {"fc.weight": np.ones((10, 2048)), "fc.bias": np.ones(10)},
    "no bias": {"classifier.weight": np.ones((10, 512))},
    "a vector": {"last_linear.weight": np.ones(3)},
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_is_replaced_may_have_any_shape(head: str, tmp_path: Path) -> None:
    trunk = {name: value for name, value in STATE.items() if not name.startswith("fc.")}
    write_state_dict(tmp_path / "w.pth", trunk | {k: np.asarray(v, np.float32) for k, v in HEADS[head].items()})
    adapter: Any = open_model("resnet18", {"weights": str(tmp_path / "w.pth"), "labels": ["a", "b"]})
    assert not adapter.brings_classifier
    assert adapter.pretrained().backbone.keys() == torch_to_variables(STATE).backbone.keys()
    with pytest.raises(WeightsError, match="no classifier with one linear layer"):
        open_model("resnet18", {"weights": str(tmp_path / "w.pth")}).embed([])


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".bin", ".ckpt", ".safetensors", ""])
def test_the_content_says_what_a_file_is_and_not_its_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"resnet{suffix}"
    (write_safetensors if suffix == ".safetensors" else write_state_dict)(path, STATE)
    adapter: Any = open_model("resnet18", {"weights": str(path), "labels": ["a", "b", "c"]})
    assert adapter.brings_classifier
    np.testing.assert_array_equal(adapter.pretrained().backbone["bn1/gamma"], STATE["bn1.weight"])


def test_timms_names_of_a_lite0_are_the_packages_own() -> None:
    for variant in ("lite0", "lite1", "lite2"):
        package, timm = lite_names.package_names(variant), lite_names.timm_names(variant)
        assert list(package.values()) == list(timm.values())
    rng = np.random.default_rng(0)
    shapes = {"kernel": (4, 3, 1, 1), "depthwise_kernel": (4, 1, 3, 3)}
    state = {
        name: rng.normal(size=shapes.get(ours.rpartition("/")[2], (4,))).astype(np.float32)
        for name, ours in lite_names.timm_names("lite0").items()
    }
    state["classifier.weight"], state["classifier.bias"] = np.ones((5, 1280), "<f4"), np.ones(5, "<f4")
    found = lite_names.torch_to_variables({f"module.{name}": value for name, value in state.items()}, "lite0")
    assert found.backbone["block0_depthwise_conv/depthwise_kernel"].shape == (3, 3, 4, 1)
    assert found.classifier[OUTPUT_KERNEL].shape == (1280, 5)


def test_another_network_is_said_with_the_first_keys_that_do_not_fit(tmp_path: Path) -> None:
    other = {name: value for name, value in STATE.items() if not name.startswith("layer4")}
    other |= {"layer1.0.conv3.weight": np.ones((256, 64, 1, 1), np.float32)}
    write_state_dict(tmp_path / "resnet50.pth", other)
    with pytest.raises(
        WeightsError, match=r"resnet50\.pth: tensor 'layer1\.0\.conv3\.weight' is not part of a ResNet18"
    ):
        open_model("resnet18", {"weights": str(tmp_path / "resnet50.pth"), "labels": ["a", "b"]}).embed([])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named_with_their_file(value: float, tmp_path: Path) -> None:
    write_state_dict(tmp_path / "w.pth", STATE | {"bn1.bias": np.full(64, value, np.float32)})
    with pytest.raises(WeightsError, match=r"w\.pth: 'bn1/beta' holds 64 values that are not finite"):
        open_model("resnet18", {"weights": str(tmp_path / "w.pth"), "labels": ["a", "b"]}).embed([])


# Files of something else ----------------------------------------------------------------------------------------------


def _zip_of(**entries: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _tar_of(**entries: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


OTHERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    "json": (b'{"error": "rate limit exceeded"}', "is text that begins with"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(30), "compressed with gzip"),
    "tar": (_tar_of(weights=b"w" * 2000), "tar archive"),
    "zip": (_zip_of(**{"notes.txt": b"hello"}), r"zip archive of something else \(notes\.txt\)"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(50), "NumPy array"),
    "noise": (bytes(range(200, 255)) * 4, "cannot be read as PyTorch weights"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_true_fault_of_a_file_is_said_before_anything_of_heads(kind: str, tmp_path: Path) -> None:
    data, message = OTHERS[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    adapter = open_model("resnet18", {"weights": str(path), "labels": ["a", "b"]})
    with pytest.raises(WeightsError, match=message) as caught:
        adapter.embed([])
    assert "weights.pth" in str(caught.value)


def test_missing_files_folders_and_pipes_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    for name, message in (("none.pth", "No such file"), ("folder.pth", "folder"), ("pipe.pth", "pipe")):
        with pytest.raises(WeightsError, match=message):
            open_model("resnet18", {"weights": str(tmp_path / name), "labels": ["a", "b"]}).embed([])


def test_a_file_that_was_cut_short_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for whole in (_Tensors(True).file(SMALL), _Tensors(False).file(SMALL)):
        path.write_bytes(whole[: len(whole) - 10])
        with pytest.raises(WeightsError, match=r"cut short|damaged"):
            read_state_dict(path)


# Hostile files --------------------------------------------------------------------------------------------------------


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_tensors_that_share_one_storage_take_no_more_than_the_file_bounds() -> None:
    """800 names of a storage of 4 MB were 3.2 GB."""
    storage = np.zeros(1 << 20, "<f4")
    one = tensor(storage, "k", True)
    memoised = text("a") + one + b"q\x05" + b"".join(text(f"n{i}") + b"h\x05" for i in range(800))
    before = _peak_bytes()
    with pytest.raises(WeightsError, match="share storages"):
        read_state_dict(legacy_file(b"\x80\x02}(" + memoised + b"u.", {"k": storage}))
    assert _peak_bytes() - before < 64 << 20


def test_tied_weights_are_read() -> None:
    storage = np.arange(4, dtype="<f4")
    state = b"\x80\x02}(" + text("a") + tensor(storage, "k", True) + b"q\x05" + text("b") + b"h\x05u."
    found = read_state_dict(legacy_file(state, {"k": storage}))
    np.testing.assert_array_equal(found["a"], found["b"])


def test_strides_of_zero_do_not_multiply_what_a_file_holds() -> None:
    storage = np.zeros(4, "<f4")
    wide = np.broadcast_to(storage[:1], (1 << 20,))
    state = tensor(wide, "k", True, strides=(0,)).replace(number(wide.size) + b"N", number(4) + b"N")
    with pytest.raises(WeightsError, match=r"reaches outside|share storages"):
        read_state_dict(legacy_file(b"\x80\x02}" + text("w") + state + b"s.", {"k": storage}))


def test_a_pickle_of_endless_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.models.weights import pickle_machine

    monkeypatch.setattr(pickle_machine, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(WeightsError, match="more than 1000 instructions"):
        read_state_dict(legacy_file(b"\x80\x02" + b"}" * 2000 + b".", {}))


def test_a_zip_of_many_entries_is_refused_before_its_directory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.models.weights import torch_pickle

    monkeypatch.setattr(torch_pickle, "MAX_ENTRIES", 50)
    with pytest.raises(WeightsError, match="more than 50 entries"):
        read_state_dict(_zip_of(**{f"x/{number}": b"" for number in range(60)}))


def _safetensors(header: bytes, values: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + values


def test_a_safetensors_header_of_a_million_empty_tensors_is_refused() -> None:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(entry % number for number in range(60_000)) + "}"
    with pytest.raises(ValueError, match="lists 60000 tensors"):
        parse_safetensors(_safetensors(header.encode()))
    with pytest.raises(ValueError, match="header claims"):
        parse_safetensors(struct.pack("<Q", 60_000_000) + b"{" * 100)


@pytest.mark.parametrize(
    "entries",
    [
        {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"},
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1 << 60]}},
        {"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},  # bytes that belong to no tensor
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}},
        {"a": [1]},
        [],
    ],
)  # fmt: skip
def test_safetensors_that_promise_what_they_lack_are_refused(entries: Any) -> None:
    with pytest.raises(ValueError):
        parse_safetensors(_safetensors(json.dumps(entries).encode(), bytes(8)))


def test_bfloat16_of_a_safetensors_file_becomes_float32() -> None:
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}, "__metadata__": {"format": "pt"}}
    values = np.array([1.5, -2], "<f4").view("<u4") >> 16
    found = parse_safetensors(_safetensors(json.dumps(header).encode(), values.astype("<u2").tobytes()))
    np.testing.assert_array_equal(found["a"], [1.5, -2])


@pytest.mark.parametrize("kind", ["legacy", "zip", "safetensors"])
def test_fifty_mutations_of_a_file_end_in_weights_or_in_an_error_on_purpose(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{kind}"
    if kind == "safetensors":
        write_safetensors(path, SMALL)
    else:
        path.write_bytes(_Tensors(kind == "legacy").file({"state_dict": SMALL, "epoch": 3, "ema": SMALL}))
    whole, rng = path.read_bytes(), random.Random(kind)
    for _ in range(50):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            what = rng.randrange(4)
            if what == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif what == 1:
                del data[at : at + rng.randint(1, 20)]
            elif what == 2:
                data[at:at] = rng.randbytes(rng.randint(1, 20))
            else:
                data[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), data[at : at + 8]])
        path.write_bytes(data)
        try:
            open_model("resnet18", {"weights": str(path), "labels": ["a", "b"]}).embed([])
        except AdapterError:
            continue
        raise AssertionError("such a file is not a ResNet18")


def test_of_two_copies_in_one_state_dict_the_averaged_one_is_taken() -> None:
    both = {f"online_model.{name}": value for name, value in STATE.items()}
    both |= {f"ema_model.{name}": value * 2 for name, value in STATE.items()}
    found = torch_to_variables(both | {"initted": np.array(True), "step": np.array(9)})
    np.testing.assert_array_equal(found.backbone["bn1/beta"], STATE["bn1.bias"] * 2)
    np.testing.assert_array_equal(found.classifier[OUTPUT_BIAS], STATE["fc.bias"] * 2)


# Files of other kinds, and wrappers of one's own ---------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["resnet.", "0.", "my_model.encoder_1."])
def test_a_prefix_that_nobody_else_uses_is_removed_where_the_network_is_there_once(prefix: str) -> None:
    found = torch_to_variables({f"{prefix}{name}": value for name, value in STATE.items()})
    expected = torch_to_variables(STATE)
    assert found.backbone.keys() == expected.backbone.keys()
    assert found.classifier.keys() == expected.classifier.keys()
    for name, value in expected.backbone.items():
        np.testing.assert_array_equal(found.backbone[name], value)


def test_two_copies_under_prefixes_of_ones_own_are_refused_by_name() -> None:
    state = {f"{prefix}{name}": value for prefix in ("encoder_q.", "encoder_k.") for name, value in STATE.items()}
    with pytest.raises(WeightsError, match="encoder_q"):
        torch_to_variables(state)


@pytest.mark.parametrize("key", ["teacher", "student"])
def test_networks_that_teach_themselves(key: str) -> None:
    assert read_state_dict(_Tensors(False).file({key: SMALL, "epoch": 3})).keys() == SMALL.keys()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (("m/data.pkl", "m/code/__torch__/net.py", "m/constants.pkl"), "a program of TorchScript"),
        (("m/archive_format", "m/data/weights/weight_0"), r"a program of torch\.export"),
        (("conv1.weight.npy", "fc.bias.npy"), "an archive of NumPy arrays"),
    ],
)
def test_archives_of_other_programs_are_named(entries: tuple[str, ...], words: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            archive.writestr(entry, b"x")
    with pytest.raises(WeightsError, match=words):
        read_state_dict(data.getvalue())


def test_the_list_of_weights_in_several_files_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {"fc.bias": "model-00001-of-00002.bin"}}))
    with pytest.raises(WeightsError, match="saved in several files"):
        read_state_dict(path)
