"""Videos of Label Studio tasks: files under a root, and uploads that Label Studio serves. Nothing else is read."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from adapters.errors import ConfigError, MediaError
from adapters.system import whole_number

_LOCAL_FILES = "/data/local-files/"
_UPLOADS = "/data/"
_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20
_STOP_TICK_SECONDS = 0.2
Stop = Callable[[], str | None]
T = TypeVar("T")
_ENCODED = re.compile("%[0-9A-Fa-f]{2}")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True)
class LabelStudioClient:
    """A client of Label Studio's API. Its URL and token come from the host's options, never from a request.

    Attributes:
        url: Label Studio's URL, for example http://127.0.0.1:8080.
        token: Access token of a user: a legacy token, or a personal one (a JWT refresh token).

    Raises:
        ConfigError: The URL or the token is malformed.
    """

    url: str
    token: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment or parts.username:
            raise ConfigError(f"Label Studio's URL must be http(s)://host:port with nothing after it, got {self.url!r}")
        if not self.token.strip().isascii() or not self.token.strip() or len(self.token.split()) != 1:
            raise ConfigError("Label Studio's access token must be one ASCII word. Copy it from Account & Settings")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def get_json(self, path: str) -> Any:
        """Request JSON from the API.

        Args:
            path: Path of the URL, with its query.

        Returns:
            The parsed JSON.

        Raises:
            MediaError: Label Studio cannot be reached, or its answer is an error or not JSON.
        """
        with self.open(path) as answer:
            try:
                return json.load(answer)
            except ValueError as error:
                raise MediaError(f"{self.url}{path}: the answer is not JSON ({error})") from None

    def open(self, path: str) -> HTTPResponse:
        """Send a GET request with the token. Redirects are not followed: they would send the token to any address.

        Args:
            path: Path of the URL, with its query.

        Returns:
            The response, to be closed by the caller.

        Raises:
            MediaError: Label Studio cannot be reached, or its answer is an error.
        """
        return self._ask(urllib.request.Request(self.url + path, headers={"Authorization": self._authorization()}))

    def _authorization(self) -> str:
        token = self.token.strip()
        if token.count(".") != 2:
            return f"Token {token}"
        # A personal access token is exchanged for one of a few minutes: docs.humansignal.com/guide/access_tokens.
        request = urllib.request.Request(
            f"{self.url}/api/token/refresh",
            json.dumps({"refresh": token}).encode(),
            {"Content-Type": "application/json"},
        )
        with self._ask(request) as answer:
            try:
                return f"Bearer {json.load(answer)['access']}"
            except (ValueError, KeyError, TypeError):
                raise MediaError(f"{request.full_url}: the answer has no access token") from None

    def _ask(self, request: urllib.request.Request) -> HTTPResponse:
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            answer: HTTPResponse = opener.open(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            error.close()
            raise MediaError(
                f"{request.full_url}: Label Studio answered {error.code} {error.reason}. Check its URL, the token and "
                "the file"
            ) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise MediaError(f"{request.full_url}: Label Studio cannot be reached ({reason}). Check its URL") from None
        return answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def _query_path(query: str) -> str:
    """The path in the query of /data/local-files/?d=PATH, decoded once."""
    try:
        values = parse_qs(query, errors="surrogateescape", max_num_fields=20).get("d", [""])
    except ValueError:  # too many fields
        values = []
    return values[0] if len(values) == 1 else ""


def _check_decoded(path: str, value: str, where: str) -> None:
    """Refuse a path, decoded once, that another program may read as another path.

    Raises:
        MediaError: It is still percent-encoded, or has "..", a backslash or control characters.
    """
    if _ENCODED.search(path):
        raise MediaError(
            f"{value}: is percent-encoded twice, or has a file name with % and two hexadecimal digits, which is not "
            "supported. Encode it once, or rename the file"
        )
    if ".." in path.split("/") or "\\" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise MediaError(f"{value}: is outside {where} or not a plain path. Give a file inside it, without ..")


def stoppable(work: Callable[[], T], stop: Stop, source: str) -> T:
    """Run a function that may wait for the network in a thread, and leave it there if the work has to end.

    Args:
        work: The function.
        stop: Called while it runs; a reason, in a sentence, ends the waiting.
        source: For the message.

    Returns:
        The function's result.

    Raises:
        MediaError: ``stop`` returned a reason.
        Exception: Whatever the function raises.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # carried to the caller
            future.set_exception(error)

    threading.Thread(target=run, name="fetch", daemon=True).start()
    while True:
        wait([future], timeout=_STOP_TICK_SECONDS)
        if future.done():
            return future.result()
        if (reason := stop()) is not None:
            raise MediaError(f"{source}: {reason}")


