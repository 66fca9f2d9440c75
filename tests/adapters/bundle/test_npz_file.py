"""A golden.npz of an attacker: refused at once, and nothing is allocated by what it claims."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adapters.bundle.golden import make_golden
from adapters.bundle.golden_file import golden_from_bytes, golden_to_bytes
from adapters.bundle.npz_file import read_arrays
from adapters.errors import BundleError
from adapters.records import Clip, InputSpec, Prediction


def predict(clips: Any) -> list[Prediction]:
    return [Prediction(np.array([0.25, 0.75], np.float32), ("a", "b"), clip.start, clip.end) for clip in clips]


def good(clip: Clip | None = None) -> bytes:
    return golden_to_bytes(make_golden(InputSpec(height=8, width=8, n_frames=2), predict, clip=clip))


def npz(compress: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(array: Any, **changes: Any) -> bytes:
    """A .npy file; changes: of its header."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    data = file.getvalue()
    end = 10 + int.from_bytes(data[8:10], "little")
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **changes}
    text = f"{header!r}\n".encode().ljust(end - 10)
    return data[:8] + len(text).to_bytes(2, "little") + text + data[end:]


def parts() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(good())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def about(**changes: Any) -> bytes:
    found = json.loads(read_arrays(good(), ("about", "scores"), 10**6)["about"].tobytes())
    return npy(np.frombuffer(json.dumps({**found, **changes}).encode(), np.uint8))


BIG = 2**40
ATTACKS: dict[str, Callable[[], bytes]] = {
    "shape": lambda: npz(**parts() | {"scores.npy": npy(np.zeros(2, np.float32), shape=(BIG,))}),
    "negative": lambda: npz(**parts() | {"scores.npy": npy(np.zeros(2, np.float32), shape=(-1,))}),
    "objects": lambda: npz(**parts() | {"scores.npy": npy(np.array([{}, []], object))}),
    "more": lambda: npz(**parts() | {"extra.npy": npy(np.zeros(2))}),
    "ratio": lambda: npz(**parts() | {"frames.npy": bytes(300_000_000)}),
    "rendered": lambda: npz(**parts() | {"about.npy": about(shape=[10**6, 10**5, 10**5, 3])}),
    "depth": lambda: npz(**parts() | {"about.npy": npy(np.frombuffer(b"[" * 10**6, np.uint8))}),
    "deep": lambda: npz(**parts() | {"about.npy": npy(np.frombuffer(b"[" * 500 + b"]" * 500, np.uint8))}),
    "bzip2": lambda: npz(zipfile.ZIP_BZIP2, **parts()),
    "header": lambda: npz(**parts() | {"scores.npy": b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x7f" + b"(" * 10**6}),
    "none": lambda: npz(),
    "no zip": lambda: b"PK\x03\x04" + bytes(100),
    "cut": lambda: good()[:-40],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_within_bounds(attack: str) -> None:
    data = ATTACKS[attack]()
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"golden\.npz"):
            golden_from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_member_that_is_there_twice_is_refused() -> None:
    file = io.BytesIO(good())
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("scores.npy", npy(np.zeros(2, np.float32)))
    with pytest.raises(BundleError, match="each once"):
        golden_from_bytes(file.getvalue())


def test_mutants_are_read_or_refused() -> None:
    data, rng = good(), np.random.default_rng(3)
    for _ in range(300):
        mutant = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 8)):
            mutant[place] = rng.integers(256)
        try:
            golden_from_bytes(bytes(mutant))
        except BundleError:
            continue


@pytest.mark.parametrize("fortran", [False, True])
def test_what_numpy_writes_is_read(fortran: bool) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    file = io.BytesIO()
    np.savez(file, a=np.asfortranarray(array) if fortran else array, b=np.float32(3))
    found = read_arrays(file.getvalue(), ("a", "b"), 1000)
    np.testing.assert_array_equal(found["a"], array)
    assert found["b"].shape == ()
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(50_000, np.uint8))
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        read_arrays(file.getvalue(), ("a", "b"), 1000)


def test_a_given_clip_comes_back() -> None:
    clip = Clip(np.full((2, 8, 8, 3), 7, np.uint8), np.array([0.0, 1.0]), "/home/ann/a.mp4", 0.0, 2.0)
    golden = golden_from_bytes(good(clip))
    np.testing.assert_array_equal(golden.clip.frames, clip.frames)
    assert golden.clip.source == "a.mp4"  # not where it was
