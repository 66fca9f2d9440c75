"""The MoViNet adapter on real and rendered clips: keys, streams, real weights, training in both modes."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python
from tiny_videos import render_dataset

from adapters.bundle import render_clip
from adapters.config import check_config
from adapters.errors import AdapterError, ConfigError, WeightsError
from adapters.inference import input_spec, open_model, predict_videos
from adapters.media import read_clip
from adapters.models import ModelAdapter
from adapters.records import Clip
from movinet_adapter import MoViNetAdapter

MOVINET = "movinet_adapter:MoViNetAdapter"
TINY: dict[str, Any] = {"weights": "random", "imgz": 32, "n_frames": 4, "num_epochs": 3, "augment_views": 0}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


def movinet(name: str, **changes: Any) -> MoViNetAdapter:
    adapter = open_model(name, {**TINY, **changes})
    assert isinstance(adapter, MoViNetAdapter)
    return adapter


def test_defaults_are_the_documented_ones() -> None:
    config = check_config({"schema_version": 2, "adapter": MOVINET})
    wanted = {
        "hub_version": 3,
        "model_id": "a0",
        "model_mode": "base",
        "imgz": 224,
        "batch_size": 2,
        "num_epochs": 200,
        "n_frames": 13,
        "top_k": 3,
        "learning_rate": 0.001,
        "aspect": "stretch",
        "sampling": "spread",
    }
    assert {key: config[key] for key in wanted} == wanted


NATIVE = [
    ("a0", 172, 50, 5),
    ("a1", 172, 50, 5),
    ("a2", 224, 50, 5),
    ("a3", 256, 120, 12),
    ("a4", 290, 80, 8),
    ("a5", 320, 120, 12),
]


@pytest.mark.parametrize(("model_id", "size", "frames", "fps"), NATIVE)
def test_native_and_recommended(model_id: str, size: int, frames: int, fps: float) -> None:
    spec = movinet("movinet_a0_base", model_id=model_id, imgz="native", n_frames="native", sampling="rate").input_spec
    assert (spec.height, spec.width, spec.n_frames, spec.fps) == (size, size, frames, fps)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"model_id": "a6"}, '"model_id" must be one of "a0"'),
        ({"imgz": 31}, '"imgz" must be'),
        ({"imgz": "big"}, '"imgz" must be'),
        ({"sampling": "rate", "window_seconds": 3}, '"window_seconds" is 3'),
        ({"memory_seconds": 5}, '"memory_seconds" is only for model_mode "stream"'),
        ({"train_batch_norm": True}, '"train_batch_norm" is not offered'),
        ({"variant": "int8"}, '"variant" "int8" requires'),
        ({"model_mode": "stream", "device": "gpu"}, '"device" "gpu" is only for model_mode "base"'),
    ],
)
def test_bad_configs(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_model({"schema_version": 2, "adapter": MOVINET, **keys})
    assert expected in str(error.value)


def test_too_few_frames_is_an_error_and_more_are_thinned() -> None:
    model = movinet("movinet_a0_base")
    clip = render_clip(model.input_spec)
    with pytest.raises(AdapterError, match="3 frames were given, but the model takes 4"):
        model.items(Clip(clip.frames[:3], clip.times[:3], clip.source, clip.start, clip.end))
    doubled = Clip(clip.frames.repeat(2, axis=0), clip.times.repeat(2), clip.source, clip.start, clip.end)
    np.testing.assert_array_equal(model.items(doubled), model.items(clip))


def test_threads_that_ask_at_once_get_one_program() -> None:
    model = movinet("movinet_a0_stream", seed=1)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: model.program(), range(2)))
    assert found[0] is found[1]


def test_open_stream_needs_stream_mode() -> None:
    with pytest.raises(ConfigError, match="stream"):
        movinet("movinet_a0_base").open_stream(5)


def test_a_stream_ends_where_the_clip_does(tmp_path: Path) -> None:
    """The clip at once, frame by frame through a session, and as a video give the same last row."""
    model = movinet("movinet_a0_stream")
    clip = render_clip(model.input_spec)
    whole = model.predict([clip])[0]
    session = model.open_stream(5)
    for number, frame in enumerate(clip.frames):
        running = session.push(frame, number / 5)
        np.testing.assert_allclose(running.scores, whole.frame_scores[number], atol=1e-4)
    np.testing.assert_allclose(running.scores, whole.scores, atol=1e-4)
    video = model.predict_stream(((n / 5, frame) for n, frame in enumerate(clip.frames)), "clip")
    np.testing.assert_allclose(video.frame_scores, whole.frame_scores, atol=1e-4)


def test_stream_trains_as_the_causal_network_and_scores_the_same_saved(tmp_path: Path) -> None:
    data = render_dataset(tmp_path / "data", train=2, validation=1, test=0)
    model = movinet("movinet_a0_stream", fps=4)
    model.train(data, tmp_path / "model")
    clips = [read_clip(path, model.input_spec) for path in sorted(data.parent.glob("*.mp4"))]
    network = model.build_network()
    from adapters.training import assign

    assign(network, model.variables())
    trained = network(np.concatenate([model.items(clip) for clip in clips]))["scores"].numpy()
    saved = open_model(tmp_path / "model")
    found = np.stack([prediction.scores for prediction in saved.predict(clips)])
    np.testing.assert_allclose(found, trained, atol=1e-4)


# Base takes the same way through training, and test_movinet_end_to_end.py fine-tunes it too.
@pytest.mark.parametrize("name", [pytest.param("movinet_a0_base", marks=pytest.mark.slow), "movinet_a0_stream"])
def test_fine_tuning_moves_the_last_layers(tmp_path: Path, name: str) -> None:
    # Without validation clips, that no epoch of it can be worse than the head on.
    data = render_dataset(tmp_path / "data", train=2, validation=0, test=0)
    tuning = {"fine_tune_layers": 2, "fine_tune_epochs": 1, "fine_tune_learning_rate": 0.01}
    model = movinet(name, n_frames=2, fps=4, num_epochs=1, **tuning)
    before = dict(movinet(name, n_frames=2, fps=4, labels=["warm", "cold"]).variables())
    report = model.train(data, tmp_path / "model")
    assert [log.phase for log in report.epochs] == ["head", "fine_tune"]
    after = model.variables()
    moved = {key for key in before if not np.array_equal(before[key], after[key]) and not key.startswith("scores_")}
    assert moved
    last = model.architecture.layers[-1].name
    assert {key.partition("/")[0] for key in moved} == {"head", last}
    assert f"{last}/rezero" in moved, "a scalar is trained and kept like any other"


# Real Kinetics-600 weights -------------------------------------------------------------------------------------------


def published(shared: Path, **changes: Any) -> dict[str, Any]:
    return {"weights": str(shared / "weights" / "movinet_a0_stream_int8.tflite"), **changes}


def labelled_clips(shared: Path) -> list[tuple[Path, str]]:
    with (shared / "media" / "clips.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        (shared / "media" / "clips" / r["file"], r["kinetics600_label"]) for r in rows if r["kinetics600_label"] != "-"
    ]


def test_published_weights_are_right_on_the_labelled_clips(shared: Path) -> None:
    model = open_model("movinet_a0_stream", published(shared))
    assert model.config["variant"] == "int8"
    clips = labelled_clips(shared)
    for (_, label), result in zip(clips, predict_videos(model, [path for path, _ in clips]), strict=True):
        assert result.error is None
        assert result.predictions[0].top_k(1)[0].label == label
        assert result.predictions[0].frame_scores is not None


def test_stream_weights_into_base_is_an_error(shared: Path) -> None:
    with pytest.raises(ConfigError, match=r'a published int8 model, requires .* got "a0" and "base"'):
        open_model("movinet_a0_base", published(shared))
    model = open_model("movinet_a0_base", published(shared, variant="float"))
    with pytest.raises(WeightsError, match="int8"):
        model.embed([])


def fold(shared: Path, path: Path) -> tuple[Path, list[tuple[Path, str]]]:
    """Half of the footage's sources to train on, the other half unseen."""
    with (shared / "media" / "footage.tsv").open() as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["file"] not in ("g1.avi", "g2.avi")]
    folder = shared / "media" / "footage"
    sources = [(folder / row["file"], row["label"]) for row in rows]
    seen, unseen = sources[0::2], sources[1::2]
    lines = []
    for source, label in seen:
        for start in (0.0, 3.0):
            times = {"start_seconds": start, "end_seconds": start + 3.2}
            lines.append(json.dumps({"path": str(source), "label": label, "split": "train", **times}))
    path.write_text("\n".join(lines) + "\n")
    return path, unseen


