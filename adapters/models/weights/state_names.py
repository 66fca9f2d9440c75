"""A PyTorch state dict's tensors by the names of a network: wrappers' prefixes removed, heads apart, the rest named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.config import Config
from adapters.errors import WeightsError
from adapters.models.network import Variables
from adapters.system import quoted_list
from adapters.training import VARIABLE_PREFIX

Tensors = dict[str, npt.NDArray[Any]]

OUTPUT_KERNEL, OUTPUT_BIAS = f"{VARIABLE_PREFIX}output/kernel", f"{VARIABLE_PREFIX}output/bias"
# What wrappers put before the names of a network's tensors, in any order: DataParallel and its like, torch.compile,
# Lightning modules, networks whose backbone is an attribute.
PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "backbone.",
    "net.",
    "network.",
    "encoder.",
    "trunk.",
    "base_model.",
    "feature_extractor.",
    "ema_model.",
    "online_model.",
)
# Modules in the classifier's place, whatever their layers are.
HEADS = ("fc", "classifier", "head", "last_linear", "_fc", "head_fc", "classif", "classification_head")
# Counters that only training reads: of batch normalisation, of averaged weights, of modules' settings, of FLOPs.
_COUNTERS = ("num_batches_tracked", "n_averaged", "_extra_state", "total_ops", "total_params")
_NAMED = 3  # how many names a message lists


@dataclass(frozen=True)
class NamedTensors:
    """A state dict as one network's.

    Attributes:
        backbone: Tensors by the network's names for them; every one is there.
        head: What is in the classifier's place, by name; may be empty.
    """

    backbone: Tensors
    head: Tensors


def match_names(state: Mapping[str, npt.NDArray[Any]], wanted: Iterable[str], family: str, advice: str) -> NamedTensors:
    """Find a network's tensors in a state dict.

    Prefixes of PREFIXES are removed, also several. Where most names have one, what lacks it is not part of the network.
    Modules of HEADS are the head. Counters that only training reads are left out.

    Args:
        state: Tensors by name.
        wanted: The network's names for the tensors before its head.
        family: What messages call the network, such as "a ResNet18".
        advice: What to do about a state dict that does not fit.

    Raises:
        WeightsError: A tensor is unknown, missing or there twice; the message names it.
    """
    names = list(wanted)
    known = set(names)
    plain = {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] not in _COUNTERS}
    found: dict[str, str] = {}  # our name of a tensor -> its name in the file
    prefixes: Counter[str] = Counter()
    prefixes_here = (*PREFIXES, *_own_prefix(plain, names))
    places = {name: _place(name, known, prefixes_here) for name in plain}
    for prefix, short in places.values():
        prefixes[prefix] += short in known
    # Of two copies under prefixes of their own the averaged one is taken.
    usual = max(prefixes, key=lambda prefix: (prefixes[prefix], "ema" in prefix)) if prefixes else ""
    for name, (prefix, short) in places.items():
        if short in known and (short not in found or prefix == usual):
            found[short] = name
    head: Tensors = {}
    for name, (prefix, short) in places.items():
        if short.partition(".")[0] in HEADS and (short not in head or prefix == usual):
            head[short] = plain[name]
    unknown = [name for name, (_, short) in places.items() if short not in known and short not in head]
    _require_known(unknown, usual, found, family)
    missing = [name for name in names if name not in found]
    if missing:
        raise WeightsError(
            f"tensor {missing[0]!r} of {family} is missing ({len(found)} of {len(names)} are present; also missing: "
            f"{quoted_list(missing[1:], _NAMED) or 'none'}). {advice}"
        )
    return NamedTensors({name: plain[found[name]] for name in names}, head)


def linear_classifier(head: Mapping[str, npt.NDArray[Any]], features: int) -> Variables:
    """The classifier that a head is, if it is one linear layer of the network's features.

    Args:
        head: Tensors by name, such as "fc.weight" [classes, features] and "fc.bias".
        features: Numbers per item from the backbone.

    Returns:
        float32 kernel [features, classes] and bias by their names in our head; empty for any other head.
    """
    modules = {name.rpartition(".")[0] for name in head}
    if len(modules) != 1:
        return {}
    weight, bias = (head.get(f"{next(iter(modules))}.{kind}") for kind in ("weight", "bias"))
    if len(head) != 2 or weight is None or bias is None or weight.ndim != 2 or weight.shape[1] != features:
        return {}
    if bias.shape != weight.shape[:1]:
        return {}
    return {OUTPUT_KERNEL: np.ascontiguousarray(weight.T, np.float32), OUTPUT_BIAS: np.asarray(bias, np.float32)}


def head_tensors(variables: Mapping[str, npt.NDArray[Any]], head: Sequence[Config], module: str) -> Tensors:
    """A head's layers as PyTorch names them: one Linear, or an nn.Sequential of Linear, activations and Dropout.

    Args:
        variables: The head's variables by their names in ours, among others.
        head: The config's ``head``.
        module: The head's name in the network, such as "fc".

    Returns:
        float32 weights [out, in] and biases by tensor name.
    """
    hidden = any("units" in layer for layer in head)
    result: Tensors = {}
    position = number = 0

    def add(ours: str) -> None:
        at = f"{module}.{position}" if hidden else module
        result[f"{at}.weight"] = np.ascontiguousarray(variables[f"{ours}/kernel"].T, np.float32)
        result[f"{at}.bias"] = np.asarray(variables[f"{ours}/bias"], np.float32)

    for layer in head:
        if "units" in layer:
            add(f"{VARIABLE_PREFIX}dense{number}")
            number += 1
            position += layer.get("activation", "linear") != "linear"
        position += 1
    add(f"{VARIABLE_PREFIX}output")
    return result


def _own_prefix(state: Mapping[str, object], names: Sequence[str]) -> tuple[str, ...]:
    """The prefix of a wrapper that nobody else uses, if with it, and with no other, the whole network is there."""
    found = {name.removesuffix(names[0]) for name in state if name.endswith("." + names[0])} if names else set()
    whole = [prefix for prefix in found if all(prefix + name in state for name in names)]
    return (whole[0],) if len(whole) == 1 else ()


def _place(name: str, known: set[str], prefixes: Sequence[str]) -> tuple[str, str]:
    """The prefix of a name and what follows it: the shortest prefix that leaves a known name, otherwise all of them."""
    short = name
    while short not in known:
        prefix = next((prefix for prefix in prefixes if short.startswith(prefix)), None)
        if prefix is None:
            break
        short = short.removeprefix(prefix)
    return name.removesuffix(short), short


def _require_known(unknown: list[str], usual: str, found: Mapping[str, str], family: str) -> None:
    """WeightsError where a tensor belongs to the network's part of the file and not to the network."""
    within = [name for name in unknown if name.startswith(usual)]
    if not within:
        return
    advice = f"Give a state dict of {family}" if found else f"Give the complete state dict of {family}"
    raise WeightsError(
        f"tensor {within[0]!r} is not part of {family} ({len(within)} unknown tensors, {len(found)} that fit; also "
        "unknown: "
        f"{quoted_list(within[1:], _NAMED) or 'none'}). {advice}, with the names that torchvision or timm give its "
        "tensors."
    )
