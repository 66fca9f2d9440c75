"""Which devices have the candidate of a rollout: devices and the registry compute the same answer from three values."""

from __future__ import annotations

import hashlib

_WHOLE = 2**64


def assigned(device: str, salt: str, percent: float) -> bool:
    """Whether a device is among the first percent of the fleet.

    Each device has a fixed place in 0..100 for a salt: the first 64 bits of SHA-256 over both. A larger percentage
    keeps every device that a smaller one had, and another salt draws again.

    Args:
        device: The device's name.
        salt: The rollout's salt.
        percent: How much of the fleet has the candidate, in 0..100.
    """
    return place_of(device, salt) < percent


def place_of(device: str, salt: str) -> float:
    """A device's place in a rollout's order, in 0..100 without 100.

    Args:
        device: The device's name.
        salt: The rollout's salt.
    """
    # The length keeps salt "a" with device "bc" apart from salt "ab" with device "c".
    text = f"{len(salt)}:{salt}{device}".encode("utf-8", "surrogatepass")
    # In floating point the largest number of 64 bits would round up to 100.
    return min(int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / _WHOLE * 100.0, 100.0 - 1e-9)
