"""Observations of a recording: what is stored comes back, and what is damaged is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import MediaError
from cliplab.detect.observations import Observations, _digest, load_observations
from cliplab.detect.refining import places_to_refine
from tests.support.observations import adverts, simulate


def observations(steps: int = 5, **changes: object) -> Observations:
    """Small observations."""
    values = {
        "times": np.arange(steps, dtype=np.float64),
        "ad_scores": np.linspace(0, 1, steps, dtype=np.float32),
        "rows": {"black": np.full(steps, np.nan, np.float32), "silence": np.zeros(steps, np.float32)},
        "cuts": np.array([1.04, 3.5]),
        "cut_strength": np.array([0.5, 1.0], np.float32),
        "cut_kinds": ("shot", "black+silence"),
        "duration_seconds": float(steps),
        "damaged": [(2.0, 2.5)],
        "notes": ("no sound",),
        "exact": [(0.0, 2.0)],
        "features": np.arange(steps * 64, dtype=np.float16).reshape(steps, 64),
    }
    return Observations(**(values | changes))  # type: ignore[arg-type]


def test_what_is_stored_comes_back(tmp_path):
    was = observations()
    was.save(tmp_path / "evening.npz")
    now = Observations.load(tmp_path / "evening.npz")
    for name in ("times", "ad_scores", "cuts", "cut_strength", "features"):
        np.testing.assert_array_equal(getattr(now, name), getattr(was, name))
        assert getattr(now, name).dtype == getattr(was, name).dtype
    for name in ("cut_kinds", "duration_seconds", "damaged", "grid_seconds", "notes", "exact"):
        assert getattr(now, name) == getattr(was, name)
    assert list(now.rows) == list(was.rows)
    assert np.isnan(now.row("logo")).all()


def test_a_file_from_before_features_were_kept_is_read(tmp_path, monkeypatch):
    plain = observations(features=np.zeros((0, 64), np.float16))

    with monkeypatch.context() as patch:  # as the version before wrote it: no such array, and none in the digest
        patch.setattr("cliplab.detect.observations.np.savez_compressed", _savez_without_features)
        patch.setattr("cliplab.detect.observations._digest", lambda head, arrays: _old_digest(head, arrays))
        plain.save(tmp_path / "old.npz")
    assert load_observations(tmp_path / "old.npz").features.shape == (0, 64)
    with pytest.raises(ValueError, match="features"):
        observations(features=np.zeros((3, 64), np.float16))


_savez = np.savez_compressed


def _savez_without_features(buffer, **arrays):
    _savez(buffer, **{name: array for name, array in arrays.items() if name != "features"})


def _old_digest(head, arrays):
    return _digest(head, {name: array for name, array in arrays.items() if name != "features"})


def test_every_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / "evening.npz"
    observations().save(path)
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), 37):
        changed = bytearray(data)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            again = load_observations(path)
        except MediaError:
            continue
        np.testing.assert_array_equal(again.ad_scores, observations().ad_scores)  # a byte that nobody reads


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 500])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"other\.npz"):
        load_observations(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"none\.npz"):
        load_observations(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"ad_scores": np.full(5, 2.0, np.float32)},
        {"ad_scores": np.zeros(4, np.float32)},
        {"rows": {"taste": np.zeros(5, np.float32)}},
        {"cuts": np.array([3.0, 1.0])},
        {"cut_kinds": ("shot",)},
    ],
)
def test_values_that_cannot_be(changes):
    with pytest.raises(ValueError):
        observations(**changes)


def test_a_recording_without_anything(tmp_path):
    empty = np.zeros(0, np.float32)
    one = observations(
        0, ad_scores=empty, rows={}, cuts=np.zeros(0), cut_strength=empty, cut_kinds=(), damaged=[], exact=[]
    )
    one.save(tmp_path / "empty.npz")
    assert load_observations(tmp_path / "empty.npz").duration_seconds == 0


def test_suggestions_leave_time_for_what_the_decoder_comes_to() -> None:
    """Silence at every other cut suggests more places than there is time to decode."""
    seen = simulate(900, [adverts(300, [20, 30, 15])], cuts_per_second=0.5)
    seen = replace(seen, cut_kinds=tuple("shot+silence" if n % 2 else "shot" for n in range(len(seen.cuts))))
    first = places_to_refine(seen, [300.0])
    assert any(start < 300 < end for start, end in first)
    later = places_to_refine(replace(seen, exact=first), [600.0, 700.0], suggest=False)
    for edge in (600.0, 700.0):
        assert any(start <= edge <= end for start, end in [*first, *later])
