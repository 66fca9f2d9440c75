"""Streams on loopback: nothing is lost over joints, clips come while it runs, and what is odd is said."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from highlight_files import split_recording, write_recording
from loopback import serving

from adapters.errors import MediaError
from adapters.media import open_video
from cliplab.detect import HighlightOptions, find_highlights, follow_highlights, generate_clips
from cliplab.detect.highlights.hls import Fetcher
from cliplab.detect.highlights.hls_playlist import parse_playlist
from cliplab.detect.highlights.pages import is_page, stream_of_page

SECONDS = 8.0
COUNT = 9
OPTIONS = HighlightOptions(
    clip_seconds=10.0, min_gap_seconds=12.0, min_score=0.5, headers={"X-Token": "1", "Cookie": "a=b"}
)


class _Stream(BaseHTTPRequestHandler):
    """A playlist that grows by a segment with each look at it, from the third on."""

    def do_GET(self) -> None:
        server = self.server
        with server.guard:  # type: ignore[attr-defined]
            server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
            body = self._body()
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes | None:
        server = self.server
        if self.path == "/master.m3u8":
            return b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlive.m3u8\n"
        if self.path == "/live.m3u8":
            server.looks += 1  # type: ignore[attr-defined]
            shown = min(server.looks + 2, COUNT)  # type: ignore[attr-defined]
            first = max(shown - 4, 0) if server.slides else 0  # type: ignore[attr-defined]
            lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:0", f"#EXT-X-MEDIA-SEQUENCE:{100 + first}"]
            for number in range(first, shown):
                lines += ["#EXT-X-DISCONTINUITY"] if number in (3, 6) else []
                lines += [f"#EXTINF:{SECONDS},", f"{number}.ts"]
            return "\n".join(lines + (["#EXT-X-ENDLIST"] if shown == COUNT else [])).encode()
        path = server.folder / self.path.strip("/")  # type: ignore[attr-defined]
        return path.read_bytes() if path.is_file() else None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segments of one stream; at the two joints the clock starts anew."""
    folder = tmp_path_factory.mktemp("segments")
    for period, events in enumerate(([], [(SECONDS + 3.0, "roar")], [(SECONDS + 2.0, "rush")])):
        whole = write_recording(folder / "whole.ts", 3 * SECONDS, events, start=1.0 + 5000 * period, gop=20)
        split_recording(whole, SECONDS, folder, 3 * period)
    return folder


@pytest.fixture
def stream(segments: Path) -> Iterator[object]:
    with serving(_Stream) as server:
        server.folder, server.looks, server.slides = segments, 0, True
        server.asked, server.guard = [], threading.Lock()
        yield server


def test_a_live_stream_with_joints_loses_nothing(stream: object, tmp_path: Path) -> None:
    notes = list[str]()
    report = generate_clips(
        f"{stream.url}/master.m3u8",  # type: ignore[attr-defined]
        tmp_path / "out",
        database=None,
        options=OPTIONS,
        on_note=notes.append,
    )
    assert report.notes[0] == f"{COUNT} segments were read, 0 were lost"
    peaks = [(one.kind, (one.start + one.end) / 2) for one in report.clips]
    assert [kind for kind, _ in peaks] == ["audio", "video"]
    for (_, middle), true in zip(peaks, (4 * SECONDS + 5, 7 * SECONDS + 4), strict=True):
        assert middle == pytest.approx(true, abs=5)
    for one in report.clips:
        assert one.state == "made"
        with open_video(one.path) as video:
            assert video.info.duration_seconds == pytest.approx(one.end - one.start, abs=0.6)
    assert all("X-Token" in headers for _, headers in stream.asked)  # type: ignore[attr-defined]


def test_a_clip_is_ready_while_the_stream_still_runs(stream: object) -> None:
    ready = list[tuple[float, int]]()

    def note(one: object) -> None:
        ready.append((one.candidate.end, stream.looks))  # type: ignore[attr-defined]

    follow_highlights(f"{stream.url}/live.m3u8", OPTIONS, on_ready=note)  # type: ignore[attr-defined]
    end, looks = ready[0]
    read = (looks + 2) * SECONDS  # of the stream, when the clip came
    assert read - end <= 10.0
    assert read < COUNT * SECONDS


