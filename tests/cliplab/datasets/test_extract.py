"""`cliplab extract`: times in names and index, a kill, near-identical frames, live sources, bad files."""

import json
import os
import signal
import threading
from http.server import SimpleHTTPRequestHandler

import av
import cv2
import numpy as np
import pytest
from command_line import cli, start_python
from loopback import serving
from tiny_videos import render_video
from waiting import until

from adapters.errors import ConfigError, StorageError
from cliplab.api import extract
from cliplab.datasets import INDEX_NAME, read_index


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return render_video(tmp_path_factory.mktemp("film") / "film.mp4", "warm", 1, seconds=5, fps=8)


def pictures(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))


def test_names_and_index_have_the_times(film, tmp_path):
    report = extract([film], tmp_path / "out", fps=2)
    assert (report.frames, report.existing, report.sources, report.errors) == (10, 0, 1, [])
    entries = list(read_index(tmp_path / "out" / INDEX_NAME))
    assert [entry.seconds for entry in entries] == [number / 2 for number in range(10)]
    assert sorted(entry.file for entry in entries) == pictures(tmp_path / "out")
    assert entries[3].file.endswith("/000001.500.jpg")
    assert {(entry.source, entry.width, entry.height) for entry in entries} == {(str(film), 64, 64)}


def test_what_is_there_is_skipped_and_what_is_gone_is_written_again(film, tmp_path):
    extract([film], tmp_path, fps=1)
    second = extract([film.parent], tmp_path, fps=1)
    assert (second.frames, second.existing) == (0, 5)
    (tmp_path / pictures(tmp_path)[2]).unlink()
    third = extract([film], tmp_path, fps=1)
    assert (third.frames, third.existing) == (1, 4)
    finer = extract([film], tmp_path, fps=2)
    assert (finer.frames, finer.existing) == (5, 5)


def test_a_killed_run_goes_on_and_gives_the_same_pictures(film, tmp_path):
    extract([film], tmp_path / "whole", fps=4)
    code = """
import sys, time
from cliplab.datasets import extract
from cliplab.datasets.extraction import _Output
write = _Output.write
number = 0
def stop_after_five(self, entry, picture):
    global number
    write(self, entry, picture)
    number += 1
    time.sleep(600 if number == 5 else 0)
_Output.write = stop_after_five
extract([sys.argv[1]], sys.argv[2], fps=4)
"""
    child = start_python(code, film, tmp_path / "killed")
    until(lambda: len(pictures(tmp_path / "killed")) >= 3)  # of five: it is killed while it writes, or waits
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = len(pictures(tmp_path / "killed"))
    assert before < 20
    with (tmp_path / "killed" / INDEX_NAME).open("ab") as index:
        index.write(b'{"file": "cut o')
    report = extract([film], tmp_path / "killed", fps=4)
    assert report.frames >= 20 - before
    assert pictures(tmp_path / "killed") == pictures(tmp_path / "whole")
    entries = {entry.file: entry for entry in read_index(tmp_path / "killed" / INDEX_NAME)}
    assert entries == {entry.file: entry for entry in read_index(tmp_path / "whole" / INDEX_NAME)}
    for name in pictures(tmp_path / "whole"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def still_video(path, colors, frames=8):
    """One second of each plain colour."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=frames, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for color in colors:
            for _ in range(frames):
                picture = np.full((48, 64, 3), color, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_distinct_keeps_one_of_what_looks_alike_also_of_plain_grounds(tmp_path):
    still_video(tmp_path / "cards.mp4", [(0, 0, 0), (250, 250, 250), (200, 30, 30), (0, 0, 0)])
    report = extract([tmp_path], tmp_path / "out", fps=4, distinct=True)
    assert (report.frames, report.alike) == (3, 13)
    assert [entry.seconds for entry in read_index(tmp_path / "out" / INDEX_NAME)] == [0, 1, 2]
    assert extract([tmp_path / "cards.mp4"], tmp_path / "out", fps=4, distinct=True).frames == 0


def test_a_bad_file_does_not_end_the_run(film, tmp_path):
    (tmp_path / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    (tmp_path / "empty.mkv").write_bytes(b"")
    hostile = tmp_path / os.fsdecode(b"a\n<b>\xff.mp4")
    hostile.write_bytes(film.read_bytes())
    report = extract([tmp_path, tmp_path / "missing.mp4"], tmp_path / "out")
    assert (report.sources, len(report.errors)) == (1, 3)
    assert len(pictures(tmp_path / "out")) == 5
    [entry] = {entry.source for entry in read_index(tmp_path / "out" / INDEX_NAME)}
    assert entry == str(hostile)


def test_values_that_are_not_allowed(film, tmp_path):
    for fps in (0, -1, float("nan"), 1001):
        with pytest.raises(ConfigError, match="fps"):
            extract([film], tmp_path, fps=fps)
    with pytest.raises(ConfigError, match="no source"):
        extract([], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        extract([film], tmp_path / "file")


def serve_folder(folder):
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_):
            pass

    return serving(Handler)


@pytest.fixture
def broadcast(film, tmp_path):
    """The film as MPEG-TS, and two playlists, one of which names a local file."""
    folder = tmp_path / "broadcast"
    folder.mkdir()
    with av.open(film) as source, av.open(folder / "part.ts", "w") as part:
        stream = part.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                part.mux(packet)
    for name, address in (("list", "part.ts"), ("secret", f"file://{film}")):
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n"
        (folder / f"{name}.m3u8").write_text(f"{head}{address}\n#EXT-X-ENDLIST\n")
    with serve_folder(folder) as server:
        yield server.url


def test_a_live_source_gets_a_folder_of_its_call(broadcast, tmp_path):
    report = extract([f"{broadcast}/part.ts"], tmp_path / "out", fps=2, seconds=3)
    assert (report.frames, report.errors) == (6, [])
    entries = list(read_index(tmp_path / "out" / INDEX_NAME))
    assert [entry.seconds for entry in entries] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert (entries[0].width, entries[0].height) == (64, 64)
    assert entries[0].file.startswith("part-2")


def test_an_hls_playlist_is_followed_and_leads_to_no_file(broadcast, tmp_path):
    report = extract([f"{broadcast}/list.m3u8"], tmp_path / "out")
    assert (report.frames, report.errors) == (5, [])
    leaked = extract([f"{broadcast}/secret.m3u8"], tmp_path / "leaked")
    assert leaked.frames == 0
    assert leaked.errors


def test_two_runs_into_one_folder_do_not_mix(film, tmp_path, monkeypatch):
    inside, leave = threading.Event(), threading.Event()

    def wait(*_):
        inside.set()
        leave.wait(120)

    first = threading.Thread(target=extract, args=([film], tmp_path), kwargs={"on_progress": wait})
    first.start()
    assert inside.wait(120)
    with pytest.raises(StorageError, match="is extracting into it"):
        extract([film], tmp_path)
    leave.set()
    first.join()


def test_the_command_takes_the_name_of_before(film, tmp_path):
    ran = cli("extract", "--video-source", film, "--output-dir", tmp_path / "out", "--fps", "1.0", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["frames"] == 5
    ran = cli("extract", tmp_path / "missing.mp4", "--output-dir", tmp_path / "out")
    assert ran.exit_code == 1
    assert cv2.imread(str(tmp_path / "out" / pictures(tmp_path / "out")[0])).shape == (64, 64, 3)
