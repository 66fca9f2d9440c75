"""The JSON of a Keras network as data: every form that is read, and every one that is refused."""

from typing import Any

import pytest

from adapters.errors import WeightsError
from adapters.models.keras_model import description
from adapters.models.keras_model.description import read_graph


def _layer(kind: str, name: str, inputs: Any = None, **config: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"class_name": kind, "name": name, "config": {"name": name, **config}}
    if inputs is not None:
        entry["inbound_nodes"] = inputs
    return entry


_INPUT = _layer("InputLayer", "in", [], batch_input_shape=[None, 8, 9, 3])


def _from(*names: str) -> list[Any]:
    """Where a layer's inputs come from, in the form of Keras 2."""
    return [[[name, 0, 0, {}] for name in names]]


def _network(*layers: Any, first: Any = None, last: Any = None, **config: Any) -> dict[str, Any]:
    ends = {"input_layers": first or [["in", 0, 0]], "output_layers": last or [[layers[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "net", "layers": [_INPUT, *layers], **ends, **config}}


def _sequence(*layers: Any, **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "seq", "layers": list(layers), **config}}


_RELU = _layer("ReLU", "r", _from("in"), max_value=6.0)


def test_a_network_of_keras_2() -> None:
    graph = read_graph(_network(_RELU, _layer("Add", "sum", _from("r", "in"))), "f.h5")
    assert (graph.name, graph.output, graph.input_shape) == ("net", "sum", (8, 9, 3))
    assert [(layer.name, layer.kind, layer.inputs) for layer in graph.layers] == [
        ("in", "InputLayer", ()),
        ("r", "ReLU", ("in",)),
        ("sum", "Add", ("r", "in")),
    ]
    assert graph.layers[1].settings == {"max_value": 6.0}


def test_a_network_of_keras_3() -> None:
    inputs = [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["in", 0, 0]}}], "kwargs": {}}]
    relu = _layer("ReLU", "r", inputs)
    start = _layer("InputLayer", "in", [], batch_shape=[None, None, 9, 3])
    model = _network(relu, first=["in", 0, 0], last=["r", 0, 0])
    model["config"]["layers"][0] = start
    graph = read_graph(model, "f.keras")
    assert graph.input_shape == (None, 9, 3)
    assert graph.layers[1].inputs == ("in",)


def test_the_input_layer_comes_first() -> None:
    model = _network(_RELU)
    model["config"]["layers"].reverse()
    model["config"]["output_layers"] = [["r", 0, 0]]
    assert [layer.name for layer in read_graph(model, "f").layers] == ["in", "r"]


def test_a_sequence_leads_from_each_layer_to_the_next() -> None:
    graph = read_graph(_sequence(_INPUT, _layer("ReLU", "a"), _layer("Softmax", "b")), "f")
    assert [(layer.name, layer.inputs) for layer in graph.layers] == [("in", ()), ("a", ("in",)), ("b", ("a",))]
    assert graph.output == "b"
    graph = read_graph(_sequence(_layer("ReLU", "a", batch_input_shape=[None, 4])), "f")
    assert [(layer.name, layer.kind, layer.inputs) for layer in graph.layers] == [
        ("seq_input", "InputLayer", ()),
        ("a", "ReLU", ("seq_input",)),
    ]
    assert graph.input_shape == (4,)
    oldest = {"class_name": "Sequential", "config": [_layer("ReLU", "a", batch_input_shape=[None, 4])]}
    assert read_graph(oldest, "f").name == "model"


def test_a_network_in_a_network() -> None:
    inner = {**_network(_RELU), "name": "inner"}
    graph = read_graph(_sequence(inner, _layer("Softmax", "s")), "f")
    assert graph.input_shape == (8, 9, 3)
    (nested,) = [layer for layer in graph.layers if layer.kind == "Model"]
    assert (nested.name, nested.inputs) == ("inner", ("seq_input",))
    assert nested.inner is not None
    assert nested.inner.output == "r"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("relu6", "relu6"),
        ({"class_name": "x", "config": "tanh"}, "tanh"),
        ({"config": {"name": "gelu"}}, "gelu"),
    ],
)
def test_forms_of_an_activation(value: Any, expected: str) -> None:
    graph = read_graph(_network(_layer("Activation", "a", _from("in"), activation=value)), "f")
    assert graph.layers[1].settings == {"activation": expected}


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({"kernel_size": [3, 3], "use_bias": False}, {"kernel_size": [3, 3], "use_bias": False}),
        ({"filters": 65_536}, {"filters": 65_536}),
        ({"strides": (2, 2), "padding": "same"}, {"strides": [2, 2], "padding": "same"}),
        ({"filters": None, "groups": 2, "dilation_rate": 1}, {"groups": 2, "dilation_rate": 1}),
        ({"kernel_initializer": {"anything": object}}, {}),
        ({"data_format": "channels_last"}, {}),
        ({"data_format": None}, {}),
    ],
)
def test_settings_that_change_what_is_computed_are_kept(config: dict[str, Any], settings: dict[str, Any]) -> None:
    graph = read_graph(_network(_layer("Conv2D", "c", _from("in"), **config)), "f")
    assert graph.layers[1].settings == settings


