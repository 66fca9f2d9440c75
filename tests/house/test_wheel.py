"""The contract suite once more, from a built wheel in an environment outside the checkout: each network once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from places import ROOT, SUPPORT

PACKAGES = ("adapters", "cliplab", "configs", "movinet_adapter")
# Configs of a network that another one has, with labels or in the other mode: only what they name could be missing
# outside the checkout. Neither does a program of another size depend on where the package is.
TWINS = "not Test_ads_base and not Test_trick_movinet_a0 and not Test_movinet_a0_base and not edited_size"
PARTS = (*PACKAGES, "samples", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing of an older build, and nothing new in the checkout, plays a part."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / part).is_file():
            shutil.copy(ROOT / part, source / part)
    command = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir")
    subprocess.run([sys.executable, *command, str(output), str(source)], check=True, cwd=source)
    [built] = output.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; other packages are those of the running one, so nothing is downloaded."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    executable = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([executable, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(found)
    # Behind the wheel's own files on the path. The checkout's editable install must not answer: its .pth is not read.
    (Path(found) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return executable


def packaged_files() -> list[str]:
    """Every tracked file of the packages, code and what is not code."""
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("the checkout is not a git repository, so that what belongs to it is not known")
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    samples = {name.partition("/data/share/cliplab/")[2] for name in names if ".data/" in name}
    assert {"samples/dataset.jsonl", "samples/broadcast.mp4", "samples/NOTICE.md"} < samples
    listed = [json.loads(line)["path"] for line in (ROOT / "samples" / "dataset.jsonl").read_text().splitlines()]
    assert {f"samples/{path}" for path in listed} < samples
    assert not any("render" in name or "make_" in name for name in samples)
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name and ".data/" not in name}
    assert tops <= set(PACKAGES)
    missing = [name for name in packaged_files() if name not in names]
    assert not missing, f"not in the wheel, see DATA in setup.py: {missing}"
    assert {"configs/movinet_a0_base.json", "adapters/py.typed"} <= set(names)
    assert any(name.endswith("entry_points.txt") for name in names)
    assert any(name.endswith("LICENSE") for name in names)


def test_the_contract_holds_outside_the_checkout(python: Path, programs: Path, tmp_path: Path) -> None:
    for path in (*SUPPORT.glob("*.py"), ROOT / "tests/conftest.py", ROOT / "tests/contract/test_contract.py"):
        shutil.copy(path, tmp_path / path.name)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTEST_XDIST_WORKER")}
    environment["CLIPLAB_TEST_PROGRAMS"] = str(programs)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: larger sizes\n")
    where = subprocess.run(
        [python, "-c", "import adapters, cliplab, configs; print(adapters.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    ).stdout
    assert str(python.parent.parent) in where
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", TWINS, "test_contract.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


def test_the_command_runs_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    configs = [path.stem for path in (ROOT / "configs").glob("*.json")]
    done = subprocess.run(
        [python, "-m", "cliplab", "config", "check", *configs],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert (done.returncode, done.stderr) == (0, "")