def right_on(model: ModelAdapter, sources: list[tuple[Path, str]]) -> int:
    clips = [read_clip(path, model.input_spec, 0.0, 3.2) for path, _ in sources]
    found = [prediction.top_k(1)[0].label for prediction in model.predict(clips)]
    return sum(label == wanted for label, (_, wanted) in zip(found, sources, strict=True))


def test_stream_fine_tune_beats_a_random_backbone(shared: Path, tmp_path: Path) -> None:
    """The same head on real and on random features, on sources that neither has seen; then saved and read again."""
    data, unseen = fold(shared, tmp_path / "data.jsonl")
    settings = {"n_frames": 16, "num_epochs": 30, "augment_views": 0, "head": [{"dropout": 0.3}]}
    right, models = {}, {}
    for name, weights in (("real", published(shared)), ("random", {"weights": "random", "variant": "int8"})):
        model = open_model("movinet_a0_stream", {**settings, **weights})
        assert isinstance(model, ModelAdapter)
        model.train(data, tmp_path / name)
        right[name], models[name] = right_on(model, unseen), model
    assert right["real"] >= len(unseen) - 1, right
    assert right["real"] >= right["random"] + 1, right
    clip = read_clip(unseen[0][0], models["real"].input_spec, 0.0, 3.2)
    code = (
        "import sys, json\n"
        "from adapters.inference.loading import open_model\n"
        "from adapters.media.video import read_clip\n"
        "model = open_model(sys.argv[1])\n"
        "scores = model.predict([read_clip(sys.argv[2], model.input_spec, 0.0, 3.2)])[0].scores.tolist()\n"
        "print(json.dumps(['tensorflow' in sys.modules, scores]))\n"
    )
    done = python(code, tmp_path / "real", unseen[0][0])
    assert done.exit_code == 0, done.stderr
    imported, scores = json.loads(done.stdout)
    assert not imported
    np.testing.assert_allclose(scores, models["real"].predict([clip])[0].scores, atol=1e-6)


def test_windows_of_a_call_are_those_of_the_same_keys_of_the_config() -> None:
    """A stream takes any number of frames, so a window of any length; a clip of fixed frames says what it takes."""
    for windows in ({"window_seconds": 1.4}, {"window_seconds": 2.0, "stride_seconds": 0.5}):
        as_config = movinet("movinet_a0_stream", n_frames=16, **windows)
        assert input_spec(movinet("movinet_a0_stream", n_frames=16), **windows) == as_config.input_spec
    with pytest.raises(ConfigError, match=r"takes last 3\.2 s"):
        input_spec(movinet("movinet_a0_base", n_frames=16, sampling="rate", fps=5), window_seconds=1.4)
