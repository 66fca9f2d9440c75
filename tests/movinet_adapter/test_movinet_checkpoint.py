"""Variables of a tf-models checkpoint by their places, of a graph of objects that stands in memory. No TensorFlow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from movinet_files import Values

from adapters.errors import WeightsError
from movinet_adapter.architecture import VariableSpec, architecture, variable_specs
from movinet_adapter.weights.checkpoint_graph import CheckpointGraph
from movinet_adapter.weights.mapping import fit_by_name, fit_by_place, tf_models_place

BASE, STREAM = architecture("a0", "base"), architecture("a3", "stream")


def small_values(of: Any, classes: int = 7) -> Values:
    """Variables that tell which they are: broadcast views."""
    specs = variable_specs(of, classes)
    return {spec.name: np.broadcast_to(np.float32(number), spec.shape) for number, spec in enumerate(specs)}


def graph_of(places: dict[str, np.ndarray]) -> CheckpointGraph:
    """Objects by their paths under ``model``, as TensorFlow's reader shows them."""
    nodes: list[Any] = [SimpleNamespace(children=[], attributes=[])]
    values: dict[str, np.ndarray] = {}

    def child(parent: int, name: str) -> int:
        for item in nodes[parent].children:
            if item.local_name == name:
                return int(item.node_id)
        nodes.append(SimpleNamespace(children=[], attributes=[]))
        nodes[parent].children.append(SimpleNamespace(local_name=name, node_id=len(nodes) - 1))
        return len(nodes) - 1

    for path, value in places.items():
        node = 0
        for name in path.split("/"):
            node = child(node, name)
        key = f"{path}/.ATTRIBUTES/VARIABLE_VALUE"
        entry = SimpleNamespace(name="VARIABLE_VALUE", full_name=f"theirs/{path}", checkpoint_key=key)
        nodes[node].attributes.append(entry)
        values[key] = value
    return CheckpointGraph("a checkpoint", SimpleNamespace(get_tensor=values.__getitem__), nodes)


def places_of(of: Any, values: Values) -> dict[str, np.ndarray]:
    return {f"model/{tf_models_place(of, VariableSpec(name, ()))}": value for name, value in values.items()}


@pytest.mark.parametrize("of", [BASE, STREAM], ids=["base", "stream"])
def test_every_variable_comes_from_its_place_in_the_networks_order(of: Any) -> None:
    values = small_values(of)
    places = places_of(of, values)
    assert len(set(places)) == len(values)
    found = fit_by_place(of, graph_of(dict(reversed(places.items()))))
    assert list(found) == list(values)
    assert [float(value.flat[0]) for value in found.values()] == list(range(len(values)))


def test_places_are_those_of_tf_models() -> None:
    """official/projects/movinet/modeling: the attributes of MovinetClassifier, Movinet and its layers."""
    expected = {
        (BASE, "stem/kernel"): "layer_with_weights-0/layer_with_weights-0/_stem/_conv/kernel",
        (BASE, "stem/bn/gamma"): "layer_with_weights-0/layer_with_weights-0/_stem/_batch_norm/gamma",
        (BASE, "block0_layer0/rezero"): "layer_with_weights-0/layer_with_weights-1/_mobile_bottleneck/_rezero/scale",
        (BASE, "classifier/hidden/bias"): "layer_with_weights-1/_head/_conv/bias",
        (STREAM, "classifier/output/kernel"): "layer_with_weights-1/_classifier/_conv/_conv/kernel",
        (STREAM, "stem/kernel"): "layer_with_weights-0/layer_with_weights-0/_stem/_conv/_conv/kernel",
    }
    for (of, name), place in expected.items():
        assert tf_models_place(of, VariableSpec(name, ())) == place


@pytest.mark.parametrize(
    "place",
    ["model/extra", "model/layer_with_weights-0/layer_with_weights-0/_stem/_conv/bias", "model/layer_with_weights-9/w"],
)
def test_a_variable_that_the_network_does_not_have_is_named(place: str) -> None:
    places = places_of(BASE, small_values(BASE))
    with pytest.raises(WeightsError, match=rf"'theirs/{place}' is not in the network \(1 unknown"):
        fit_by_place(BASE, graph_of(places | {place: np.zeros(3, np.float32)}))


def test_what_training_keeps_beside_the_weights_is_no_part_of_them() -> None:
    places = places_of(BASE, small_values(BASE))
    beside = {f"model/{name}/v": np.zeros(3, np.float32) for name in ("optimizer", "keras_api", "loss")}
    outside = {"save_counter": np.zeros((), np.int64)}
    assert len(fit_by_place(BASE, graph_of(places | beside | outside))) == len(places)


def test_what_does_not_fit_is_named() -> None:
    values = small_values(BASE)
    places = places_of(BASE, values)

    def refused(changed: dict[str, np.ndarray]) -> str:
        with pytest.raises(WeightsError) as caught:
            fit_by_place(BASE, graph_of(changed))
        return str(caught.value)

    stem = "model/layer_with_weights-0/layer_with_weights-0/_stem/_conv/kernel"
    assert f"it has no 'stem/kernel', expected at '{stem.removeprefix('model/')}'" in refused(
        {place: value for place, value in places.items() if place != stem}
    )
    message = refused(places | {stem: np.zeros((1, 3, 3, 3, 9), np.float32)})
    assert f"'theirs/{stem}' is [1, 3, 3, 3, 9] in the file but 'stem/kernel' [1, 3, 3, 3, 8] in the network" in message
    assert "float64" in refused(places | {stem: np.asarray(places[stem], np.float64)})
    broken = np.array(places[stem])
    broken[0, 0, 0, 0, 0] = np.nan
    message = refused(places | {stem: broken})
    assert "'stem/kernel'" in message
    assert f"'theirs/{stem}'" in message
    assert "not finite" in message
    assert "is not a checkpoint of tf-models" in refused({"model/layer_with_weights-0/w": np.zeros(1, np.float32)})


def test_the_number_of_classes_is_the_checkpoints_own() -> None:
    for classes in (1, 7, 600):
        found = fit_by_place(BASE, graph_of(places_of(BASE, small_values(BASE, classes))))
        assert found["classifier/output/bias"].shape == (classes,)


def test_the_8_bit_variant_is_known_by_what_it_lacks() -> None:
    of = architecture("a0", "stream")
    values = small_values(architecture("a0", "stream", variant="int8"))
    assert not any("/se/" in name for name in values)
    found, variant = fit_by_name(of, values, "file")
    assert (list(found), variant) == (list(values), "int8")
    backbone = {name: value for name, value in values.items() if not name.startswith("classifier/")}
    found, variant = fit_by_name(of, backbone | {"scores_output/kernel": np.zeros((480, 2))}, "file")
    assert (list(found), variant) == (list(backbone), "int8")
    with pytest.raises(WeightsError, match="block0_layer0/se/"):
        fit_by_name(BASE, {name: value for name, value in small_values(BASE).items() if "/se/" not in name}, "file")
