"""The cache of programs: whole or made again, never wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from adapters.litert.program_cache import digest_path, get_or_make, program_path

PROGRAM = b"\0\0\0\0TFL3" + bytes(range(200))
IDENTITY = {"weights": "abc"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))


def fetch() -> tuple[bytes, int]:
    """The program, and how often it was made."""
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return PROGRAM

    return get_or_make(IDENTITY, make).read_bytes(), len(made)


def test_it_is_made_once_with_its_digest() -> None:
    assert fetch() == (PROGRAM, 1)
    assert fetch() == (PROGRAM, 0)
    path = program_path(IDENTITY)
    assert digest_path(path).read_text() == hashlib.sha256(PROGRAM).hexdigest()


@pytest.mark.parametrize(
    "data",
    [b"", PROGRAM[:50], PROGRAM + b"0", bytes(len(PROGRAM)), PROGRAM[:100] + b"\xff" + PROGRAM[101:]],
    ids=["empty", "cut", "longer", "zeros", "one byte"],
)
def test_a_damaged_program_is_made_again_with_a_warning(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    fetch()
    path = program_path(IDENTITY)
    path.write_bytes(data)
    assert fetch() == (PROGRAM, 1)
    assert str(path) in caplog.text
    assert fetch() == (PROGRAM, 0)


@pytest.mark.parametrize("data", [b"", b"0" * 64, b"\xff" * 64, b"x" * 100_000])
def test_a_damaged_digest_costs_a_program(data: bytes) -> None:
    fetch()
    digest_path(program_path(IDENTITY)).write_bytes(data)
    assert fetch() == (PROGRAM, 1)
    assert fetch() == (PROGRAM, 0)


def test_a_program_of_an_older_version_has_no_digest_and_gets_one() -> None:
    fetch()
    path = program_path(IDENTITY)
    digest_path(path).unlink()
    assert fetch() == (PROGRAM, 0)
    path.write_bytes(PROGRAM[:99])
    assert fetch() == (PROGRAM, 1)
    digest_path(path).unlink()
    path.write_bytes(b"no program")
    assert fetch() == (PROGRAM, 1)


@pytest.mark.parametrize("which", [program_path, lambda identity: digest_path(program_path(identity))])
def test_a_fifo_in_its_place_is_replaced(which: object) -> None:
    fetch()
    path: Path = which(IDENTITY)  # type: ignore[operator]
    path.unlink()
    os.mkfifo(path)
    assert fetch() == (PROGRAM, 1)
    assert fetch() == (PROGRAM, 0)
