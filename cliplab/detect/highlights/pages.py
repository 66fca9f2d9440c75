"""Pages of streaming sites to the address of their stream, by yt-dlp or streamlink where one of them is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from urllib.parse import urlsplit

from adapters.errors import MediaError
from adapters.system import terminal_text
from cliplab.detect.highlights.hls import is_playlist

_SITES = ("kick.com", "twitch.tv", "youtube.com", "youtu.be")
# A page of one clip; streamlink would give the channel's live stream for it.
_CLIP_PAGE = re.compile(r"(^clips\.|/clips?/|[?&]clip=)")
_TIMEOUT_SECONDS = 60.0
_MOST_SHOWN = 400


def is_page(source: str) -> bool:
    """Whether a source is a page of a streaming site and no stream.

    Args:
        source: A path or URL.
    """
    if not source.lower().startswith(("http://", "https://")) or is_playlist(source):
        return False
    try:
        host = (urlsplit(source).hostname or "").lower()
    except ValueError:  # such as http://[
        return False
    return any(host == site or host.endswith(f".{site}") for site in _SITES)


def stream_of_page(page: str, on_note: Callable[[str], object] | None = None) -> str:
    """The address of a page's stream or video.

    Args:
        page: The page's URL.
        on_note: Receives which program answered.

    Returns:
        An address that begins with http.

    Raises:
        MediaError: Neither program is installed, or both failed; their own words are shown.
    """
    parts = urlsplit(page)
    is_clip = _CLIP_PAGE.search(f"{parts.hostname}{parts.path}?{parts.query}") is not None
    # "--" ends the options, so that a page is never taken for one.
    tries = [["yt-dlp", "--no-playlist", "--no-warnings", "-f", "b/best", "-g", "--", page]]
    if not is_clip:
        tries.append(["streamlink", "--stream-url", "--", page, "best"])
    failures = list[str]()
    for command in tries:
        program = shutil.which(command[0])
        if program is None:
            continue
        said = _run([program, *command[1:]])
        if isinstance(said, str) and said.startswith(("http://", "https://")):
            if on_note is not None:
                on_note(f"{command[0]} found the stream of this page")
            return said
        failures.append(f"{command[0]}: {said if isinstance(said, str) else said.decode()}")
    if not failures:
        names = "yt-dlp" if is_clip else "yt-dlp or streamlink"
        raise MediaError(
            f"{page}: is a page, not a stream. Paste the address of its playlist (.m3u8), or install {names}, which "
            "can find it."
        )
    raise MediaError(f"{page}: its stream was not found. {'; '.join(failures)}. Paste the address of its .m3u8.")


def _run(command: list[str]) -> str | bytes:
    """The last address that a program prints; bytes with its own words where it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return f"gave no answer within {_TIMEOUT_SECONDS:g} s".encode()
    except OSError as error:
        return f"cannot be run ({error.strerror})".encode()
    lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    if done.returncode == 0 and lines:
        return lines[0]
    words = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
    shown = (
        terminal_text(words[-_MOST_SHOWN:], one_line=True) or f"exited with code {done.returncode} without a message"
    )
    return shown.encode()


def stream_address(source: str, on_note: Callable[[str], object] | None = None) -> str | None:
    """The HLS playlist that a source is or leads to; None where it is a file or another stream.

    Args:
        source: A path, a URL of a stream or of a page.
        on_note: As for ``stream_of_page``.

    Raises:
        MediaError: The page's stream was not found.
    """
    if is_playlist(source):
        return source
    if is_page(source):
        found = stream_of_page(source, on_note)
        if is_playlist(found):
            return found
        raise MediaError(f"{source}: leads to a file, not to a stream: {found:.200}. Download it, and give the file.")
    return None
