"""HLS streams as servers send them: made by FFmpeg's own muxer, encrypted, cut to windows, and served on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
from loopback import serving

WINDOW = 3  # segments that a live playlist shows


def write_hls(recording: Path, playlist: Path, kinds: str, seconds: float, **options: str) -> list[str]:
    """Divide a recording with FFmpeg's hls muxer, packets copied. kinds: "video", "audio" or "both".

    Returns:
        The lines of the playlist.
    """
    playlist.parent.mkdir(parents=True, exist_ok=True)
    given = {"hls_time": str(seconds), "hls_list_size": "0", "hls_playlist_type": "vod", **options}
    with av.open(str(recording)) as source, av.open(str(playlist), "w", format="hls", options=given) as target:
        chosen = [one for one in source.streams if one.type in ("video", "audio") and kinds in (one.type, "both")]
        outs = {one.index: target.add_stream_from_template(one) for one in chosen}
        packets = [one for one in source.demux(chosen) if one.pts is not None and one.size]
        for packet in sorted(packets, key=lambda one: float(one.dts * one.time_base)):
            packet.stream = outs[packet.stream.index]
            target.mux(packet)
    return playlist.read_text().splitlines()


def encrypt(path: Path, key: bytes, iv: bytes) -> None:
    """Encrypt a segment in place with AES-128 as RFC 8216 has it."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    data = path.read_bytes()
    padding = 16 - len(data) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    path.write_bytes(encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize())


def entries(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The lines before the first segment, and those of each segment; a header's line (EXT-X-MAP) is before."""
    head, found, current = list[str](), list[list[str]](), list[str]()
    for line in lines:
        if line.startswith(("#EXTM3U", "#EXT-X-VERSION", "#EXT-X-TARGET", "#EXT-X-MAP", "#EXT-X-INDEPENDENT")):
            head.append(line)
        elif line.startswith(("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-PLAYLIST-TYPE", "#EXT-X-ENDLIST")):
            continue
        elif line.startswith("#"):
            current.append(line)
        elif line.strip():
            found.append([*current, line])
            current = []
    return head, found


class HlsServer(BaseHTTPRequestHandler):
    """Files of ``server.folder``; playlists of ``server.live`` show a window that moves with each look at the first."""

    def do_GET(self) -> None:
        server: Any = self.server
        parts = urlsplit(self.path)
        name = parts.path.strip("/")
        with server.guard:
            server.asked.append((self.path, dict(self.headers)))
            answer = server.answer(name, parts.query, self.headers) if server.answer is not None else None
            body = self._body(name) if answer is None else answer
        if isinstance(body, int):
            self.send_error(body)
        elif isinstance(body, str):
            self.send_response(302)
            self.send_header("Location", body)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(body)

    def _send(self, body: bytes) -> None:
        given = self.headers.get("Range", "")
        if given and not self.server.ignores_ranges:  # type: ignore[attr-defined]
            first, last = (int(one) for one in given.removeprefix("bytes=").split("-"))
            body = body[first : last + 1]
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self, name: str) -> bytes | int:
        server: Any = self.server
        if name in server.live:
            if name == next(iter(server.live)):
                server.looks += 1
            return self._window(*server.live[name]).encode()
        path = server.folder / name
        return path.read_bytes() if path.is_file() else 404

    def _window(self, head: list[str], found: list[list[str]]) -> str:
        """Segments as far as they are made; those before the window are gone."""
        shown = min(self.server.looks + WINDOW - 1, len(found))  # type: ignore[attr-defined]
        first = max(shown - WINDOW, 0)
        periods = sum("#EXT-X-DISCONTINUITY" in lines for lines in found[:first])
        keys = [line for lines in found[: first + 1] for line in lines if line.startswith(("#EXT-X-KEY", "#EXT-X-MAP"))]
        lines = [*head, f"#EXT-X-MEDIA-SEQUENCE:{first}", f"#EXT-X-DISCONTINUITY-SEQUENCE:{periods}", *keys[-2:]]
        lines += [line for part in found[first:shown] for line in part]
        return "\n".join(lines + (["#EXT-X-ENDLIST"] if shown == len(found) else []))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hls_server(
    folder: Path,
    live: dict[str, tuple[list[str], list[list[str]]]] | None = None,
    answer: Callable[[str, str, Any], bytes | int | str | None] | None = None,
    ignores_ranges: bool = False,
) -> Iterator[Any]:
    """Serve a folder. live: playlists by name, as ``entries`` gives them; answer: what is said instead of a file."""
    with serving(HlsServer) as server:
        server.folder, server.live, server.answer, server.ignores_ranges = folder, live or {}, answer, ignores_ranges
        server.looks, server.asked, server.guard = 0, [], threading.Lock()
        yield server
