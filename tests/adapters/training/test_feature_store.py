"""The feature store: what was acknowledged stays, whatever happens."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

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
