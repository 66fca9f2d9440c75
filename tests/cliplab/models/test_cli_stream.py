"""``cliplab stream``: files, pipes and URLs to lines as they come, past stalls, damage and changes of size."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import pytest
from command_line import cli, start
from loopback import serving
from media_patterns import numbered_frame, write_video
from waiting import until

from adapters.errors import ConfigError, MediaError
from adapters.inference import open_model
from adapters.media import LiveVideo, open_video
from adapters.records import InputSpec
from cliplab.models import stream

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

from tiny_videos import render_video

CONFIG = {
    "adapter": "movinet_adapter:MoViNetAdapter",
    "model_mode": "stream",
    "weights": "random",
    "imgz": 64,
    "n_frames": 4,
    "top_k": 2,
}
SPEC = InputSpec(64, 64, 1, aspect="stretch")


@pytest.fixture(scope="module")
def model(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "bundle"
    open_model(CONFIG).save(path)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Transport streams of 2 s at 10 frames per second: small and large."""
    folder = tmp_path_factory.mktemp("videos")
    return {
        name: render_video(folder / f"{name}.ts", kind, seed=1, seconds=2, fps=10, size=size)
        for name, kind, size in (("small", "warm", 64), ("large", "cold", 96))
    }


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_gives_a_row_each_consumed_frame_and_ends_with_the_clips_answer(
    model: Path, videos: dict[str, Path]
) -> None:
    rows = list(stream(model, videos["small"]))
    assert [row["time"] for row in rows] == pytest.approx(np.arange(10) / 5)
    session = open_model(model).open_stream(5)  # type: ignore[attr-defined] # it streams
    with open_video(videos["small"]) as video:
        for seconds, picture in video.frames(height=64, width=64, aspect="stretch", fps=5):
            last = session.push(picture, seconds)
    assert [item["label"] for item in rows[-1]["labels"]] == [item.label for item in last.top_k(2)]
    assert [item["score"] for item in rows[-1]["labels"]] == pytest.approx([item.score for item in last.top_k(2)])


def test_rate_spacing_and_number_of_labels_are_options(model: Path, videos: dict[str, Path]) -> None:
    rows = list(stream(model, videos["small"], fps=10, every=0.7, top_k=1, memory_seconds=0.5))
    assert [row["time"] for row in rows] == pytest.approx([0, 0.7, 1.4, 1.9])
    assert all(len(row["labels"]) == 1 for row in rows)
    whole = list(stream(model, videos["small"], fps=10, top_k=1))
    assert rows[0]["labels"] == whole[0]["labels"]
    assert rows[-1]["labels"] != whole[-1]["labels"]


