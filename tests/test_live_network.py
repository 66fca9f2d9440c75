"""Live video over the network: MPEG-TS from an FFmpeg process on loopback, by UDP and TCP; stalls, a cut, the end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters import media_open
from adapters.loading import open_model
from adapters.media_live import LiveVideo
from adapters.records import InputSpec

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="sends video: pip install 'cliplab[reel]'")

ROOT = Path(__file__).parent.parent
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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is silent for 5 s has ended; outside tests it may be silent for longer."""
    monkeypatch.setattr(media_open, "URL_TIMEOUT_SECONDS", (30.0, 5.0))


def test_a_udp_source_that_pauses_and_comes_back_with_another_size_goes_on_until_it_is_silent(impatient: None) -> None:
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    notes: list[str] = []
    found: list[tuple[float, tuple[int, ...]]] = []
    first_came = threading.Event()

    def follow() -> None:
        with LiveVideo(url, SPEC, notes.append, stall_seconds=0.5) as video:
            for seconds, picture in video:
                found.append((seconds, picture().shape))
                first_came.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert sender(f"{url}?pkt_size=1316", width=128, seconds=12, speed=4).wait(60) == 0
    assert first_came.wait(30)
    time.sleep(1)  # longer than stall_seconds, shorter than what ends a source
    assert sender(f"{url}?pkt_size=1316", width=160, seconds=4, speed=4).wait(60) == 0
    reader.join(60)
    assert not reader.is_alive()
    times = [seconds for seconds, _ in found]
    assert times == sorted(times)
    assert len(times) >= 2 * FPS
    assert {shape for _, shape in found} == {(64, 64, 3)}
    told = [note.removeprefix(f"{url}: ") for note in notes if "dropped" not in note]
    assert "frames are 160x96 from here on, before 128x96" in told
    kinds = [note.partition(" for ")[0].partition(" after ")[0] for note in told]
    assert kinds.count("frames again") >= 1, "after the pause"
    assert kinds.count("no frame") == kinds.count("frames again") + 1, "at its end there were none again"
    assert told[-1] == "nothing came for so long that the source is taken to have ended"


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
    deadline = time.monotonic() + 30
    while f":{port:04X} 00000000:0000 0A" not in table.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_tcp_source_that_is_cut_ends_with_the_answer_so_far(model: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    sending = sender(f"{url}?listen=1", width=128, seconds=600, speed=2)
    command = [sys.executable, "-m", "cliplab.cli", "stream", str(model), url, "--every", "1", "--top-k", "1"]
    try:
        wait_until_heard(url)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            rows = [json.loads(process.stdout.readline()) for _ in range(4)]
            sending.kill()
            rest, said = process.communicate(timeout=60)
    finally:
        sending.kill()
        sending.wait()
    rows += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0, said
    times = [row["time"] for row in rows]
    assert times[:4] == pytest.approx([0, 1, 2, 3])
    assert times == sorted(times)
    assert "Traceback" not in said
