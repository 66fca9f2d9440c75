"""Live video over the network: MPEG-TS from an FFmpeg process on loopback, by UDP and TCP; stalls, a cut, the end."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import start
from waiting import until

from adapters.inference import open_model
from adapters.media import LiveVideo
from adapters.media import opening as media_open
from adapters.records import InputSpec

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="sends video: pip install 'cliplab[dev]'")

SPEC = InputSpec(64, 64, 1, aspect="stretch")
FPS = 10


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def sender(url: str, *, width: int, seconds: float, speed: float) -> subprocess.Popen[bytes]:
    """FFmpeg's test picture as H.264 in MPEG-TS, at ``speed`` times its own rate."""
    source = f"testsrc=size={width}x96:rate={FPS}:duration={seconds}"
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(FPS)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-readrate", str(speed), "-f", "lavfi", "-i", source]
    return subprocess.Popen([*command, *encoder, "-f", "mpegts", url])


class Follower(threading.Thread):
    """Reads a source until it ends, or until it has had ten frames of one that is 160 pixels wide."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.came = url, threading.Event()
        self.notes: list[str] = []
        self.found: list[tuple[float, tuple[int, ...]]] = []
        self.start()

    def run(self) -> None:
        wide = 0
        with LiveVideo(self.url, SPEC, self._note, stall_seconds=0.5) as video:
            for seconds, picture in video:
                self.found.append((seconds, picture().shape))
                self.came.set()
                wide += "the frame size changed from 128x96 to 160x96" in self.notes
                if wide == 10:
                    return

    def _note(self, text: str) -> None:
        self.notes.append(text.removeprefix(f"{self.url}: "))

    def kinds(self) -> list[str]:
        """Of notes on silence, what they say."""
        kinds = [note.partition(" for ")[0].partition(" after ")[0] for note in self.notes]
        return [kind for kind in kinds if kind in ("no frame", "frames again")]


def send_until(condition: Callable[[], object], url: str, width: int) -> None:
    """Two seconds of video by UDP, again where nobody was there yet to hear it."""
    for _ in range(20):
        assert sender(f"{url}?pkt_size=1316", width=width, seconds=8, speed=4).wait(120) == 0
        if condition():
            return
    raise AssertionError("nothing of what was sent came")


def test_a_udp_source_that_pauses_and_comes_back_with_another_size_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_open, "URL_TIMEOUT_SECONDS", (120.0, 120.0))
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    reader = Follower(url)
    send_until(lambda: reader.came.wait(2), url, width=128)
    until(lambda: reader.kinds()[-1:] == ["no frame"])
    send_until(lambda: reader.join(2) or not reader.is_alive(), url, width=160)
    times = [seconds for seconds, _ in reader.found]
    assert times == sorted(times)
    assert len(times) >= FPS
    assert {shape for _, shape in reader.found} == {(64, 64, 3)}
    assert "frames again" in reader.kinds(), "after the pause"
    assert reader.kinds() == ["no frame", "frames again"] * (len(reader.kinds()) // 2)


def test_a_udp_source_that_is_silent_for_long_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_open, "URL_TIMEOUT_SECONDS", (120.0, 2.0))
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    reader = Follower(url)
    send_until(lambda: reader.came.wait(2), url, width=128)
    reader.join(120)
    assert not reader.is_alive()
    assert reader.kinds()[-1] == "no frame"
    assert "the source is treated as ended" in reader.notes[-1]


@pytest.fixture
def model(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "programs").symlink_to(programs, target_is_directory=True)
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    open_model("movinet_a0_stream", {"weights": "random", "imgz": 64, "n_frames": 4}).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def wait_until_heard(url: str) -> None:
    """Until something listens there; FFmpeg takes one caller, so that trying to connect would be that one."""
    port, table = int(url.rpartition(":")[2]), Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("who listens is read from /proc/net/tcp: run this on Linux")
    until(lambda: f":{port:04X} 00000000:0000 0A" in table.read_text())


def test_a_tcp_source_that_is_cut_ends_with_the_answer_so_far(model: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    sending = sender(f"{url}?listen=1", width=128, seconds=600, speed=2)
    command = ("stream", model, url, "--every", "1", "--top-k", "1")
    try:
        wait_until_heard(url)
        with start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            rows = [json.loads(process.stdout.readline()) for _ in range(4)]
            sending.kill()
            rest, said = process.communicate(timeout=600)
    finally:
        sending.kill()
        sending.wait()
    rows += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0, said
    times = [row["time"] for row in rows]
    assert times[:4] == pytest.approx([0, 1, 2, 3])
    assert times == sorted(times)
    assert "Traceback" not in said
