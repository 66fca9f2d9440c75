"""What counts as a frame and how long the last one is shown, at the edges."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adapters.errors import MediaError
from adapters.media import open_video, probe
from adapters.media.clock import LONGEST_STILL_SECONDS, Lasting
from adapters.media.packets import is_filler


@pytest.mark.parametrize(
    ("size", "pts", "dts", "filler"),
    [
        (0, 5, 5, True),
        (0, 5, None, True),
        (0, None, 5, True),
        (0, 0, None, True),
        (0, None, None, False),  # the end of the stream
        (9, 5, 5, False),
        (9, None, None, False),
    ],
)
def test_a_packet_with_a_time_and_no_data_stands_for_the_frame_before(
    size: int, pts: int | None, dts: int | None, filler: bool
) -> None:
    packet: Any = SimpleNamespace(size=size, pts=pts, dts=dts)
    assert is_filler(packet) is filler


def test_the_last_frame_is_shown_as_long_as_the_frames_near_it() -> None:
    lasting = Lasting(9.0)
    assert lasting.seconds(0.0) == 9.0
    times = [*range(100), *(99 + 0.04 * number for number in range(1, 33))]
    for time in times:
        lasting.add(time, 0.0)
    assert lasting.seconds(times[-1]) == pytest.approx(0.04), "those of long ago do not count"


@pytest.mark.parametrize(
    ("stored", "shown"), [(0.0, 1.0), (0.5, 0.5), (LONGEST_STILL_SECONDS, LONGEST_STILL_SECONDS), (3600.1, 1.0)]
)
def test_a_stored_duration_counts_up_to_an_hour(stored: float, shown: float) -> None:
    lasting = Lasting(9.0)
    for time in (0.0, 2.0, 1.0):
        lasting.add(time, stored if time == 2.0 else 0.25)
    assert lasting.seconds(2.0) == shown
    assert Lasting(9.0).is_known() is False
    assert lasting.is_known()


@pytest.mark.parametrize("opened", [open_video, probe])
def test_an_address_is_opened_only_where_that_is_allowed(opened: Any) -> None:
    with pytest.raises(MediaError, match="is a URL; only local files are allowed here"):
        opened("http://127.0.0.1:9/a.mp4")