def _arrived(answer: HTTPResponse, value: str) -> bytes:
    """Whatever has arrived of an answer, so that a slow sender is noticed. MediaError: It breaks off."""
    try:
        return answer.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        raise MediaError(f"{value}: was not sent whole by Label Studio ({error}). Try again") from None


@dataclass(frozen=True)
class VideoFetcher:
    """Finds or downloads the videos that tasks name, within the host's options.

    Attributes:
        root: Folder of local files; None allows none.
        client: Label Studio, for uploads; None allows none.
        max_bytes: Size of the largest download.
    """

    root: Path | None
    client: LabelStudioClient | None
    max_bytes: int

    def fetch(self, value: object, folder: Path, name: str, stop: Stop = lambda: None) -> Path:
        """Return the video that a task names, and download it if Label Studio serves it.

        Args:
            value: Path or URL of the video in the task's data.
            folder: Folder for a download.
            name: Name of a downloaded file, without the suffix, which is the video's.
            stop: Called during a download; a reason, in a sentence, ends it.

        Returns:
            The file.

        Raises:
            MediaError: The video is missing, is not allowed, or cannot be downloaded.
        """
        if not isinstance(value, str) or not value.strip():
            raise MediaError(f"the task's video must be a path or URL, got {value!r}")
        path = self._path_at_studio(value)
        try:
            parts = urlsplit(path)
        except ValueError as error:  # such as http://[
            raise MediaError(f"{value}: is not a path or URL ({error})") from None
        if parts.path.startswith(_LOCAL_FILES) and self.root is not None:
            return self._under_root(_query_path(parts.query), value)
        if path.startswith(_UPLOADS):
            return stoppable(lambda: self._download(path, folder / name, value, stop), stop, value)
        if parts.scheme or value.startswith("/"):
            raise MediaError(
                f"{value}: is not supported. A task's video may be a file of local storage under the host's root "
                "(/data/local-files/?d=...), or an upload of the Label Studio that the host was started with"
            )
        return self._under_root(unquote(value, errors="surrogateescape"), value)

    def _path_at_studio(self, value: str) -> str:
        """The path of a URL that leads to the configured Label Studio; any other value as it is."""
        if self.client is not None and value.startswith(f"{self.client.url}/"):
            return value[len(self.client.url) :]
        return value

    def _under_root(self, relative: str, value: str) -> Path:
        if self.root is None:
            raise MediaError(
                f"{value}: is a local file, but the host was started without --root. Start it with --root FOLDER"
            )
        _check_decoded(relative, value, "the host's root")
        root = self.root.resolve()
        try:
            path = (root / relative).resolve()
            inside = path.is_relative_to(root) and not Path(relative).is_absolute() and "\0" not in relative
            found = inside and path.is_file()
        except (OSError, RuntimeError, ValueError):
            inside = found = False
        if not inside or not relative:
            raise MediaError(f"{value}: is outside the host's root. Give a file inside it")
        if not found:
            raise MediaError(f"{value}: there is no such file under the host's root")
        return path

    def _download(self, path: str, target: Path, value: str, stop: Stop) -> Path:
        if self.client is None:
            raise MediaError(
                f"{value}: is stored by Label Studio, but the host was started without --label-studio-url and its token"
            )
        plain = unquote(path.partition("?")[0])
        _check_decoded(plain, value, "Label Studio's uploads")
        if "//" in plain or "#" in path or any(not 32 < ord(letter) < 127 for letter in path):
            raise MediaError(f"{value}: is not the path of an upload in the form that Label Studio writes")
        suffix = Path(urlsplit(path).path).suffix
        target = target.with_name(f"{target.name}{suffix if _SUFFIX.fullmatch(suffix) else ''}")
        size = 0
        with self.client.open(path) as answer, target.open("wb") as file:
            while chunk := _arrived(answer, value):
                size += len(chunk)
                if (reason := stop()) is not None:
                    raise MediaError(f"{value}: {reason}")
                if size > self.max_bytes:
                    raise MediaError(
                        f"{value}: has more than {self.max_bytes / 1e6:.0f} MB, the maximum (--max-video-mb)"
                    )
                file.write(chunk)
        declared = whole_number(answer.headers.get("Content-Length", ""))
        if declared is not None and size != declared:
            raise MediaError(f"{value}: {size} of {declared} bytes arrived from Label Studio. Try again")
        return target
