"""Which pod a model of the Dataloop app needs, and whether the one that it runs in is large enough. Without dtlpy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from adapters.base import BaseModelAdapter
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
# Peak memory in MB of a process that writes MoViNet's program and predicts a window of 8 s, without TensorFlow, whose
# import takes as much again; published weights are read with it (docs/dataloop.md, "Which compute").
_WRITING_MB = {
    "base": {"a0": 250, "a1": 320, "a2": 430, "a3": 510, "a4": 710, "a5": 910},
    "stream": {"a0": 240, "a1": 340, "a2": 410, "a3": 730, "a4": 1170, "a5": 1840},
}
_TENSORFLOW_MB, _READ_WITH_TENSORFLOW = 700, "kinetics-600"


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


def warn_of_memory(adapter: BaseModelAdapter, name: str) -> None:
    """Log a warning where the pod has less memory than the model may need, with the pod to choose.

    Without this the platform may end the process, and no log says why. A model that came as a bundle needs less than
    one whose program is written, so that none is refused.

    Args:
        adapter: The model, before its first prediction.
        name: The model's name on the platform.
    """
    limit, config = memory_limit(), adapter.config
    needed = _WRITING_MB.get(config.get("model_mode", ""), {}).get(config.get("model_id", ""))
    if limit is None or needed is None:
        return
    needed += _TENSORFLOW_MB if config.get("weights") == _READ_WITH_TENSORFLOW else 0
    if limit >= needed * 10**6:
        return
    pod = PODS[size_of(config)][0]
    logger.warning(
        'model %r: "model_id" %s may need %.1f GB of memory to load and predict, and this pod has %.1f GB. If it runs '
        'out of memory, choose the pod type "%s" in the settings of the model\'s service, or deploy with '
        'service_config={"runtime": {"podType": "%s"}} (docs/dataloop.md)',
        name,
        config["model_id"],
        needed / 1000,
        limit / 10**9,
        pod,
        pod,
    )
