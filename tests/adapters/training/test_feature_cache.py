"""Cached features: what each row follows from, and which clips have none. A colour's mean stands for a backbone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_videos import render_video

from adapters.data import Example
from adapters.media import read_clip
from adapters.records import Clip, InputSpec
from adapters.system import digest
from adapters.training.feature_cache import CHUNK_CLIPS, CachedFeatures, ExampleView, cached_features, read_view
from adapters.training.feature_store import FeatureStore

SPEC = InputSpec(16, 16, 2)
PLAIN = {"flip": False, "rotation_degrees": 0.0, "crop": 1.0, "color_jitter": 0.0, "temporal_jitter": 0.0}
JITTER = {**PLAIN, "color_jitter": 0.3}
IDENTITY = {"weights": "of a test"}


def mean_colors(clips: list[Clip]) -> list[np.ndarray]:
    return [clip.frames.mean(axis=(1, 2), dtype=np.float32) for clip in clips]


def features(folder: Path, views: list[ExampleView], **changes: Any) -> CachedFeatures:
    values = {"identity": IDENTITY, "spec": SPEC, "augmentation": JITTER, "seed": 0, "compute": mean_colors} | changes
    found = cached_features(folder, views=views, row_shape=(2, 3), **values)
    _opened.append(found.store)
    return found


_opened: list[FeatureStore] = []


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        render_video(folder / f"{number}.mp4", "warm" if number % 2 else "cold", number, seconds=2)
    return folder


def example(path: Path, start: float | None = None, end: float | None = None) -> Example:
    return Example(path, ("warm",), start, end)


def test_rows_are_those_of_their_views_in_any_order(videos: Path, tmp_path: Path) -> None:
    views = [ExampleView(example(videos / f"{number}.mp4"), view) for number in range(3) for view in (0, 1)]
    found = features(tmp_path, views)
    assert found.decoded == len(views)
    expected = np.stack(mean_colors([read_view(view, SPEC, JITTER, 0) for view in views]))
    order = [4, 0, 5, 2]
    np.testing.assert_allclose(found.of([views[number] for number in order]), expected[order])
    np.testing.assert_allclose(expected[0], mean_colors([read_clip(videos / "0.mp4", SPEC)])[0])
    assert np.abs(expected[0] - expected[1]).max() > 1


@pytest.mark.parametrize("where", [np.s_[:], np.s_[0, 1]], ids=["all", "one"])
def test_features_that_are_not_finite_are_no_rows_and_not_kept(videos: Path, tmp_path: Path, where: Any) -> None:
    def spoilt(clips: list[Clip]) -> list[np.ndarray]:
        found = mean_colors(clips)
        for clip, values in zip(clips, found, strict=True):
            if clip.source.endswith("1.mp4"):
                values[where] = np.nan
        return found

    views = [ExampleView(example(videos / f"{number}.mp4"), 0) for number in range(3)]
    found = features(tmp_path, views, compute=spoilt)
    [(path, reason)] = found.skipped.items()
    assert path == str(videos / "1.mp4")
    assert "not finite" in reason
    again = features(tmp_path, views)
    assert (again.skipped, again.decoded) == ({}, 1)


@pytest.mark.parametrize(
    "changes, again",
    [
        ({}, 0),
        ({"augmentation": {**JITTER, "color_jitter": 0.4}}, 1),  # the plain view is not augmented
        ({"seed": 1}, 1),
        ({"identity": {"weights": "others"}}, 2),
    ],
)
def test_a_row_is_computed_anew_where_it_would_be_another(
    changes: dict[str, Any], again: int, videos: Path, tmp_path: Path
) -> None:
    views = [ExampleView(example(videos / "0.mp4"), view) for view in (0, 1)]
    features(tmp_path, views)
    found = features(tmp_path, views, **changes)
    assert found.decoded == again
    options = {"spec": SPEC, "augmentation": JITTER, "seed": 0} | changes
    options.pop("identity", None)
    expected = np.stack(mean_colors([read_view(view, **options) for view in views]))
    np.testing.assert_allclose(found.of(views), expected)


def test_other_moments_and_other_views_are_other_rows(videos: Path, tmp_path: Path) -> None:
    path = videos / "0.mp4"
    ranges = [(None, None), (0.0, 1.0), (0.0, 1.5), (0.5, 1.5)]
    views = [ExampleView(example(path, *times), view) for times in ranges for view in (0, 1, 2)]
    found = features(tmp_path, views)
    assert len(set(found.keys.values())) == found.decoded == len(views)
    assert features(tmp_path, views[::-1]).decoded == 0


def test_the_same_content_in_another_place_is_found(videos: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copy(videos / "0.mp4", tmp_path / "renamed.mp4"))
    features(tmp_path / "cache", [ExampleView(example(videos / "0.mp4"), view) for view in (0, 1)])
    assert features(tmp_path / "cache", [ExampleView(example(moved), view) for view in (0, 1)]).decoded == 0


@pytest.mark.parametrize("at", ["head", "tail"])
@pytest.mark.parametrize("large", [False, True])
def test_changed_content_is_other_content(
    at: str, large: bool, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a file that is too large to be hashed whole, with the size and the time that it had before."""
    if large:
        monkeypatch.setattr(digest, "WHOLE_FILE_BYTES", 100)
        monkeypatch.setattr(digest, "END_BYTES", 50)
    path = Path(shutil.copy(videos / "0.mp4", tmp_path / "clip.mp4"))
    before = features(tmp_path / "cache", [ExampleView(example(path), 0)])
    stat, data = path.stat(), bytearray(path.read_bytes())
    place = 30 if at == "head" else len(data) - 30
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    digest._fingerprint.cache_clear()  # it keeps digests by path, size and time
    after = features(tmp_path / "cache", [ExampleView(example(path), 0)])
    assert set(before.keys.values()).isdisjoint(after.keys.values())


