"""Entries for whole videos in JSON formats: what the annotations of a video share, and what may not be in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.data.aliases import STRONG, is_left_out, is_rate, key_names, normal_name, time_name
from adapters.errors import DatasetError


def shared_values(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What the annotations of a video share: its split, group, source and rate, and its file where it is named.

    Args:
        entry: The object of a video.
        where: Its place in the file, for messages.

    Returns:
        Values by the keys path, split, group, source and fps.

    Raises:
        DatasetError: The entry gives a range, which is read from annotations only.
    """
    found: dict[str, Any] = {}
    for name, value in entry.items():
        known = None if is_left_out(name) else time_name(name)
        if known is not None and (known.part in ("start", "end") or normal_name(name) == "segment"):
            raise DatasetError(
                f"{where}: {name!r} looks like the time of a range, but ranges are read from the annotations. Move it "
                f"there; to ignore it on purpose, rename it to {'_' + name!r}."
            )
        normal = normal_name(name)
        if is_rate(name):
            found["fps"] = value
        elif normal in STRONG["path"]:
            found["path"] = value
        elif (key := next((key for key in ("split", "group", "source") if normal in key_names(key)), None)) is not None:
            found[key] = value
    return found


def with_shared(annotation: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an annotation: its own values, and those of its video where it has none.

    Args:
        annotation: The keys and values of the annotation.
        shared: What ``shared_values`` found for its video.
    """
    own = {name: value for name, value in annotation.items() if value is not None}
    named = {
        key for name in own for key in shared if normal_name(name) in key_names(key) or (key == "fps" and is_rate(name))
    }
    return {**{key: value for key, value in shared.items() if key not in named}, **own}
