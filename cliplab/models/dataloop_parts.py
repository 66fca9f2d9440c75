"""The parts of dataloop.json: pods, modules with their functions, and models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from adapters.base import model_class
from adapters.config import check_config
from adapters.hosts.dataloop.pods import PODS, size_of
from adapters.inference import read_config, ready_configs

ENTRY_POINT, CLASS_NAME = "adapters/hosts/dataloop_host.py", "ModelAdapter"
# Dataloop's own image with Python 3.11; the packages of requirements.txt are installed on top of it.
RUNNER_IMAGE = "hub.dataloop.ai/dtlpy-runner-images/cpu:python3.11_opencv"
# Seconds after which the platform ends an execution; dtlpy's default of 3600 would cut a training short.
TIMEOUTS = {"deploy": 6 * 3600, "train": 48 * 3600}
# A name of the platform's icon font.
ICON = "icon-dl-pipeline"


@dataclass(frozen=True)
class AppModel:
    """A model of the app.

    Attributes:
        name: Its name on the platform.
        config: The ready config that it is made from.
        title: The beginning of its description.
        keys: Keys of the config that a person edits on the model's page.
        imgz: The value of ``imgz``; None for the config's.
    """

    name: str
    config: str
    title: str
    keys: tuple[str, ...]
    imgz: str | None = None


_TRAINING = ("batch_size", "num_epochs", "learning_rate", "fine_tune_layers")
_SAMPLING = ("window_seconds", "stride_seconds", "top_k")
_MOVINET = ("hub_version", "model_id", "model_mode", "weights", "imgz", "n_frames", *_SAMPLING, *_TRAINING)
# One model for each network, whose size is a key. Keys that are left out have the default of docs/config.md.
MODELS = (
    AppModel("movinet-base", "movinet_a0_base", "MoViNet, base mode: each clip or window as a whole", _MOVINET),
    AppModel("movinet-stream", "movinet_a0_stream", "MoViNet, stream mode: frame by frame", _MOVINET),
    AppModel(
        "efficientnet-lite",
        "efficientnet_lite0",
        "EfficientNet-Lite",
        ("variant", "weights", "imgz", "n_frames", "aggregation", *_SAMPLING, *_TRAINING),
        imgz="native",  # so that the size follows when the variant is edited
    ),
    AppModel(
        "resnet18",
        "resnet18",
        "ResNet18",
        ("weights", "imgz", "n_frames", "sampling", "fps", "aggregation", *_SAMPLING, *_TRAINING),
    ),
)

# Ready configs of these families that are not in MODELS become models too: those that somebody added.
_FAMILIES = ("movinet_", "efficientnet_lite", "resnet18")
_SIZES = re.compile(r"movinet_a[0-5]_(base|stream)|efficientnet_lite[0-2]|resnet18")

ITEMS = {"type": "Item[]", "name": "items", "description": "Videos, and images for models of single frames."}
DATASET = {"type": "Dataset", "name": "dataset", "description": "The dataset whose items are used."}
FILTERS = {"type": "Json", "name": "filters", "description": "DQL query that selects items; empty for all."}
MODEL = {"type": "Model", "name": "model", "description": "A clone of a model of this app, with a dataset."}
# name: (what the platform shows, what it does, input, output), as dtlpy's BaseModelAdapter declares them.
FUNCTIONS: dict[str, tuple[str, str, list[dict[str, str]], list[dict[str, str]]]] = {
    "predict_items": (
        "Predict Items",
        "Classify items and upload annotations.",
        [ITEMS],
        [
            {**ITEMS, "description": "The same items."},
            {"type": "Annotation[]", "name": "annotations", "description": "Labels with confidence and time range."},
        ],
    ),
    "predict_dataset": (
        "Predict Dataset with DQL",
        "Classify the items that a filter selects.",
        [DATASET, FILTERS],
        [],
    ),
    "train_model": (
        "Train a Model",
        "Train on the model's subsets, with plots for each epoch.",
        [MODEL],
        [{**MODEL, "description": "The trained model."}],
    ),
    "evaluate_model": (
        "Evaluate a Model",
        "Classify the items that a filter selects, and compare with people's labels.",
        [{**MODEL, "description": "The model to evaluate."}, DATASET, FILTERS],
        [
            {**MODEL, "description": "The same model, with plots of its metrics."},
            {**DATASET, "description": "The same dataset."},
        ],
    ),
    "embed_items": (
        "Embed Items",
        "Upload a feature vector for each item.",
        [ITEMS],
        [
            {**ITEMS, "description": "The same items."},
            {"type": "Json[]", "name": "features", "description": "One vector for each item."},
        ],
    ),
    "embed_dataset": (
        "Embed Dataset with DQL",
        "Upload a feature vector for each item that a filter selects.",
        [DATASET, FILTERS],
        [],
    ),
}
ON_BIG_PODS = ("train_model", "evaluate_model")


def app_models() -> list[AppModel]:
    """The models of the app: ``MODELS``, and one for each ready config that was added to their families."""
    added = []
    for name in ready_configs():
        if name.startswith(_FAMILIES) and not _SIZES.fullmatch(name):
            config = read_config(name)
            keys = tuple(key for key in config if key not in ("schema_version", "adapter"))
            added.append(AppModel(name.replace("_", "-"), name, config.get("name") or name, keys))
    return [*MODELS, *added]


def compute_configs(size: str, image: str) -> list[dict[str, Any]]:
    """What runs models of a size: a compute config to predict, and one to train and evaluate.

    Args:
        size: A key of ``PODS``.
        image: The runner image.
    """
    return [
        {
            "name": f"cliplab-{size}-{use}",
            "executionTimeout": TIMEOUTS[use],
            "runtime": {
                "podType": pod,
                "concurrency": 1,
                "runnerImage": image,
                "autoscaler": {"type": "rabbitmq", "minReplicas": 0, "maxReplicas": 2, "queueLength": 100},
            },
        }
        for use, pod in zip(("deploy", "train"), PODS[size], strict=True)
    ]


def module(size: str) -> dict[str, Any]:
    """The module of a size, with the functions of the app.

    Args:
        size: A key of ``PODS``.
    """
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


def model(entry: AppModel, model_id: str | None) -> dict[str, Any]:
    """A model with its configuration, its labels, and the module that fits its size.

    Args:
        entry: What the app knows of it.
        model_id: The size of a MoViNet; None for the config's.

    Raises:
        ConfigError: The config is wrong, or model_id is not a size of MoViNet.
    """
    config = read_config(entry.config)
    if model_id is not None and "model_id" in entry.keys:
        config = {**config, "model_id": model_id}
    if entry.imgz is not None:
        config = {**config, "imgz": entry.imgz}
    config = check_config(config, entry.name)
    adapter = model_class(config["adapter"])(config)
    kind = "Classifies single frames and averages them: videos and images." if adapter.scores_frames else "For videos."
    return {
        "name": entry.name,
        "moduleName": f"cliplab-{size_of(config)}",
        "scope": "project",
        "status": "pre-trained",
        "inputType": ["video", "image"] if adapter.scores_frames else "video",
        "outputType": "class",
        "description": f"{entry.title}. {kind} {len(adapter.labels)} classes of its published weights.",
        "configuration": {key: config[key] for key in ("schema_version", "adapter", *entry.keys)},
        "labels": list(adapter.labels),
    }
