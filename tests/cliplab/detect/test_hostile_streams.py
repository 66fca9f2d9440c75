"""Streams of somebody who means harm: each look at them ends, in bounded time and memory, and leads nowhere else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import serving
from media_patterns import numbered_frame, write_video

from adapters.errors import ConfigError, MediaError
from cliplab.detect import find_highlights, follow_highlights
from cliplab.detect.highlights import web_reading, web_video
from cliplab.detect.highlights.hls import Fetcher, parse_playlist
from cliplab.detect.observing import observe

URL = "http://example.org/live.m3u8"


def test_a_long_line_is_searched_once() -> None:
    began = time.process_time()
    for line in ("#EXT-X-FOO:" + "A" * 2_000_000, "A" * 2_000_000):
        parse_playlist(f"#EXTM3U\n{line}\n", URL)
    assert time.process_time() - began < 5


def test_lengths_that_no_segment_has() -> None:
    text = "#EXTM3U\n#EXTINF:1e14,\na.ts\n#EXTINF:nan,\nb.ts\n#EXTINF:-3,\nc.ts\n"
    assert [one.seconds for one in parse_playlist(text, URL).segments] == [3600.0, 0.0, 0.0]


class _Hostile(BaseHTTPRequestHandler):
    """Sends a byte now and then, or without end, until the other side hangs up."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        with suppress(OSError):
            if name in self.server.files:  # type: ignore[attr-defined]
                self._file(self.server.files[name])  # type: ignore[attr-defined]
            else:
                getattr(self, name.replace("-", "_"))()
        self.close_connection = True

    def _file(self, data: bytes) -> None:
        wanted = self.headers.get("Range", "")
        if wanted and getattr(self.server, "parts", False):
            first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            head = f"206 Partial Content\r\nContent-Range: bytes {first}-{first + len(part) - 1}/{len(data)}"
        else:
            part, head = data, "200 OK"
        self._send(f"HTTP/1.1 {head}\r\nContent-Length: {len(part)}\r\n\r\n".encode() + part)

    def slow_body(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        self._drip(b"#")

    def slow_head(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\n")
        self._drip(b"X")

    def interim_answers(self) -> None:
        self._drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def long_redirect(self) -> None:
        self._send(b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 99999999999\r\n\r\n" + bytes(1 << 20))
        self._drip(b"x")

    def good(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")

    def endless(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            self._send(b"#" * (1 << 20))

    def short(self) -> None:
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")

    def elsewhere(self) -> None:
        self._send(b"HTTP/1.1 302 Found\r\nLocation: http://localhost/good\r\nContent-Length: 0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _drip(self, data: bytes) -> None:
        while not self.server.ending.wait(0.05):  # type: ignore[attr-defined]
            self._send(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(web_reading, "HEAD_SECONDS", 120.0)  # other tests want the machine as well
    with serving(_Hostile) as made:
        made.ending, made.files = threading.Event(), dict[str, bytes]()
        yield made
        made.ending.set()


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("slow-body", "less than 20 kB per second|did not answer within"),
        ("slow-head", "did not answer within"),
        ("interim-answers", "did not answer within"),
    ],
)
def test_what_is_sent_slowly_is_given_up(server: Any, path: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_reading, "HEAD_SECONDS", 1.0)
    with pytest.raises(MediaError, match=word):
        Fetcher({}).get(f"{server.url}/{path}", 1 << 20)


@pytest.mark.parametrize(("path", "word"), [("endless", "larger than 1 MB"), ("short", "not received completely")])
def test_what_is_sent_without_end_or_not_whole(server: Any, path: str, word: str) -> None:
    with pytest.raises(MediaError, match=word):
        Fetcher({}).get(f"{server.url}/{path}", 1 << 20)


def test_the_body_of_a_redirect_is_not_read(server: Any) -> None:
    assert Fetcher({}).get(f"{server.url}/long-redirect", 1 << 20)[0] == b"good"


def test_a_stop_ends_the_reading(server: Any) -> None:
    with pytest.raises(MediaError, match="stopped"):
        Fetcher({}).get(f"{server.url}/slow-body", 1 << 20, is_stopped=lambda: True)


def test_where_a_name_or_a_redirect_leads_is_checked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may be another machine's when it is asked than when it was checked (DNS rebinding)."""

    def check(url: str) -> None:
        if "127.0.0.1" in url or "localhost" in url:
            raise ConfigError(f"{url}: is not public")

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: real("127.0.0.1" if host == "public.example" else host, *rest, **more),
    )
    monkeypatch.delenv("http_proxy", raising=False)
    port = server.url.rpartition(":")[2]
    with pytest.raises(MediaError, match="is not public"):
        Fetcher({}, check).get(f"http://public.example:{port}/good", 1 << 20)
    assert Fetcher({}, lambda url: None).get(f"http://public.example:{port}/good", 1 << 20)[0] == b"good"
    asked: list[str] = []

    def check_names(url: str) -> None:
        asked.append(url)
        if "localhost" in url:
            raise ConfigError(f"{url}: is not public")

    with pytest.raises(MediaError, match="is not public"):
        Fetcher({}, check_names).get(f"{server.url}/elsewhere", 1 << 20)
    assert asked[-1] == "http://localhost/good"


@pytest.mark.parametrize(("seconds", "believed"), [(2000, True), (1_000_000_000, False)])
def test_a_leap_of_the_times_of_a_recording_costs_nothing(tmp_path: Path, seconds: int, believed: bool) -> None:
    ticks = [40 * number + (1000 * seconds if number > 25 else 0) for number in range(50)]
    pictures = (numbered_frame(number) for number in range(50))
    path = write_video(tmp_path / "leap.mkv", pictures, ticks=ticks, time_base=Fraction(1, 1000), gop=10)
    began = time.process_time()
    if believed:
        assert find_highlights(path).duration_seconds == pytest.approx(seconds + 2, abs=0.1)
    else:  # more than the bytes of the file can be
        with pytest.raises(MediaError, match=r"277777\.8 h by its times"):
            find_highlights(path)
    assert time.process_time() - began < 10


def test_hours_that_a_few_bytes_claim_are_not_watched(tmp_path: Path) -> None:
    ticks = [40 * number + (80_000_000 if number > 25 else 0) for number in range(50)]
    pictures = (numbered_frame(number) for number in range(50))
    path = write_video(tmp_path / "leap.mkv", pictures, ticks=ticks, time_base=Fraction(1, 1000), gop=10)
    with pytest.raises(MediaError, match=r"lasts 22\.2 h"):
        observe(path)


def test_a_leap_of_a_streams_clock_is_a_joint(tmp_path: Path, server: Any) -> None:
    for number, start in enumerate((0, 90_000 * 80_000, 90_000 * 2)):
        ticks = [start + 3600 * frame for frame in range(50)]
        pictures = (numbered_frame(frame) for frame in range(50))
        write_video(tmp_path / f"{number}.ts", pictures, ticks=ticks, time_base=Fraction(1, 90_000), gop=25)
    server.files = {f"{number}.ts": (tmp_path / f"{number}.ts").read_bytes() for number in range(3)}
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", *(f"#EXTINF:2,\n{number}.ts" for number in range(3))]
    server.files["leap.m3u8"] = "\n".join([*lines, "#EXT-X-ENDLIST"]).encode()
    report = follow_highlights(f"{server.url}/leap.m3u8", stall_seconds=30.0)
    assert report.duration_seconds == pytest.approx(5.9, abs=0.3)
    assert any("timestamps jump" in note for note in report.notes)


def test_where_an_address_of_a_video_leads_is_checked_too(tmp_path: Path, server: Any) -> None:
    path = write_video(tmp_path / "a.ts", (numbered_frame(number) for number in range(50)), gop=10)
    server.files = {"a.ts": path.read_bytes()}
    asked: list[str] = []

    def check(url: str) -> None:
        asked.append(url)
        if "localhost" in url:
            raise ConfigError(f"{url}: is not public")

    with pytest.raises(MediaError, match="is not public"):
        find_highlights(f"{server.url}/elsewhere", check_url=check)
    assert find_highlights(f"{server.url}/a.ts", check_url=check).duration_seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("faststart", [True, False])
def test_a_video_is_asked_by_checked_connections_only(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch, parts: bool, faststart: bool
) -> None:
    """A name that leads elsewhere from the second look on is noticed: nothing but these connections asks for it."""
    options = {"movflags": "faststart"} if faststart else {}
    path = write_video(
        tmp_path / "a.mp4", (numbered_frame(number) for number in range(50)), gop=10, container_options=options
    )
    server.files, server.parts = {"a.mp4": path.read_bytes()}, parts
    real, looks = socket.getaddrinfo, list[str]()

    def look(host: Any, *rest: Any, **more: Any) -> Any:
        looks.append(str(host))
        return real("127.0.0.1" if host == "public.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    monkeypatch.delenv("http_proxy", raising=False)
    url = f"http://public.example:{server.url.rpartition(':')[2]}/a.mp4"
    assert find_highlights(url, check_url=lambda _: None).duration_seconds == pytest.approx(2.0, abs=0.1)
    assert len(looks) > 1  # each connection looks the name up, and FFmpeg, which knows no such name, none

    def check(address: str) -> None:
        if "127.0.0.1" in address and len(looks) > 1:
            raise ConfigError(f"{address}: is not public")

    looks.clear()
    with pytest.raises(MediaError, match="is not public"):
        find_highlights(url, check_url=check)


def test_a_video_that_is_kept_whole_is_bounded_and_can_be_stopped(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_video, "MOST_KEPT_BYTES", 2 << 20)
    with pytest.raises(MediaError, match="is larger than 2 MB"):
        find_highlights(f"{server.url}/endless", check_url=lambda _: None)
    with pytest.raises(MediaError, match="stopped"):
        find_highlights(f"{server.url}/endless", check_url=lambda _: None, is_stopped=lambda: True)
