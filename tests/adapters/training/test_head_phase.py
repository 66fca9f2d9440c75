"""Which way a head is trained, what is measured on held-out clips, and that scores are calibrated in the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from small_network import SMALL_NETWORK
from tiny_videos import render_video

from adapters.base import TrainOptions
from adapters.bundle import read_bundle
from adapters.config import check_config, key_schemas
from adapters.inference import open_model
from adapters.media import read_clip
from adapters.reports import EpochLog, TrainReport
from adapters.training.head_phase import HAND_SET_KEYS, head_route
from cliplab.cli.options import training_keys
from cliplab.models import evaluate

pytest.importorskip("tensorflow", reason="training needs the train extra: pip install 'cliplab[train]'")

SMALL: dict[str, Any] = {"weights": "random", "imgz": 32, "n_frames": 2, "augment_views": 0, "head": []}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def write_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Eight videos a class in groups of two; which split each has is the test's."""
    folder = tmp_path_factory.mktemp("videos")
    for kind in ("warm", "cold"):
        for number in range(8):
            render_video(folder / f"{kind}{number}.mp4", kind, number)

    def write(validation: int = 0, one_group: bool = False, name: str = "data.jsonl") -> Path:
        rows = [
            {
                "path": f"{kind}{number}.mp4",
                "label": kind,
                "group": "all" if one_group else f"g{number // 2}",
                "split": "validation" if number // 2 < validation else "train",
            }
            for kind in ("warm", "cold")
            for number in range(8)
        ]
        path = folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.mark.parametrize(
    ("changes", "trained", "route"),
    [
        ({}, False, "logistic"),
        ({"head": [{"dropout": 0.5}]}, False, "logistic"),
        ({"head": [{"units": 8}]}, False, "converge"),
        ({"aggregation": "max"}, False, "converge"),
        ({"num_epochs": 8}, False, "as_given"),
        ({"batch_size": 4}, False, "as_given"),
        ({"learning_rate": 0.01}, False, "as_given"),
        ({"head_solver": "adam"}, False, "converge"),
        ({"head_solver": "logistic", "num_epochs": 8}, False, "logistic"),
        ({}, True, "converge"),
    ],
)
def test_the_route_follows_from_what_was_set(changes: dict[str, Any], trained: bool, route: str) -> None:
    model = open_model(SMALL_NETWORK, SMALL)
    keys = key_schemas(type(model))
    defaults = {key: keys[key]["default"] for key in HAND_SET_KEYS}
    assert head_route(check_config({**model.config, **changes}), defaults, trained) == route


def test_a_solver_for_heads_without_hidden_layers_only() -> None:
    from adapters.errors import ConfigError

    with pytest.raises(ConfigError, match="head_solver"):
        open_model(SMALL_NETWORK, {**SMALL, "head_solver": "logistic", "head": [{"units": 8}]})


@dataclass
class Trained:
    """A training and all that it said."""

    path: Path
    report: TrainReport
    logs: list[EpochLog]
    notes: list[str]


def trained(data: Path, path: Path, **changes: Any) -> Trained:
    logs: list[EpochLog] = []
    notes: list[str] = []
    model = open_model(SMALL_NETWORK, {**SMALL, **changes})
    return Trained(path, model.train(data, path, logs.append, TrainOptions(on_note=notes.append)), logs, notes)


