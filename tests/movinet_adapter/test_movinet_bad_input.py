"""What does not fit a MoViNet, as the command line and Python meet it: one clear line, nothing half-loaded.

Downloads and SavedModels that do not fit are in test_movinet_weights.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from movinet_files import wide_values, write_checkpoint
from tiny_videos import render_video

from adapters.bundle import render_clip
from adapters.errors import AdapterError
from adapters.inference import open_model
from adapters.models import ModelAdapter
from movinet_adapter.architecture import architecture

pytest.importorskip("tensorflow", reason="pip install 'cliplab[train]'")
pytestmark = pytest.mark.usefixtures("own_cache")

TINY: dict[str, Any] = {"weights": "random", "imgz": 32, "n_frames": 2}


@pytest.fixture(scope="module")
def files(own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """video.mp4, bundles "two" and "two_stream" of two labels, a checkpoint of five classes, damaged copies."""
    folder = tmp_path_factory.mktemp("files")
    render_video(folder / "video.mp4", "warm", seed=0)
    for mode, name in (("base", "two"), ("stream", "two_stream")):
        open_model(f"movinet_a0_{mode}", {**TINY, "labels": ["warm", "cold"]}).save(folder / name)
    of = architecture("a0", "base")
    write_checkpoint(folder / "five" / "ckpt", of, wide_values(of, classes=5))
    (program,) = (folder / "two_stream" / "programs").glob("*.tflite")
    (folder / "cut.tflite").write_bytes(program.read_bytes()[:100_000])
    shutil.copytree(folder / "two", folder / "cut")
    (folder / "cut" / "weights.safetensors").write_bytes(b"short")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "saved_model.pb").write_bytes(b"not a graph")
    return folder


# What is set beside movinet_a0_base unless another model is named; FILES stands for the folder above.
CASES: list[tuple[str, dict[str, str], int, str]] = [
    ("", {"model_id": "a6"}, 2, '"model_id" must be one of "a0", "a1", "a2", "a3", "a4", "a5", got "a6"'),
    ("", {"imgz": "31"}, 2, '"imgz" must be a whole number (>= 32, <= 1024) or "native", got 31'),
    ("", {"n_frames": "0"}, 2, '"n_frames" must be a whole number (>= 1, <= 1024) or "native", got 0'),
    ("", {"fps": "often"}, 2, '"fps" must be a number (> 0, <= 240) or "recommended", got "often"'),
    ("", {"n_frames": "9", "sampling": "rate", "fps": "8", "short_clip": "error"}, 1, "9 are required. Use a longer"),
    # Stream weights into base, and other weights of another model.
    ("", {"weights": "FILES/two_stream"}, 1, 'It is MoViNet a0 stream: set "model_mode" to "stream"'),
    ("", {"weights": "FILES/two_stream/weights.safetensors"}, 1, 'It is MoViNet a0 stream: set "model_mode"'),
    ("movinet_a0_stream", {"weights": "FILES/two"}, 1, 'It is MoViNet a0 base: set "model_mode" to "base"'),
    ("movinet_a1_base", {"weights": "FILES/two"}, 1, 'It is MoViNet a0 base: set "model_id" to "a0"'),
    ("", {"weights": "FILES/x.tflite"}, 2, 'x.tflite, a published int8 model, requires model_id "a0" and model_mode'),
    ("FILES/two", {"model_mode": "stream"}, 2, '"model_mode" belongs to the model\'s weights: it was made with "base"'),
    ("FILES/two", {"model_id": "a1"}, 2, '"model_id" belongs to the model\'s weights'),
    # Labels that do not fit the head.
    (
        "",
        {"weights": "FILES/two"},
        1,
        'these weights have no classifier, but without "labels" a model predicts',
    ),
    ("", {"weights": "FILES/five"}, 1, "these weights have a classifier of 5 classes, but without"),
    (
        "",
        {"weights": "FILES/five", "labels": '["a", "b"]'},
        2,
        "the head for labels a, b is not trained: the classifier of the weights has 5 outputs",
    ),
    ("FILES/two", {"labels": '["a", "b", "c"]'}, 2, 'it was made with ["warm", "cold"], got ["a", "b", "c"]'),
    ("", {"labels": '["a"]'}, 2, '"labels" must be a list of text (at least 1 characters) (at least 2 entries'),
    ("", {"labels": '["a", "b"]', "positive_label": "c"}, 2, "\"positive_label\" must be one of two labels, got 'c'"),
    # Damaged files, and files of something else.
    ("movinet_a0_stream", {"weights": "FILES/cut.tflite"}, 1, "cut.tflite is damaged"),
    ("FILES/cut.tflite", {}, 1, "cut.tflite: is damaged or truncated"),
    ("FILES/cut", {}, 1, "weights.safetensors: is damaged: 5 bytes, bundle.json lists"),
    ("", {"weights": "FILES/cut"}, 1, "weights.safetensors: is damaged: 5 bytes, bundle.json lists"),
    ("", {"weights": "FILES/foreign"}, 1, "foreign is damaged or incomplete"),
    ("", {"weights": "FILES/video.mp4"}, 1, "video.mp4 is not a known type of weights file"),
    ("", {"weights": "FILES/missing"}, 1, 'missing\': there is no such file or folder. Give "kinetics-600"'),
]


@pytest.mark.parametrize("model, keys, code, message", CASES)
def test_one_clear_line_and_nothing_kept(
    model: str, keys: dict[str, str], code: int, message: str, files: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    named = [word.replace("FILES", str(files)) for word in (model, *(f"{k}={v}" for k, v in keys.items()))]
    given = {} if model.startswith("FILES") else {**TINY, **dict(item.split("=", 1) for item in named[1:])}
    changes = [f"{key}={value}" for key, value in given.items()] or named[1:]
    rows = tmp_path / "rows.json"
    words = ["predict", named[0] or "movinet_a0_base", str(files / "video.mp4"), "--output", str(rows)]
    result = cli(*words, *(word for change in changes for word in ("--set", change)))
    said = result.stdout + result.stderr
    assert message in " ".join(said.split()), said
    assert result.exit_code == code
    assert "Traceback" not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    if "short_clip" in keys:  # the clip's own fault stands in its row
        assert [path for path in kept if tmp_path / "cache" not in path.parents] == [rows]
    elif not keys.get("weights", "").endswith("five"):  # which are good to train from, and kept for that
        assert kept == []


@pytest.mark.parametrize("bad", ["cut", "cut.tflite", "two_stream", "missing"])
def test_a_load_that_fails_leaves_the_model_as_it_was(bad: str, files: Path) -> None:
    model = open_model(files / "two")
    assert isinstance(model, ModelAdapter)
    clip = render_clip(model.input_spec)
    before, config = model.predict([clip])[0].scores, model.config
    with pytest.raises(AdapterError):
        model.load(files / bad)
    assert model.config == config
    assert np.array_equal(model.predict([clip])[0].scores, before)
