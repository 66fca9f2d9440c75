"""Configs that are made to cost: refused by name, within a moment."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tflite_adapter import bare_program
from tiny_adapter import TinyAdapter

from adapters.bundle import is_bundle, write_sealed
from adapters.config import read_config_file
from adapters.config.files import MAX_JSON_BYTES, MAX_YAML_BYTES
from adapters.errors import AdapterError, BundleError, ConfigError
from adapters.inference import open_model, stored_config
from adapters.litert import read_description, with_description
from adapters.system import parse_json
from cliplab.registry import read_manifest


def billion_laughs(levels: int = 9, wide: int = 9) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(lines)


YAML = {
    "aliases": billion_laughs(),
    "aliases in keys": billion_laughs().replace("a8: &a8 [", "a8: &a8 [{*a7 : 1}, "),
    "cycle": "a: &a [*a]",
    "cycle of objects": "a: &a {b: *a}",
    "depth": "a: " + "[" * 5000 + "]" * 5000,
    "deep": "a: " + "[" * 100 + "]" * 100,
    "deep blocks": "\n".join("  " * n + "a:" for n in range(100)),
    "python": "a: !!python/object/apply:os.system [true]",
    "large": "a: b\n" * (MAX_YAML_BYTES // 4),
    "unfinished": "a: [",
    "text": "just text",
    "nothing": "",
}
JSON = {
    "depth": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep": '{"a": ' + "[" * 200 + "]" * 200 + "}",
    "deep objects": '{"a":' * 200 + "1" + "}" * 200,
    "large": '{"a": "' + "x" * MAX_JSON_BYTES + '"}',
    "number": '{"a": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "own.yaml", YAML[name])


@pytest.mark.parametrize("name", JSON)
def test_json(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "own.json", JSON[name])


def refused(path: Path, text: str) -> None:
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError, match=path.name):
        open_model(path)
    assert time.process_time() - began < 10


def test_aliases_that_people_write_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: &a [1, 2]\nb: *a\nc: {d: *a}\n")
    assert read_config_file(tmp_path / "own.yaml") == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_depth_is_counted() -> None:
    for levels in (3, 4):
        text = "[" * levels + "]" * levels
        assert parse_json(text, levels) is not None
        with pytest.raises(ValueError, match="nested"):
            parse_json(text, levels - 1)
    with pytest.raises(ValueError, match="nested"):
        parse_json("[" * 10**6)


@pytest.mark.parametrize("file", ["config.json", "metrics.json", "bundle.json"])
def test_depth_in_a_bundle(tmp_path: Path, file: str) -> None:
    TinyAdapter({}).save(tmp_path / "b")
    files = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir() if path.name != "bundle.json"}
    deep = ('{"a": ' + "[" * 500 + "]" * 500 + "}").encode()
    if file == "bundle.json":
        (tmp_path / "b" / file).write_bytes(deep)
    else:
        write_sealed(tmp_path / "b", files | {file: deep})
    with pytest.raises(BundleError, match=file):
        open_model(tmp_path / "b")


def test_depth_in_a_tflite_and_a_manifest(tmp_path: Path) -> None:
    value: list[object] = []
    for _ in range(200):
        value = [value]
    (tmp_path / "a.tflite").write_bytes(with_description(bare_program(64), {"config": {"a": value}}))
    with pytest.raises(BundleError, match=r"a\.tflite.*nested"):
        read_description(tmp_path / "a.tflite")
    (tmp_path / "model_manifest.json").write_text(json.dumps({"current": None, "models": value}))
    with pytest.raises(BundleError, match=r"model_manifest\.json.*nested"):
        read_manifest(tmp_path)


# FIFOs, sockets and devices at names that are read ------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [fifo, unix_socket, device])
@pytest.mark.parametrize("name", ["config.json", "metrics.json", "card.md", "bundle.json", "weights.safetensors"])
def test_in_a_bundle(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "b"
    TinyAdapter({}).save(folder)
    (folder / name).unlink()
    make(folder / name)
    began = time.monotonic()
    for act in (open_model, stored_config, is_bundle) if name == "bundle.json" else (open_model,):
        if act is is_bundle:
            assert not is_bundle(folder)
            continue
        with pytest.raises(BundleError, match=name):
            act(folder)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("make", [fifo, unix_socket, device])
@pytest.mark.parametrize("name", ["own.json", "own.yaml", "own.tflite", "model_manifest.json"])
def test_in_other_files(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    make(tmp_path / name)
    began = time.monotonic()
    with pytest.raises(AdapterError, match=name):
        read_manifest(tmp_path) if name == "model_manifest.json" else open_model(tmp_path / name)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("text", ["{a: 1}: 2", "? [1, 2]\n: 3", "name: 'x\x00y'", "a: \x1b[2J"])
def test_yaml_with_keys_that_are_not_text_or_control_characters_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml: is not valid YAML"):
        read_config_file(path)


@pytest.mark.parametrize("value", [1e308, -1e308, [0.0, 0.0, 1e39], 10**30])
@pytest.mark.parametrize("key", ["mean", "scale"])
def test_numbers_that_float32_cannot_hold_are_refused_by_the_name_of_their_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f'"{key}'):
        TinyAdapter({key: value})


@pytest.mark.parametrize("value", [0, 1e-300, [1.0, 1.0, 1e-46]])
def test_a_scale_that_is_0_in_float32_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match='"scale'):
        TinyAdapter({"scale": value})
