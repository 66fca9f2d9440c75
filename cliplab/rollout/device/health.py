"""How the device itself is: free disk, temperature."""

from __future__ import annotations

import contextlib
from pathlib import Path

_THERMAL = Path("/sys/class/thermal")


def temperature_celsius(folder: Path = _THERMAL) -> float | None:
    """The hottest of the machine's thermal zones in degrees Celsius; None where it has none that can be read.

    Args:
        folder: Linux's folder of thermal zones; their ``temp`` is in thousandths of a degree.
    """
    found = []
    for path in folder.glob("thermal_zone*/temp"):
        with contextlib.suppress(OSError, ValueError):
            value = int(path.read_text()) / 1000
            if -60 < value < 200:
                found.append(value)
    return round(max(found), 1) if found else None