def test_lost_segments_are_counted_and_the_rest_goes_on(stream: object, segments: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(COUNT):
        if number != 1:
            (folder / f"{number}.ts").write_bytes((segments / f"{number}.ts").read_bytes())
    (folder / "5.ts").write_bytes(b"damaged" * 100)
    stream.folder = folder  # type: ignore[attr-defined]
    report = find_highlights(f"{stream.url}/live.m3u8", OPTIONS)  # type: ignore[attr-defined]
    assert report.notes[0] == f"{COUNT - 1} segments were read, 1 were lost"
    assert any("could not be decoded" in note for note in report.notes)
    assert len(report.candidates) == 2


def test_a_change_of_size_ends_a_clip_and_not_the_stream(stream: object, segments: Path, tmp_path: Path) -> None:
    import highlight_files

    folder = tmp_path / "sizes"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number}.ts").write_bytes((segments / f"{number}.ts").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(highlight_files, "WIDTH", 128)
        events = [(SECONDS + 2.0, "rush")]
        whole = write_recording(tmp_path / "wide.ts", 3 * SECONDS, events, start=10_001.0, sound=False)
        split_recording(whole, SECONDS, folder, 6)
    stream.folder = folder  # type: ignore[attr-defined]
    url = f"{stream.url}/live.m3u8"  # type: ignore[attr-defined]
    report = generate_clips(url, tmp_path / "out", database=None, options=OPTIONS)
    assert report.notes[0] == f"{COUNT} segments were read, 0 were lost"
    assert any("changes its size" in note for note in report.notes)
    assert [one.state for one in report.clips] == ["made", "made"]


def test_a_dead_address_and_what_is_no_playlist_are_said(stream: object) -> None:
    with pytest.raises(MediaError, match="404"):
        find_highlights(f"{stream.url}/none.m3u8")  # type: ignore[attr-defined]
    with pytest.raises(MediaError, match="cannot be reached"):
        find_highlights("http://127.0.0.1:9/live.m3u8")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<html>", "EXTM3U"),
        ('#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/passwd"\n#EXTINF:2,\na.ts', "not HTTP"),
        ("#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd", "not HTTP"),
        ('#EXTM3U\n#EXT-X-MAP:URI="concat:/etc/passwd|/etc/shadow"\n#EXTINF:2,\na.mp4', "not HTTP"),
    ],
)
def test_playlists_that_are_not_followed(text: str, word: str) -> None:
    with pytest.raises(MediaError, match=word):
        parse_playlist(text, "http://example.org/live.m3u8")


def test_secrets_go_to_the_host_that_was_named_and_to_no_other() -> None:
    fetcher = Fetcher({"Cookie": "a=b", "Referer": "x"})
    assert fetcher.request("http://one.example/a").get_header("Cookie") == "a=b"
    other = fetcher.request("http://two.example/a")
    assert other.get_header("Cookie") is None
    assert other.get_header("Referer") == "x"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def _program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(stat.S_IRWXU)


def test_pages_are_asked_of_programs_that_are_installed(programs: Path) -> None:
    page = "https://www.twitch.tv/someone"
    assert is_page(page)
    assert not is_page("https://cdn.twitch.tv/a/live.m3u8")
    with pytest.raises(MediaError, match=r"install yt-dlp or streamlink"):
        stream_of_page(page)
    _program(programs, "yt-dlp", "echo 'ERROR: someone is offline' >&2; exit 1")
    with pytest.raises(MediaError, match="someone is offline"):
        stream_of_page(page)
    _program(programs, "streamlink", "echo https://cdn.example/live.m3u8")
    assert stream_of_page(page) == "https://cdn.example/live.m3u8"
    # A page of a clip is never answered with the channel's live stream.
    with pytest.raises(MediaError, match="someone is offline"):
        stream_of_page("https://kick.com/someone/clips/clip_1")
