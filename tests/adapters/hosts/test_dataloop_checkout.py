"""The app as a Dataloop runner has it: a bare checkout, its requirements, dtlpy, and a foreign package ``adapters``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
from io import BytesIO
from pathlib import Path

import pytest
from command_line import python
from places import ROOT
from tiny_videos import render_video

from adapters.hosts.dataloop.config import PLATFORM_DEFAULTS

LITE0 = '{**listed["configuration"], "weights": "random", "imgz": 64, "n_frames": 2, "top_k": 2}'
# The platform's own keys too: dtlpy pushes those that a model lacks, and here is no service.
TINY = repr({**PLATFORM_DEFAULTS, "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "top_k": 2})
# dtlpy's own way from a package's description to an instance of its class: repositories/packages.py, Packages.build.
RUNNER = """
import json, sys
from pathlib import Path
import dtlpy as dl
root, videos, before = Path(sys.argv[1]), sys.argv[2:-1], sys.argv[-1]
exec(before)
manifest = json.loads((root / "dataloop.json").read_text())
listed = next(m for m in manifest["components"]["models"] if m["name"] == "efficientnet-lite")
fields = dict(listed, id="m", metadata={}, context={}, configuration=CONFIGURATION)
model = dl.Model.from_json(fields, client_api=dl.client_api)
package = dl.Package.from_json(
    {"id": "p", "name": "app", "modules": manifest["components"]["modules"], "version": "1",
     "codebase": {"type": "local", "localPath": str(root)}},
    client_api=dl.client_api, project=None)
runner = dl.packages.build(
    package, module_name=listed["moduleName"], init_inputs={"model_entity": model},
    local_path=str(root), from_local=True)
items = [dl.Item.from_json(
    {"id": path, "name": "clip.mp4", "filename": "/clip.mp4", "type": "file", "datasetId": "d",
     "metadata": {"system": {"mimetype": "video/mp4",
                             "shebang": {"linkInfo": {"type": "url", "ref": "file://" + path}}}}},
    client_api=dl.client_api) for path in videos]
found = runner.predict(items)
import adapters, configs
print(json.dumps({
    "adapters": adapters.__file__, "configs": configs.__file__, "class": type(runner.adapter).__name__,
    "labels": [[a.label for a in collection] for collection in found]}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git holds, and nothing that lies about."""
    folder = tmp_path_factory.mktemp("checkout")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution of another package named adapters, as AdapterHub's on PyPI is."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "adapters").mkdir()
    (folder / "adapters" / "__init__.py").write_text('FOREIGN = "another package of the same name"\n')
    (folder / "adapters" / "base.py").write_text("")
    (folder / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='adapters', version='9.0', packages=['adapters'])\n"
    )
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_video(tmp_path_factory.mktemp("clip") / "clip.mp4", "warm", 0)


def load(
    python: Path | str, cwd: Path, *arguments: object, before: str = "", configuration: str = TINY
) -> subprocess.CompletedProcess[str]:
    """The runner's way in a process of its own, in a working directory that holds nothing."""
    cwd.mkdir()
    script = RUNNER.replace("CONFIGURATION", configuration)
    variables = {"DATALOOP_PATH": str(cwd.with_name("dataloop")), "TF_CPP_MIN_LOG_LEVEL": "3"}
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", script, *map(str, arguments), before],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"CLIPLAB_CACHE": str(cwd.with_name("cache")), **inherited, **variables},
    )
    assert list(cwd.iterdir()) == []
    return done


def test_the_checkout_leads_whatever_is_installed(checkout: Path, foreign: Path, clip: Path, tmp_path: Path) -> None:
    first = f"sys.path[:0] = [{str(foreign)!r}, {str(checkout / 'tests' / 'support')!r}]"
    done = load(sys.executable, tmp_path / "cwd", checkout, clip, before=first)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["adapters"] == str(checkout / "adapters" / "__init__.py")
    assert told["configs"] == str(checkout / "configs" / "__init__.py")
    assert (told["class"], [len(labels) for labels in told["labels"]]) == ("TinyAdapter", [2])


def test_another_package_that_was_imported_before_is_named(
    checkout: Path, foreign: Path, clip: Path, tmp_path: Path
) -> None:
    before = f"sys.path.insert(0, {str(foreign)!r}); import adapters"
    done = load(sys.executable, tmp_path / "cwd", checkout, clip, before=before)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"ImportError: the package 'adapters' of this app is at {checkout / 'adapters'}, but {foreign}"
    )
    assert "pip uninstall adapters" in last


def test_installed_it_needs_no_path(tmp_path: Path) -> None:
    """By its name, from anywhere; sys.path stays as it was."""
    code = (
        "import sys; before = list(sys.path)\n"
        "from adapters.hosts.dataloop_host import ModelAdapter\n"
        "assert sys.path == before, sys.path\nprint(ModelAdapter.__dtlpy__['className'])"
    )
    done = python(code, cwd=tmp_path, env={"DATALOOP_PATH": str(tmp_path)})
    assert done.stdout.strip() == "ModelAdapter", done.stderr


@pytest.mark.slow  # makes an environment and installs TensorFlow into it: minutes
def test_a_new_environment_with_the_requirements_only(
    checkout: Path, foreign: Path, clip: Path, tmp_path: Path
) -> None:
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    dtlpy = next(line for line in (ROOT / "setup.py").read_text().split('"') if line.startswith("dtlpy"))
    subprocess.run([*pip, "-r", checkout / "requirements.txt", dtlpy], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--no-deps", foreign], check=True)
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "adapters" in listed
    assert "cliplab" not in listed
    done = load(python, tmp_path / "cwd", checkout, clip, configuration=LITE0)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["adapters"] == str(checkout / "adapters" / "__init__.py")
    assert [len(labels) for labels in told["labels"]] == [2]
