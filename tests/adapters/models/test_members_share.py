"""One decoding for several members: what it asks for, field by field, and what each member finds in it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.errors import ConfigError
from adapters.models.ensemble.members import Member, find_member, member_clip, member_path, shared_spec
from adapters.records import Clip, InputSpec

_SPREAD = InputSpec(32, 48, 4)
_RATE = InputSpec(32, 48, 4, sampling="rate", fps=2.0)
_EVERY = InputSpec(32, 48, 4, sampling="every", fps=2.0)


def _members(*specs: InputSpec, scores_frames: bool = False) -> list[Member]:
    return [
        Member(f"m{n}", f"m{n}", SimpleNamespace(input_spec=spec, scores_frames=scores_frames), np.arange(2))  # type: ignore[arg-type]
        for n, spec in enumerate(specs)
    ]


def _shared(*specs: InputSpec, window: float | None = None, stride: float | None = None) -> InputSpec:
    return shared_spec(_members(*specs), {"window_seconds": window, "stride_seconds": stride})


@pytest.mark.parametrize(
    "spec",
    [
        replace(_SPREAD, aspect="pad", short_clip="wrap", window_seconds=3.0, stride_seconds=1.5),
        replace(_SPREAD, crop_fraction=0.5),
        replace(_RATE, short_clip="error", sampling_tolerance_seconds=0.2),
        replace(_RATE, window_seconds=2.0, stride_seconds=1.0),
        replace(_EVERY, aspect="stretch"),
        replace(_EVERY, window_seconds=6.0, stride_seconds=3.0),
    ],
)
def test_members_that_ask_for_the_same_are_given_just_that(spec: InputSpec) -> None:
    assert _shared(spec, spec) == spec


def test_of_members_that_use_every_frame_the_shortest_piece_and_tolerance_count() -> None:
    first = replace(_EVERY, n_frames=8, sampling_tolerance_seconds=0.1)
    found = _shared(first, replace(_EVERY, n_frames=5, sampling_tolerance_seconds=0.3))
    assert (found.n_frames, found.sampling, found.fps, found.sampling_tolerance_seconds) == (5, "every", 2.0, 0.1)
    assert found.parts == ()


@pytest.mark.parametrize(
    ("other", "height", "width"),
    [
        ({"height": 64, "width": 20}, 64, 48),
        ({"crop_fraction": 0.5}, 64, 96),
        ({"aspect": "pad"}, 32, 48),
    ],
)
def test_pictures_are_as_large_as_the_largest_member_needs(other: dict[str, Any], height: int, width: int) -> None:
    found = _shared(_SPREAD, replace(_SPREAD, **other))
    assert (found.height, found.width, found.aspect, found.crop_fraction) == (height, width, "crop", 1.0)
    assert (found.n_frames, found.parts) == (4, ())


def test_members_of_other_moments_are_parts() -> None:
    other = replace(_SPREAD, n_frames=6)
    found = _shared(_SPREAD, other, window=5.0, stride=2.5)
    assert (found.n_frames, found.window_seconds, found.stride_seconds) == (10, 5.0, 2.5)
    assert found.parts == (_SPREAD, other)
    # Of a member that uses every frame, as many as a window has.
    assert _shared(_SPREAD, _EVERY, window=5.0).n_frames == 4 + 10
    for change in ({"fps": 3.0}, {"short_clip": "wrap"}, {"sampling_tolerance_seconds": 0.1}):
        assert len(_shared(_RATE, replace(_RATE, **change), window=5.0).parts) == 2
    assert len(_shared(_EVERY, replace(_EVERY, fps=3.0), window=5.0).parts) == 2


def test_the_windows_of_the_ensemble_come_first_and_then_those_of_all_members() -> None:
    windowed = replace(_SPREAD, window_seconds=4.0, stride_seconds=2.0)
    assert (_shared(windowed, windowed).window_seconds, _shared(windowed, windowed).stride_seconds) == (4.0, 2.0)
    assert (_shared(windowed, _SPREAD, window=7.0).window_seconds, _shared(windowed, window=7.0).stride_seconds) == (
        7.0,
        None,
    )
    assert _shared(_SPREAD, _SPREAD, stride=3.0).stride_seconds is None
    # A stride makes a member of a rate one of windows of n_frames / fps.
    assert _shared(replace(_RATE, stride_seconds=1.0), replace(_RATE, stride_seconds=1.0)).window_seconds == 2.0


@pytest.mark.parametrize(
    ("specs", "window", "message"),
    [
        (
            (replace(_SPREAD, window_seconds=4.0), _SPREAD),
            None,
            'different lengths (m0: 4 s, m1: the whole video). Set "window_seconds"',
        ),
        ((_SPREAD, _EVERY), None, "member 'm1' uses every frame of a video, at 2 per second, but others do not"),
        (
            (_SPREAD, _RATE),
            1.9,
            "member 'm1' uses 4 frames at 2 per second, 2 s, but the windows of the ensemble are 1.9 s. "
            'Set "window_seconds" to at least 2',
        ),
    ],
)
def test_windows_that_do_not_agree(specs: tuple[InputSpec, ...], window: float | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _shared(*specs, window=window)
    assert message in str(caught.value)


def test_a_window_may_be_just_as_long_as_a_member_needs() -> None:
    assert len(_shared(_SPREAD, _RATE, window=2.0).parts) == 2
    assert len(_shared(_SPREAD, _RATE).parts) == 2


def _clip(count: int, end: float = 4.0) -> Clip:
    frames = np.stack([np.full((32, 48, 3), n, np.uint8) for n in range(count)])
    return Clip(frames, np.linspace(0.0, end, count, endpoint=False), "v", 0.0, end)


def test_what_a_member_finds() -> None:
    parts = (_SPREAD, replace(_SPREAD, n_frames=2), replace(_RATE, n_frames=3), replace(_RATE, short_clip="error"))
    spec = InputSpec(32, 48, 13, parts=parts)
    clip = _clip(8)  # every half second
    found = [member_clip(clip, member, spec) for member in _members(*parts)]
    assert [[int(frame[0, 0, 0]) for frame in item.frames] for item in found] == [
        [1, 3, 5, 7],
        [2, 6],
        [0, 1, 2],
        [0, 1, 2, 3],
    ]
    np.testing.assert_allclose(found[0].times, [0.5, 1.5, 2.5, 3.5])
    assert (found[0].source, found[0].start, found[0].end) == ("v", 0.0, 4.0)


def test_a_clip_that_is_too_short_for_a_member_was_refused_before() -> None:
    part = replace(_RATE, short_clip="error")
    found = member_clip(_clip(2, 1.0), _members(part)[0], InputSpec(32, 48, 6, parts=(part, _SPREAD)))
    assert [int(frame[0, 0, 0]) for frame in found.frames] == [0, 1, 1, 1]


def test_what_a_member_receives_as_it_is() -> None:
    clip, parted = _clip(1), InputSpec(32, 48, 6, parts=(_SPREAD, _RATE))
    (plain,), (scoring,) = _members(_SPREAD), _members(_SPREAD, scores_frames=True)
    assert member_clip(clip, plain, _SPREAD) is clip
    assert member_clip(clip, scoring, parted) is clip
    assert len(member_clip(clip, plain, parted).frames) == 4
    assert len(member_clip(_clip(8), scoring, parted).frames) == 4


def test_where_a_member_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder, names in ((here, ("a.tflite", "both")), (beside, ("both", "b.tflite"))):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    monkeypatch.chdir(here)
    assert member_path(beside, "b") == beside / "b.tflite"
    assert member_path(beside, "none") is None
    assert member_path(beside, "nul\0") is None
    assert member_path(beside, "x" * 5000) is None
    assert find_member("both", beside) == beside / "both"
    assert find_member("a", beside) == Path("a.tflite")
    assert find_member("both", None) == Path("both")
    assert find_member(str(beside / "b"), here) == beside / "b.tflite"
    (beside / "found.tflite").touch()
    with pytest.raises(ConfigError) as caught:
        find_member("foundd", beside)
    message = str(caught.value)
    assert f"looked for {beside / 'foundd'} and {here / 'foundd'}" in message
    assert 'Did you mean "found"?' in message
