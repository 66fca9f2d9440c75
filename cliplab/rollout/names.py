"""What a device may be called: the name becomes a part of addresses and of files."""

from __future__ import annotations

import re

from adapters.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_device_name(name: str) -> str:
    """Return a device's name.

    Args:
        name: 1 to 64 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit.

    Raises:
        ConfigError: It is another.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the device's name is {name!r:.100}; it must have 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin "
            "with a letter or digit, such as kitchen-01"
        )
    return name
