"""`cliplab dataloop manifest`: the Dataloop app's dataloop.json, written from the ready configs and their schemas."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.base import model_class
from adapters.config import check_config
from adapters.errors import ConfigError
from adapters.hosts.dataloop.config import PLATFORM_DEFAULTS
from adapters.inference import read_config, ready_configs
from adapters.system import write_text_atomic
from cliplab import __version__

SCHEMA = Path(__file__).with_name("dataloop_manifest.schema.json")
ENTRY_POINT, CLASS_NAME = "adapters/hosts/dataloop_host.py", "ModelAdapter"
# Dataloop's own image with Python 3.11; the packages of requirements.txt are installed on top of it.
RUNNER_IMAGE = "hub.dataloop.ai/dtlpy-runner-images/cpu:python3.11_opencv"
# Ready configs that the app installs, where there are such: those with the classes of published weights.
FAMILIES = ("movinet_", "efficientnet_lite", "resnet18")
# Pod types by the size of a model: to predict, and to train or evaluate. docs/dataloop.md gives the reasons.
PODS = {
    "small": ("regular-m", "highmem-m"),
    "medium": ("regular-l", "highmem-m"),
    "large": ("highmem-l", "highmem-l"),
}
# Which sizes of MoViNet are not small.
SIZES = {"a2": "medium", "a3": "medium", "a4": "large", "a5": "large"}
ITEMS, DATASET = {"type": "Item[]", "name": "items"}, {"type": "Dataset", "name": "dataset"}
MODEL, FILTERS = {"type": "Model", "name": "model"}, {"type": "Json", "name": "filters"}
# name: (what the platform shows, what it does, input, output), as dtlpy's BaseModelAdapter declares them.
FUNCTIONS: dict[str, tuple[str, str, list[dict[str, str]], list[dict[str, str]]]] = {
    "predict_items": (
        "Predict Items",
        "Classify items and upload annotations.",
        [ITEMS],
        [ITEMS, {"type": "Annotation[]", "name": "annotations"}],
    ),
    "predict_dataset": (
        "Predict Dataset with DQL",
        "Classify the items that a filter chooses.",
        [DATASET, FILTERS],
        [],
    ),
    "train_model": ("Train a Model", "Train on the model's subsets, with plots for each epoch.", [MODEL], [MODEL]),
    "evaluate_model": (
        "Evaluate a Model",
        "Classify the items that a filter chooses, and measure against people's labels.",
        [MODEL, DATASET, FILTERS],
        [MODEL, DATASET],
    ),
    "embed_items": (
        "Embed Items",
        "Upload a feature vector for each item.",
        [ITEMS],
        [ITEMS, {"type": "Json[]", "name": "features"}],
    ),
    "embed_dataset": ("Embed Dataset with DQL", "Embed the items that a filter chooses.", [DATASET, FILTERS], []),
}
ON_BIG_PODS = ("train_model", "evaluate_model")


@dataclass(frozen=True)
class DataloopManifestReport:
    """The state of a Dataloop app's manifest.

    Attributes:
        path: The manifest.
        models: Names of the models in it.
        current: Whether the file contains what the configs require now.
        difference: With check, the first lines that differ.
    """

    path: str
    models: tuple[str, ...]
    current: bool
    difference: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def dataloop_manifest(
    output: str | Path = "dataloop.json", *, check: bool = False, git_url: str | None = None
) -> DataloopManifestReport:
    """Write the Dataloop app's manifest from the ready configs, or compare an existing one with them.

    Args:
        output: The manifest.
        check: Compare output with the configs and write nothing.
        git_url: Where the platform finds the code, at the tag of this version; None lets publishing pack the folder of
            the manifest.

    Returns:
        The models in the manifest, and whether the file is up to date.

    Raises:
        ConfigError: The file cannot be read.
        StorageError: The file cannot be written.
    """
    path = Path(output)
    manifest = make_manifest(git_url)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    names = tuple(model["name"] for model in manifest["components"]["models"])
    if not check:
        write_text_atomic(path, text)
        return DataloopManifestReport(str(path), names, True)
    try:
        found = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Write it with: cliplab dataloop manifest") from error
    lines = difflib.unified_diff(found.splitlines(), text.splitlines(), str(path), "the configs", n=0, lineterm="")
    return DataloopManifestReport(str(path), names, found == text, tuple(islice(lines, 20)))


def make_manifest(git_url: str | None = None) -> dict[str, Any]:
    """The manifest as a JSON object, checked against its schema.

    Args:
        git_url: As for ``dataloop_manifest``.
    """
    manifest: dict[str, Any] = {
        "name": "cliplab-video-models",
        "displayName": "Video models: MoViNet and frame classifiers",
        "version": __version__,
        "scope": "project",
        "description": "Classify videos over time, and images; train on your own labels. MoViNet A0 to A5, base and "
        "stream, and classifiers of single frames.",
        "attributes": {
            "Provider": "cliplab",
            "Category": "Model",
            "Computer Vision": "Video Classification",
            "Media Type": ["Video", "Image"],
            "License": "Apache 2.0",
        },
        "components": {
            "computeConfigs": [config for size in PODS for config in _compute_configs(size)],
            "modules": [_module(size) for size in PODS],
            "models": [_model(name, path) for name, path in ready_configs().items() if name.startswith(FAMILIES)],
        },
    }
    if git_url is not None:
        manifest["codebase"] = {"type": "git", "gitUrl": git_url, "gitTag": __version__}
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Mapping[str, Any], where: str = "dataloop.json") -> None:
    """Check a manifest against the schema, and its names against each other.

    Args:
        manifest: The manifest as a JSON object.
        where: The file's name in the error message.

    Raises:
        ConfigError: The manifest is wrong; the message lists every fault.
    """
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    problems = [
        f"{'.'.join(map(str, error.absolute_path)) or 'the manifest'}: {error.message:.300}"
        for error in Draft202012Validator(schema).iter_errors(manifest)
    ] or list(_loose_ends(manifest))
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))


def _loose_ends(manifest: Mapping[str, Any]) -> list[str]:
    """Names that nothing has, and names given twice, in a manifest of the right form."""
    parts = manifest["components"]
    names = {key: [entry["name"] for entry in parts[key]] for key in ("computeConfigs", "modules", "models")}
    found = [
        f"{key}: {name!r} is there twice" for key, all_ in names.items() for name in set(all_) if all_.count(name) > 1
    ]
    used = [(module["name"], module["computeConfig"]) for module in parts["modules"]]
    used += [(f["name"], f["computeConfig"]) for m in parts["modules"] for f in m["functions"] if "computeConfig" in f]
    found += [f"{by}: computeConfig {name!r} is not listed" for by, name in used if name not in names["computeConfigs"]]
    for model in parts["models"]:
        if model["moduleName"] not in names["modules"]:
            found.append(f"{model['name']}: moduleName {model['moduleName']!r} is not listed")
    return found


def _compute_configs(size: str) -> list[dict[str, Any]]:
    return [
        {
            "name": f"cliplab-{size}-{use}",
            "runtime": {
                "podType": pod,
                "concurrency": 1,
                "runnerImage": RUNNER_IMAGE,
                "autoscaler": {"type": "rabbitmq", "minReplicas": 0, "maxReplicas": 2, "queueLength": 100},
            },
        }
        for use, pod in zip(("deploy", "train"), PODS[size], strict=True)
    ]


def _module(size: str) -> dict[str, Any]:
    functions = []
    for name, (title, description, inputs, outputs) in FUNCTIONS.items():
        function: dict[str, Any] = {"name": name, "displayName": title, "displayIcon": "", "description": description}
        function |= {"input": inputs, "output": outputs}
        if name in ON_BIG_PODS:
            function["computeConfig"] = f"cliplab-{size}-train"
        functions.append(function)
    return {
        "name": f"cliplab-{size}",
        "description": f"Models of {size} size",
        "entryPoint": ENTRY_POINT,
        "className": CLASS_NAME,
        "computeConfig": f"cliplab-{size}-deploy",
        "initInputs": [{"type": "Model", "name": "model_entity"}],
        "functions": functions,
    }


def _model(name: str, path: Path) -> dict[str, Any]:
    config = check_config(read_config(path), str(path))
    adapter = model_class(config["adapter"])(config)
    frames = adapter.scores_frames
    kind = "Classifies single frames and averages them: videos and images." if frames else "Classifies videos."
    return {
        "name": name.replace("_", "-"),
        "moduleName": f"cliplab-{SIZES.get(config.get('model_id', ''), 'small')}",
        "scope": "project",
        "status": "pre-trained",
        "inputType": ["video", "image"] if frames else "video",
        "outputType": "class",
        "description": f"{config['name']}. {kind} {len(adapter.labels)} classes of its published weights.",
        # dtlpy writes what is missing of its own keys into the model: with all of them there it leaves it alone.
        "configuration": {**config, **PLATFORM_DEFAULTS},
        "labels": list(adapter.labels),
    }
