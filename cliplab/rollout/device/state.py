"""What a device remembers between runs: one small JSON file, written atomically."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.system import parse_json, read_regular_bytes, write_json_atomic
from cliplab.rollout.device.errors import DeviceError
from cliplab.rollout.names import check_device_name

STATE_NAME = "device.json"
MOST_STATE_BYTES = 16_000_000
# The clock that anybody may set, and one that only grows while the machine runs.
wall_clock, steady_clock = time.time, time.monotonic
# One place for what distinguishes two boards with the same card image; absent elsewhere.
_SERIALS = ("/sys/firmware/devicetree/base/serial-number", "/etc/machine-id")
_FORMAT = 1
# Numbers of reports that need not be on the disk before they are used: a kill leaves a gap of at most this length.
RESERVED = 64
# What is proven about the time is written this often where nothing else changes: it costs a card a write.
EVIDENCE_SAVED_SECONDS = 600.0


class DeviceState:
    """The memory of one device.

    Args:
        folder: Where it is kept.
        name: The device's name. Under another name than before it is another device: with a new identity.
        machine: What distinguishes this machine; None to read it from the system.

    Attributes:
        client_id: 32 hexadecimal digits, made at random: two devices of one name differ in it.
        committed: The first number of a report that the file did not know when it was read.
        notices: Messages about what was found at the start, for the user.

    Raises:
        DeviceError: The file is damaged.
    """

    def __init__(self, folder: Path, name: str, machine: str | None = None) -> None:
        self._path = folder / STATE_NAME
        self.name = check_device_name(name)
        self.notices: list[str] = []
        self._machine = machine_fingerprint() if machine is None else machine
        self._values = self._read()
        # A report from this number on was stored and not entered here: it is made again.
        committed = self._values.pop("committed", None)
        self._adopt_identity()
        self.committed = min(committed, self.sequence) if type(committed) is int else self.sequence
        self._monotonic = steady_clock()
        self._reserved = self.sequence
        self._written, self._written_at = "", float("-inf")

    # Identity and sequence

    @property
    def client_id(self) -> str:
        """This client's identity."""
        return str(self._values["client_id"])

    @property
    def sequence(self) -> int:
        """The number of the next report, from 1."""
        return int(self._values["sequence"])

    def next_sequence(self) -> None:
        """Count one report; ``save`` makes it durable."""
        self._values["sequence"] = self.sequence + 1

    def reserve_sequence(self) -> None:
        """Make sure that no later client uses the present number, whenever this one ends.

        Raises:
            StorageError: The state cannot be written.
        """
        if self.sequence >= self._reserved:
            self._reserved = self.sequence + RESERVED
            self.save()

    # Time and versions

    @property
    def seen_versions(self) -> dict[str, int]:
        """The newest version of each role that was verified."""
        return dict(self._values["seen_versions"])

    def run_clock(self) -> None:
        """Add the time since the last call, by a clock that nobody sets, to the evidence of time."""
        now = steady_clock()
        if self._values["evidence_seconds"]:
            self._values["evidence_seconds"] += max(0.0, now - self._monotonic)
        self._monotonic = now

    def forget_evidence(self) -> None:
        """Begin again with what is proven about the time: the keys that signed it were revoked."""
        self._values["evidence_seconds"] = 0.0

    def clock_now(self) -> float:
        """Seconds since 1970 by the clock, which anybody may set."""
        return float(wall_clock())

    def trusted_now(self) -> float:
        """Seconds since 1970: the clock, or the evidence where the clock is behind it."""
        return float(max(wall_clock(), self._values["evidence_seconds"]))

    def clock_behind_seconds(self) -> float:
        """By how much the clock is behind the evidence; 0 where it is not."""
        return float(max(0.0, self._values["evidence_seconds"] - wall_clock()))

    def saw(self, versions: Mapping[str, int], signed_at: float | None) -> None:
        """Note verified metadata.

        Args:
            versions: By role.
            signed_at: When the timestamp says that it was signed; None where it does not say.
        """
        self._values["seen_versions"] = dict(versions)
        if signed_at is not None:
            self._values["evidence_seconds"] = max(self._values["evidence_seconds"], signed_at)

    # Anything else that is small: what was refused, what was counted

    def get(self, key: str) -> dict[str, Any]:
        """A dictionary of this name, which the caller may change before ``save``."""
        found: dict[str, Any] = self._values["notes"].setdefault(key, {})
        return found

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Replace the dictionary of this name."""
        self._values["notes"][key] = value

    def copy(self) -> str:
        """All of it, for ``restore``."""
        return json.dumps(self._values)

    def restore(self, copy: str) -> None:
        """Forget what was changed since ``copy``."""
        self._values = json.loads(copy)

    def save(self) -> None:
        """Write the file.

        Raises:
            StorageError: It cannot be written; the old one stays.
        """
        self.run_clock()
        self._reserved = max(self._reserved, self.sequence)
        numbers = {"sequence": self._reserved, "committed": self.sequence}
        write_json_atomic(self._path, {**self._values, **numbers}, None)
        self._written, self._written_at = self._essence(), steady_clock()

    def save_changes(self) -> None:
        """Write the file where more has changed than the time; that is written now and then.

        Raises:
            StorageError: As ``save``.
        """
        if self._essence() != self._written or steady_clock() - self._written_at >= EVIDENCE_SAVED_SECONDS:
            self.save()

    def close(self) -> None:
        """Write the file without the numbers that were reserved: this client has ended in order.

        Raises:
            StorageError: As ``save``.
        """
        if self._reserved != self.sequence or self._essence() != self._written:
            self._reserved = self.sequence
            self.save()

    def _essence(self) -> str:
        """What must be on the disk soon: all but the time, and numbers that are reserved there."""
        return json.dumps({**self._values, "evidence_seconds": 0, "sequence": 0})

    def _read(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {
            "format": _FORMAT,
            "name": self.name,
            "machine": self._machine,
            "client_id": uuid.uuid4().hex,
            "sequence": 1,
            "seen_versions": {},
            "evidence_seconds": 0.0,
            "notes": {},
        }
        try:
            stored = parse_json(read_regular_bytes(self._path, MOST_STATE_BYTES, DeviceError), 20)
        except FileNotFoundError:
            return fresh
        except (OSError, ValueError, RecursionError) as error:
            raise DeviceError(
                f"{self._path}: is damaged ({error}). Move it away: the device then starts with a new identity, and "
                "keeps its models and the root that it trusts."
            ) from None
        if (
            not isinstance(stored, dict)
            or stored.get("format") != _FORMAT
            or any(
                type(stored.get(key)) is not type(value) and key != "evidence_seconds" for key, value in fresh.items()
            )
        ):
            raise DeviceError(
                f"{self._path}: is not the state of a device of this version. Move it away, or use another --models "
                "folder."
            )
        return stored

    def _adopt_identity(self) -> None:
        """Begin as another device where the name or the machine is another than before: both may be in use."""
        name, machine = self._values["name"], self._values["machine"]
        copied = bool(machine and self._machine and machine != self._machine)
        if name == self.name and not copied:
            return
        if name != self.name:
            self.notices.append(f"this device was {name} and is now {self.name}: it reports as a new device.")
        else:
            self.notices.append(
                f"the state of {self.name} was copied here from another machine: this one reports with an identity "
                "of its own, and the registry will say that two devices have one name. Give one of them another --name."
            )
        self._values |= {
            "name": self.name,
            "machine": self._machine or machine,
            "client_id": uuid.uuid4().hex,
            "sequence": 1,
        }


def machine_fingerprint() -> str:
    """What distinguishes this machine from a copy of its disk: a digest of its serial number, "" where it has none."""
    found = b""
    for path in _SERIALS:
        try:
            found += Path(path).read_bytes().strip(b"\0\n ")
        except OSError:
            continue
    return hashlib.sha256(found).hexdigest()[:16] if found else ""
