"""Options of the HTTP host: where it listens, who may send requests, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from adapters.errors import ConfigError
from adapters.litert import available_cores
from adapters.media import DEFAULT_MEMORY_MB

MB = 1_000_000
MIN_TOKEN_LENGTH = 16
# All bodies in progress may use this many times the size of the largest one, for videos and for tensors each.
BODIES_AT_A_TIME = 4


@dataclass(frozen=True)
class HttpOptions:
    """Options of ``serve``. A wrong value raises ConfigError on construction.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose one.
        token: Secret that clients send as ``Authorization: Bearer TOKEN``; None serves this machine only.
        root: Folder whose files requests may name; None allows none.
        max_body_mb: Size of the largest upload, in millions of bytes.
        max_tensor_mb: Size of the largest tensor request, in millions of bytes, also counted at the model's frame size.
        queue: Number of requests that may wait for a worker; further requests get 429 Too Many Requests.
        workers: Number of requests that are computed at a time; None for one per core.
        timeout_seconds: Limit for a request's body to arrive, and then for its answer.
        max_megapixels: Size of the largest frame of a video, a JPEG or a tensor, in millions of pixels.
        max_streams: Number of WebSockets that may be open at a time.
        max_windows: Number of windows that a video may be cut into.
        decoders: Number of processes that decode videos and pictures, apart from this one; None for one per worker, 0
            for decoding in this process, which is for videos from people you trust.
        decoder_memory_mb: Memory that decoding one video may use, in millions of bytes (on Linux).
        decoder_seconds: Time that decoding one video may take, without waiting for the model; None for
            ``timeout_seconds``.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    root: Path | None = None
    max_body_mb: float = 500
    max_tensor_mb: float = 64
    queue: int = 64
    workers: int | None = None
    timeout_seconds: float = 60
    max_megapixels: float = 10
    max_streams: int = 32
    max_windows: int = 10_000
    decoders: int | None = None
    decoder_memory_mb: float = DEFAULT_MEMORY_MB
    decoder_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("port", 0),
            ("queue", 0),
            ("workers", 1),
            ("max_streams", 0),
            ("max_windows", 1),
            ("decoders", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value!r} and must be a whole number of at least {least}")
        for name in (
            "max_body_mb",
            "max_tensor_mb",
            "timeout_seconds",
            "max_megapixels",
            "decoder_memory_mb",
            "decoder_seconds",
        ):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)!r} and must be a number above 0")
        if self.port > 65535:
            raise ConfigError(f"port is {self.port} and must be at most 65535")
        if self.root is not None and not self.root.is_dir():
            raise ConfigError(
                f"root is {self.root}, which is not a folder. Give the folder that requests may read from"
            )
        if self.token is not None and not (len(self.token) >= MIN_TOKEN_LENGTH and self.token.isascii()):
            raise ConfigError(
                f"the token has {len(self.token)} characters; it must have at least {MIN_TOKEN_LENGTH}, all ASCII. "
                "Make one with: openssl rand -hex 24"
            )
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"host is {self.host}, which other machines can reach, but no token is set, so anyone could use it. "
                "Give --token-file FILE or CLIPLAB_TOKEN, or listen on 127.0.0.1"
            )

    @property
    def worker_count(self) -> int:
        """``workers``, or the number of available cores."""
        return available_cores() if self.workers is None else self.workers

    @property
    def decoder_count(self) -> int:
        """``decoders``, or the number of workers."""
        return self.worker_count if self.decoders is None else self.decoders

    @property
    def decoding_seconds(self) -> float:
        """``decoder_seconds``, or ``timeout_seconds``."""
        return self.timeout_seconds if self.decoder_seconds is None else self.decoder_seconds

    @property
    def body_bytes(self) -> int:
        """``max_body_mb`` in bytes."""
        return int(self.max_body_mb * MB)

    @property
    def tensor_bytes(self) -> int:
        """``max_tensor_mb`` in bytes."""
        return int(self.max_tensor_mb * MB)

    @property
    def frame_pixels(self) -> int:
        """``max_megapixels`` in pixels."""
        return int(self.max_megapixels * MB)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host[1:-1] if host[:1] + host[-1:] == "[]" else host).is_loopback
    except ValueError:
        return False


def read_token(file: str | Path | None, environment: str | None) -> str | None:
    """Read a token.

    Args:
        file: File that contains the token, in one line; None to use the environment.
        environment: Value of the environment variable; None or "" if it is not set.

    Returns:
        The token, or None if neither is given.

    Raises:
        ConfigError: The file cannot be read or is empty.
    """
    if file is None:
        return environment or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token file {file} cannot be read ({error}). Write the token into it, in one line") from None
    if not token:
        raise ConfigError(f"token file {file} is empty. Write a token into it: openssl rand -hex 24 > {file}")
    return token
