"""Which program of a bundle predicts, by what its conversion measured."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_helpers import FRAMES, render_library
from tflite_adapter import make_tflite

from adapters.bundle import check_golden, read_bundle, write_bundle
from adapters.config import check_config
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.reports import AccuracyDrop
from cliplab.models import choose_precision, convert, rendered_clips
from cliplab.models.kept_programs import keep_program
from cliplab.scan import ScanReport, scan, score

INT8 = b"the program in 8 bits"
GOOD = {"source": 0.95, "converted": 0.945, "drop": 0.005, "interval": [-0.01, 0.02], "clips": 200, "groups": 40}


def figures(accuracy: Any = None, **changes: Any) -> dict[str, Any]:
    of = GOOD | (accuracy or {})
    known = {"program_sha256": hashlib.sha256(INT8).hexdigest(), "accuracy": of, "source_ms": 9.7, "converted_ms": 4.3}
    return known | changes


def bundle(folder: Path, conversions: Any = None, *, int8: bool = True, weights: bool = True, **keys: Any) -> Path:
    """A bundle whose programs nobody runs."""
    config = check_config({**FRAMES, "labels": ["warm", "cold"], **keys})
    own = "float32" if config["quantize"] == "none" else config["quantize"]
    write_bundle(
        folder,
        config=config,
        programs={f"{own}_1x8x8x3": INT8 if own == "int8" else b"its own"} | ({"int8_1x8x8x3": INT8} if int8 else {}),
        weights={"threshold": np.zeros(1, np.float32)} if weights else None,
        metrics={} if conversions is None else {"conversions": conversions},
        golden=None,
        card="",
    )
    return folder


def test_auto_is_int8_where_its_measured_drop_allows(tmp_path: Path) -> None:
    chosen = choose_precision(bundle(tmp_path / "b", {"int8": figures()}), "auto")
    assert (chosen.precision, chosen.overrides) == ("int8", {"quantize": "int8"})
    assert "0.5 points" in chosen.reason
    assert "200 labelled clips (95% interval -1.0 to 2.0" in chosen.reason


@pytest.mark.parametrize(
    ("conversions", "why"),
    [
        (None, "was not measured"),
        ({}, "was not measured"),
        ([1], "was not measured"),
        ({"int8": None}, "was not measured"),
        ({"int8": figures(accuracy={"interval": "wide"})}, "was not measured"),
        ({"int8": figures(accuracy={"drop": True})}, "was not measured"),
        ({"int8": figures() | {"accuracy": None}}, "was not measured"),
        ({"int8": figures(program_sha256="0" * 64)}, "was not measured"),
        ({"int8": figures(accuracy={"drop": 0.04})}, "loses 4.0 points.*more than max_accuracy_drop allows"),
        ({"int8": figures(accuracy={"clips": 8})}, "8 labelled clips; at least 30"),
        ({"int8": figures(converted_ms=9.8)}, "not faster"),
    ],
)
def test_auto_is_float32_with_the_reason_where_not(tmp_path: Path, conversions: Any, why: str) -> None:
    chosen = choose_precision(bundle(tmp_path / "b", conversions), "auto")
    assert (chosen.precision, chosen.overrides) == ("float32", {})
    assert re.search(why, chosen.reason)


def test_the_limit_is_that_of_the_config(tmp_path: Path) -> None:
    wide = bundle(tmp_path / "wide", {"int8": figures(accuracy={"drop": 0.04})}, max_accuracy_drop=0.05)
    assert choose_precision(wide, "auto").precision == "int8"


def test_auto_says_how_to_make_an_int8_program(tmp_path: Path) -> None:
    chosen = choose_precision(bundle(tmp_path / "b", int8=False), "auto")
    assert chosen.precision == "float32"
    assert "--quantize int8" in chosen.reason
    assert "--keep-in-bundle" in chosen.reason


def test_a_model_that_is_int8_by_its_config(tmp_path: Path) -> None:
    unmeasured = bundle(tmp_path / "unmeasured", quantize="int8")
    chosen = choose_precision(unmeasured, "auto")
    assert (chosen.precision, chosen.overrides) == ("float32", {"quantize": "float32"})
    device = bundle(tmp_path / "device", quantize="int8", weights=False)
    chosen = choose_precision(device, "auto")
    assert (chosen.precision, chosen.own) == ("int8", True)
    assert "no weights" in chosen.reason
    with pytest.raises(ConfigError, match="no float32 program, and no weights"):
        choose_precision(device, "float32")


def test_a_precision_that_is_named(tmp_path: Path) -> None:
    both, alone = bundle(tmp_path / "both"), bundle(tmp_path / "alone", int8=False)
    assert choose_precision(both, "int8").overrides == {"quantize": "int8"}
    assert choose_precision(both, "float32").overrides == {}
    assert choose_precision(alone, "dynamic").overrides == {"quantize": "dynamic"}  # made of the weights
    with pytest.raises(ConfigError, match=r"has no int8 program\. Make one"):
        choose_precision(alone, "int8")
    with pytest.raises(ConfigError, match="must be one of: auto"):
        choose_precision(both, "int4")  # type: ignore[arg-type]


def test_a_single_file_has_one_program(tmp_path: Path) -> None:
    file = make_tflite(tmp_path / "m.tflite")
    chosen = choose_precision(file, "auto")
    assert (chosen.precision, chosen.own) == ("float32", True)
    with pytest.raises(ConfigError, match="holds only a float32 program"):
        choose_precision(file, "int8")


@pytest.fixture(scope="module")
def two_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of real programs, float32 and int8, made of random weights; its measured drop is written by hand."""
    folder = tmp_path_factory.mktemp("two")
    keys = {"weights": "random", "imgz": 32, "n_frames": 1, "labels": ["a", "b"], "positive_label": "a"}
    open_model("efficientnet_lite0", keys).save(folder / "plain")
    shutil.copytree(folder / "plain", folder / "b")
    model = open_model(folder / "b")
    report = model.convert(folder / "x.tflite", "int8", rendered_clips(model)[:2])
    drop = AccuracyDrop(0.9, 0.9, 0.0, (-0.01, 0.01), 50, 10)
    keep_program(folder / "b", folder / "x.tflite", replace(report, accuracy=drop, source_ms=2, converted_ms=1))
    return folder


