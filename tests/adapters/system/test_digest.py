"""Stored scores and cached features are found by these digests: the values are those of earlier versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.errors import WeightsError
from adapters.system import blocks_fingerprint, file_digest, file_fingerprint, sha256_file, value_digest

SMALL = bytes(range(256)) * 4
LARGE = bytes(range(256)) * 4096


@pytest.mark.parametrize(
    ("content", "expected"),
    [(SMALL, "503a16df2483c71e5f483d6037e161c299de3c9b"), (LARGE, "26107a8e5846204787fcc9424d0bae807c2c1a4b")],
    ids=["read whole", "three blocks"],
)
def test_blocks_fingerprint(content: bytes, expected: str) -> None:
    assert blocks_fingerprint(len(content), lambda start, end: content[start:end]).hex() == expected


def test_file_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").write_bytes(SMALL)
    expected = "1b7ff7000e1cedc11515ab1c639dbd968029a60eb6719f0fc8e760bcf9d14dd2"
    assert file_fingerprint(tmp_path / "small") == expected
    (tmp_path / "large").write_bytes(LARGE)
    os.utime(tmp_path / "large", ns=(0, 1_700_000_000_000_000_000))
    monkeypatch.setattr("adapters.system.digest.WHOLE_FILE_BYTES", 1000)
    monkeypatch.setattr("adapters.system.digest.END_BYTES", 100)
    expected = "6b9901b6c1461345fa6808a2a4a9d180a6be99fe6d1864c317862e73b304d88e"
    assert file_fingerprint(tmp_path / "large") == expected


def test_digests_of_files_and_values(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(SMALL)
    expected = "785b0751fc2c53dc14a4ce3d800e69ef9ce1009eb327ccf458afe09c242c26c9"
    assert sha256_file(tmp_path / "small") == file_digest(tmp_path / "small") == expected
    assert len(file_digest(tmp_path / "small", "md5")) == 32
    with pytest.raises(WeightsError, match="absent"):
        sha256_file(tmp_path / "absent")
    expected = "8920de3941419361f145cefba9aa462ed7008553c0e51521d11ae067eca18a8d"
    assert value_digest({"b": [1, None], "a": "é"}) == value_digest({"a": "é", "b": [1, None]}) == expected
