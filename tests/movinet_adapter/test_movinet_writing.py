"""MoViNet's programs are written without TensorFlow, and give what TensorFlow's conversion gives."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from program_formats import adapter_of

from adapters.litert import Program, StreamProgram, operators, xnnpack_partitions
from adapters.models.programs import get_backbone_program, make_program_bytes
from movinet_adapter import MoViNetAdapter

VARIANTS: list[dict[str, Any]] = [
    {"model_mode": "base", "n_frames": 5},  # one frame at a time, then all together
    {"model_mode": "base", "n_frames": 8},  # which is split twice
    {"model_mode": "base", "n_frames": 1},
    {"model_mode": "stream", "n_frames": 3},
    {"model_mode": "stream", "n_frames": 1},
    {"model_mode": "stream", "variant": "int8"},  # no gates, and ReLU6 within the convolutions
    {"model_mode": "stream", "model_id": "a3"},  # positions
]


def adapter(**keys: Any) -> MoViNetAdapter:
    made = adapter_of("movinet", **{"head": [{"units": 8, "activation": "swish"}], **keys})
    assert isinstance(made, MoViNetAdapter)
    return made


def items(of: MoViNetAdapter, count: int = 2) -> Any:
    return np.random.default_rng(0).uniform(0, 1, (count, *of.item_shape)).astype(np.float32)


def by_step(program: bytes, frames: Any) -> dict[str, Any]:
    return StreamProgram(program, num_threads=1).run_clips([frames])[0]


@pytest.mark.parametrize("keys", VARIANTS, ids=str)
def test_features_and_scores_agree_without_tensorflow(keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that steps along a clip ends with the features that heads are trained on."""
    for name in ("tensorflow", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)
    of = adapter(**keys)
    clips = items(of)
    features = Program(get_backbone_program(of), 1).run(clips)["features"]
    program = make_program_bytes(of, "float32")
    if of.streams:
        found = [by_step(program, clip) for clip in clips]
        assert np.allclose([one["features"][-1] for one in found], features, atol=1e-4)
        assert np.allclose(np.sum([one["scores"][-1] for one in found], axis=1), 1, atol=1e-5)
    else:
        assert np.array_equal(Program(program, 1).run(clips)["features"], features)
    # LiteRT 1.2.0 divides the stream of a3, and nothing else, into two.
    is_divided = version("ai-edge-litert") == "1.2.0" and keys.get("model_id") == "a3" and of.streams
    assert xnnpack_partitions(program) == (2 if is_divided else 1)


@pytest.mark.extras
@pytest.mark.parametrize("keys", [VARIANTS[0], VARIANTS[3], VARIANTS[5], VARIANTS[6]], ids=str)
def test_a_written_program_gives_what_tensorflow_converts(keys: dict[str, Any]) -> None:
    pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
    from adapters.training import assign

    of = adapter(**keys)
    network = of.build_network()
    assign(network, of.variables())
    converted, written = of.convert_network(network, "float32", ()), make_program_bytes(of, "float32")
    clips = items(of)
    if of.streams:
        ours, theirs = by_step(written, clips[0]), by_step(converted, clips[0])
    else:
        ours, theirs = Program(written, 1).run(clips), Program(converted, 1).run(clips)
    for name in ("scores", "features"):
        assert np.abs(ours[name] - theirs[name]).max() <= 1e-5
    if not of.architecture.positions:  # whose angles the converter cuts out of longer ones
        kinds = [{kind: n for kind, n in operators(one).items() if kind != "RESHAPE"} for one in (written, converted)]
        assert kinds[0] == kinds[1]


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
@pytest.mark.parametrize("mode", ["base", "stream"])
def test_less_precision_needs_no_tensorflow(mode: str, quantize: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorflow", "tf_keras"):
        monkeypatch.setitem(sys.modules, name, None)
    of = adapter(model_mode=mode, n_frames=2)
    clip = items(of, 1)
    exact, rounded = make_program_bytes(of, "float32"), make_program_bytes(of, quantize)
    if mode == "stream":
        found = [by_step(program, clip[0])["scores"] for program in (exact, rounded)]
    else:
        found = [Program(program, 1).run(clip)["scores"] for program in (exact, rounded)]
    assert len(rounded) < 0.6 * len(exact)
    assert np.abs(found[0] - found[1]).max() < 0.1


def test_a_subclass_with_another_network_is_converted() -> None:
    other = type("Other", (MoViNetAdapter,), {"build_backbone": lambda self: None})
    assert other(adapter().config).backbone_shapes() is None
    assert type("Same", (MoViNetAdapter,), {})(adapter().config).backbone_shapes() is not None
