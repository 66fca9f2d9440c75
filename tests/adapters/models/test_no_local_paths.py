"""A model tells nothing about the machine that made it: no path, user or host name in any byte of what is written."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.bundle import read_bundle, render_clip, write_bundle
from adapters.config import file_name, override_config, without_local_paths
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.litert import read_description, with_description
from adapters.models import clean_copy
from adapters.models.ensemble import adapter as ensemble
from cliplab.models import convert, train
from cliplab.registry import registry_manifest

CANARY = "kanarienvogel"
SMALL: dict[str, Any] = {"imgz": 32, "n_frames": 2, "labels": ["cold", "warm"], "num_epochs": 1, "augment_views": 0}


@pytest.mark.parametrize(
    "weights, name",
    [
        ("imagenet", "imagenet"),
        ("random", "random"),
        ("kinetics-600", "kinetics-600"),
        ("/home/ann/own.pth", "own.pth"),
        ("~/own.pth", "own.pth"),
        ("own.pth", "own.pth"),
        ("../data/folder/", "folder"),
        ("C:\\Users\\ann\\own.pth", "own.pth"),
        ("\\\\host\\share\\own.pth", "own.pth"),
        ("/home/ann/random", "random (file)"),
        ("/", "weights"),
    ],
)
def test_weights_are_named_by_their_last_name(weights: str, name: str) -> None:
    assert file_name(weights) == name
    assert file_name(name) == name
    assert without_local_paths({"weights": weights, "labels": ["/m/01"]}) == {"weights": name, "labels": ["/m/01"]}
    assert without_local_paths({"labels": None}) == {"labels": None}


def test_weights_of_the_same_name_agree_with_a_saved_model_and_others_do_not() -> None:
    config = {"schema_version": 2, "adapter": "adapters.models.resnet18:ResNet18Adapter"}
    for adapter, own in ((config, "own.pth"), (config, "/home/ann/own.pth")):
        complete, _ = override_config({**_complete(adapter), "weights": own}, {"weights": "/data/own.pth"})
        assert complete["weights"] == own
        with pytest.raises(ConfigError, match="weights"):
            override_config({**_complete(adapter), "weights": own}, {"weights": "/data/other.pth"})


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    from adapters.config import check_config

    return dict(check_config(config))


def test_an_older_bundle_and_file_are_cleaned_when_they_are_saved_again(tmp_path: Path) -> None:
    TinyAdapter({}).save(tmp_path / "old")
    config = read_bundle(tmp_path / "old").config
    config["weights"] = f"/home/{CANARY}/own.pth"
    write_bundle(tmp_path / "new", config=config, programs={}, weights=None, metrics={}, golden=None, card="")
    assert CANARY.encode() not in (tmp_path / "new" / "config.json").read_bytes()


@pytest.fixture(scope="module")
def home(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder, user and host of a telling name; weights of our own and clips in it."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp(CANARY)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(folder))
        for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME"):
            patch.setenv(name, f"{CANARY}{name}")
        patch.setattr(socket, "gethostname", lambda: f"{CANARY}-host")
        patch.chdir(folder)
        random = open_model("efficientnet_lite0", {"weights": "random", "imgz": 32, "n_frames": 2})
        (folder / "own.safetensors").write_bytes(save(random.variables()))  # type: ignore[attr-defined]
        rows = []
        for number in range(6):
            label, split = ("warm", "cold")[number % 2], "train" if number < 4 else "validation"
            render_video(folder / f"{number}.mp4", label, number, seconds=0.5)
            rows.append({"path": f"{number}.mp4", "label": label, "split": split})
        (folder / "bad.mp4").write_text("no video")
        rows.append({"path": "bad.mp4", "label": "warm", "split": "train"})
        (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        yield folder


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a path, and every member of those that are archives."""
    for file in [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()):
        data = file.read_bytes()
        yield str(file), data
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from ((f"{file}!{name}", archive.read(name)) for name in archive.namelist())


def require_clean(path: Path) -> None:
    found = dict(contents(path))
    assert found
    for name, data in found.items():
        for form in (CANARY, str(path.parent)):
            assert form.encode() not in data, name
            assert form.encode("utf-16-le") not in data, name


def test_training_saving_converting_and_registering_tell_nothing(home: Path) -> None:
    weights = {"weights": str(home / "own.safetensors")}
    train("efficientnet_lite0", home / "data.jsonl", home / "out" / "bundle", overrides={**SMALL, **weights})
    require_clean(home / "out" / "bundle")
    bundle = read_bundle(home / "out" / "bundle")
    assert bundle.config["weights"] == "own.safetensors"
    assert len(bundle.metrics["first_weights"].pop("sha256")) == 64
    assert bundle.metrics["first_weights"] == {"file": "own.safetensors"}
    open_model(home / "out" / "bundle", weights)  # what it was made with
    open_model(home / "out" / "bundle").save(home / "out" / "again")
    require_clean(home / "out" / "again")
    convert(home / "out" / "bundle", home / "out" / "a.tflite", quantize="dynamic")
    require_clean(home / "out" / "a.tflite")
    (home / "registry").mkdir()
    registry_manifest(home / "registry", add=home / "out" / "a.tflite")
    require_clean(home / "registry")