def test_what_cannot_stream_is_said_before_anything_is_read(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every is 0"):
        stream(model, "-", every=0)
    with pytest.raises(ConfigError, match="does not support streams"):
        stream("efficientnet_lite0", "-")
    with pytest.raises(ConfigError, match='model has the mode "base"'):
        stream({**CONFIG, "model_mode": "base"}, "-")
    with pytest.raises(ConfigError, match='"memory_seconds"'):
        stream(model, "-", memory_seconds=-1)
    with pytest.raises(MediaError, match="no such file"):
        stream(model, tmp_path / "missing.mp4")


# The command ----------------------------------------------------------------------------------------------------------


def test_a_file_that_claims_days_in_a_few_bytes_is_refused_before_its_first_row(model: Path, tmp_path: Path) -> None:
    ticks = [number * 20 * 3600 * 25 for number in range(8)]
    days = write_video(tmp_path / "days.mp4", map(numbered_frame, range(8)), ticks=ticks, b_frames=0)
    with pytest.raises(MediaError, match="by its times"):
        stream(model, days)


def test_stdin_is_followed_line_by_line(model: Path, videos: dict[str, Path]) -> None:
    done = cli("stream", model, "-", "--top-k", "1", stdin=videos["small"].read_bytes(), process=True)
    assert done.exit_code == 0, done.stderr
    rows = lines(done.stdout)
    assert [row["time"] for row in rows] == pytest.approx(np.arange(10) / 5)
    assert rows == [{**row, "labels": row["labels"][:1]} for row in stream(model, videos["small"])]


def test_a_change_of_size_and_joined_recordings_are_passed_over(model: Path, videos: dict[str, Path]) -> None:
    done = cli("stream", model, "-", stdin=videos["small"].read_bytes() + videos["large"].read_bytes(), process=True)
    assert done.exit_code == 0, done.stderr
    assert [row["time"] for row in lines(done.stdout)] == pytest.approx(np.arange(20) / 5)
    assert done.stderr.splitlines() == ["note: -: the frame size changed from 64x64 to 96x96"]


def test_damaged_packets_are_told_and_passed_over(model: Path, tmp_path: Path) -> None:
    path = render_video(tmp_path / "video.mkv", "warm", seed=1, seconds=4, fps=10)
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    damaged = bytearray(path.read_bytes())
    for packet in packets[12:20]:
        start = damaged.index(bytes(packet))
        damaged[start + 4 : start + 24] = b"\xff" * 20
    done = cli("stream", model, "-", stdin=bytes(damaged), process=True)
    assert done.exit_code == 0, done.stderr
    times = [row["time"] for row in lines(done.stdout)]
    assert times == sorted(times)
    assert times[-1] > 3.5
    assert "could not be decoded" in done.stderr


def test_lines_come_at_once_and_ctrl_c_ends_with_130(model: Path, videos: dict[str, Path]) -> None:
    pipe = subprocess.PIPE
    with start("stream", model, "-", stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(videos["large"].read_bytes() + videos["small"].read_bytes())
        process.stdin.flush()  # and stays open: a source that stalls
        assert json.loads(process.stdout.readline())["time"] == 0
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"interrupted" in errors
    assert b"Traceback" not in errors


def test_ctrl_c_is_heard_before_a_frame_has_come(model: Path, videos: dict[str, Path]) -> None:
    with start("stream", model, "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        process.stdin.write(videos["small"].read_bytes()[:188])  # a packet of the transport stream, without a picture
        process.stdin.flush()
        pipe = process.stdin
        until(lambda: not waiting_bytes(pipe) or process.poll() is not None, what="it does not read")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert b"interrupted" in process.stderr.readline()
        assert process.wait(120) == 130


def waiting_bytes(pipe: IO[bytes]) -> int:
    """What was written into a pipe and not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize(
    "stdin, message", [(b"", "stdin: cannot be opened as video"), (b"plain text\n" * 100, "stdin: cannot be opened")]
)
def test_a_pipe_without_a_video_is_an_error(model: Path, stdin: bytes, message: str) -> None:
    done = cli("stream", model, "-", stdin=stdin, process=True)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


# Live sources ---------------------------------------------------------------------------------------------------------


@dataclass
class Camera:
    """A server that stops in the middle of a video until it may go on."""

    address: str
    go_on: threading.Event


@pytest.fixture
def camera(videos: dict[str, Path]) -> Iterator[Camera]:
    data, go_on = videos["small"].read_bytes(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) * 2 // 3])
            self.wfile.flush()
            assert go_on.wait(120)
            self.wfile.write(data[len(data) * 2 // 3 :])

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as server:
        yield Camera(f"{server.url}/camera.ts", go_on)
        go_on.set()


def test_a_url_that_stalls_goes_on_and_says_so(model: Path, camera: Camera) -> None:
    notes: list[str] = []

    def noted(text: str) -> None:
        notes.append(text.removeprefix(f"{camera.address}: ")[:14])
        camera.go_on.set()

    with LiveVideo(camera.address, SPEC, noted, stall_seconds=0.4) as video:
        found = [(seconds, picture().shape) for seconds, picture in video]
    assert [seconds for seconds, _ in found] == pytest.approx(np.arange(20) / 10)
    assert {shape for _, shape in found} == {(64, 64, 3)}
    # Once, or more often where the machine stalls too.
    assert notes == ["no frame for 0", "frames again a"] * (len(notes) // 2)
    assert notes
    assert len(list(stream(model, camera.address))) == 10


def test_pictures_are_those_of_a_file(videos: dict[str, Path], camera: Camera) -> None:
    camera.go_on.set()
    spec = InputSpec(40, 60, 1, aspect="crop")
    with LiveVideo(camera.address, spec) as live, open_video(videos["small"]) as file:
        frames = file.frames(height=40, width=60, aspect="crop")
        for (seconds, picture), (wanted_seconds, wanted) in zip(live, frames, strict=True):
            assert seconds == pytest.approx(wanted_seconds)
            assert np.array_equal(picture(), wanted[(wanted.shape[0] - 40) // 2 :][:40])


def test_a_source_that_is_left_early_is_let_go(camera: Camera) -> None:
    with LiveVideo(camera.address, SPEC, lambda text: camera.go_on.set(), stall_seconds=0.4) as video:
        for _ in video:
            break
    camera.go_on.set()
    until(lambda: not any(thread.name == "live-source" for thread in threading.enumerate()))


def test_a_camera_that_is_no_camera_is_refused() -> None:
    with (
        LiveVideo("/dev/null", SPEC) as video,
        pytest.raises(MediaError, match=r"/dev/null: cannot be .* Use a camera"),
    ):
        next(iter(video))
