"""What the Fleet page shows: the devices of a registry, in numbers and one by one."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError, MissingExtraError
from cliplab.rollout import CLONE_SECONDS, RolloutSettings
from cliplab.studio.context import Studio
from cliplab.studio.fleet_rollouts import has_tables, read_rollouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cliplab.registry import Registry

MOST_ROWS = 100
SILENT_SECONDS = RolloutSettings.silent_minutes * 60.0
_RECENT_HOURS = 24
_FAILING_SHARE = 0.05
# Versions that are listed, of the fleet and of one device; and models whose predictions are counted.
_MOST_VERSIONS, _DEVICE_VERSIONS, _MODELS = 20, 8, 500
KINDS = ("all", "silent", "failing", "warning")


@dataclass(frozen=True)
class DeviceRow:
    """One device as the table shows it.

    Attributes:
        name: Its name.
        versions: Model and version of each model that it uses, as far as they are listed.
        more_versions: How many others it uses.
        age: How long ago it reported, in words.
        silent: Whether it has not reported for ``SILENT_SECONDS``.
        warning: What its owner should know, or the empty string.
        predictions: Predictions of the last day.
        errors: Failed predictions, failures of the golden clip and crashes of the last day.
        failing: Whether that is more than one of twenty predictions.
        disk: Free space in words, "-" where unknown.
        temperature: In degrees Celsius in words, "-" where unknown.
    """

    name: str
    versions: tuple[tuple[str, str], ...]
    more_versions: int
    age: str
    silent: bool
    warning: str
    predictions: int
    errors: int
    failing: bool
    disk: str
    temperature: str


@contextmanager
def opened(studio: Studio) -> Iterator[Registry]:
    """The registry of a studio, for reading.

    Args:
        studio: The studio.

    Raises:
        StorageError: There is no registry, or it cannot be read.
        MissingExtraError: The ``registry`` extra is not installed.
    """
    from cliplab.registry import open_registry

    with open_registry(studio.options.registry, read_only=True) as registry:
        yield registry


def why_no_fleet(studio: Studio) -> str | None:
    """One sentence that says how to get a fleet to show; None where there is a registry.

    Args:
        studio: The studio.
    """
    how = (
        "Create one with cliplab registry init --registry DIR, and start the studio with --registry DIR or with "
        "CLIPLAB_REGISTRY set (docs/registry.md)."
    )
    try:
        with opened(studio):
            return None
    except (MissingExtraError, ModuleNotFoundError):
        return "The Fleet page needs the registry extra: pip install '.[registry]' in the project's folder."
    except AdapterError as error:
        return f"There is no registry to show ({reason_of(error)}). {how}"


def reason_of(error: AdapterError) -> str:
    """Why a registry cannot be read, without a final full stop and without the folders above it.

    Where folders are on this machine is not for those who open the studio from another one, and a command that names
    one without its folders could not be run.

    Args:
        error: What ``opened`` raised.
    """
    reason = re.split(" Create it: | Correct the path or URL ", str(error))[0]
    return re.sub(r"(/[^/\s:]+)+(?=/[^/\s:]+)", "…", reason).rstrip(".")


def read_summary(registry: Registry, now: float | None = None) -> dict[str, Any]:
    """The numbers of the fleet and the rollouts that matter.

    Args:
        registry: Open for reading.
        now: Seconds since 1970; None reads the clock.

    Returns:
        What the template's upper part shows.
    """
    import sqlalchemy as sa

    from cliplab.rollout.schema import DEVICES

    at = time.time() if now is None else now
    with registry.engine.connect() as connection:
        if not has_tables(connection):
            return {"devices": 0, "silent": 0, "versions": [], "rollouts": []}
        rows = connection.execute(sa.select(DEVICES.c.last_seen, DEVICES.c.versions)).all()
    # The most used: a device may report any names, and must not hide those of the others.
    counts = Counter(pair for row in rows for pair in json.loads(row.versions).items())
    used = sorted(counts.most_common(_MOST_VERSIONS))
    return {
        "devices": len(rows),
        "silent": sum(at - row.last_seen > SILENT_SECONDS for row in rows),
        "versions": [(model, version, count) for (model, version), count in used],
        "rollouts": read_rollouts(registry, at),
    }


def read_devices(
    registry: Registry, words: str = "", kind: str = "all", after: str = "", now: float | None = None
) -> tuple[list[DeviceRow], str]:
    """Devices by name, a page of them.

    Args:
        registry: Open for reading.
        words: Only devices with this text in their name or versions.
        kind: One of ``KINDS``.
        after: Only names that come after this one.
        now: Seconds since 1970; None reads the clock.

    Returns:
        At most ``MOST_ROWS`` devices, and the name after which the next page begins; empty on the last page.
    """
    import sqlalchemy as sa

    from cliplab.rollout.schema import DEVICES, SUMS

    at = time.time() if now is None else now
    since = int(at // 3600.0) - _RECENT_HOURS
    with registry.engine.connect() as connection:
        if not has_tables(connection):
            return [], ""
        texts = connection.execute(sa.select(DEVICES.c.versions)).scalars()
        models = [name for name, _ in Counter(name for text in texts for name in json.loads(text)).most_common(_MODELS)]
        # Hours before a rollout began are negative. Each range is read by the index of model and hour.
        ranges = [
            sa.select(SUMS).where(SUMS.c.model.in_(models), hours)
            for hours in (SUMS.c.hour >= since, SUMS.c.hour <= -since)
        ]
        recent = sa.union_all(*ranges).subquery()
        failures = recent.c.errors + recent.c.golden_failures + recent.c.restarts
        sums = (
            sa.select(
                recent.c.device,
                sa.func.sum(recent.c.predictions).label("predictions"),
                sa.func.sum(failures).label("errors"),
            )
            .group_by(recent.c.device)
            .subquery()
        )
        query = (
            sa.select(DEVICES, sums.c.predictions, sums.c.errors)
            .outerjoin(sums, sums.c.device == DEVICES.c.device)
            .where(DEVICES.c.device > after)
            .order_by(DEVICES.c.device)
            .limit(MOST_ROWS + 1)
        )
        if words:
            query = query.where(
                DEVICES.c.device.icontains(words, autoescape=True)
                | DEVICES.c.versions.icontains(words, autoescape=True)
            )
        if kind == "silent":
            query = query.where(DEVICES.c.last_seen < at - SILENT_SECONDS)
        elif kind == "failing":
            query = query.where(sums.c.errors > _FAILING_SHARE * sums.c.predictions)
        elif kind == "warning":
            query = query.where(DEVICES.c.cloned_at > at - CLONE_SECONDS)
        found = connection.execute(query).all()
    rows = [_device(row, at) for row in found[:MOST_ROWS]]
    return rows, rows[-1].name if len(found) > MOST_ROWS else ""


def _device(row: Any, at: float) -> DeviceRow:
    cloned = row.cloned_at is not None and at - row.cloned_at < CLONE_SECONDS
    versions = sorted((str(model), str(version)) for model, version in json.loads(row.versions).items())
    return DeviceRow(
        row.device,
        tuple(versions[:_DEVICE_VERSIONS]),
        max(0, len(versions) - _DEVICE_VERSIONS),
        age_words(at - row.last_seen),
        at - row.last_seen > SILENT_SECONDS,
        "two devices have this name" if cloned else "",
        int(row.predictions or 0),
        int(row.errors or 0),
        int(row.errors or 0) > _FAILING_SHARE * int(row.predictions or 0),
        "-" if row.disk_free_bytes is None else f"{row.disk_free_bytes / 1e9:.1f} GB",
        "-" if row.temperature_celsius is None else f"{row.temperature_celsius:.0f} °C",
    )


def age_words(seconds: float) -> str:
    """How long ago something was, such as "3 min".

    Args:
        seconds: The age.
    """
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0.0):.0f} s ago"
