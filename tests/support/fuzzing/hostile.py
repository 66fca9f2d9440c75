"""Files under names of videos that ask FFmpeg for other files and addresses. None may be opened, nor connected to."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzzing.case import Kind, Run, UnexpectedAnswerError, outcome
from fuzzing.media_kinds import render

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".flv", ".wmv", ".gif", ".m4v", ".3gp", ".ogv")
_M3U8 = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
_MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
_SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64" height="48">'
    '<image width="64" height="48" xlink:href="{0}"/><use xlink:href="{0}#a"/></svg>'
)
_ENTITY = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "{0}"><!ENTITY % y SYSTEM "{0}">%y;]><MPD>&x;</MPD>'
_CPL = (
    '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:0</Id>'
    "<AssetList><Asset><ChunkList><Chunk><Path>{0}</Path></Chunk></ChunkList></Asset></AssetList></CompositionPlaylist>"
)


def _reference_movie(target: str) -> bytes:
    """A QuickTime file whose one track lies in another file, by a data reference, and that redirects to one."""
    url = target.encode() + b"\0"
    data_reference = _box(b"rdrf", b"\0\0\0\0url " + len(url).to_bytes(4, "big") + url)
    redirect = _box(b"rmra", _box(b"rmda", data_reference))
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", redirect) + url


def _box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def attacks(url: str, port: int, canary: Path) -> list[tuple[str, bytes]]:
    """What an attacker may write into a file, by name: each leads to the listener or to the canary."""
    texts = {
        "m3u8 to a URL": _M3U8.format(f"{url}/a.ts"),
        "m3u8 to a file": _M3U8.format(f"file://{canary}"),
        "m3u8 to a neighbour": _M3U8.format(canary.name),
        "m3u8 with a key": _M3U8.format(canary.name).replace(
            "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{url}/k"\n#EXTINF'
        ),
        "ffconcat": f"ffconcat version 1.0\nfile '{canary}'\nfile '{canary.name}'\n",
        "concat of URLs": f"ffconcat version 1.0\nfile '{url}/a.mp4'\nfile 'subfile,,start,0,end,9,,:{canary}'\n",
        "DASH": _MPD.format(f"{url}/a.mp4"),
        "SDP": _SDP.format(port),
        "SVG": _SVG.format(f"file://{canary}") + _SVG.format(f"{url}/a.png"),
        "XML entity": _ENTITY.format(f"file://{canary}"),
        "pls": f"[playlist]\nFile1={url}/a.mp4\nFile2={canary}\nNumberOfEntries=2\nVersion=2\n",
        "asx and ram": f'<ASX version="3.0"><ENTRY><REF HREF="{url}/a.asf"/></ENTRY></ASX>\nrtsp://127.0.0.1:{port}/a\n',
        "IMF": _CPL.format(canary),
    }
    return [
        *((name, text.encode()) for name, text in texts.items()),
        ("reference movie", _reference_movie(f"{url}/a.mov")),
    ]


class Traps:
    """A listener that nobody may connect to, and a video that nobody may open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.canary = render(folder / "canary.mp4", "mpeg4", {}, {})
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self._events = _watch(self.canary)

    def check(self) -> None:
        """Raise UnexpectedAnswerError if a trap was touched."""
        try:
            self.listener.accept()
        except BlockingIOError:
            pass
        else:
            raise UnexpectedAnswerError("it connected to an address that the file names")
        if self._events is not None:
            try:
                os.read(self._events, 4096)
            except BlockingIOError:
                return
            raise UnexpectedAnswerError("it opened another file that the file names")


def _watch(path: Path) -> int | None:
    """A descriptor that is readable once the file is opened; None where the system cannot tell."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        opened_or_read = 0x20 | 0x1
        added = libc.inotify_add_watch(descriptor, os.fsencode(path), opened_or_read)
    except (OSError, AttributeError):
        return None
    return descriptor if descriptor >= 0 and added >= 0 else None


def hostile_cases(folder: Path) -> tuple[Traps, list[tuple[str, bytes, str]]]:
    """The traps, and each attack with each suffix."""
    traps = Traps(folder / "traps")
    named = attacks(f"http://127.0.0.1:{traps.port}", traps.port, traps.canary)
    return traps, [(name, data, suffix) for name, data in named for suffix in SUFFIXES]


def checked_by(traps: Traps, name: str, suffix: str, send: Callable[[], str]) -> str:
    """Send a case. UnexpectedAnswerError: it was read, or touched a trap."""
    result = send()
    traps.check()
    if not result.startswith("refused"):
        raise UnexpectedAnswerError(f"{name} under {suffix} was {result}")
    return f"{result} ({name} {suffix})"


@contextmanager
def hostile(folder: Path) -> Iterator[Run]:
    from adapters.media import open_video

    traps, cases = hostile_cases(folder)

    def run(seed: int) -> str:
        name, data, suffix = cases[seed % len(cases)]
        # A name that is a pattern of pictures, beside the canary and files that the pattern would match.
        path = traps.canary.with_name(f"case%0{1 + seed % 3}d{suffix}" if seed % 2 else f"case{suffix}")
        path.write_bytes(data)

        def read() -> None:
            with open_video(path) as opened:
                list(opened.frames(height=16, width=16))

        return checked_by(traps, name, suffix, lambda: outcome(read))

    yield run


@contextmanager
def hostile_http(folder: Path) -> Iterator[Run]:
    from fuzzing.served_host import served

    traps, cases = hostile_cases(folder)
    with served(folder, traps.canary.parent) as client:

        def run(seed: int) -> str:
            name, data, suffix = cases[seed % len(cases)]
            return checked_by(traps, name, suffix, lambda: client.upload(f"case%03d{suffix}", data))

        yield run


COUNT = 14 * len(SUFFIXES)  # 182
KINDS = {"hostile": Kind(COUNT, hostile), "hostile_http": Kind(COUNT, hostile_http)}
