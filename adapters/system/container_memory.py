"""How much memory this process may use, where a container limits it."""

from __future__ import annotations

from pathlib import Path

# Linux control groups, version 2 and version 1 (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst).
LIMIT_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Version 1 writes a number close to 2**63 where there is no limit.
_NO_LIMIT = 1 << 60


def memory_limit() -> int | None:
    """The container's memory limit in bytes.

    Returns:
        The limit, at least 1; None without a limit, or where it cannot be read.
    """
    for path in LIMIT_FILES:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdigit() and 0 < int(text) < _NO_LIMIT:
            return int(text)
    return None
