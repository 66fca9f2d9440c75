"""Registries whose writers are killed at each step, and what is left of them. Run in a process without threads."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from registry_files import TRUSTED
from registry_files import upload as upload_version
from tuf_client import Device

from cliplab.registry import open_registry, registry_promote, registry_publish

NAME = "base-general"


def killed_after(steps: int, act: Callable[[], object]) -> bool:
    """Run act in a process that SIGKILLs itself at its n-th step: a change of a file, an SQL statement or a commit.

    Returns whether it was killed; False where it has fewer steps.
    """
    child = os.fork()
    if child == 0:
        left = steps

        def step(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("os.rename", "os.link", "os.mkdir", "os.remove", "sqlite3.connect/handle") or (
                event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            ):
                step()

        sys.addaudithook(audit)
        for moment in ("before_cursor_execute", "commit"):
            sa.event.listen(sa.engine.Engine, moment, step)
        try:
            act()
        except BaseException:
            os._exit(3)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def current(device: Device) -> str:
    """The version that a client may use in production, after every byte of it was verified."""
    model = json.loads(device.read("environments/production.json"))["models"][NAME]
    assert len(device.read(model["target"])) == model["size_bytes"]
    return str(model["version"])


def publisher(folder: str, home: str, stride: str) -> int:
    """Promotions to and fro, each killed some steps later than the one before, until one has no step left."""
    place, device = Path(folder), Device(Path(home), Path(folder) / "tuf")
    version, killed, was_killed = "1.0.0", 0, True
    for steps in itertools.count(0, int(stride)):
        if not was_killed:
            return killed
        other = "1.1.0" if version == "1.0.0" else "1.0.0"

        def promote(wanted: str = other) -> None:
            registry_promote(NAME, wanted, "production", registry=place, trust_adapters=TRUSTED)

        was_killed = killed_after(steps, promote)
        killed += was_killed
        with open_registry(place) as registry:
            stored = registry.current(NAME, "production")
            registry.check()
        assert stored is not None
        assert stored.version in (version, other) if was_killed else stored.version == other
        assert current(device) in (version, other)
        registry_publish(registry=place)  # what was acknowledged and not published
        version = stored.version
        assert current(device) == version
    return killed


def upload(folder: str, home: str, stride: str) -> int:
    """Uploads, each killed some steps later than the one before, until one has no step left."""
    place, done, killed, was_killed = Path(folder), 0, 0, True
    for steps in itertools.count(0, int(stride)):
        if not was_killed:
            break
        version = f"1.2.{done}"

        def act(wanted: str = version) -> None:
            upload_version(place, NAME, wanted)

        was_killed = killed_after(steps, act)
        killed += was_killed
        with open_registry(place) as registry:
            found = {item.version for item in registry.versions(NAME)}
            assert was_killed or version in found
            if version in found:
                assert registry.artifact(NAME, version).is_file()
                done += 1
            registry.check()
    assert done
    return killed
