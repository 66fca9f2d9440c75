"""Which pod a model of the Dataloop app needs, and whether the one that it runs in is large enough. Without dtlpy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.errors import AdapterError
from adapters.system import memory_limit

logger = logging.getLogger("cliplab.dataloop")

# Pod types by the size of a model: to predict, and to train or evaluate. docs/dataloop.md gives the reasons.
PODS = {
    "small": ("regular-m", "highmem-m"),
    "medium": ("regular-l", "highmem-m"),
    "large": ("highmem-l", "highmem-l"),
}
# Pod types from the smallest on, of those that can be too small; any other, such as a GPU's, is the person's choice.
_RISING = ("regular-xs", "regular-s", "regular-m", "regular-l", "highmem-l")
# Which sizes of MoViNet are not small.
_SIZES = {"a2": "medium", "a3": "medium", "a4": "large", "a5": "large"}
# Peak memory in MB of a process that converts MoViNet and predicts one clip (docs/dataloop.md, "Which compute"). Sizes
# that were not measured have the number of the next smaller one, so that no pod is refused without reason.
_CONVERSION_MB = {
    "base": {"a0": 2150, "a1": 2150, "a2": 3130, "a3": 3620, "a4": 3620, "a5": 6290},
    "stream": {"a0": 1350, "a1": 1350, "a2": 1870, "a3": 1870, "a4": 1870, "a5": 5340},
}
# Below this part of the measured peak a conversion cannot succeed; from there to the peak it may.
_HOPELESS = 0.75


def size_of(config: Mapping[str, Any]) -> str:
    """The size of a model, a key of ``PODS``, by the ``model_id`` of its config.

    Args:
        config: A model's configuration, complete or not.
    """
    return _SIZES.get(str(config.get("model_id", "")), "small")


def is_too_small(pod: str, size: str) -> bool:
    """Whether a pod type is smaller than the one that predicts with a model of a size.

    Args:
        pod: The pod type. One that is not in the list of regular and highmem pods is never too small.
        size: A key of ``PODS``.
    """
    needed = PODS[size][0]
    return pod in _RISING and _RISING.index(pod) < _RISING.index(needed)


def require_memory(adapter: BaseModelAdapter, name: str) -> None:
    """Refuse to convert a model that the pod's memory cannot hold; a conversion that is only likely to fail is logged.

    Without this the platform ends the process, and no log says why.

    Args:
        adapter: The model, before its first prediction.
        name: The model's name on the platform.

    Raises:
        AdapterError: The pod's memory is far below what the conversion takes.
        WeightsError: The pod's memory is below it, and the weights cannot be found.
    """
    limit, config = memory_limit(), adapter.config
    needed = _CONVERSION_MB.get(config.get("model_mode", ""), {}).get(config.get("model_id", ""))
    if limit is None or needed is None or limit >= needed * 10**6 or not adapter.needs_conversion:
        return
    message = (
        f'model {name!r}: "model_id" {config["model_id"]} needs about {needed / 1000:.1f} GB of memory while its '
        f"weights are converted, and this pod has {limit / 10**9:.1f} GB. Choose the pod type "
        f'"{PODS[size_of(config)][0]}" in the settings of the model\'s service, or deploy with '
        f'service_config={{"runtime": {{"podType": "{PODS[size_of(config)][0]}"}}}}; or use a runner image with '
        "converted programs (docs/dataloop.md)"
    )
    if limit < needed * 10**6 * _HOPELESS:
        raise AdapterError(message)
    logger.warning("%s. The conversion is tried and may run out of memory", message)
