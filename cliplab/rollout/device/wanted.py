"""Which version of each model a device should have: its environment's, or the candidate of a rollout that it is in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cliplab.rollout.device.errors import UntrustedError

# A candidate stays where it is while its rollout waits; after "halted" and "done" the environment alone counts.
ACTIVE_STATES = ("running", "paused")
_SHA256 = re.compile("[0-9a-f]{64}")
Assigned = Callable[[str, str, float], bool]


@dataclass(frozen=True)
class WantedVersion:
    """A version that a device should have.

    Attributes:
        model: The model.
        version: Its version.
        target: Its path in the signed repository.
        sha256: Of its file.
        golden: Its golden scores; None where it has none.
        rollout: The rollout whose candidate it is; None for the environment's version.
        format: "tflite", or what a device cannot run.
    """

    model: str
    version: str
    target: str
    sha256: str
    golden: Mapping[str, Any] | None
    rollout: str | None
    format: str


def wanted_versions(
    device: str, environment: Any, rollouts: Any, assigned: Assigned, models: Iterable[str] = ()
) -> list[WantedVersion]:
    """What a device should have.

    Args:
        device: Its name.
        environment: The document of its environment.
        rollouts: The document of rollouts; None where the registry has none.
        assigned: Whether a device is in a rollout's part of the fleet, by device, salt and percent.
        models: Only these; empty for all of the environment.

    Returns:
        One version of each model.

    Raises:
        UntrustedError: A document does not have the form that this version knows.
    """
    only = set(models)
    try:
        chosen = {
            name: _wanted(name, facts, None)
            for name, facts in environment["models"].items()
            if not only or name in only
        }
        for rollout in (rollouts or {}).get("rollouts", ()):
            name = rollout["model"]
            if name not in chosen or rollout["state"] not in ACTIVE_STATES:
                continue
            if assigned(device, str(rollout.get("salt") or rollout["id"]), float(rollout["percent"])):
                chosen[name] = _wanted(name, _candidate(rollout), str(rollout["id"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UntrustedError(
            f"the registry's documents have a format that this version does not know ({error!r}). Update cliplab on "
            "this device."
        ) from error
    return [chosen[name] for name in sorted(chosen)]


def _candidate(rollout: Mapping[str, Any]) -> Mapping[str, Any]:
    if "candidate_file" in rollout:
        facts: Mapping[str, Any] = rollout["candidate_file"]
        return facts
    raise ValueError(f"rollout {rollout['id']} does not say where version {rollout['candidate']} is")


def _wanted(name: str, facts: Mapping[str, Any], rollout: str | None) -> WantedVersion:
    sha256 = str(facts["sha256"])
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{name}: its digest is {sha256[:80]!r}")
    return WantedVersion(
        name,
        str(facts["version"]),
        str(facts["target"]),
        sha256,
        facts.get("golden"),
        rollout,
        str(facts.get("format", "tflite")),
    )
