"""The feature store: what was acknowledged stays, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import start_python
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import StorageError
from adapters.training.feature_store import FeatureStore

SHAPE = (2, 3)


def row(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full(SHAPE, value, np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=5), max_size=6), st.integers(0, 40))
def test_rows_come_back_also_after_a_torn_write(batches: list[list[int]], torn_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for batch in batches:
            with FeatureStore(folder, SHAPE) as store:
                store.append({str(value): row(value) for value in batch})
            # What a process that is killed while it writes may leave: part of a row, part of an index line.
            with (folder / "features.f32").open("ab") as data, (folder / "index.jsonl").open("ab") as index:
                data.write(b"\xff" * torn_bytes)
                index.write(b'["torn", 9'[: torn_bytes % 11])
        with FeatureStore(folder, SHAPE) as store:
            expected = sorted({value for batch in batches for value in batch})
            assert len(store) == len(expected)
            rows = store.rows([str(value) for value in expected])
            np.testing.assert_array_equal(store.array()[rows], np.array([row(v) for v in expected]).reshape(-1, *SHAPE))


def test_a_killed_writer_loses_nothing_that_it_was_told_of(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from adapters.training.feature_store import FeatureStore\n"
        "with FeatureStore(sys.argv[1], (2, 3)) as store:\n"
        "    for n in range(10**6):\n"
        "        store.append({str(n): np.full((2, 3), n, np.float32)})\n"
        "        print(n, flush=True)\n"
    )
    child = start_python(code, tmp_path)
    assert child.stdout is not None
    told = -1
    for line in child.stdout:
        told = int(line)
        if told >= 20:
            os.kill(child.pid, signal.SIGKILL)
            break
    told = max([told, *(int(line) for line in child.stdout if line.strip().isdecimal())])
    child.wait()
    with FeatureStore(tmp_path, SHAPE) as store:
        for number in range(told + 1):
            assert store.array()[store.rows([str(number)])[0], 0, 0] == number
        store.append({"after": row(-1)})
        assert store.array()[store.rows(["after"])[0], 0, 0] == -1


def test_two_stores_see_each_others_rows(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, SHAPE) as one, FeatureStore(tmp_path, SHAPE) as two:
        one.append({"a": row(1)})
        two.append({"b": row(2), "a": row(9)})
        assert two.array()[two.rows(["a", "b"]), 0, 0].tolist() == [1, 2]


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, SHAPE) as store, pytest.raises(ValueError, match=r"\[4\]"):
        store.append({"a": np.zeros(4, np.float32)})


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        FeatureStore(tmp_path / "file" / "store", SHAPE)


def test_a_new_store_holds_no_rows(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, SHAPE) as store:
        assert store.array().shape == (0, *SHAPE)
        assert store.array().dtype == np.float32


def filled(folder: Path, count: int = 5) -> bytes:
    """A store of rows 0, 1, 2 ...; its index."""
    with FeatureStore(folder, SHAPE) as store:
        store.append({f"key{value}": row(value) for value in range(count)})
    return (folder / "index.jsonl").read_bytes()


KEYS = [f"key{value}" for value in range(5)]


def check_and_refill(folder: Path) -> int:
    """How many rows are computed again; every row that is used is right."""
    with FeatureStore(folder, SHAPE) as store:
        store.drop_damaged(KEYS)
        missing = [key for key in KEYS if key not in store]
        store.append({key: row(int(key[3:])) for key in missing})
        found = store.array()[store.rows(KEYS)]
    np.testing.assert_array_equal(found, np.array([row(value) for value in range(5)]))
    return len(missing)


def test_a_changed_byte_of_any_row_or_line_costs_that_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path / "whole")
    rng = np.random.default_rng(7)
    for name in ("features.f32", "index.jsonl"):
        size = (tmp_path / "whole" / name).stat().st_size
        for place in rng.choice(size, min(size, 60), replace=False):
            folder = tmp_path / f"{name}{place}"
            shutil.copytree(tmp_path / "whole", folder)
            data = bytearray((folder / name).read_bytes())
            data[place] ^= int(rng.integers(1, 256))
            (folder / name).write_bytes(data)
            caplog.clear()
            assert check_and_refill(folder) in (0, 1, 2), (name, place)  # 0: a digit 0 before a number; 2: a line end
            caplog.clear()
            assert check_and_refill(folder) == 0
            assert not caplog.records


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path)
    data = bytearray((tmp_path / "features.f32").read_bytes())
    data[30] ^= 1
    (tmp_path / "features.f32").write_bytes(data)
    assert check_and_refill(tmp_path) == 1
    assert "1 cached features were damaged" in caplog.text


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", '["key1"]', '["key1", "x", 3]', '["key1", -1]', '["key1", 1e9]', "[" * 9999]
)
def test_a_line_that_is_none_costs_nothing_else(tmp_path: Path, line: str) -> None:
    index = filled(tmp_path)
    (tmp_path / "index.jsonl").write_bytes(line.encode() + b"\n" + index)
    assert check_and_refill(tmp_path) == 0


def test_lines_without_a_crc_are_of_older_versions(tmp_path: Path) -> None:
    lines = [json.loads(line)[:2] for line in filled(tmp_path).splitlines()]
    (tmp_path / "index.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert check_and_refill(tmp_path) == 0


def test_data_that_was_cut_costs_the_rows_that_are_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    os.truncate(tmp_path / "features.f32", 3 * 24 + 5)
    assert check_and_refill(tmp_path) == 2


@pytest.mark.parametrize("name", ["features.f32", "index.jsonl"])
def test_a_fifo_in_its_place_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(StorageError, match=f"{name}.*FIFO"):
        FeatureStore(tmp_path, SHAPE)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda key, number, crc: [key, number, crc], True),
        (lambda key, number, crc: [key, number], True),  # as older versions wrote it
        (lambda key, number, crc: [key, number, crc, 1], False),
        (lambda key, number, crc: [key, number, str(crc)], False),
        (lambda key, number, crc: [key, number, None], False),
        (lambda key, number, crc: [7, number, crc], False),
        (lambda key, number, crc: [key, True, crc], False),
        (lambda key, number, crc: [key, -1, crc], False),
        (lambda key, number, crc: [key, 2, crc], False),  # behind the last row
        (lambda key, number, crc: {"key": key}, False),
    ],
)
def test_a_line_of_the_index_is_a_key_a_row_and_a_crc(tmp_path: Path, change: Any, kept: bool) -> None:
    with FeatureStore(tmp_path, SHAPE) as store:
        store.append({"a": row(1), "b": row(2)})
    index = tmp_path / "index.jsonl"
    first, second = (json.loads(line) for line in index.read_text().splitlines())
    index.write_text(f"{json.dumps(first)}\n{json.dumps(change(*second))}\n")
    with FeatureStore(tmp_path, SHAPE) as store:
        assert "a" in store
        assert ("b" in store) is kept
        assert len(store) == 1 + kept
