"""The memory that reading a file takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from adapters.errors import AdapterError
from adapters.system import read_regular_bytes


def test_a_small_file_takes_little_whatever_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"abc" * 1000)
    tracemalloc.start()
    try:
        assert read_regular_bytes(tmp_path / "small", (1 << 31) - 1) == b"abc" * 1000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="no file without a size here")
def test_a_file_without_a_size_is_read_to_its_end_or_limit() -> None:
    assert b"VmFlags" in read_regular_bytes("/proc/self/smaps", 1 << 24)[-400:]
    with pytest.raises(AdapterError, match="at most 1,000 are allowed"):
        read_regular_bytes("/proc/self/smaps", 1000)
