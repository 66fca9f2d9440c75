"""The segment of an annotation in the style of Kinetics: what it may be, and that a path is told from an address."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.data.formats.kinetics_json import segment_of
from adapters.errors import DatasetError
from adapters.system.path_names import is_url


def segment(value: Any, length: object = None) -> tuple[Any, list[str]]:
    said: list[str] = []
    rows: Any = SimpleNamespace(path="a.json", leave_out=lambda where, reason: said.append(f"{where}: {reason}"))
    return segment_of({} if value is None else {"segment": value}, length, rows, "video 3"), said


@pytest.mark.parametrize(
    "value", ["1, 2", [1], [1, 2, 3], [-0.1, 2], [1, "2"], [True, 2], [1, 1e9], [float("nan"), 2], {}]
)
def test_a_segment_is_two_times(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"a\.json, video 3: segment must be a start and an end in seconds"):
        segment(value)


def test_a_segment_is_kept_up_to_the_end_of_its_video() -> None:
    assert segment(None, 9.0) == ((None, None), [])
    assert segment([1.5, 4]) == ((1.5, 4), [])
    assert segment([None, 4], 4.0) == ((None, 4), [])
    assert segment([0, None], 4.0) == ((0, None), [])
    found, said = segment([1, 4.5], 4)
    assert found == (1, 4.0)
    assert said == ["video 3: ends after the end of their video, where the clips were cut"]
    for unknown in (0, -1, True, "4", None):
        assert segment([5, 9], unknown) == ((5, 9), [])
    with pytest.raises(DatasetError, match="starts at 4 s, but the video lasts 4 s"):
        segment([4, 5], 4)


def test_an_address_is_no_path_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("http://a/b.mp4", "rtsp:/a", "s3://a"):
        assert is_url(text)
    for text in ("a.mp4", "C:/a.mp4", "/http://a", "none.mp4"):
        assert not is_url(text)
    (tmp_path / "ab:").mkdir()
    (tmp_path / "ab:" / "c.mp4").write_bytes(b"")
    assert not is_url("ab:/c.mp4")
    assert is_url("ab:/d.mp4")
