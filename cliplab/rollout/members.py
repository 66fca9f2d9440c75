"""Who takes part in a rollout: the devices that use the model, since when with the candidate, and who fell silent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cliplab.registry.schema import Connection, sa
from cliplab.rollout.assignment import place_of
from cliplab.rollout.record import Rollout
from cliplab.rollout.schema import DEVICES, MEMBERS


def alive(connection: Connection, model: str, since: float) -> list[Any]:
    """Devices that use a model and have reported since a moment.

    Args:
        connection: Reading.
        model: The model.
        since: Seconds since 1970.
    """
    rows = connection.execute(sa.select(DEVICES).where(DEVICES.c.last_seen >= since))
    return [row for row in rows if model in json.loads(row.versions)]


def wide_enough(salt: str, devices: Sequence[str], percent: float, least: int) -> float:
    """The percentage that has at least some of the devices that are known.

    Args:
        salt: The rollout's.
        devices: The fleet.
        percent: What the stage asks for.
        least: How many devices are needed; at most half of the fleet, so that a control group is left.

    Returns:
        ``percent``, or more.
    """
    wanted = min(least, max(1, len(devices) // 2))
    if percent >= 100.0 or not devices:
        return percent
    places = sorted(place_of(device, salt) for device in devices)
    # Rounded up, so that the number reads well and is the same in JSON.
    return max(percent, min(math.ceil(places[wanted - 1] * 1e4 + 1.0) / 1e4, 100.0))


def update_members(connection: Connection, rollout: Rollout, now: float) -> None:
    """Enter new devices, note which have the candidate from now on, and which fell silent.

    Args:
        connection: Writing.
        rollout: The rollout, running or paused.
        now: The server's time.
    """
    silent = rollout.settings.silent_minutes * 60.0
    known = {row.device: row for row in connection.execute(sa.select(MEMBERS).where(MEMBERS.c.rollout == rollout.id))}
    seen: Mapping[str, float] = {
        row.device: row.last_seen for row in connection.execute(sa.select(DEVICES.c.device, DEVICES.c.last_seen))
    }
    new = []
    for row in alive(connection, rollout.model, now - silent):
        if row.device in known:
            continue
        place = place_of(row.device, rollout.id)
        has = now if place < rollout.percent else None
        new.append({"rollout": rollout.id, "device": row.device, "place": place, "joined": now, "candidate_since": has})
    if new:
        connection.execute(sa.insert(MEMBERS), new)
    key = (MEMBERS.c.rollout == rollout.id, MEMBERS.c.device == sa.bindparam("name"))
    joining = [
        {"name": name, "since": now}
        for name, row in known.items()
        if row.candidate_since is None and row.place < rollout.percent
    ]
    if joining:
        change = sa.update(MEMBERS).where(*key).values(candidate_since=sa.bindparam("since"), silent_at=None)
        connection.execute(change, joining)
    gone = [
        {"name": name, "at": now}
        for name, row in known.items()
        if row.silent_at is None and now - max(seen.get(name, 0.0), row.candidate_since or row.joined) > silent
    ]
    if gone:
        connection.execute(sa.update(MEMBERS).where(*key).values(silent_at=sa.bindparam("at")), gone)