def test_a_second_program_is_kept_with_its_figures(two_programs: Path) -> None:
    plain, both = read_bundle(two_programs / "plain"), read_bundle(two_programs / "b")
    assert set(both.programs) == {*plain.programs, "int8_1x32x32x3"}
    assert (both.config, both.digest == plain.digest) == (plain.config, False)
    assert all(np.array_equal(value, both.weights()[name]) for name, value in plain.weights().items())
    assert choose_precision(two_programs / "b", "auto").precision == "int8"
    clip = rendered_clips(open_model(two_programs / "b"))[:1]
    kept, single = open_model(two_programs / "b", {"quantize": "int8"}), open_model(two_programs / "x.tflite")
    assert kept.predict(clip)[0].scores.tobytes() == single.predict(clip)[0].scores.tobytes()
    own = [open_model(two_programs / name).predict(clip)[0].scores.tobytes() for name in ("plain", "b")]
    assert own[0] == own[1]
    assert both.golden is not None
    check_golden(both.golden, kept.predict, "int8")


def test_a_scan_keeps_the_scores_of_each_precision_apart(two_programs: Path, tmp_path: Path) -> None:
    render_library(tmp_path / "videos", 2)
    notes: list[str] = []

    def run(precision: Any) -> tuple[ScanReport, dict[str, Any]]:
        output = tmp_path / "highlights.json"
        report = scan(
            tmp_path / "videos",
            two_programs / "b",
            output=output,
            min_score=0,
            precision=precision,
            on_note=notes.append,
        )
        return report, json.loads(output.read_text())

    first, own = run(None)
    assert (first.scored, first.precision, own["precision"]) == (2, "float32", "float32")
    assert run("float32")[0].scored == 0  # the same scores
    auto, quick = run("auto")
    assert (auto.scored, auto.precision, quick["precision"]) == (2, "int8", "int8")
    assert "max_accuracy_drop" in auto.precision_reason
    assert any(note.startswith("scores in int8: int8 loses 0.0 points") for note in notes)
    assert auto.to_json()["precision"] == "int8"
    assert [item["score"] for item in quick["highlights"]] != [item["score"] for item in own["highlights"]]
    assert run("int8")[0].scored == 0
    again, back = run(None)
    assert (again.scored, back["highlights"]) == (0, own["highlights"])


def test_score_takes_a_precision_as_a_scan_does(two_programs: Path, tmp_path: Path) -> None:
    render_library(tmp_path / "videos", 1)
    [video] = (tmp_path / "videos").rglob("*.mp4")
    notes: list[str] = []
    own = score(video, two_programs / "b")
    auto = score(video, two_programs / "b", precision="auto", on_note=notes.append)
    assert (own.precision, auto.precision, auto.to_json()["precision"]) == ("float32", "int8", "int8")
    assert "max_accuracy_drop" in auto.precision_reason
    assert [note.partition(":")[0] for note in notes] == ["scores in int8"]
    assert score(video, two_programs / "b", precision="int8").score == auto.score != own.score
    with pytest.raises(ConfigError, match="has no int8 program"):
        score(video, two_programs / "plain", precision="int8")
    with pytest.raises(ConfigError, match="device is gpu"):
        score(video, two_programs / "b", precision="int8", device="gpu")


def test_convert_refuses_what_cannot_be_kept(tmp_path: Path) -> None:
    output = tmp_path / "x.tflite"
    with pytest.raises(ConfigError, match="is not a bundle directory"):
        convert("efficientnet_lite0", output, quantize="int8", keep_in_bundle=True)
    with pytest.raises(ConfigError, match="'imgz' changes"):
        convert(bundle(tmp_path / "b"), output, keep_in_bundle=True, overrides={"imgz": 64})
    with pytest.raises(ConfigError, match="own program"):
        convert(bundle(tmp_path / "c"), output, quantize="none", keep_in_bundle=True)
    assert not output.exists()