def test_a_large_file_that_was_written_again_is_other_content(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its middle is not read, so that its time must tell."""
    monkeypatch.setattr(digest, "WHOLE_FILE_BYTES", 100)
    monkeypatch.setattr(digest, "END_BYTES", 50)
    path = Path(shutil.copy(videos / "0.mp4", tmp_path / "clip.mp4"))
    assert features(tmp_path / "cache", [ExampleView(example(path), 0)]).decoded == 1
    assert features(tmp_path / "cache", [ExampleView(example(path), 0)]).decoded == 0
    os.utime(path, (1, 1))
    assert features(tmp_path / "cache", [ExampleView(example(path), 0)]).decoded == 1


def test_clips_that_cannot_be_read_have_a_reason_and_the_others_rows(videos: Path, tmp_path: Path) -> None:
    """In more than two chunks, the damaged clips among the good ones."""
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    count = 2 * CHUNK_CLIPS + 5
    paths = [tmp_path / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        render_video(path, "warm" if number % 2 else "cold", number, seconds=0.5, size=32)
    paths[3], paths[CHUNK_CLIPS], paths[-1] = tmp_path / "bad.mp4", tmp_path / "missing.mp4", tmp_path / "gone.mp4"
    views = [ExampleView(example(path), 0) for path in paths]
    told: list[tuple[str, int, int]] = []
    found = features(tmp_path / "cache", views, on_progress=lambda *call: told.append(call))
    assert set(found.skipped) == {str(tmp_path / name) for name in ("bad.mp4", "missing.mp4", "gone.mp4")}
    good = [view for view in views if str(view.example.path) not in found.skipped]
    assert set(found.keys) == set(good)
    expected = np.stack(mean_colors([read_clip(view.example.path, SPEC) for view in good]))
    np.testing.assert_allclose(found.of(good), expected)
    done = [call[1] for call in told]
    assert {(call[0], call[2]) for call in told} == {("features", count)}
    assert done == sorted(done)
    assert done[0] < done[-1] <= count


def test_a_shift_past_the_end_of_the_video_is_not_made(videos: Path) -> None:
    """The moments are then those of the plain view; colours still differ."""
    late = example(videos / "0.mp4", 1.9, 2.0)
    for number in range(1, 6):
        clip = read_view(ExampleView(late, number), replace(SPEC, n_frames=1), {**JITTER, "temporal_jitter": 0.5}, 0)
        assert 0 <= clip.start <= clip.end <= 2.1


def test_a_shift_moves_start_and_end_alike_by_at_most_the_setting(videos: Path) -> None:
    middle = example(videos / "0.mp4", 0.5, 1.5)
    starts = []
    for number in range(1, 9):
        clip = read_view(ExampleView(middle, number), SPEC, {**PLAIN, "temporal_jitter": 0.5}, 0)
        assert clip.end - clip.start == pytest.approx(1.0)
        assert abs(clip.start - 0.5) <= 0.25  # half of the half second between two frames
        starts.append(clip.start)
    assert max(starts) - min(starts) > 0.1
