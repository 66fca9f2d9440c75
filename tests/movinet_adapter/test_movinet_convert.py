"""The files that ``convert`` writes, base and stream at every precision: operators, XNNPACK, answers, signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from command_line import python
from own_process import in_own_process

from adapters.bundle import render_clip
from adapters.errors import ConversionError
from adapters.inference import open_model
from adapters.litert import open_interpreter, xnnpack_partitions
from adapters.litert.graph import operators, precision
from adapters.models import ModelAdapter
from adapters.records import PRECISIONS, Clip, RequestedPrecision
from adapters.reports import ConversionReport
from movinet_adapter.architecture import MODEL_IDS, MODES, state_specs

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")

LABELS = ["left", "right", "still"]
SMALL: dict[str, Any] = {"weights": "random", "imgz": 32, "labels": LABELS, "min_agreement": 0.0}
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Of the largest feature of a random network, which rounding moves further than it moves a trained one's answers.
FEATURE_TOLERANCE = {"float32": 1e-5, "float16": 0.01, "dynamic": 0.06, "int8": 0.08}
SIZE_SHARE = {"float32": 1.0, "float16": 0.6, "dynamic": 0.45, "int8": 0.5}
pytestmark = pytest.mark.usefixtures("own_cache")


class Converted:
    """A size and mode, its clips, and its file at each precision, converted when it is first asked for."""

    def __init__(self, folder: Path, model_id: str, mode: str) -> None:
        frames = 2 if mode == "base" else 4
        model = open_model(f"movinet_{model_id}_{mode}", {**SMALL, "n_frames": frames})
        self.model, self.folder = cast(ModelAdapter, model), folder
        self.clips = [render_clip(self.model.input_spec, variant) for variant in range(3)]
        self._reports: dict[RequestedPrecision, ConversionReport] = {}

    def path(self, quantize: RequestedPrecision) -> Path:
        return self.folder / f"{quantize}.tflite"

    def report(self, quantize: RequestedPrecision) -> ConversionReport:
        if quantize not in self._reports:
            calibration = self.clips if quantize == "int8" else None
            self._reports[quantize] = self.model.convert(self.path(quantize), quantize, calibration, clips=self.clips)
        return self._reports[quantize]


@pytest.fixture(scope="module")
def converted(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Converted]:
    return {mode: Converted(tmp_path_factory.mktemp(mode), "a0", mode) for mode in MODES}


def outside_xnnpack(model: bytes) -> list[str]:
    """The convolutions and dense layers that XNNPACK did not take over."""
    nodes = open_interpreter(model, "the file")._get_ops_details()
    # What a delegate took over stays listed; its constants are then among what the delegate reads, kernels of 16 or 8
    # bits before they are widened.
    inside = {int(index) for node in nodes if node["op_name"] == "DELEGATE" for index in node["inputs"]}
    widened = {int(n["outputs"][0]): int(n["inputs"][0]) for n in nodes if n["op_name"] == "DEQUANTIZE"}
    kernels = [(n["op_name"], int(n["inputs"][1])) for n in nodes if n["op_name"] in CONVOLUTIONS]
    assert kernels
    return [name for name, kernel in kernels if widened.get(kernel, kernel) not in inside]


def assert_runs_anywhere(report: ConversionReport, quantize: RequestedPrecision) -> None:
    """Built-in operators only, every convolution in XNNPACK, the precision that was asked for."""
    model = Path(report.output_path).read_bytes()
    assert operators(model) == report.operators
    assert [name for name in report.operators if ":" in name or "FLEX" in name.upper()] == []
    assert precision(model) == report.quantize == quantize
    assert outside_xnnpack(model) == []
    # Between two pieces LiteRT's own slower code would run; a stream's counts are all that it runs, before the one.
    assert report.partitions == xnnpack_partitions(model) == 1


def assert_answers_alike(converted: Converted, quantize: RequestedPrecision) -> None:
    """The file alone, beside the model that it was made from."""
    opened = cast(ModelAdapter, open_model(converted.path(quantize)))
    assert opened.labels == tuple(LABELS)
    assert opened.config["quantize"] == quantize
    expected, found = converted.model.embed(converted.clips), opened.embed(converted.clips)
    assert np.abs(expected - found).max() <= FEATURE_TOLERANCE[quantize] * np.abs(expected).max()
    # Above, an answer that ignores its input would be near enough; it would not follow the clips.
    between = (expected - expected.mean(axis=0)).ravel(), (found - found.mean(axis=0)).ravel()
    assert np.corrcoef(*between)[0, 1] > 0.9


@pytest.mark.parametrize("quantize", PRECISIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a0_at_every_precision(mode: str, quantize: RequestedPrecision, converted: dict[str, Converted]) -> None:
    report = converted[mode].report(quantize)
    assert_runs_anywhere(report, quantize)
    assert_answers_alike(converted[mode], quantize)
    whole = converted[mode].report("float32").size_bytes
    assert report.size_bytes <= whole * SIZE_SHARE[quantize]
    assert report.clips == 3
    assert report.max_score_difference <= (1e-6 if quantize == "float32" else 0.2)


@pytest.mark.parametrize("quantize", PRECISIONS)
def test_a_stream_has_a_step_and_an_init_of_named_states(
    quantize: RequestedPrecision, converted: dict[str, Converted]
) -> None:
    stream = converted["stream"]
    stream.report(quantize)
    specs = state_specs(stream.model.architecture, 32, 32)  # type: ignore[attr-defined] # it is a MoViNet
    signatures = open_interpreter(stream.path(quantize).read_bytes(), "the file").get_signature_list()
    assert set(signatures) == {"serving_default", "init"}
    assert set(signatures["serving_default"]["inputs"]) == {"image", *specs}
    assert set(signatures["serving_default"]["outputs"]) == {"scores", "features", *specs}
    assert (set(signatures["init"]["inputs"]), set(signatures["init"]["outputs"])) == (set(), set(specs))


DEVICE = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
states = interpreter.get_signature_runner("init")()
step = interpreter.get_signature_runner("serving_default")
for frame in np.load(sys.argv[2]):
    outputs = step(image=frame[None, None], **states)
    states = {name: outputs[name] for name in states}
print(json.dumps([sorted({"tensorflow", "adapters"} & set(sys.modules)), outputs["scores"][0].tolist()]))
"""