@pytest.mark.parametrize("kind", ["BatchNormalization", "Concatenate", "Softmax", "Normalization"])
@pytest.mark.parametrize(
    ("axis", "good"), [(-1, True), (3, True), ([3], True), ([-1], True), (1, False), ([1, 2], False)]
)
def test_the_axis_of_channels(kind: str, axis: Any, good: bool) -> None:
    model = _network(_layer(kind, "n", _from("in"), axis=axis))
    if good:
        assert read_graph(model, "f").output == "n"
    else:
        with pytest.raises(WeightsError, match=r"its layer 'n' works on axis .*; only the channels \(-1\)"):
            read_graph(model, "f")


_REUSED = [[["in", 0, 0, {}]], [["in", 0, 0, {}]]]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"class_name": "Lambda"}, "has unsupported layers: Lambda. Supported: Conv2D"),
        (_network(_layer("LSTM", "l", _from("in")), _layer("GRU", "g", _from("l"))), "unsupported layers: GRU, LSTM."),
        ([], "is not described as a Functional or Sequential model"),
        (_layer("ReLU", "r"), "is not described as a Functional or Sequential model"),
        (_sequence(), "its network 'seq' has no layers"),
        ({"class_name": "Functional"}, "its network 'model' has no layers"),
        (_network(_RELU, first=[["in", 0, 0], ["r", 0, 0]]), "has 2 inputs and 1 outputs"),
        (_network(_RELU, last=[["in", 0, 0], ["r", 0, 0]]), "has 1 inputs and 2 outputs"),
        (_network(_RELU, _RELU), "two layers of its network 'net' have the same name"),
        (_sequence(_layer("ReLU", "a", batch_input_shape=[None, 4]), _layer("ReLU", "a")), "two layers of its network"),
        (_network(_layer("ReLU", "r", _from("gone"))), "its layer 'gone' does not exist"),
        (_network(_RELU, last=[["gone", 0, 0]]), "its layer 'gone' does not exist"),
        (_network(_layer("ReLU", "r", _REUSED)), "its layer 'r' is used more than once"),
        (_network(_layer("ReLU", "r", "in")), "its layer 'r' is used more than once"),
        (_network({"class_name": "ReLU", "name": "r"}), "a layer has no settings"),
        (_network(_layer("ReLU", "r", _from("in"), data_format="channels_first")), "its layer 'r' is channels first"),
        (_network(_layer("Dense", "d", _from("in"), activation="mish")), "'d' has the unsupported activation 'mish'"),
        (_network(_layer("Dense", "d", _from("in"), activation={"config": 1})), "the unsupported activation 1"),
        (_network(_layer("Dense", "d", _from("in"), units=65_537)), "its setting 'd.units' is 65537"),
        (_network(_layer("Dense", "d", _from("in"), units=1e9)), "its setting 'd.units' is 1000000000.0"),
        (_network(_layer("Dense", "d", _from("in"), units={})), "its setting 'd.units' is {}"),
        (_network(_layer("Dense", "d", _from("in"), units=[[[[1]]]])), "its setting 'd.units' is"),
        (_network(_layer("ReLU", "r<", _from("in"))), "a layer is named 'r<'"),
        (_network(_layer("ReLU", "r" * 201, _from("in"))), "a layer is named"),
        (_network(_layer("ReLU", "r", _from("in")), name=7), "a layer is named 7"),
        (_sequence(_layer("ReLU", "a")), "does not say the shape of its input"),
        (_sequence(_layer("ReLU", "a", batch_input_shape=["x"])), "does not say the shape of its input"),
        (_sequence(_layer("ReLU", "a", batch_input_shape=[None, 0])), "its input is [None, 0]"),
        (_sequence(_layer("ReLU", "a", batch_input_shape=[None, 65_537])), "its input is [None, 65537]"),
    ],
)
def test_what_is_not_read(model: Any, message: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_graph(model, "f.h5")
    assert str(caught.value).startswith("f.h5: ")
    assert message in str(caught.value)


def _nested(levels: int) -> dict[str, Any]:
    model = _sequence(_layer("ReLU", "a", batch_input_shape=[None, 4]))
    for level in range(levels):
        model = _sequence({**model, "name": f"n{level}"})
    return model


def test_the_deepest_network_and_the_most_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_graph(_nested(8), "f").input_shape == (4,)
    with pytest.raises(WeightsError, match="is not described as"):
        read_graph(_nested(9), "f")
    monkeypatch.setattr(description, "MAX_LAYERS", 3)
    layers = [_layer("ReLU", f"r{n}") for n in range(3)]
    assert len(read_graph(_sequence(_INPUT, *layers[:2]), "f").layers) == 3
    with pytest.raises(WeightsError, match="has more than 3 layers"):
        read_graph(_sequence(_INPUT, *layers), "f")
    inner = {**_sequence(_INPUT, layers[0]), "name": "inner"}
    with pytest.raises(WeightsError, match="has more than 3 layers"):
        read_graph(_sequence(_layer("InputLayer", "start", batch_input_shape=[None, 8]), inner), "f")


def test_one_number_more_or_less_of_a_list_of_lists() -> None:
    graph = read_graph(_network(_layer("ZeroPadding2D", "z", _from("in"), padding=[[0, 1], [1, 0]])), "f")
    assert graph.layers[1].settings == {"padding": [[0, 1], [1, 0]]}
