"""The published int8 stream model as the program that predicts: its own scores, and no TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.bundle import render_clip
from adapters.errors import BundleError, MissingExtraError
from adapters.inference import open_model
from adapters.litert import StreamProgram, with_scores
from adapters.models import ModelAdapter


@pytest.fixture(autouse=True)
def _no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorflow", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(scope="module")
def published(shared: Path) -> Path:
    path = shared / "weights" / "movinet_a0_stream_int8.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}: set CLIPLAB_SHARED to a folder that has it in weights/")
    return path


def opened(published: Path, **keys: Any) -> ModelAdapter:
    model = open_model("movinet_a0_stream", {"weights": str(published), "n_frames": 4, "num_threads": 1, **keys})
    assert isinstance(model, ModelAdapter)
    return model


def plain_scores(published: Path, frames: np.ndarray) -> np.ndarray:
    """The scores after frames float32 [T, H, W, 3], by LiteRT alone."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=published.read_bytes()).get_signature_runner("serving_default")
    states = {name: np.zeros(of["shape"], of["dtype"]) for name, of in run.get_input_details().items()}
    for frame in frames:
        states["image"] = frame[None, None]
        outputs = run(**states)
        states = {name: outputs[name] for name in states if name != "image"}
    powers = np.exp(outputs["logits"][0] - outputs["logits"].max())
    return np.asarray(powers / powers.sum())


def test_it_predicts_as_it_is(published: Path) -> None:
    model = opened(published)
    program = model.program()
    assert isinstance(program, StreamProgram)
    assert (program.precision, len(program.states)) == ("int8", 43)
    clip = render_clip(model.input_spec, 1)
    expected = plain_scores(published, model.items(clip)[0])
    assert np.allclose(model.predict([clip])[0].scores, expected, atol=1e-6)
    assert model.embed([clip]).shape == (1, 480)
    stream = model.open_stream()
    for index, frame in enumerate(clip.frames):
        scores = stream.push(frame, index / model.fps).scores
    assert np.allclose(scores, expected, atol=1e-6)


def test_a_platforms_complete_config_is_no_choice_of_precision(published: Path) -> None:
    complete = opened(published).config
    assert type(opened(published))(complete).program().precision == "int8"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "keys",
    [{"quantize": "float32"}, {"imgz": 128}, {"labels": ["cold", "warm"]}, {"quantize": "dynamic"}],
)
def test_another_precision_size_or_label_set_is_made_from_the_weights(published: Path, keys: dict[str, Any]) -> None:
    assert opened(published, **keys).ready_program() is None


def test_names_of_our_own_for_its_600_classes_are_used(published: Path) -> None:
    model = opened(published, labels=[f"class {index}" for index in range(600)])
    assert model.ready_program() is not None


def test_what_only_tensorflow_converts_says_so_and_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))  # where no other test has left the program
    model = open_model("mobilenet_v3", {"weights": "random", "imgz": 32, "n_frames": 2})
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train\].*cliplab convert MODEL"):
        model.program()


def test_a_model_without_the_layer_or_output_is_refused(published: Path) -> None:
    model = published.read_bytes()
    for logits, layer in (("other", "classifier_head/head/"), ("logits", "no such layer")):
        with pytest.raises(BundleError, match="damaged"):
            with_scores(model, logits, "softmax", lambda kernel, layer=layer: layer in kernel)


def test_the_next_process_neither_edits_the_file_nor_reads_its_weights(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))
    first = opened(published).program()
    assert first is not None

    def unexpected(*_: object, **__: object) -> None:
        raise AssertionError("the file was read part by part")

    for name in ("published.read_graph", "published.with_scores"):
        monkeypatch.setattr(f"movinet_adapter.streaming.{name}", unexpected)
    monkeypatch.setattr(ModelAdapter, "pretrained", unexpected)
    model = opened(published)
    model.open_stream()
    assert model.active_program() is model.program()
    assert model.program().model_bytes == first.model_bytes  # type: ignore[union-attr]


def test_a_cache_that_cannot_be_written_is_done_without(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "file"))
    assert isinstance(opened(published).ready_program(), bytes)
