"""Published variables to our names: by order from a SavedModel, by place from a checkpoint, by name from our own files.

Whatever the source, every variable is accounted for, theirs and ours, and a mismatch is named as both call it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from adapters.errors import WeightsError
from adapters.records import Float32Array
from adapters.system import nearest_hint
from adapters.training import VARIABLE_PREFIX
from movinet_adapter.architecture import MODEL_IDS, MODES, Architecture, VariableSpec, architecture, variable_specs
from movinet_adapter.weights.checkpoint_graph import CheckpointGraph, StoredVariable

Variables = dict[str, Float32Array]
Variant = Literal["float", "int8"]
_CLASSIFIER = "classifier/"

# Where tf-models keeps the parts of a layer, as attributes of its objects (official/projects/movinet/modeling).
_PARTS = {
    "expansion": "_expansion",
    "feature": "_feature",
    "projection": "_projection",
    "se/reduce": "_attention/_se_reduce",
    "se/expand": "_attention/_se_expand",
    "skip": "_skip/_projection",
}
_SCALARS = {
    "rezero": "_mobile_bottleneck/_rezero/scale",
    "se/position_scale": "_attention/_pos_encoding/_rezero/scale",
}
_CLASSIFIER_PARTS = {"hidden": "_head", "output": "_classifier"}


def fit_by_order(of: Architecture, found: Sequence[StoredVariable], where: str) -> Variables:
    """Map variables in tf-models' order to ours.

    Args:
        of: The architecture that they must fit.
        found: The variables in tf-models' order.
        where: What messages call their source.

    Returns:
        float32 arrays by name.

    Raises:
        WeightsError: One is of another shape, missing or too many; the message names it as both sides call it.
    """
    classes, shapes = _class_count(found), [stored.value.shape for stored in found]
    specs = variable_specs(of, classes)
    for number, (spec, stored) in enumerate(zip(specs, found, strict=False)):
        if stored.value.shape != spec.shape:
            raise WeightsError(
                f"{where} does not fit {_title(of)}: variable {number} is {stored.name!r} "
                f"{list(stored.value.shape)} in the file but {spec.name!r} {list(spec.shape)} in the network. "
                f"{_advice(of, shapes, classes)}"
            )
    if len(found) != len(specs):
        extra = found[len(specs)].name if len(found) > len(specs) else specs[len(found)].name
        what = f"{extra!r} is unexpected" if len(found) > len(specs) else f"{extra!r} is missing"
        raise WeightsError(
            f"{where} does not fit {_title(of)}: it has {len(found)} variables, but the network has {len(specs)}; "
            f"{what}. "
            f"{_advice(of, shapes, classes)}"
        )
    values = {spec.name: item.value for spec, item in zip(specs, found, strict=True)}
    return _finite(values, where, {spec.name: item.name for spec, item in zip(specs, found, strict=True)})


def fit_by_place(of: Architecture, graph: CheckpointGraph) -> Variables:
    """Map the variables of a tf-models checkpoint to ours, each found where tf-models' own objects would look for it.

    Args:
        of: The architecture that they must fit.
        graph: The open checkpoint.

    Returns:
        float32 arrays by name.

    Raises:
        WeightsError: One is missing, of another shape or not part of the network; the message names the first.
    """
    where, model = graph.where, graph.find("model") or 0
    if graph.find("layer_with_weights-1", model) is None:
        raise WeightsError(
            f"{where} is not a checkpoint of tf-models' MovinetClassifier. Give the checkpoint of a MoViNet."
        )
    output = graph.find(tf_models_place(of, VariableSpec("classifier/output/bias", ())), model)
    classes = graph.read(output).value.size if output is not None else 0
    specs = variable_specs(of, max(1, classes))
    values: Variables = {}
    names: dict[str, str] = {}
    unused = set(graph.variables_under(model))
    for spec in specs:
        place = tf_models_place(of, spec)
        node = graph.find(place, model)
        if node is None or not graph.is_variable(node):
            raise WeightsError(
                f"{where} does not fit {_title(of)}: it has no {spec.name!r}, expected at {place!r}. "
                "Give the checkpoint of that model_id and model_mode."
            )
        stored = graph.read(node)
        if stored.value.shape != spec.shape:
            raise WeightsError(
                f"{where} does not fit {_title(of)}: {stored.name!r} is {list(stored.value.shape)} in the file but "
                f"{spec.name!r} {list(spec.shape)} in the network. Give the checkpoint of that model_id and model_mode."
            )
        values[spec.name], names[spec.name] = stored.value, stored.name
        unused.discard(node)
    if unused:
        extra = sorted(graph.name_of(node) for node in unused)
        raise WeightsError(
            f"{where} does not fit {_title(of)}: {extra[0]!r} is not in the network ({len(extra)} unknown variables). "
            "Give the checkpoint of that model_id and model_mode."
        )
    return _finite(values, where, names)


def fit_by_name(of: Architecture, found: Mapping[str, Any], where: str) -> tuple[Variables, Variant]:
    """Check variables of our own names, as bundles and our .safetensors files have them.

    The classifier may be missing, and a head that was trained in its place (``scores_...``) is left out. If nothing of
    squeeze-excitation is among them, they are those of the int8 variant.

    Args:
        of: The architecture that they must fit.
        found: Arrays by name.
        where: What messages call their source.

    Returns:
        float32 arrays by name in the network's order, and the variant.

    Raises:
        WeightsError: One does not fit; the message names the first.
    """
    given = {name: value for name, value in found.items() if not name.startswith(VARIABLE_PREFIX)}
    variant: Variant = "int8" if of.mode == "stream" and not any("/se/" in name for name in given) else "float"
    classes = class_count(given) or 1
    specs = variable_specs(architecture(of.model_id, of.mode, variant=variant), classes)
    if not any(name.startswith(_CLASSIFIER) for name in given):
        specs = [spec for spec in specs if not spec.name.startswith(_CLASSIFIER)]
    names = [spec.name for spec in specs]
    wrong = [f"it has no {name!r}{nearest_hint(name, given)}" for name in names if name not in given]
    wrong += [f"the network has no {name!r}{nearest_hint(name, names)}" for name in given if name not in names]
    wrong += [
        f"{spec.name!r} is {list(np.shape(given[spec.name]))} in the file but {list(spec.shape)} in the network"
        for spec in specs
        if spec.name in given and np.shape(given[spec.name]) != spec.shape
    ]
    if wrong:
        shapes = [np.shape(value) for value in given.values()]
        raise WeightsError(f"{where} does not fit {_title(of)}: {wrong[0]}. {_advice(of, shapes, classes)}")
    values = {name: np.asarray(given[name], np.float32) for name in names}
    return _finite(values, where, {}), variant


def class_count(values: Mapping[str, Any]) -> int | None:
    """How many classes the classifier has; None without one.

    Args:
        values: Arrays by our names.
    """
    bias = values.get("classifier/output/bias")
    return None if bias is None else int(np.size(bias))


def _class_count(found: Sequence[StoredVariable]) -> int:
    """The classes of variables in tf-models' order: the output layer's, its kernel and bias, come last."""
    return max(1, found[-1].value.shape[-1]) if found and found[-1].value.ndim else 1


def tf_models_place(of: Architecture, spec: VariableSpec) -> str:
    """Where tf-models' MovinetClassifier keeps a variable: a path of attributes, as its checkpoints have it.

    Args:
        of: The architecture.
        spec: A variable of it.
    """
    owner, _, rest = spec.name.partition("/")
    if owner == "classifier":
        part, _, kind = rest.partition("/")
        return f"layer_with_weights-1/{_CLASSIFIER_PARTS[part]}/{_convolution(of)}/{kind}"
    names = ["stem", *(layer.name for layer in of.layers), "head"]
    layer = f"layer_with_weights-0/layer_with_weights-{names.index(owner)}"
    if rest in _SCALARS:
        return f"{layer}/{_SCALARS[rest]}"
    if owner in ("stem", "head"):
        part, inner = {"stem": "_stem", "head": "_project"}[owner], rest
    else:
        name = next(name for name in _PARTS if rest.startswith(f"{name}/"))
        part, inner = _PARTS[name], rest.removeprefix(f"{name}/")
    suffix = "_temporal" if inner.startswith("temporal/") else ""
    inner = inner.removeprefix("temporal/")
    if inner.startswith("bn/"):
        return f"{layer}/{part}/_batch_norm{suffix}/{inner.removeprefix('bn/')}"
    return f"{layer}/{part}/_conv{suffix}{'/_conv' if of.mode == 'stream' else ''}/{inner}"


def _convolution(of: Architecture) -> str:
    """In stream mode a convolution is a wrapper around one (nn_layers.MobileConv2D)."""
    return "_conv/_conv" if of.mode == "stream" else "_conv"


def _advice(of: Architecture, shapes: Sequence[tuple[int, ...]], classes: int) -> str:
    """What to do about variables that do not fit: which size and mode they are of, where one is found."""
    found = sorted(shapes)
    for model_id, mode in itertools.product(MODEL_IDS, MODES):
        other = architecture(model_id, mode)
        specs = variable_specs(other, classes)
        backbone = [spec for spec in specs if not spec.name.startswith(_CLASSIFIER)]  # what a trained bundle has
        if other != of and found in (sorted(spec.shape for spec in specs), sorted(spec.shape for spec in backbone)):
            changes = [
                f'"{key}" to "{value}"'
                for key, value, present in (("model_id", model_id, of.model_id), ("model_mode", mode, of.mode))
                if value != present
            ]
            return f"It is {_title(other)}: set {' and '.join(changes)}, or give the weights of the configured model."
    return "Give the SavedModel, checkpoint or bundle of that model_id and model_mode."


def _finite(values: Variables, where: str, theirs: Mapping[str, str]) -> Variables:
    for name, value in values.items():
        if not np.isfinite(value).all():
            called = f" ({theirs[name]!r} in it)" if name in theirs else ""
            raise WeightsError(
                f"{where}: {name!r}{called} holds values that are not finite numbers. Use the weights of a training "
                "that did not diverge."
            )
    return values


def _title(of: Architecture) -> str:
    return f"MoViNet {of.model_id} {of.mode}"
