"""Classifiers from elsewhere: adopted by a look at their inputs and outputs, then a model like any other."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from foreign_programs import LABELS, color_program

from adapters.config import read_label_file
from adapters.errors import AdapterError, BundleError, ConfigError, ConversionError, TrainingError
from adapters.inference import open_model, predict_videos
from adapters.litert import read_described, with_description
from adapters.models.tflite_classifier import inspection
from adapters.records import Clip
from cliplab import api

ORANGE = (204, 102, 51)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "map.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


def clip(color: tuple[int, ...] = ORANGE, frames: int = 8, size: tuple[int, int] = (48, 60)) -> Clip:
    pictures = np.broadcast_to(np.array(color, np.uint8), (frames, *size, 3)).copy()
    return Clip(pictures, np.arange(frames) / 5, "test", 0.0, frames / 5)


def adopted(tmp_path: Path, program: bytes, labels: Any = LABELS, **options: Any) -> tuple[Any, Any]:
    """The report and the model."""
    (tmp_path / "foreign.tflite").write_bytes(program)
    report = api.adopt(tmp_path / "foreign.tflite", tmp_path / "out.tflite", labels=labels, force=True, **options)
    return report, open_model(tmp_path / "out.tflite")


def softmax(values: np.ndarray) -> np.ndarray:
    grown = np.exp(values - values.max())
    return grown / grown.sum()


MEANS = np.array(ORANGE) / 255
KINDS = {
    "frames": ((1, 32, 40, 3), "frames", (32, 40)),
    "frames, channels first": ((1, 3, 32, 40), "frames", (32, 40)),
    "clips": ((1, 4, 32, 40, 3), "clips", (32, 40)),
    "clips, channels second": ((1, 4, 3, 32, 40), "clips", (32, 40)),
    "clips, channels first": ((1, 3, 4, 32, 40), "clips", (32, 40)),
    "a batch of frames": ((1, 16, 16, 3), "frames", (16, 16)),
}


@pytest.mark.parametrize("last", [None, "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("kind", KINDS)
def test_float_programs_of_every_layout_predict(kind: str, last: str | None, tmp_path: Path) -> None:
    shape, taken, size = KINDS[kind]
    report, model = adopted(tmp_path, color_program(shape, last=last))
    assert report.input == taken
    assert (model.input_spec.height, model.input_spec.width) == size
    assert model.labels == tuple(LABELS)
    expected = 1 / (1 + np.exp(-MEANS)) if last == "LOGISTIC" else softmax(MEANS)
    found = model.predict([clip(), clip(ORANGE[::-1])])
    np.testing.assert_allclose(found[0].scores, expected, atol=1e-5)
    np.testing.assert_allclose(found[1].scores, expected[::-1], atol=1e-5)
    assert model.config["task"] == ("multi_label" if last == "LOGISTIC" else "single_label")
    assert any("logits" in text for text in report.assumed) == (last is None)
    if taken == "clips":
        assert model.input_spec.n_frames == 4
        assert found[0].frame_scores is None
    else:
        assert model.scores_frames
        assert found[0].frame_scores.shape == (8, 3)


@pytest.mark.parametrize("last", [None, "SOFTMAX"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_pixels_go_into_8_bit_inputs_as_they_are(dtype: str, last: str | None, tmp_path: Path) -> None:
    report, model = adopted(tmp_path, color_program(dtype=dtype, last=last))
    assert any(f"{dtype} input" in text for text in report.assumed)
    np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS), atol=0.01)
    assert model.program().precision == "int8"


def test_mean_and_std_are_levels_or_fractions_and_a_range_says_both(tmp_path: Path) -> None:
    program = color_program()
    for options in (
        {"mean": 127.5, "std": 127.5},
        {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        {"value_range": "-1:1"},
    ):
        report, model = adopted(tmp_path, program, **options)
        np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS * 2 - 1), atol=1e-5)
        assert not any("pixels" in text for text in report.assumed)
    _, model = adopted(tmp_path, program, channel_order="bgr")
    np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS[::-1]), atol=1e-5)
    for wrong in ({"mean": 1.0}, {"value_range": "0:2"}, {"value_range": "0:1", "std": 1, "mean": 0}, {"size": "0x3"}):
        with pytest.raises(ConfigError):
            adopted(tmp_path, program, **wrong)


def test_a_background_class_is_left_out_where_it_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 classes, but there are 2 labels.*--background first"):
        adopted(tmp_path, color_program(), ["green", "blue"])
    _, model = adopted(tmp_path, color_program(), ["green", "blue"], background="first")
    np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS)[1:], atol=1e-5)
    _, model = adopted(tmp_path, color_program(), ["red", "green"], background="last")
    np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS)[:2], atol=1e-5)
    for count in (2, 5):
        with pytest.raises(ConfigError, match=f"3 classes, but there are {count + 2} labels"):
            adopted(tmp_path, color_program(), [f"class {n}" for n in range(count + 2)])


def test_one_output_is_the_score_of_one_of_two_labels(tmp_path: Path) -> None:
    expected = 1 / (1 + np.exp(-MEANS.mean()))
    for last in (None, "LOGISTIC"):
        report, model = adopted(tmp_path, color_program(one_output=True, last=last), ["no", "yes"])
        np.testing.assert_allclose(model.predict([clip()])[0].scores, [1 - expected, expected], atol=1e-5)
        assert any("'yes'" in text for text in report.assumed)
        _, model = adopted(tmp_path, color_program(one_output=True, last=last), ["no", "yes"], positive_label="no")
        np.testing.assert_allclose(model.predict([clip()])[0].scores, [expected, 1 - expected], atol=1e-5)


def test_sizes_that_a_program_leaves_open_are_asked_for(tmp_path: Path) -> None:
    program = color_program((1, 32, 40, 3), open_axes=(1, 2))
    with pytest.raises(BundleError, match=r"does not fix the size of frames.*--size"):
        adopted(tmp_path, program)
    _, model = adopted(tmp_path, program, size="24x28")
    assert (model.input_spec.height, model.input_spec.width) == (24, 28)
    np.testing.assert_allclose(model.predict([clip()])[0].scores, softmax(MEANS), atol=1e-5)
    clips = color_program((1, 4, 32, 40, 3), open_axes=(1,))
    with pytest.raises(BundleError, match=r"does not fix the number of frames.*--frames"):
        adopted(tmp_path, clips)
    assert adopted(tmp_path, clips, frames=6)[1].input_spec.n_frames == 6


# What cannot be adopted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program, message",
    [
        # LiteRT 1.2 refuses to prepare it at all.
        (lambda: color_program((1, 3)), r"must be \[B, H, W, 3\]|failed to prepare"),
        (lambda: color_program(custom="FlexConv3D"), "custom:FlexConv3D.*built-in operators"),
        (lambda: color_program()[:200], "damaged"),
        (lambda: b"TFL3" * 3, "damaged"),
        (lambda: bytes(range(100, 200)), "not a TFLite model"),
        (lambda: b"\0\0\0\0TFL3" + bytes(100), "damaged"),
        (lambda: b"<!DOCTYPE html><html>" + bytes(20), "web page"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (lambda: b"", "empty"),
    ],
)
def test_what_is_no_classifier_is_refused_with_the_reason(program: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=message):
        adopted(tmp_path, program())
    assert not (tmp_path / "out.tflite").exists()


def test_missing_files_and_outputs_are_named(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(BundleError, match="no such file"):
        api.adopt(tmp_path / "none.tflite", tmp_path / "out.tflite", labels=labels)
    (tmp_path / "x.tflite").write_bytes(color_program())
    with pytest.raises(ConfigError, match=r"ends in \.tflite"):
        api.adopt(tmp_path / "x.tflite", tmp_path / "out", labels=labels)
    with pytest.raises(ConfigError, match="no such file"):
        api.adopt(tmp_path / "x.tflite", tmp_path / "out.tflite", labels=tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="no output 'logits'"):
        api.adopt(tmp_path / "x.tflite", tmp_path / "out.tflite", labels=labels, scores="logits")
    with pytest.raises(ConfigError, match="fast"):
        api.adopt(tmp_path / "x.tflite", tmp_path / "out.tflite", labels=labels, overrides={"fast": True})


def test_a_program_that_ends_its_process_is_reported_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(color_program())
    monkeypatch.setattr(inspection, "__name__", "no.such.module")
    with pytest.raises(BundleError, match="exit code 1"):
        inspection.inspect_program(path)
    monkeypatch.undo()
    monkeypatch.setattr(inspection, "LIMIT_SECONDS", 0.001)
    with pytest.raises(BundleError, match="within"):
        inspection.inspect_program(path)


def test_mutations_of_a_program_end_in_an_error_on_purpose_or_in_a_report(tmp_path: Path) -> None:
    """In the process that looks at it, which is all that a file from elsewhere reaches before it is known."""
    whole, rng, path = color_program(), random.Random(1), tmp_path / "m.tflite"
    for _ in range(10):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(AdapterError):
            inspection.inspect_program(path)


# A model like any other -----------------------------------------------------------------------------------------------


def test_it_is_saved_copied_and_loaded_like_any_other(tmp_path: Path) -> None:
    _, model = adopted(tmp_path, color_program(last="SOFTMAX"), task="single_label")
    expected = model.predict([clip()])[0].scores
    model.save(tmp_path / "bundle")
    np.testing.assert_array_equal(open_model(tmp_path / "bundle").predict([clip()])[0].scores, expected)
    report = model.convert(tmp_path / "copy.tflite")
    assert report.max_score_difference == 0
    np.testing.assert_array_equal(open_model(tmp_path / "copy.tflite").predict([clip()])[0].scores, expected)
    api.adopt(tmp_path / "copy.tflite", tmp_path / "again.tflite", labels=LABELS)
    assert open_model(tmp_path / "again.tflite").labels == tuple(LABELS)
    with pytest.raises(ConversionError, match="float32 and has no weights"):
        model.convert(tmp_path / "int8.tflite", "int8")
    with pytest.raises(TrainingError, match="cannot be trained"):
        model.train(tmp_path, tmp_path / "t")
    with pytest.raises(AdapterError, match="cannot embed"):
        model.embed([clip()])
    with pytest.raises(ConfigError, match='"imgz" belongs to the model'):
        open_model(tmp_path / "out.tflite", {"imgz": 64})
    assert open_model(tmp_path / "out.tflite", {"n_frames": 3}).input_spec.n_frames == 3


def test_a_clip_programs_frames_cannot_be_changed(tmp_path: Path) -> None:
    _, model = adopted(tmp_path, color_program((1, 4, 32, 40, 3)))
    with pytest.raises(ConfigError, match="clips of 4 frames"):
        open_model(tmp_path / "out.tflite", {"n_frames": 8})
    with pytest.raises(AdapterError, match="2 frames were given, but the program takes 4"):
        model.predict([clip(frames=2)])


def test_an_adopted_file_predicts_scans_and_answers_by_command(tmp_path: Path, shared: Path, labels: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(color_program())
    video = shared / "media" / "clips" / "carving_ice_172.mp4"
    shown = cli("adopt", tmp_path / "foreign.tflite", "--labels", labels, "-o", tmp_path / "m.tflite", code=0)
    assert "assumed" in shown.stdout
    cli("adopt", tmp_path / "foreign.tflite", "--labels", labels, "-o", tmp_path / "m.tflite", code=1)
    again = cli(
        *("adopt", tmp_path / "foreign.tflite", "--labels", labels, "-o", tmp_path / "m.tflite"),
        *("--force", "--json", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--fps", "2"),
        code=0,
    )
    assert json.loads(again.stdout)["config"]["mean"] == [127.5] * 3
    row = json.loads(cli("predict", tmp_path / "m.tflite", video, "--json", code=0).stdout)
    assert row[0]["predictions"][0]["labels"][0]["label"] in LABELS
    library = tmp_path / "library"
    library.mkdir()
    shutil.copy(video, library / "a.mp4")
    cli("scan", library, tmp_path / "m.tflite", "--label", "red", "--output", tmp_path / "scan", code=0)


# Labels and figures ---------------------------------------------------------------------------------------------------

LABEL_FILES = {
    "plain.txt": "red\ngreen\nblue\n",
    "spaces.txt": "\ufeffred \r\n green\r\nblue\r\n\r\n",
    "numbered.txt": "0 red\n1 green\n2 blue",
    "from_one.txt": "1: red\n2: green\n3: blue\n",
    "kinetics.csv": "id,name\n0,red\n1,green\n2,blue\n",
    "unordered.txt": "2 blue\n0 red\n1 green\n",
    "list.json": '["red", "green", "blue"]',
    "by_number.json": '{"0": "red", "2": "blue", "1": "green"}',
    "by_label.json": '{"green": 1, "red": 0, "blue": 2}',
}


@pytest.mark.parametrize("name", LABEL_FILES)
def test_label_files_of_other_programs_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LABEL_FILES[name], newline="")
    assert read_label_file(tmp_path / name) == LABELS


def test_equal_labels_are_told_apart_and_other_files_refused(tmp_path: Path) -> None:
    notes: list[str] = []
    path = tmp_path / "x.txt"
    path.write_text("crane\nmaillot\ncrane\n")
    assert read_label_file(path, notes.append) == ["crane", "maillot", "crane (2)"]
    assert "'crane (2)'" in notes[0]
    for text in ("one\n", "a\n\nb\n", "", "a\0b\nc\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="label"):
            read_label_file(path)
    for text in ("{", "[1, 2]", '{"0": "a", "5": "b"}', "[" * 100_000, '"a"'):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(ConfigError):
            read_label_file(path.with_suffix(".json"))
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_label_file(path)


def test_the_figures_in_a_tflite_are_its_metrics(tmp_path: Path) -> None:
    adopted(tmp_path, color_program())
    data = (tmp_path / "out.tflite").read_bytes()
    assert read_described(tmp_path / "out.tflite").metrics == {}
    about = {"config": {}, "labels": LABELS, "program": "x", "metrics": {"f1": 0.5}}
    (tmp_path / "measured.tflite").write_bytes(with_description(data, about))
    assert read_described(tmp_path / "measured.tflite").metrics == {"validation": {"f1": 0.5}}


# Published files ------------------------------------------------------------------------------------------------------


def test_the_published_mobilenet_sees_a_clock(tmp_path: Path, shared: Path) -> None:
    import cv2
    from places import GOLDEN

    source = shared / "weights" / "mobilenet_v2_1.0_224_quant.tflite"
    names = shared / "labels" / "imagenet1000.txt"
    with pytest.raises(ConfigError, match=r"1001 classes, but there are 1000 labels"):
        api.adopt(source, tmp_path / "m.tflite", labels=names)
    api.adopt(source, tmp_path / "m.tflite", labels=names, background="first", frames=1)
    picture = cv2.cvtColor(cv2.imread(str(GOLDEN / "wall_clock.png")), cv2.COLOR_BGR2RGB).astype(np.uint8)
    found = open_model(tmp_path / "m.tflite").predict([Clip(picture[None], np.zeros(1), "clock", 0.0, 0.0)])[0]
    assert "clock" in found.top_k(1)[0].label


def test_the_published_stream_is_right_on_labelled_clips(tmp_path: Path, shared: Path) -> None:
    source = shared / "weights" / "movinet_a0_stream_int8.tflite"
    names = shared / "labels" / "kinetics600.txt"
    with pytest.raises(ConfigError, match=r"frames per second.*--fps 5"):
        api.adopt(source, tmp_path / "s.tflite", labels=names)
    report = api.adopt(source, tmp_path / "s.tflite", labels=names, fps=5)
    assert report.input == "stream"
    model = open_model(tmp_path / "s.tflite")
    assert model.streams
    videos = {"carving_ice_172.mp4": "carving ice", "jumpingjack.gif": "jumping jacks"}
    results = predict_videos(model, [shared / "media" / "clips" / name for name in videos])
    assert [result.predictions[0].top_k(1)[0].label for result in results] == list(videos.values())
    stream = model.open_stream()
    frames = np.random.default_rng(0).integers(0, 255, (3, 80, 80, 3), np.uint8)
    assert stream.push(frames, 0.0).frame_scores.shape == (3, 600)
    clips = model.predict([Clip(frames, np.arange(3) / 5, "x", 0.0, 0.6)])
    np.testing.assert_allclose(stream.push(frames[:1], 0.6).start, 0.0)
    assert clips[0].scores.sum() == pytest.approx(1, abs=1e-4)
