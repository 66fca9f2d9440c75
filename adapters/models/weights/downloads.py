"""Files fetched over HTTP within bounds: how large, how long, from which scheme."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from adapters.system import downloads_allowed, whole_number

_TIMEOUT_SECONDS = 30
_TOTAL_SECONDS = 3600
_CHUNK_BYTES = 1 << 20


class DownloadError(Exception):
    """A file that could not be downloaded; its text is the reason."""


def download(url: str, target: Path, *, max_bytes: int, named: bool = False) -> None:
    """Download a file, as a whole.

    Only https is used, unless a person named the address: then http and file are allowed too. A redirect from https
    leads to https only, and none leads to another scheme than http and https.

    Args:
        url: Where it is.
        target: The file to write; what was written of a failed download is left to the caller.
        max_bytes: The largest file that is accepted. It is counted while it is read, whatever the server declares.
        named: Whether a person named the address, for example in an environment variable.

    Raises:
        DownloadError: It could not be downloaded, or is too large.
    """
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in (("https", "http", "file") if named else ("https",)):
        raise DownloadError(f"{scheme or 'no scheme'} is not allowed; use https")
    if scheme != "file" and not downloads_allowed():
        raise DownloadError("downloads are not allowed here")
    opener = urllib.request.build_opener(_Redirects(scheme))
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as response, target.open("wb") as file:
            expected = whole_number(response.headers.get("Content-Length", ""))
            if expected is not None and expected > max_bytes:
                raise DownloadError(f"the server declares {expected} bytes; at most {max_bytes} are allowed")
            size = _copy(response, file, max_bytes)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DownloadError(reason_of(error)) from error
    if expected is not None and size != expected:
        raise DownloadError(f"the download is damaged or was cut short (it ended after {size} of {expected} bytes)")


def reason_of(error: Exception) -> str:
    """Why a download failed, in a line that says more than the error's own text often does.

    Args:
        error: What urllib raised.
    """
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server could not be reached ({error.reason})"
    if isinstance(error, http.client.IncompleteRead):
        return f"the download is damaged or was cut short (it ended after {len(error.partial)} bytes)"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _copy(response: Any, file: IO[bytes], max_bytes: int) -> int:
    size, until = 0, time.monotonic() + _TOTAL_SECONDS
    while chunk := response.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise DownloadError(f"it is larger than {max_bytes} bytes, the maximum")
        if time.monotonic() > until:
            raise DownloadError(f"it took longer than {_TOTAL_SECONDS} s")
        file.write(chunk)
    return size


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https, and to http where the download began with it."""

    def __init__(self, scheme: str) -> None:
        self.allowed = ("https",) if scheme == "https" else ("http", "https")

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()  # the standard library would read the whole body, however long it is
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in self.allowed:
            raise urllib.error.URLError(f"it redirects to {scheme or 'no scheme'}; only {self.allowed[-1]} is allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
