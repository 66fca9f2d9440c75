"""Every module can be imported where Unix's own modules are missing, as on Windows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from places import ROOT

UNIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios")
IMPORT_ALL = """
import importlib, json, sys
from pathlib import Path
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
failed = {}
for package in ("adapters", "movinet_adapter", "cliplab"):
    for path in sorted(Path(package).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if name.endswith("__main__"):
            continue
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""


def failed_imports(missing: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Modules of ours that cannot be imported in a process without these modules, and why."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, json.dumps(missing)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        # dtlpy makes files there, and without fcntl it would wait for the lock files that it left in the home folder.
        env={**os.environ, "DATALOOP_PATH": str(folder)},
        timeout=600,
    )
    failed: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return failed


def test_every_module_is_imported_without_fcntl(tmp_path: Path) -> None:
    assert not failed_imports(("fcntl",), tmp_path)


def test_every_module_is_imported_without_unix_modules(tmp_path: Path) -> None:
    # Ray itself, as installed for Linux, imports resource and pwd; on Windows it does not.
    ray = {f"adapters.hosts.{name}" for name in ("ray_cluster", "ray_host", "ray_pool")}
    failed = failed_imports(UNIX_ONLY, tmp_path)
    assert {name: error for name, error in failed.items() if name not in ray} == {}
