"""The temporal model: its head sees the order of frames, and its one program needs built-in operators alone.

A backbone of one convolution stands in for EfficientNet-Lite, whose conversion takes seconds; the contract suite runs
the real one.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.base import TrainOptions
from adapters.bundle import read_bundle
from adapters.config import check_config, trusting
from adapters.errors import AdapterError, ConfigError
from adapters.inference import open_model, read_config
from adapters.media import read_clip
from adapters.models.network import KerasBackbone
from adapters.models.temporal import TemporalAdapter
from adapters.records import Clip
from adapters.system import import_keras
from adapters.training import head_phase

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

pytestmark = pytest.mark.extras
FRAMES, SIZE = 5, 32
NAME = f"{__name__}:TinyTemporalAdapter"
SETTINGS: dict[str, Any] = {
    "adapter": NAME,
    "weights": "random",
    "imgz": SIZE,
    "labels": ["falling", "rising"],
    "positive_label": "rising",
    "augment_views": 0,
    "projection_units": 32,
    "lstm_units": 16,
    "head": [{"units": 8, "activation": "relu"}],
}


class TinyTemporalAdapter(TemporalAdapter):
    """With a backbone of one convolution of 4x4 blocks."""

    family = "tiny_temporal"

    def build_backbone(self) -> KerasBackbone:
        keras = import_keras()
        inputs = keras.Input((SIZE, SIZE, 3), name="images")
        blocks = keras.layers.Conv2D(6, 4, 4, activation="relu", name="blocks")(inputs)
        features = keras.layers.GlobalAveragePooling2D(name="pool")(blocks)
        return KerasBackbone(keras.Model(inputs, features, name="tiny"))


def ramp(path: Path, rising: bool, seed: int) -> Path:
    """Five lossless grey frames that become brighter; falling, the very same frames from the last to the first."""
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 40, (8, 8)).repeat(8, 0).repeat(8, 1)
    levels = np.linspace(rng.integers(20, 60), rng.integers(130, 180), FRAMES)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 64, "yuv420p", Fraction(1, FRAMES)
        for level in levels if rising else levels[::-1]:
            luma = (pattern + level).astype(np.uint8)
            planes = np.concatenate([luma, np.full((32, 64), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module", autouse=True)
def trusted(own_cache: Path) -> Any:
    with trusting([NAME]):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ramps")
    rows = []
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        for number in range(count):
            for label in ("rising", "falling"):
                name = f"{split}{number}_{label}.mp4"
                ramp(folder / name, label == "rising", seed=len(rows) // 2)
                rows.append({"path": name, "label": label, "split": split, "group": f"{split}{number}"})
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("temporal") / "model"
    TinyTemporalAdapter(SETTINGS).train(data, output)
    return output


def clips(model: Any, data: Path, split: str) -> tuple[list[Clip], np.ndarray]:
    paths = sorted(data.parent.glob(f"{split}*.mp4"))
    return [read_clip(path, model.input_spec) for path in paths], np.array(["rising" in path.stem for path in paths])


def reversed_clip(clip: Clip) -> Clip:
    return Clip(np.ascontiguousarray(clip.frames[::-1]), clip.times, clip.source, clip.start, clip.end)


def rising(model: Any, batch: list[Clip]) -> np.ndarray:
    return np.array([prediction.score_of("rising") for prediction in model.predict(batch)])


def test_it_learns_an_order_that_a_mean_over_frames_cannot_show(trained: Path, data: Path) -> None:
    model = open_model(trained)
    batch, truth = clips(model, data, "test")
    scores = rising(model, batch)
    assert ((scores > 0.5) == truth).all()
    backwards = [reversed_clip(clip) for clip in batch]
    assert ((rising(model, backwards) > 0.5) != truth).all()
    # The features of frames, averaged, are the same for both: no head on them could tell the two apart.
    np.testing.assert_allclose(model.embed(batch), model.embed(backwards), atol=1e-5)
    ups, downs = (model.embed([clip for clip, up in zip(batch, truth, strict=True) if up == want]) for want in (1, 0))
    np.testing.assert_allclose(ups, downs, atol=1e-5)


def test_the_bundle_has_one_program_of_a_clip(trained: Path) -> None:
    bundle = read_bundle(trained)
    assert list(bundle.programs) == [f"float32_1x{FRAMES}x{SIZE}x{SIZE}x3"]
    assert bundle.golden is not None
    assert bundle.golden.sensitivity["reversed time"] > 1e-3
    assert {"scores_projection/kernel", "scores_lstm/recurrent_kernel", "scores_dense0/kernel"} <= set(bundle.weights())
    model = open_model(trained)
    assert model.program().output_shapes == {"scores": (1, 1), "features": (1, 6)}
    assert not model.scores_frames
    assert not model.merges_pieces


def test_int8_and_files_of_built_in_operators_keep_the_answers(trained: Path, data: Path, tmp_path: Path) -> None:
    model = open_model(trained)
    calibration, _ = clips(model, data, "train")
    batch, truth = clips(model, data, "test")
    report = model.convert(tmp_path / "model.tflite", "int8", calibration, clips=batch)
    assert report.agreement == 1
    assert not {name for name in report.operators if name.startswith(("Flex", "CUSTOM")) or "LSTM" in name}
    assert ((rising(open_model(tmp_path / "model.tflite"), batch) > 0.5) == truth).all()


def test_other_numbers_of_frames(trained: Path, data: Path) -> None:
    model = open_model(trained)
    batch, _ = clips(model, data, "test")
    clip = batch[0]
    twice = Clip(clip.frames.repeat(2, axis=0), clip.times.repeat(2), clip.source, clip.start, clip.end)
    np.testing.assert_allclose(rising(model, [twice]), rising(model, [clip]), atol=1e-6)
    short = Clip(clip.frames[:3], clip.times[:3], clip.source, clip.start, clip.end)
    with pytest.raises(AdapterError, match="3 frames were given, but the model takes 5"):
        model.predict([short])
    longer = open_model(trained, {"n_frames": 8})  # the same weights, in a program of eight steps
    spread = read_clip(clip.source, longer.input_spec)
    assert len(spread.frames) == 8
    assert (rising(longer, [spread])[0] > 0.5) == (rising(model, [clip])[0] > 0.5)


def test_without_validation_clips_it_is_cross_validated(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_phase, "HAND_SET_KEYS", ("batch_size",))  # a few epochs are enough here
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    kept = [{**row, "path": str(data.parent / row["path"])} for row in rows if row["split"] == "train"]
    path = tmp_path / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    notes: list[str] = []
    settings = {**SETTINGS, "split_fractions": [1.0, 0.0, 0.0], "num_epochs": 6}
    report = TinyTemporalAdapter(settings).train(path, tmp_path / "model", options=TrainOptions(on_note=notes.append))
    assert trained.is_dir()
    assert report.decoded_clips == 0, "the features of the frames are in the cache since that training"
    assert any(note.startswith("cross-validation") for note in notes)
    assert report.cross_validation["clips"] == 16
    assert report.calibration["fitted_on"] == "out_of_fold"


# The config -----------------------------------------------------------------------------------------------------------


def test_the_ready_config_is_the_network_of_the_plan() -> None:
    config = check_config(read_config("ads_temporal"))
    assert (config["variant"], config["n_frames"], config["imgz"]) == ("lite0", 5, 224)
    assert (config["projection_units"], config["lstm_units"]) == (256, 128)
    assert config["head"] == [{"units": 64, "activation": "relu"}]
    assert config["positive_label"] == "ad"


@pytest.mark.parametrize(
    "keys, expected",
    [
        ({"n_frames": 1}, '"n_frames" must be a whole number'),
        ({"head_solver": "logistic"}, '"head_solver" must be one of "auto", "adam"'),
        ({"lstm_unit": 3}, 'Did you mean "lstm_units"'),
        ({"aggregation": "max"}, '"aggregation" is not a key'),
    ],
)
def test_keys_that_an_order_of_frames_cannot_have_are_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        open_model("ads_temporal", keys)


def test_a_head_that_is_not_trained_does_not_predict() -> None:
    model = open_model("ads_temporal", {"labels": None, "positive_label": None})
    clip = Clip(np.zeros((5, 8, 8, 3), np.uint8), np.arange(5.0), "x.mp4", 0.0, 5.0)
    with pytest.raises(AdapterError, match="head is not trained"):
        model.predict([clip])