def test_a_device_steps_with_nothing_but_litert(converted: dict[str, Converted], tmp_path: Path) -> None:
    stream = converted["stream"]
    stream.report("float32")
    clip: Clip = stream.clips[1]
    np.save(tmp_path / "frames.npy", stream.model.items(clip)[0])
    done = python(DEVICE, stream.path("float32"), tmp_path / "frames.npy", cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    imported, scores = json.loads(done.stdout.splitlines()[-1])
    assert imported == []
    np.testing.assert_allclose(scores, stream.model.predict([clip])[0].scores, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_int8_without_clips_is_refused(mode: str, converted: dict[str, Converted], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="int8 needs calibration clips"):
        converted[mode].model.convert(tmp_path / "x.tflite", "int8")
    assert list(tmp_path.iterdir()) == []


def test_the_trick_config_fits_ten_megabytes() -> None:
    """The size follows from head and backbone; small and few frames only convert faster."""
    model = open_model("trick_movinet_a0", {"weights": "random", "imgz": 32, "n_frames": 1})
    assert isinstance(model, ModelAdapter)
    assert model.program().precision == "dynamic"
    assert 1_000_000 < model.program().size_bytes <= 10_000_000 - 100_000  # what the file says of itself comes on top


def check_size(folder: Path, model_id: str, mode: str, quantize: RequestedPrecision) -> None:
    one = Converted(folder, model_id, mode)
    assert_runs_anywhere(one.report(quantize), quantize)
    assert_answers_alike(one, quantize)


@pytest.mark.slow
@pytest.mark.parametrize("quantize", PRECISIONS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model_id", [name for name in MODEL_IDS if name != "a0"])
def test_every_size_at_every_precision(model_id: str, mode: str, quantize: RequestedPrecision, tmp_path: Path) -> None:
    in_own_process(check_size, tmp_path, model_id, mode, quantize)
