"""Annotations of other tools with numbers that nothing can hold, and files that are none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from adapters.data import read_dataset
from adapters.errors import DatasetError

HUGE = "9" * 400


def elan(start: str, end: str, origin: str = "0") -> str:
    return f"""<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR RELATIVE_MEDIA_URL="a.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="{origin}"/></HEADER><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="1" TIME_VALUE="{start}"/><TIME_SLOT TIME_SLOT_ID="2" TIME_VALUE="{end}"/></TIME_ORDER>
<TIER TIER_ID="t"><ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="1" TIME_SLOT_REF2="2">
<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize(
    "times", [("0", HUGE), ("-" + HUGE, "1"), ("0", "1", HUGE), ("0", "1_0"), ("0", "--5"), ("0", "")]
)
def test_a_time_of_elan_that_is_no_number(tmp_path: Path, times: tuple[str, ...]) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(elan(*times))
    with pytest.raises(DatasetError, match=r"line \d: must have a whole number of at most 18 digits"):
        read_dataset(path)


def test_a_time_before_the_video_begins_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(elan(" -500 ", "1500"))
    (item,) = read_dataset(path).examples
    assert (item.start_seconds, item.end_seconds) == (0.0, 1.5)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_a_fifo_is_no_tar_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    for path in (tmp_path / "a.tar", tmp_path):
        with pytest.raises(DatasetError, match="FIFO"):
            read_dataset(path, format="webdataset")
