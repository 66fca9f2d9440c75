"""Make tests/stored/schema_version_1: what the library of commit 7b2d98b stored, for tests/test_stored.py to open.

``PYTHONPATH=<checkout of 7b2d98b> python make_schema_version_1.py models FOLDER`` makes models, configs, a manifest, a
scan, and a training with the caches of that commit. ``PYTHONPATH=<checkout> python make_schema_version_1.py caches
FOLDER``, run with the first commit whose cache keys have format numbers, adds a training with its caches.
Each writes FOLDER/expected.json and packs FOLDER/*.tar.xz.

Weights are a regular pattern of few values, so that a packed model takes kilobytes. It is not meant to be run again:
what is stored stays as it is, and what a later version stores gets a folder of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # tiny_videos
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

LABELS = {"labels": ["cold", "warm"], "positive_label": "warm"}
TINY = {
    "schema_version": 1,
    "weights": "random",
    "imgz": 32,
    "n_frames": 3,
    "num_threads": 1,
    "min_agreement": 0,
    **LABELS,
}
CLASSES = {
    "efficientnet_lite": "EfficientNetLiteAdapter",
    "mobilenet": "MobileNetAdapter",
    "resnet18": "ResNet18Adapter",
}
# Stored model -> its config. Without "adapter" the instance writes the name of the module that its class is in.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientnet_lite0": ("adapters.efficientnet_lite:EfficientNetLiteAdapter", {}),
    "mobilenet_v3_small": ("adapters.mobilenet:MobileNetAdapter", {"variant": "v3_small"}),
    "mobilenet_by_module": ("adapters.mobilenet.adapter:MobileNetAdapter", {"variant": "v3_small", "seed": 1}),
    "resnet18": ("adapters.resnet18:ResNet18Adapter", {}),
    "movinet_a0_base": ("movinet_adapter:MoViNetAdapter", {"model_id": "a0", "model_mode": "base"}),
    "movinet_a0_stream": ("movinet_adapter:MoViNetAdapter", {"model_id": "a0", "model_mode": "stream"}),
}
TRAINING = {**TINY, "adapter": MODELS["mobilenet_v3_small"][0], "variant": "v3_small", "head": [], "num_epochs": 4}
TRAINING |= {"augment_views": 1, "early_stopping_patience": None}


def main() -> None:
    what, target = sys.argv[1], Path(sys.argv[2]).absolute()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CLIPLAB_CACHE"] = str(Path(scratch) / "cache")
        root = Path(scratch) / what
        root.mkdir()
        os.chdir(root)  # the paths of a training's clips are part of its key
        if what == "models":
            expected = make_models(root)
            make_training(root, expected)
            write_json(target / "expected.json", expected)
            write_configs(target / "configs")
        else:
            expected = {}
            make_training(root, expected)
            write_json(target / "expected_caches.json", expected)
        pack(root, target / f"{what}.tar.xz")


# Models -------------------------------------------------------------------------------------------------------------


def make_models(root: Path) -> dict[str, Any]:
    from adapters.loading import open_model

    scores: dict[str, Any] = {}
    for name, (adapter, keys) in MODELS.items():
        model = new_model(adapter, {**TINY, **keys})
        if name == "resnet18":  # the largest network: its smallest program alone
            model.convert(root / f"{name}.tflite", "dynamic")
        else:
            model.save(root / name)
            scores[name] = scores_of(open_model(root / name))
        if name in ("mobilenet_v3_small", "movinet_a0_stream"):
            model.convert(root / f"{name}.tflite")
    for path in root.glob("*.tflite"):
        scores[path.name] = scores_of(open_model(path))
    members = [str(root / "mobilenet_by_module"), str(root / "mobilenet_v3_small.tflite")]
    ensemble = {"schema_version": 1, "adapter": "adapters.ensemble:EnsembleAdapter", "members": members, **LABELS}
    open_model(ensemble).save(root / "ensemble")
    scores["ensemble"] = scores_of(open_model(root / "ensemble"))
    make_registry(root)
    make_scan(root)
    make_mlflow(root)
    make_dataloop(root)
    return {"scores": scores, "feature_norms": {name: feature_norms(open_model(root / name)) for name in scores}}


def new_model(adapter: str, config: dict[str, Any]) -> Any:
    from adapters.config import adapter_class

    # The class's own name is what an instance writes that was made without one.
    own = {} if ".adapter:" in adapter else {"adapter": adapter}
    model: Any = adapter_class(adapter)({**config, **own})
    model.adopt({name: regular(name, value) for name, value in model.variables().items()}, [])
    return model


def regular(name: str, value: Any) -> Any:
    """A kernel of the same variance in which each output takes the difference of two inputs; a depthwise one whose
    taps are the same for every channel."""
    if not name.endswith("kernel") or value.ndim < 2:
        return value
    deviation, (inputs, outputs) = value.std(), value.shape[-2:]
    if name.endswith("depthwise_kernel") or outputs == 1:
        taps = np.where(np.arange(np.prod(value.shape[:-2])) % 3 == 1, -1.0, 1.0).reshape(*value.shape[:-2], 1, 1)
        return np.broadcast_to(deviation * taps, value.shape).astype(np.float32)
    result = np.zeros_like(value)
    middle = result[tuple(size // 2 for size in value.shape[:-2])]
    columns = np.arange(outputs)
    size = deviation * np.sqrt(np.prod(value.shape[:-1]) / 2)
    middle[columns % inputs, columns] = size
    middle[(columns + 1 + columns // inputs) % inputs, columns] -= size
    return result * (20 if name.startswith("scores_output") else 1)


def scores_of(model: Any) -> list[list[float]]:
    """The scores of two rendered clips."""
    from adapters.rendered_clip import render_clip

    found = model.predict([render_clip(model.input_spec, variant) for variant in (0, 5)])
    return [[round(float(score), 8) for score in prediction.scores] for prediction in found]


def feature_norms(model: Any) -> list[float]:
    from adapters.rendered_clip import render_clip

    found = model.embed([render_clip(model.input_spec, variant) for variant in (0, 5)])
    return [round(float(norm), 6) for norm in np.linalg.norm(found, axis=1)]


def make_registry(root: Path) -> None:
    from cliplab.manifest import registry_manifest

    (root / "registry").mkdir()
    for number, name in enumerate(("mobilenet_v3_small", "movinet_a0_stream"), 1):
        metrics = root / "figures.json"
        metrics.write_text(json.dumps({"f1": 0.9 - number / 10}))
        registry_manifest(root / "registry", add=root / f"{name}.tflite", metrics=metrics, next_name="tricks")
        metrics.unlink()
    registry_manifest(root / "registry", keep_best="f1")


def make_scan(root: Path) -> None:
    from cliplab.scan import scan

    (root / "scan" / "library").mkdir(parents=True)
    for number, kind in enumerate(("warm", "cold")):
        render(root / "scan" / "library" / f"{kind}.mp4", kind, number)
    output = root / "scan" / "highlights.json"
    scan(root / "scan" / "library", root / "mobilenet_v3_small", output=output, min_score=0, workers=1)


def render(path: Path, kind: str, seed: int) -> None:
    from tiny_videos import render_video

    render_video(path, kind, seed)
    os.utime(path, (1_700_000_000 + seed, 1_700_000_000 + seed))  # whole seconds, which every archive keeps


def make_mlflow(root: Path) -> None:
    from adapters.hosts.mlflow_host import save_model

    save_model(root / "mobilenet_v3_small.tflite", root / "mlflow", pip_requirements=["cliplab[registry]"])


def make_dataloop(root: Path) -> None:
    """The models of dataloop.json as they were, and the configuration of one whose artifacts are a bundle."""
    checkout = Path(sys.modules["adapters"].__file__ or "").parent.parent
    models = json.loads((checkout / "dataloop.json").read_text(encoding="utf-8"))["components"]["models"]
    write_json(root / "dataloop_models.json", models)
    config = json.loads((root / "mobilenet_v3_small" / "config.json").read_text(encoding="utf-8"))
    platform = {"id_to_label_map": {"0": "cold", "1": "warm"}, "include_background": False, "upload_annotations": True}
    write_json(root / "dataloop_model.json", {"name": "tricks", "configuration": {**config, **platform}})


# Training -----------------------------------------------------------------------------------------------------------


def make_training(root: Path, expected: dict[str, Any]) -> None:
    """A training that was interrupted after its second epoch, with its features; and the weights that it ends in."""
    from adapters.loading import open_model

    folder = root / "training"
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number in range(6):
        kind = ("warm", "cold")[number % 2]
        render(folder / "clips" / f"{number}.mp4", kind, number)
        split = "train" if number < 4 else "validation"
        rows.append({"path": f"clips/{number}.mp4", "label": kind, "split": split, "group": str(number)})
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "config.json", TRAINING)

    def stop(log: Any) -> None:
        if log.epoch == 1:
            raise KeyboardInterrupt

    dataset = Path("training/dataset.jsonl")
    with contextlib.suppress(KeyboardInterrupt):
        open_model(TRAINING).train(dataset, Path("training/model"), stop)
    shutil.copytree(Path(os.environ["CLIPLAB_CACHE"]) / "features", folder / "cache" / "features")
    open_model(TRAINING).train(dataset, Path("whole/model"))
    expected["trained"] = scores_of(open_model(Path("whole/model")))
    shutil.rmtree("whole")


# Files --------------------------------------------------------------------------------------------------------------


def write_configs(folder: Path) -> None:
    """A config for every name that an adapter goes by, and one of each ready config's adapter."""
    names = [f"adapters.{module}{own}:{cls}" for module, cls in CLASSES.items() for own in ("", ".adapter")]
    names += [f"movinet_adapter{own}:MoViNetAdapter" for own in ("", ".adapter")]
    for name in names:
        module, _, _ = name.partition(":")
        write_json(folder / f"{module}.json", {"schema_version": 1, "adapter": name, **LABELS, "weights": "random"})
    ensemble = {"adapter": "adapters.ensemble:EnsembleAdapter", "members": ["a.tflite", "b.tflite"], **LABELS}
    write_json(folder / "adapters.ensemble.json", {"schema_version": 1, **ensemble})


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def pack(folder: Path, target: Path) -> None:
    """Files in an order that puts the same content, as a model in several places, next to each other."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path))
    with tarfile.open(target, "w:xz", preset=6) as archive:
        for path in files:
            archive.add(path, str(path.relative_to(folder)))


if __name__ == "__main__":
    main()
