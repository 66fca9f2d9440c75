"""SIGKILL of a device's client at each step of an update: no half model in use, no report lost or counted twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from environment import environment
from places import SUPPORT
from signed_registry import MODEL, SignedRegistry, serving
from tflite_adapter import make_tflite

from adapters.bundle import render_clip
from cliplab.rollout.device import CheckResult, DeviceClient, DeviceModel, DeviceOptions
from cliplab.rollout.device.installed import InstalledModel
from cliplab.rollout.device.loop_counts import LoopFile

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


def test_killed_at_each_step(tmp_path: Path) -> None:
    """Each attempt finds another version, and counts of a loop to report, and is killed one step later."""
    registry, folder = SignedRegistry(), tmp_path / "models"
    contents: dict[str, bytes] = {}

    def promote(number: int) -> None:
        version = f"1.{number}.0"
        contents[version] = make_tflite(tmp_path / "m", f"label {number}", size_bytes=150_000 + number).read_bytes()
        registry.targets = {path: data for path, data in registry.targets.items() if version in path}
        registry.promote(version, contents[version])

    with serving(registry) as served:
        promote(0)
        client = DeviceClient(
            DeviceOptions("a", served.url, folder), check=lambda path, golden: CheckResult(True, ""), machine="one"
        )
        assert client.round().problems == ()
        current = InstalledModel(folder, MODEL).current()
        assert current is not None
        loop = LoopFile(folder / ".device" / "loops", MODEL)
        loop.counts(current.sha256).errors = 7
        loop.close()
        promote(1)
        command = [sys.executable, str(Path(SUPPORT) / "killed_device.py"), served.url, str(folder), "1"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            step, killed = 1, "True\n"
            while (killed := process.stdout.readline()) == "True\n":
                in_use = InstalledModel(folder, MODEL).current()
                assert in_use is not None, step
                assert (folder / MODEL / in_use.file).read_bytes() == contents[in_use.version], step
                step += 1
                promote(step)
                process.stdin.write(f"{step}\n")
                process.stdin.flush()
            process.stdin.close()
            process.stdout.read()
        assert killed.startswith("{"), killed  # the round had fewer steps, and ended
        assert step >= 30
        # All is well again: the newest version is in use, and what the loop counted was reported once.
        final = DeviceClient(
            DeviceOptions("a", served.url, folder), check=lambda path, golden: CheckResult(True, ""), machine="one"
        )
        done = final.round()
        assert (done.problems, done.reports_waiting) == ((), 0)
        newest = max(contents, key=lambda version: int(version.split(".")[1]))
        assert done.models[MODEL].version == newest
        taken = {report["sequence"]: report["errors"] for _, report in served.reports}
        assert sum(taken.values()) == 7
        with DeviceModel(folder, MODEL) as model:
            [prediction] = model.predict([render_clip(model.get().input_spec)])
        assert prediction.labels[1] == f"label {newest.split('.')[1]}"
