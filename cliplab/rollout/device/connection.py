"""HTTP to one registry: every request ends within a stated time, and no answer is longer than was asked for.

The standard library's client is used: it returns what has arrived, so that a server which sends a byte now and then
(the slow retrieval attack of The Update Framework's specification, section 1.5.2) can be cut off by its average speed.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from adapters.errors import ConfigError
from adapters.system import parse_json
from cliplab.rollout.device.deadlines import Deadline
from cliplab.rollout.device.errors import TooLongError, UnreachableError

BLOCK_BYTES = 64 * 1024
# A head or a small body must be complete after this time, whatever arrives in between.
SMALL_SECONDS = 30.0
# A file may take this time, and the time of its bytes at the slowest speed that is still useful.
FILE_SECONDS, MIN_BYTES_PER_SECOND = 30.0, 2_000.0
_STALL_SECONDS = 20.0
_MAX_ERROR_BYTES = 2_000


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end.

    Attributes:
        status: HTTP status.
        body: Its bytes.
        headers: By lower-case name.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


class RegistryConnection:
    """Requests to a registry over one connection, which is kept between them. For one thread.

    Args:
        url: The registry's address, such as https://models.example.org or http://127.0.0.1:8470.
        token: Shown with each request; None for none.
        ca: PEM file of the certificates that may sign the registry's, for https; None for those of the system.
        small_seconds: Time for an answer other than a file.
        min_bytes_per_second: A file that arrives slower than this on average, after ``small_seconds``, is given up.

    Raises:
        ConfigError: The address is not one of a registry, or the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca: Path | None = None,
        small_seconds: float = SMALL_SECONDS,
        min_bytes_per_second: float = MIN_BYTES_PER_SECOND,
    ) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise ConfigError(
                f"registry is {url!r:.200} and must be a plain address such as https://models.example.org. "
                "Give --registry URL, the address that `cliplab registry serve` prints"
            )
        try:
            self._port = parts.port
        except ValueError:
            raise ConfigError(f"registry is {url!r:.200}, whose port is not a number up to 65535") from None
        self.url = url.rstrip("/")
        self._host, self._secure, self._path = parts.hostname, parts.scheme == "https", parts.path.rstrip("/")
        self._token = token
        self._context = _trusting(ca, self._secure)
        self._small_seconds, self._min_speed = small_seconds, min_bytes_per_second
        self._connection: http.client.HTTPConnection | None = None
        # Of the request in progress: http.client lets go of it where the answer says that it ends the connection.
        self._socket: socket.socket | None = None
        self._date: str | None = None

    @property
    def server_time(self) -> float | None:
        """What the registry's last answer gives as its time, seconds since 1970; None where it gives none.

        It is unsigned, so only for messages.
        """
        try:
            return None if self._date is None else parsedate_to_datetime(self._date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._socket = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, max_bytes: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Read one small answer.

        Args:
            path: Below the registry's address, such as "tuf/metadata/timestamp.json".
            max_bytes: The longest body that is read.
            headers: Further headers. With If-None-Match, the answer's status may be 304.

        Raises:
            UnreachableError: There is no answer, it is too slow or too long, or its status is 400 or above.
        """
        with self.open("GET", path, headers=headers) as response:
            return Answer(response.status, b"".join(self.blocks(response, max_bytes)), _lower(response))

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        """Send a body and read the answer, of at most 64 KiB; as ``get``.

        Args:
            path: Below the registry's address.
            body: What to send.
            content_type: Its type.
        """
        headers = {"Content-Type": content_type}
        seconds = self._small_seconds + len(body) / self._min_speed
        with self.open("POST", path, headers=headers, body=body, seconds=seconds) as response:
            return Answer(response.status, b"".join(self.blocks(response, BLOCK_BYTES)), _lower(response))

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; the block reads the answer's body, with ``blocks``. Redirections are not followed.

        Args:
            method: GET or POST.
            path: Below the registry's address.
            headers: Further headers.
            body: What to send.
            seconds: Time until the block has ended; None for that of a small answer.

        Raises:
            UnreachableError: There is no answer in time, or its status is not 200 to 206.
        """
        limit = seconds or self._small_seconds
        response: http.client.HTTPResponse | None = None
        try:
            with self._deadline(limit) as late:
                try:
                    response = self._send(method, path, headers or {}, body)
                    self._date = response.headers["Date"]
                    unchanged = response.status == 304 and "If-None-Match" in (headers or {})
                    if response.status not in (200, 201, 202, 204, 206) and not unchanged:
                        raise _refused(self.url, path, response)
                    yield response
                    if late.passed:  # where nothing says how long an answer is, its end may be that of the time
                        raise TimeoutError
                except UnreachableError as error:
                    if late.passed:  # the connection that ended was ended here
                        raise self._unreachable(path, error, True, limit) from error
                    raise
                except (OSError, http.client.HTTPException, ValueError) as error:
                    raise self._unreachable(path, error, late.passed, limit) from error
        finally:
            # Bytes that were not read would be taken for the next answer.
            if response is None or not response.isclosed() or response.will_close or late.passed:
                if response is not None:
                    response.close()
                self.close()

    def blocks(self, response: http.client.HTTPResponse, max_bytes: int) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Args:
            response: Of ``open``.
            max_bytes: The longest body.

        Raises:
            UnreachableError: It is longer, or it ends before its Content-Length.
        """
        received = 0
        expected = response.length
        while block := response.read1(BLOCK_BYTES):
            received += len(block)
            if received > max_bytes:
                raise TooLongError(f"{self.url}: sent more than {max_bytes} bytes, the maximum")
            yield block
        if expected is not None and received < expected:
            raise UnreachableError(f"{self.url}: the response ended after {received} of {expected} bytes")
        response.close()  # it was read to its end, so that the connection can be used again

    def file_seconds(self, size_bytes: int) -> float:
        """The time that a file of this size may take."""
        return self._small_seconds + size_bytes / self._min_speed

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> http.client.HTTPResponse:
        target = f"{self._path}/{quote(path, safe='/')}"
        whole = {"Accept-Encoding": "identity", "User-Agent": "cliplab-device", **headers}
        if self._token is not None:
            whole["Authorization"] = f"Bearer {self._token}"
        kept = self._connection is not None
        try:
            return self._ask(method, target, whole, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # The registry may close a kept connection at any time. Every request here may be repeated.
            if not kept:
                raise
            self.close()
            return self._ask(method, target, whole, body)

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            if self._context is not None:
                self._connection = _SecureConnection(self._host, self._port, _STALL_SECONDS, self._context)
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=_STALL_SECONDS)
        self._connection.request(method, target, body=body, headers=dict(headers))
        self._socket = self._connection.sock
        return self._connection.getresponse()

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[Deadline]:
        """End the connection after this time, whatever it waits for; ``passed`` says that this happened."""

        def end() -> None:
            connection = self._connection
            sock = self._socket or (connection.sock if connection is not None else None)
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        late = Deadline(seconds, end)
        try:
            yield late
        finally:
            late.cancel()

    def _unreachable(self, path: str, error: Exception, late: bool, seconds: float) -> UnreachableError:
        if late or isinstance(error, TimeoutError):
            reason = f"did not answer completely within {seconds:.0f} s" if late else "stopped answering"
        elif isinstance(error, ssl.SSLCertVerificationError):
            reason = (
                f"has a certificate that is not trusted here ({error.verify_message}). Give --ca FILE with the "
                "certificate that signed it, or use the name that it was made for"
            )
        else:
            reason = f"cannot be reached ({getattr(error, 'strerror', None) or error or type(error).__name__})"
        return UnreachableError(f"{self.url}: {reason} (asked for {path}). The device will try again.")


class _SecureConnection(http.client.HTTPConnection):
    """https whose handshake a deadline can end: the socket that it uses is in its place before it begins."""

    def __init__(self, host: str, port: int | None, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port or http.client.HTTPS_PORT, timeout=timeout)
        self._trusted = context

    def connect(self) -> None:
        super().connect()
        secure = self._trusted.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = secure
        secure.do_handshake()


def _trusting(ca: Path | None, secure: bool) -> ssl.SSLContext | None:
    """What https trusts; None for http."""
    if not secure:
        if ca is not None:
            raise ConfigError(f"{ca}: --ca is for a registry of https. Give --registry https://...")
        return None
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{ca}: cannot be read as certificates ({error.strerror or error}). Give --ca FILE, the PEM file of the "
            "certificate that signed the registry's"
        ) from None


def _lower(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def said_in(body: bytes, key: str) -> str:
    """The sentence of an answer; where it is no JSON object with that text, such as a proxy's page, all of it.

    Args:
        body: The answer.
        key: Where the sentence is.
    """
    try:
        found = parse_json(body.decode(), 5)
    except ValueError:  # not UTF-8, or not JSON
        found = None
    said = found.get(key) if isinstance(found, dict) else None
    return " ".join((said if isinstance(said, str) else body.decode("utf-8", "replace")).split())


def _refused(url: str, path: str, response: http.client.HTTPResponse) -> UnreachableError:
    body = b""
    while len(body) < _MAX_ERROR_BYTES and (block := response.read1(_MAX_ERROR_BYTES)):
        body += block
    else:
        if len(body) < _MAX_ERROR_BYTES:
            response.close()  # it was read to its end, so that the connection can be used again
    text = said_in(body, "error") if response.status >= 400 else ""
    retry = response.headers.get("Retry-After", "")
    next_step = (
        " Give --token-file FILE with the token that `cliplab registry device add` printed for this device."
        if response.status == http.client.UNAUTHORIZED
        else ""
    )
    return UnreachableError(
        f"{url}: answered {response.status} to {path}{f' ({text})' if text else ''}.{next_step}",
        response.status,
        float(retry) if retry.isdecimal() and len(retry) < 6 else None,
    )