@pytest.fixture(scope="module")
def solved(write_data: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(write_data(), tmp_path_factory.mktemp("solved") / "model", optimize="precision@0.95")


@pytest.fixture(scope="module")
def uncalibrated(write_data: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(write_data(), tmp_path_factory.mktemp("plain") / "model", calibrate=False)


def test_a_solved_head_reports_its_iterations_and_its_held_out_figures(solved: Trained) -> None:
    report, logs = solved.report, solved.logs
    assert tuple(logs) == report.epochs
    assert [log.epoch for log in logs] == list(range(len(logs)))
    assert logs[-1].loss < logs[0].loss
    assert report.best_epoch == logs[-1].epoch
    figures = report.cross_validation
    assert (figures["clips"], figures["groups"], figures["folds"]) == (16, 4, 4)
    assert figures["interval"][0] <= figures["accuracy"] <= figures["interval"][1]
    assert report.calibration["fitted_on"] == "out_of_fold"
    assert read_bundle(solved.path).metrics["cross_validation"] == figures
    assert any("interval" in note and "16 clips" in note for note in solved.notes)
    assert any("temperature" in note for note in solved.notes)
    assert json.loads(json.dumps(report.to_json()))["cross_validation"] == figures


def test_chosen_thresholds_are_part_of_the_model_and_say_what_they_reach(
    solved: Trained, write_data: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = read_bundle(solved.path)
    chosen = solved.report.thresholds
    assert chosen == bundle.metrics["thresholds"]
    assert (chosen["optimize"], chosen["chosen_on"], chosen["clips"], chosen["groups"]) == (
        *("precision@0.95", "out_of_fold"),
        *(16, 4),
    )
    thresholds = {label: entry["threshold"] for label, entry in chosen["classes"].items()}
    assert bundle.config["best_thresholds"] == thresholds
    assert set(thresholds) == {"warm", "cold"}
    assert any("threshold of 'warm' for precision@0.95" in note and "interval" in note for note in solved.notes)
    assert "threshold of warm for precision@0.95" in bundle.card
    assert "95%" in bundle.card
    assert (solved.path / "curves" / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert sum(bundle.metrics["calibration"]["reliability"]["after"]["clips"]) == 16
    open_model(solved.path).convert(tmp_path / "model.tflite")
    assert open_model(tmp_path / "model.tflite").config["best_thresholds"] == thresholds
    ran = cli("evaluate", solved.path, write_data(), "--json", code=0)
    found = json.loads(ran.stdout)
    assert (found["split"], found["clips"], found["groups"]) == ("out_of_fold", 16, 4)
    assert [entry["label"] for entry in found["thresholds"]] == ["warm", "cold"]
    assert found["accuracy"] == solved.report.cross_validation["accuracy"]
    assert found["intervals"]["accuracy"] == solved.report.cross_validation["interval"]


@pytest.mark.parametrize("head", [[], [{"units": 4, "activation": "relu"}]])
def test_a_config_is_cross_validated_with_and_without_hidden_layers(
    write_data: Callable[..., Path], head: list[Any], solved: Trained
) -> None:
    found = evaluate(SMALL_NETWORK, write_data(), overrides={**SMALL, "head": head}, cross_validate="groups")
    report = found.report
    assert (found.split, report.clips, report.groups) == ("cross_validation", 16, 4)
    assert sum(map(sum, report.confusion_matrix)) == 16
    assert report.intervals["accuracy"] is not None
    assert report.accuracy > 0.8, "these clips are easily told apart"


def test_a_cross_validation_checks_gates_of_cost_where_there_is_a_program(
    write_data: Callable[..., Path], solved: Trained
) -> None:
    gates = {"max_size_bytes": 1, "max_latency_ms": 1e6, "min_accuracy": 0.0}
    found = evaluate(solved.path, write_data(), overrides={"gates": gates}, cross_validate="folds")
    assert found.report.size_bytes is not None
    assert found.failures == (f"size_bytes {found.report.size_bytes:.6g} is above max_size_bytes 1.",)
    config = evaluate(SMALL_NETWORK, write_data(), overrides={**SMALL, "gates": gates}, cross_validate="folds")
    assert (config.failures, config.report.size_bytes) == ((), None)
    [unchecked] = [note for note in config.notes if "not checked" in note]
    assert "max_size_bytes" in unchecked
    assert "max_latency_ms" in unchecked
    assert "min_accuracy" not in unchecked


def test_the_program_has_the_calibrated_scores(
    solved: Trained, uncalibrated: Trained, write_data: Callable[..., Path]
) -> None:
    assert uncalibrated.report.calibration == {}
    temperature = solved.report.calibration["temperature"]
    plain, calibrated = open_model(uncalibrated.path), open_model(solved.path)
    clip = read_clip(write_data().parent / "warm7.mp4", plain.input_spec)
    before, after = (model.predict([clip])[0].frame_scores for model in (plain, calibrated))
    assert before is not None
    assert after is not None
    odds = [np.log(scores[:, 0].astype(np.float64) / scores[:, 1]) for scores in (before, after)]
    np.testing.assert_allclose(odds[0] / temperature, odds[1], rtol=0.02, atol=0.02)


def test_the_same_clips_and_seed_are_the_same_bits(
    solved: Trained, write_data: Callable[..., Path], tmp_path: Path
) -> None:
    again = trained(write_data(), tmp_path / "again")
    one, two = (read_bundle(path).weights() for path in (solved.path, again.path))
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_a_solved_head_can_be_stopped_and_clips_of_one_group_are_said_to_be(
    write_data: Callable[..., Path], tmp_path: Path
) -> None:
    notes: list[str] = []
    data = write_data(one_group=True, name="one.jsonl")
    options = TrainOptions(on_note=notes.append)
    report = open_model(SMALL_NETWORK, SMALL).train(data, tmp_path / "m", lambda log: log.epoch < 1, options)
    assert len(report.epochs) == 2
    assert report.stopped == "interrupted"
    assert any("one group" in note for note in notes)


def test_a_hidden_head_without_validation_clips_trains_as_long_as_held_out_groups_say(
    write_data: Callable[..., Path], tmp_path: Path
) -> None:
    settings = {**SMALL, "head": [{"units": 8, "activation": "relu"}, {"dropout": 0.1}]}
    report = open_model(SMALL_NETWORK, settings).train(write_data(), tmp_path / "model")
    assert len(report.epochs) == report.cross_validation["chosen"]["epochs"]
    assert report.calibration["fitted_on"] == "out_of_fold"


def test_a_hidden_head_stops_where_validation_no_longer_improves(
    write_data: Callable[..., Path], tmp_path: Path
) -> None:
    settings = {**SMALL, "head": [{"units": 8, "activation": "relu"}]}
    report = open_model(SMALL_NETWORK, settings).train(write_data(validation=1), tmp_path / "model")
    assert report.epochs[-1].val_loss is not None
    assert report.calibration["fitted_on"] == "validation"
    assert report.cross_validation == {}


def test_epochs_on_the_command_line_choose_gradient_steps(write_data: Callable[..., Path], tmp_path: Path) -> None:
    changes = [part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    args = ("train", SMALL_NETWORK, write_data(), tmp_path / "model", *changes, "--epochs", 2, "--json")
    report = json.loads(cli(*args).stdout)
    assert len(report["epochs"]) == 2
    assert read_bundle(tmp_path / "model").config["head_solver"] == "adam"


def test_training_further_keeps_the_model_that_it_started_from_where_no_epoch_is_better(
    uncalibrated: Trained, write_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_data(validation=1, name="further.jsonl")
    notes: list[str] = []
    further = open_model(uncalibrated.path)
    further.config |= {"head_solver": "adam", "num_epochs": 2, "learning_rate": 1e-12}
    report = further.train(data, tmp_path / "second", None, TrainOptions(on_note=notes.append))
    assert report.best_epoch == -1
    assert report.best_phase is None
    assert any("starting model" in note for note in notes)
    one, two = (read_bundle(path).weights() for path in (uncalibrated.path, tmp_path / "second"))
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_epochs_of_finetune_are_those_of_fine_tuning_too() -> None:
    assert training_keys(None, 3, None, 0.01, further=True) == {
        "num_epochs": 3,
        "learning_rate": 0.01,
        "fine_tune_epochs": 3,
        "fine_tune_learning_rate": 0.01,
        "head_solver": "adam",
    }
    assert training_keys(["fine_tune_epochs=5"], 3, None, None, further=True)["fine_tune_epochs"] == 5