def test_an_mlflow_model_tells_nothing(home: Path) -> None:
    host = pytest.importorskip("adapters.hosts.mlflow_host")
    host.save_model(home / "out" / "bundle", home / "out" / "mlflow", pip_requirements=["cliplab"])
    require_clean(home / "out" / "mlflow")


@pytest.fixture
def older(home: Path, tmp_path: Path) -> Path:
    """A folder with a bundle, a .tflite and an ensemble of both as older versions wrote them."""
    path = str(home / "own.safetensors")
    bundle = Path(shutil.copytree(home / "out" / "bundle", tmp_path / "bundle"))
    card = (bundle / "card.md").read_text().replace("own.safetensors", path.replace("_", "\\_"))
    assert CANARY in card
    seal_with(bundle, {"weights": path}, {"card.md": card.encode()})
    (tmp_path / "a.tflite").write_bytes(described_with((home / "out" / "a.tflite").read_bytes(), path))
    config = {"schema_version": 2, "adapter": "adapters.models.ensemble:EnsembleAdapter"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "clean_copy", contextlib.nullcontext)
        patch.setattr(ensemble, "clean_description", lambda data: data)
        open_model({**config, "members": [str(bundle), str(tmp_path / "a.tflite")]}).save(tmp_path / "ensemble")
    for name in ("bundle/config.json", "bundle/card.md", "a.tflite", "ensemble/members/a.tflite"):
        assert CANARY.encode() in (tmp_path / name).read_bytes(), name
    return tmp_path


def test_copies_of_older_models_tell_nothing(older: Path) -> None:
    (older / "registry").mkdir()
    for _ in range(2):
        report = registry_manifest(older / "registry", add=older / "a.tflite")
        assert report.problems == ()
    require_clean(older / "registry")
    before, after = open_model(older / "a.tflite"), open_model(older / "registry" / "a.tflite")
    clip = render_clip(before.input_spec)
    assert after.predict([clip])[0].scores.tolist() == before.predict([clip])[0].scores.tolist()
    for name in ("bundle", "ensemble", "a.tflite"):
        with clean_copy(older / name) as copied:
            assert copied.name == name
            require_clean(copied)
            assert open_model(copied).predict([clip])[0].scores.shape == (2,)
        with clean_copy(older / "registry" / "a.tflite") as same:
            assert same == older / "registry" / "a.tflite"
    assert not copied.exists()


def test_mlflow_copies_of_older_models_tell_nothing(older: Path) -> None:
    host = pytest.importorskip("adapters.hosts.mlflow_host")
    for name in ("bundle", "ensemble", "a.tflite"):
        host.save_model(older / name, older / "mlflow" / name, pip_requirements=["cliplab"])
        require_clean(older / "mlflow" / name)
        host._load_pyfunc(str(older / "mlflow" / name / "data" / name))


def test_an_ensemble_cleans_the_members_of_older_versions(home: Path) -> None:
    bundle = Path(shutil.copytree(home / "out" / "bundle", home / "members" / "bundle"))
    shutil.copy(home / "out" / "a.tflite", home / "members" / "a.tflite")
    path = str(home / "own.safetensors")
    seal_with(bundle, {"weights": path})
    data = (home / "members" / "a.tflite").read_bytes()
    (home / "members" / "a.tflite").write_bytes(described_with(data, path))
    assert CANARY.encode() in (home / "members" / "a.tflite").read_bytes()
    config = {"schema_version": 2, "adapter": "adapters.models.ensemble:EnsembleAdapter"}
    members = [str(bundle), str(home / "members" / "a.tflite")]
    open_model({**config, "members": members}).save(home / "out" / "ensemble")
    require_clean(home / "out" / "ensemble")
    assert len(open_model(home / "out" / "ensemble").labels) == 2


def seal_with(folder: Path, changes: dict[str, Any], other: dict[str, bytes] | None = None) -> None:
    """A bundle as an older version wrote it."""
    from adapters.bundle import write_sealed

    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = {name: (folder / name).read_bytes() for name in names if name != "bundle.json"}
    files["config.json"] = json.dumps({**json.loads(files["config.json"]), **changes}).encode()
    write_sealed(folder, {**files, **(other or {})})


def described_with(data: bytes, weights: str) -> bytes:
    """A .tflite as an older version wrote it."""
    from adapters.litert import tflite_file

    description = read_description(data)
    description["config"]["weights"] = weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite_file, "without_local_paths", dict)
        return with_description(data, description)
