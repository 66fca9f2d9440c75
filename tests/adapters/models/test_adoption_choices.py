"""What a program made elsewhere is taken for: every choice that is read, given, assumed or refused. Nothing runs."""

from pathlib import Path
from typing import Any

import pytest

from adapters.errors import BundleError, ConfigError
from adapters.models.tflite_classifier import adoption
from adapters.models.tflite_classifier.adoption import Adoption, adopt_tflite
from adapters.models.tflite_classifier.inspection import ProgramFacts, TensorFacts


class _Opened:
    precision = "float16"


@pytest.fixture
def adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call of ``adopt_tflite`` on a program of these inputs and outputs, of which nothing is run."""
    path = tmp_path / "m.tflite"
    path.write_bytes(b"program")
    monkeypatch.setattr(adoption, "open_program", lambda *args: _Opened())
    monkeypatch.setattr(adoption, "make_golden", lambda *args: None)
    monkeypatch.setattr(adoption, "describe", lambda *args: {})
    monkeypatch.setattr(adoption, "without_description", lambda data: data)
    monkeypatch.setattr(adoption, "with_description", lambda data, description: data + b" described")

    def call(inputs: Any, outputs: Any = None, labels: Any = ("x", "y", "z"), **given: Any) -> Adoption:
        tensors = [inputs] if isinstance(inputs, TensorFacts) else list(inputs)
        results = list(outputs or [_tensor((1, len(labels)), "scores", applied="softmax")])
        facts = ProgramFacts(tuple(tensors), tuple(results), True)
        monkeypatch.setattr(adoption, "inspect_program", lambda of: facts)
        found = adopt_tflite(path, list(labels), tmp_path / "out.tflite", given)
        assert (tmp_path / "out.tflite").read_bytes() == b"program described"
        return found

    return call


def _tensor(shape: tuple[int, ...], name: str = "x", **other: Any) -> TensorFacts:
    values: dict[str, Any] = {"open_sizes": (), "dtype": "float32", "scale": 0.0, "zero_point": 0, **other}
    return TensorFacts(name, shape, **values)


FRAMES = _tensor((1, 64, 96, 3), "input")


def _values(found: Adoption, *keys: str) -> tuple[Any, ...]:
    return tuple(found.config[key] for key in keys)


def test_what_is_reported(adopt: Any, tmp_path: Path) -> None:
    found = adopt(FRAMES)
    assert found.output_path == str(tmp_path / "out.tflite")
    assert (found.input, found.labels) == ("frames", 3)
    assert found.input_text == "input float32 [1, 64, 96, 3]"
    assert found.output_text == "scores float32 [1, 3]"
    assert found.to_json()["config"] == found.config
    assert list(found.to_json()) == [
        "output_path", "input", "input_text", "output_text", "labels", "found", "assumed", "config",
    ]  # fmt: skip
    assert _values(found, "imgz", "input_width", "quantize", "labels", "n_frames") == (
        64,
        96,
        "float16",
        ["x", "y", "z"],
        8,
    )
    assert _values(found, "mean", "scale", "channel_order", "aspect") == (0.0, 255.0, "rgb", "crop")
    assert any("--frames N" in text for text in found.assumed)
    assert any("--aspect" in text for text in found.assumed)
    assert any("--range -1:1" in text for text in found.assumed)
    assert any("64x96" in text for text in found.found)


@pytest.mark.parametrize(
    ("image", "given", "expected"),
    [
        (_tensor((1, 64, 64, 3)), {}, {"layout": "THWC", "input": "frames", "input_width": None}),
        (_tensor((1, 3, 64, 64)), {}, {"layout": "TCHW", "input": "frames", "imgz": 64}),
        (_tensor((1, 3, 64, 3)), {}, {"layout": "THWC"}),
        (_tensor((1, 8, 64, 48, 3)), {}, {"layout": "THWC", "input": "clips", "n_frames": 8, "input_width": 48}),
        (_tensor((1, 8, 3, 64, 48)), {}, {"layout": "TCHW", "n_frames": 8, "imgz": 64, "input_width": 48}),
        (_tensor((1, 3, 8, 64, 48)), {}, {"layout": "CTHW", "n_frames": 8, "imgz": 64, "input_width": 48}),
        (_tensor((1, 8, 64, 48, 3)), {}, {"sampling": "spread"}),
        (_tensor((1, 8, 64, 48, 3)), {"fps": 5}, {"sampling": "rate", "fps": 5}),
        (_tensor((1, 8, 64, 48, 3)), {"fps": 5, "sampling": "rate", "n_frames": 8}, {"sampling": "rate"}),
        (_tensor((1, 1, 64, 48, 3), open_sizes=(1,)), {"n_frames": 12}, {"n_frames": 12, "imgz": 64}),
        (_tensor((1, 1, 1, 3), open_sizes=(1, 2)), {"imgz": 80}, {"imgz": 80, "input_width": None}),
        (_tensor((1, 1, 1, 3), open_sizes=(2,)), {"imgz": 80, "input_width": 60}, {"imgz": 80, "input_width": 60}),
        (_tensor((1, 64, 96, 3)), {"imgz": 64, "input_width": 96}, {"imgz": 64, "input_width": 96}),
        (FRAMES, {"fps": 4}, {"sampling": "every", "fps": 4}),
        (FRAMES, {"fps": 4, "sampling": "rate"}, {"sampling": "rate"}),
        (FRAMES, {"n_frames": 5}, {"n_frames": 5}),
        (FRAMES, {"aspect": "pad", "channel_order": "bgr"}, {"aspect": "pad", "channel_order": "bgr"}),
        (FRAMES, {"mean": 127.5, "scale": 127.5}, {"mean": 127.5, "scale": 127.5}),
        (_tensor((1, 64, 64, 3), dtype="uint8", scale=0.5, zero_point=3), {}, {"mean": 3.0, "scale": 2.0}),
        (_tensor((1, 64, 64, 3), dtype="int8", scale=0.25, zero_point=-8), {}, {"mean": 120.0, "scale": 4.0}),
        (_tensor((1, 64, 64, 3), dtype="uint8", scale=0.5), {"mean": 1, "scale": 2}, {"mean": 1, "scale": 2}),
    ],
)
def test_what_becomes_of_an_input(adopt: Any, image: TensorFacts, given: dict[str, Any], expected: Any) -> None:
    found = adopt(image, **given)
    assert {key: found.config[key] for key in expected} == expected
    for key in given:  # nothing is assumed of what was given
        assert not any(f"--{key.replace('n_frames', 'frames')} " in text for text in found.assumed)


def _stream(**other: Any) -> list[TensorFacts]:
    return [
        _tensor((1, 1, 64, 48, 3), "image", **other),
        _tensor((1, 4), "state_a"),
        _tensor((1, 5), "state_b"),
    ]


_STATES = [_tensor((1, 4), "state_a"), _tensor((1, 5), "state_b")]


def test_a_stream_returns_its_states(adopt: Any) -> None:
    found = adopt(_stream(), [*_STATES, _tensor((1, 3), "logits")], fps=5)
    assert _values(found, "input", "fps", "n_frames", "imgz", "input_width", "scores_output") == (
        "stream",
        5,
        16,
        64,
        48,
        "logits",
    )
    assert any("carries 2 states" in text for text in found.found)
    assert adopt(_stream(), [*_STATES, _tensor((1, 3), "logits")], fps=5, n_frames=9).config["n_frames"] == 9


@pytest.mark.parametrize(
    ("inputs", "outputs", "given", "error", "message"),
    [
        (_tensor((1, 64, 64, 3), dtype="float16"), None, {}, BundleError, "must be float32, uint8 or int8"),
        (_tensor((1, 64, 64, 3), dtype="uint8"), None, {}, BundleError, "its uint8 input has no scale"),
        (_tensor((1, 64, 3)), None, {}, BundleError, "or have one more axis for time"),
        (_tensor((1, 2, 2, 64, 64, 3)), None, {}, BundleError, "or have one more axis for time"),
        (_tensor((1, 64, 64, 4)), None, {}, BundleError, "none of the axes that may hold colours"),
        (_tensor((1, 64, 64, 3), open_sizes=(3,)), None, {}, BundleError, "none of the axes"),
        (_tensor((1, 64, 3, 64)), None, {}, BundleError, "none of the axes"),
        (_tensor((1, 1, 64, 48, 3), open_sizes=(1,)), None, {}, BundleError, "does not fix the number of frames"),
        (_tensor((1, 1, 64, 3), open_sizes=(1,)), None, {}, BundleError, "does not fix the size of frames"),
        (FRAMES, None, {"imgz": 65}, ConfigError, '"imgz" is 65, and its frames are 64x96'),
        (FRAMES, None, {"input_width": 97}, ConfigError, "its frames are 96 pixels wide"),
        (_tensor((1, 8, 64, 48, 3)), None, {"n_frames": 9}, ConfigError, '"n_frames" is 9, and its clips have 8'),
        (FRAMES, None, {"input": "clips"}, ConfigError, "\"input\" is 'clips', and it takes frames"),
        (FRAMES, None, {"mean": 1}, ConfigError, "mean and std go together"),
        (FRAMES, None, {"scale": 1}, ConfigError, "mean and std go together"),
        (_stream(), [*_STATES, _tensor((1, 3), "logits")], {}, ConfigError, "does not say its frames per second"),
        (_stream(), [_STATES[0], _tensor((1, 3), "logits")], {"fps": 5}, BundleError, "it has 3 inputs and is not a"),
        ([FRAMES, *_STATES], [*_STATES, _tensor((1, 3))], {"fps": 5}, BundleError, "it has 3 inputs and is not a"),
        (
            [_tensor((1, 64, 48, 3), "image"), *_STATES],
            [*_STATES, _tensor((1, 3))],
            {"fps": 5},
            BundleError,
            "is not a stream",
        ),
        (_stream(dtype="uint8"), [*_STATES, _tensor((1, 3))], {"fps": 5}, BundleError, "must be float32"),
        (FRAMES, [_tensor((1, 4))], {}, ConfigError, "its output has 4 classes, but there are 3 labels (x, y, z, ...)"),
        (FRAMES, [_tensor((1, 5))], {}, ConfigError, "has 5 classes, but there are 3 labels"),
        (FRAMES, [_tensor((1, 3))], {"background": "first"}, ConfigError, "...) and a background class"),
        (FRAMES, [_tensor((1, 1))], {}, ConfigError, "has 1 classes, but there are 3 labels"),
        (FRAMES, [_tensor((1, 3), "a")], {"scores_output": "b"}, ConfigError, "has no output 'b'; its outputs are: a"),
        (FRAMES, [_tensor((1, 3), "a"), _tensor((1, 3), "b")], {}, ConfigError, "Give its name: --scores NAME"),
        (FRAMES, [_tensor((1, 7), "a"), _tensor((1, 8), "b")], {}, ConfigError, "it is not clear which"),
    ],
)
def test_what_is_not_adopted(
    adopt: Any, inputs: Any, outputs: Any, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        adopt(inputs, outputs, **given)
    assert message in str(caught.value)
    assert "m.tflite: " in str(caught.value)


def test_a_refusal_lists_three_inputs(adopt: Any) -> None:
    inputs = [_tensor((1, size), f"n{size}") for size in range(1, 6)]
    with pytest.raises(BundleError, match=r"It takes n1 float32 \[1, 1\]; n2 .*; n3 float32 \[1, 3\] and 2 more$"):
        adopt(inputs)
    with pytest.raises(BundleError, match=r"n3 float32 \[1, 3\]$"):
        adopt(inputs[:3])


@pytest.mark.parametrize(
    ("outputs", "labels", "given", "expected"),
    [
        ([_tensor((1, 3), applied="softmax")], "xyz", {}, {"activation": "none", "task": "single_label"}),
        ([_tensor((1, 3), applied="softmax")], "xyz", {"activation": "softmax"}, {"activation": "softmax"}),
        ([_tensor((1, 3))], "xyz", {}, {"activation": "softmax"}),
        ([_tensor((1, 3))], "xyz", {"activation": "none"}, {"activation": "none"}),
        ([_tensor((1, 3))], "xyz", {"task": "multi_label"}, {"activation": "sigmoid", "task": "multi_label"}),
        ([_tensor((1, 3), applied="sigmoid")], "xyz", {}, {"activation": "none", "task": "multi_label"}),
        ([_tensor((1, 3), applied="sigmoid")], "xyz", {"task": "single_label"}, {"task": "single_label"}),
        ([_tensor((1, 1))], "xy", {}, {"activation": "sigmoid", "positive_label": "y", "task": "single_label"}),
        ([_tensor((1, 1))], "xy", {"positive_label": "x"}, {"positive_label": "x"}),
        ([_tensor((1, 1), applied="sigmoid")], "xy", {}, {"activation": "none", "task": "single_label"}),
        ([_tensor((1, 4))], "xyz", {"background": "first"}, {"background": "first"}),
        ([_tensor((1, 4))], "xyz", {"background": "last"}, {"background": "last"}),
        ([_tensor((1, 3), "a"), _tensor((1, 9), "b")], "xyz", {}, {"scores_output": "a"}),
        ([_tensor((1, 3), "a"), _tensor((1, 3), "Logits")], "xyz", {}, {"scores_output": "Logits"}),
        ([_tensor((1, 3), "a"), _tensor((1, 3), "b")], "xyz", {"scores_output": "b"}, {"scores_output": "b"}),
        (
            [_tensor((1, 4), "a"), _tensor((1, 9), "probabilities")],
            "xyz",
            {"background": "first"},
            {"scores_output": "a"},
        ),
    ],
)
def test_what_becomes_of_an_output(
    adopt: Any, outputs: list[TensorFacts], labels: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = adopt(FRAMES, outputs, tuple(labels), **given)
    assert {key: found.config[key] for key in expected} == expected


def test_the_text_of_a_tensor_marks_what_is_open() -> None:
    tensor = _tensor((1, 1, 64, 3), open_sizes=(1,), dtype="int8")
    assert tensor.text == "x int8 [1, ?, 64, 3]"
    assert tensor.classes == 192
