"""Read addresses over HTTP: redirects and host names are checked, and slow servers are given up."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any

from adapters.errors import AdapterError, MediaError

_TIMEOUT_SECONDS = 15.0  # of one wait
# The head of an answer must be there after this time, redirects included, whatever arrives in between.
HEAD_SECONDS = 30.0
# An answer may take that time again, and that of its bytes at the slowest speed at which a stream can be followed.
LEAST_BYTES_PER_SECOND = 20_000
_BLOCK_BYTES = 256 << 10
# Sent only to the host that was named, since a playlist may lead anywhere.
_SECRET = {"authorization", "cookie", "proxy-authorization"}


class RefusedAddressError(MediaError):
    """An address that must not be asked, now or later."""


class WebReader:
    """Reads addresses over HTTP with limits on time and size. For one thread."""

    def __init__(self, headers: Mapping[str, str], check_url: Callable[[str], object] | None = None) -> None:
        """Prepare.

        Args:
            headers: Sent with each request; a cookie or an authorization only to the host of the first one.
            check_url: Called with each address before it is asked, redirects too, and with the address of the machine
                that a name led to, unless a proxy is asked; raises where it must not be.
        """
        self._headers, self._check, self._home = dict(headers), check_url, ""
        self._socket: socket.socket | None = None
        self._proxied = bool(urllib.request.getproxies())
        self._opener = urllib.request.build_opener(_Redirects(self), _Http(self), _Https(self))

    def request(self, url: str, byte_range: tuple[int, int] | None = None) -> urllib.request.Request:
        """A request with the headers that its host may see.

        Raises:
            AdapterError: The address must not be asked.
        """
        if self._check is not None:
            self._check(url)
        host = urllib.parse.urlsplit(url).netloc
        self._home = self._home or host
        headers = {
            name: value for name, value in self._headers.items() if host == self._home or name.lower() not in _SECRET
        }
        if byte_range is not None:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[0] + byte_range[1] - 1}"
        return urllib.request.Request(url, headers={"User-Agent": "cliplab", **headers})

    def get(
        self,
        url: str,
        most_bytes: int,
        byte_range: tuple[int, int] | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[bytes, str]:
        """What is at an address, and where that was after redirects.

        Args:
            url: Of http or https.
            most_bytes: The longest answer that is read.
            byte_range: (first, count) within it; None: all of it.
            is_stopped: Asked while it is read.

        Raises:
            RefusedAddressError: It must not be asked.
            MediaError: It cannot be read, is larger than allowed, or comes too slowly.
        """
        with self._asked(url, byte_range) as answer:
            data = b"".join(self._blocks(url, answer, most_bytes, is_stopped))
            return _part(data, byte_range, answer.status == 206, url), str(answer.url)

    @contextmanager
    def _asked(self, url: str, byte_range: tuple[int, int] | None) -> Iterator[Any]:
        """The answer to a request; whatever goes wrong until it is read is a MediaError."""
        if not url.startswith(("http://", "https://")):
            raise MediaError(f"{url}: is not HTTP(S) and is not opened.")
        try:
            with self._opened(url, byte_range) as answer:
                yield answer
        except MediaError:
            raise
        except AdapterError as error:  # of the check
            raise RefusedAddressError(str(error)) from None
        except urllib.error.HTTPError as error:
            raise MediaError(f"{url}: the server answered {error.code} {error.reason}. Check the address.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise MediaError(f"{url}: cannot be reached ({reason}). Check the address and the network.") from None
        except Exception as error:  # of http.client: a server that does not speak HTTP or hangs up
            raise MediaError(f"{url}: was not received completely ({error}). Try again.") from None

    def look(self, url: str) -> tuple[str, int | None]:
        """Where an address leads, redirects followed and checked, and the size of what is there.

        Args:
            url: Of http or https.

        Returns:
            The address, and the size in bytes where the server sends parts; None where it does not.

        Raises:
            MediaError: It cannot be asked, or leads to where it must not.
        """
        with self._asked(url, (0, 1)) as answer:
            told = answer.headers.get("Content-Range", "").rpartition("/")[2]
            sends_parts = answer.status == 206 and told.isdecimal() and len(told) < 16
            return str(answer.url), int(told) if sends_parts else None

    def save(self, url: str, file: IO[bytes], most_bytes: int, is_stopped: Callable[[], bool] = lambda: False) -> int:
        """Write what is at an address to a file, in memory that does not grow with it.

        Args:
            url: Of http or https.
            file: Open for writing.
            most_bytes: The longest answer that is taken.
            is_stopped: Asked while it is read.

        Returns:
            How many bytes there were.

        Raises:
            MediaError: As ``get``.
        """
        count = 0
        with self._asked(url, None) as answer:
            for block in self._blocks(url, answer, most_bytes, is_stopped):
                count += file.write(block)
        return count

    @contextmanager
    def _opened(self, url: str, byte_range: tuple[int, int] | None) -> Iterator[Any]:
        """The answer to a request, whose head has come in time."""
        late = threading.Event()

        def end() -> None:
            late.set()
            if (open_socket := self._socket) is not None:
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(HEAD_SECONDS, end)
        timer.daemon = True
        timer.start()
        too_late = MediaError(f"{url}: did not answer within {HEAD_SECONDS:g} s. Try again later.")
        try:
            answer = self._opener.open(self.request(url, byte_range), timeout=_TIMEOUT_SECONDS)
        except Exception:
            if late.is_set():
                raise too_late from None
            raise
        finally:
            timer.cancel()
        with answer:
            if late.is_set():  # a head that was cut off is read as one without further headers
                raise too_late
            yield answer

    def _blocks(self, url: str, answer: Any, most_bytes: int, is_stopped: Callable[[], bool]) -> Iterator[bytes]:
        received, begun, expected = 0, time.monotonic(), answer.length
        while block := answer.read1(_BLOCK_BYTES):
            received += len(block)
            if received > most_bytes:
                raise MediaError(f"{url}: is larger than {most_bytes >> 20} MB, the maximum.")
            if time.monotonic() - begun > HEAD_SECONDS + received / LEAST_BYTES_PER_SECOND:
                raise MediaError(
                    f"{url}: arrives at less than {LEAST_BYTES_PER_SECOND // 1000} kB per second. Try again."
                )
            if is_stopped():
                raise MediaError(f"{url}: was not read completely, because following the stream was stopped.")
            yield block
        if expected is not None and received < expected:
            raise http.client.IncompleteRead(b"", expected - received)

    def connected(self, made: socket.socket, scheme: str) -> None:
        """Look at a connection before anything is sent.

        Args:
            made: The connection.
            scheme: "http" or "https".

        Raises:
            AdapterError: It leads to where it must not, as a name may after it was checked.
        """
        self._socket = made
        if self._check is None or self._proxied:
            return
        host, port = made.getpeername()[:2]
        host = str(host).partition("%")[0]
        self._check(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/")


def _part(data: bytes, byte_range: tuple[int, int] | None, is_part: bool, url: str) -> bytes:
    """The bytes of a range, also where the server sent all of the resource."""
    if byte_range is None:
        return data
    first, count = byte_range
    part = data if is_part else data[first : first + count]
    if len(part) != count:
        raise MediaError(f"{url}: has no bytes {first} to {first + count - 1}. Check the playlist.")
    return part


class _Connection(http.client.HTTPConnection):
    def __init__(self, reader: WebReader, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._reader = reader

    def connect(self) -> None:
        super().connect()
        self._reader.connected(self.sock, "http")


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, reader: WebReader, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._reader = reader

    def connect(self) -> None:
        super().connect()
        self._reader.connected(self.sock, "https")


class _Http(urllib.request.HTTPHandler):
    def __init__(self, reader: WebReader) -> None:
        super().__init__()
        self._reader = reader

    def http_open(self, req: Any) -> Any:
        return self.do_open(partial(_Connection, self._reader), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, reader: WebReader) -> None:
        super().__init__()
        self._reader, self._tls = reader, ssl.create_default_context()

    def https_open(self, req: Any) -> Any:
        made = partial(_SecureConnection, self._reader)
        return self.do_open(made, req, context=self._tls)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, reader: WebReader) -> None:
        self._reader = reader

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()  # the standard library would read the whole body, however long it is
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("http://", "https://")):
            raise RefusedAddressError(
                f"{req.full_url}: redirects to {newurl!r:.80}, which is not HTTP(S) and is not opened."
            )
        made = self._reader.request(newurl)
        if req.has_header("Range"):
            made.add_header("Range", req.get_header("Range"))
        return made
