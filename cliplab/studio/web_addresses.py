"""Addresses that a page may name: of the public web only, so that a page cannot read this machine or its network."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from adapters.hosts.http_server.errors import RequestError

_MOST_CHARACTERS = 4000


def is_address(text: str) -> bool:
    """Whether text is an address (``https://...``, ``file:...``) and not a path.

    Args:
        text: What was typed.
    """
    scheme = text.partition(":")[0]
    return ":" in text and len(scheme) > 1 and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()


def require_public_address(text: str) -> str:
    """An http or https address whose host is not on this machine or in a private network.

    Only the address itself is checked; whoever asks it checks where it leads.

    Args:
        text: What was typed.

    Returns:
        The address.

    Raises:
        RequestError: 400, it is not an address of the web, or its host is unknown; 403, the host is not public.
    """
    if len(text) > _MOST_CHARACTERS or not text.isprintable() or " " in text:
        raise RequestError(400, f"an address must have at most {_MOST_CHARACTERS} printable characters without spaces")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(400, f"{text[:80]!r} is not an address ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RequestError(
            403, f"{text[:80]!r}: only http:// and https:// addresses and files in the studio's folder are allowed"
        )
    if parts.username is not None or parts.password is not None:
        raise RequestError(
            400, "the address contains a user name or password. Use cliplab detect with --header in a terminal"
        )
    for found in _addresses_of(host, port or (443 if parts.scheme == "https" else 80)):
        if not found.is_global or found.is_multicast:
            raise RequestError(
                403,
                f"{host}: is {found}, which is on this machine or in a private network; pages may only use public "
                "hosts. Use cliplab detect in a terminal",
            )
    return text


def _addresses_of(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RequestError(400, f"{host[:80]}: cannot be found ({error}). Check the address") from None
    addresses = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found]
    mapped = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return list(dict.fromkeys(mapped))
