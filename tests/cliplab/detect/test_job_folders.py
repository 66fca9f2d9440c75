"""What people put into a queue folder: long names, links, half-written jobs, folders in the way."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import StorageError

pytest.importorskip("sqlalchemy")
from cliplab.detect import work

Run = Callable[[], int]


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    folder = tmp_path / "queue"
    folder.mkdir()
    return folder


@pytest.fixture
def run(queue: Path, tmp_path: Path) -> Run:
    return lambda: work(queue, output=tmp_path / "clips", database=tmp_path / "clips.db", once=True)


def add(queue: Path, name: str, value: Any = None) -> Path:
    path = queue / name
    path.write_text(json.dumps({"source": "absent.mp4"} if value is None else value))
    return path


def reports(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["error"] for path in sorted(folder.glob("*.report.json"))]


def test_a_job_of_the_longest_name_does_not_end_the_worker(queue: Path, run: Run) -> None:
    add(queue, "a" * 250 + ".json")
    video = queue / ("b" * 251 + ".mp4")
    video.write_bytes(b"no video")
    os.utime(video, (1, 1))
    add(queue, "é" * 124 + ".json")
    add(queue, "z.json")
    assert run() == 4
    assert len(reports(queue / "failed")) == 4
    assert (queue / "failed" / ("a" * 250 + ".json")).is_file()
    assert (queue / "sources" / video.name).is_file()
    assert not list((queue / "working").iterdir())


def test_two_long_names_that_begin_alike_have_a_report_each(queue: Path, run: Run) -> None:
    for end in "xy":
        add(queue, "a" * 249 + end + ".json", {"source": f"{end}.mp4"})
    assert run() == 2
    assert sorted("x.mp4" in text for text in reports(queue / "failed")) == [False, True]


def test_a_link_leads_where_it_led_before(queue: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(b"no video, and not missing")
    os.utime(tmp_path / "real.mp4", (1, 1))
    (queue / "v.mp4").symlink_to("../real.mp4")
    add(tmp_path, "real.json", {"source": "somewhere.mp4"})
    (queue / "j.json").symlink_to("../real.json")
    assert run() == 2
    assert (queue / "sources" / "v.mp4").read_bytes() == b"no video, and not missing"
    job, video = reports(queue / "failed")
    assert "somewhere.mp4" in job
    assert "no such file" not in video
    assert (tmp_path / "real.json").is_file()


def test_a_job_that_is_still_being_written_is_waited_for(queue: Path, run: Run) -> None:
    path = queue / "slow.json"
    path.write_text('{"source": ')

    def finish() -> None:
        time.sleep(0.5)
        path.write_text('{"source": "later.mp4"}')

    writer = threading.Thread(target=finish)
    writer.start()
    assert run() == 1
    writer.join()
    assert "later.mp4" in reports(queue / "failed")[0]


def test_a_video_that_was_just_copied_is_not_passed_over(queue: Path, run: Run) -> None:
    (queue / "new.mp4").write_bytes(b"no video")
    assert run() == 1


def test_a_file_by_a_clock_that_is_ahead_is_a_job_like_others(queue: Path, run: Run) -> None:
    video = queue / "new.mp4"
    video.write_bytes(b"no video")
    os.utime(video, (time.time() + 7200,) * 2)
    assert run() == 1


def test_a_folder_in_the_place_of_a_finished_job_is_left_alone(queue: Path, run: Run) -> None:
    add(queue, "a.json")
    (queue / "failed" / "a.json").mkdir(parents=True)
    assert run() == 1
    assert len(reports(queue / "failed")) == 1
    assert (queue / "failed" / "a.json").is_dir()


def test_what_is_no_file_is_no_job(queue: Path, run: Run) -> None:
    os.mkfifo(queue / "pipe.json")
    (queue / "folder.mp4").mkdir()
    (queue / "nowhere.json").symlink_to("absent.json")
    assert run() == 0


def test_a_queue_that_is_taken_away_is_named(queue: Path, tmp_path: Path) -> None:
    looks = 0

    def remove() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            queue.rename(tmp_path / "away")
        return looks > 50

    with pytest.raises(StorageError, match="queue"):
        work(queue, output=tmp_path / "clips", database=tmp_path / "clips.db", is_stopped=remove)
