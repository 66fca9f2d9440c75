"""Registries whose writers are killed at each step, and what is left of them. Run in a process without threads."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from registry_files import TRUSTED
from registry_files import upload as upload_version
from tuf_client import Device

from cliplab.registry import open_registry, registry_promote, registry_publish

NAME = "base-general"


def killed_after(steps: int, act: Callable[[], object]) -> bool:
    """Run act in a process that SIGKILLs itself at the n-th file or database step. Returns whether it was killed."""
    child = os.fork()
    if child == 0:
        left = steps

        def step(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("os.rename", "os.link", "os.mkdir", "sqlite3.connect/handle") or (
                event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            ):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(step)
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


def publisher(folder: str, home: str, kills: str) -> None:
    """Promotions to and fro, each killed one step later than the one before."""
    place, device = Path(folder), Device(Path(home), Path(folder) / "tuf")
    version, killed = "1.0.0", 0
    for steps in range(int(kills)):
        other = "1.1.0" if version == "1.0.0" else "1.0.0"

        def promote(wanted: str = other) -> None:
            registry_promote(NAME, wanted, "production", registry=place, trust_adapters=TRUSTED)

        was_killed = killed_after(steps % 16, promote)
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
    assert killed >= int(kills) / 3, killed


def upload(folder: str, home: str, kills: str) -> None:
    """Uploads, each killed one step later than the one before."""
    place, done = Path(folder), 0
    for steps in range(int(kills)):
        version = f"1.2.{done}"

        def act(wanted: str = version) -> None:
            upload_version(place, NAME, wanted)

        was_killed = killed_after(steps % 12, act)
        with open_registry(place) as registry:
            found = {item.version for item in registry.versions(NAME)}
            assert was_killed or version in found
            if version in found:
                assert registry.artifact(NAME, version).is_file()
                done += 1
            registry.check()
    assert done
