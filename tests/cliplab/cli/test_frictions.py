"""Small things that stop a newcomer: each message says what to do next, and nothing is said twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from command_line import cli, start
from tiny_videos import render_dataset, render_video
from waiting import until

from adapters.reports import EpochLog, TrainReport
from cliplab import api
from cliplab.cli import interrupts

TINY = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=2, validation=1, test=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


def test_prepare_on_a_folder_that_exists_names_merge(data: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    refused = cli("dataset", "prepare", data, tmp_path, code=1).stderr
    assert "--merge" in refused
    assert "--force" in refused


def test_each_epoch_is_shown_once(data: Path, config: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="gradient training needs the train extra: pip install 'cliplab[train]'")
    shown = cli("train", config, data, tmp_path / "a", code=0)
    assert shown.output.count("epoch 1/") == 1
    assert "val loss" not in shown.stdout
    quiet = cli("train", config, data, tmp_path / "b", "-q", code=0)
    assert quiet.stderr == ""
    assert "val loss" in quiet.stdout


@pytest.mark.parametrize(("most", "shown"), [(50, list(range(1, 51))), (60, [1, 10, 20, 30, 40, 50, 60])])
def test_many_epochs_are_shown_in_tens(most: int, shown: list[int], data: Path, tmp_path: Path, monkeypatch) -> None:
    def train(self, data_path, output_path, on_epoch_end, options):
        epochs = tuple(EpochLog("head", number, 0.5, 0.9, None, None, 0.1, False) for number in range(most))
        for log in epochs:
            on_epoch_end(log)
        return TrainReport(str(output_path), ("cold", "warm"), epochs, -1, "finished", {"train": 4}, 4, 1.0)

    pytest.importorskip("tensorflow", reason="its devices are named: pip install 'cliplab[train]'")
    monkeypatch.setattr("tiny_adapter.TinyAdapter.train", train)
    lines: list[str] = []
    api.train(
        TINY,
        data,
        tmp_path / "model",
        overrides={"num_epochs": most},
        trust_adapters=["tiny_adapter:TinyAdapter"],
        on_line=lines.append,
    )
    assert [int(number) for number in re.findall(rf"epoch (\d+)/{most}", "\n".join(lines))] == shown


def test_a_conversion_counts_clips_and_their_windows() -> None:
    from adapters.reports import ConversionReport
    from cliplab.cli.model_tables import conversion

    def shown(clips: int, source_clips: int | None) -> str:
        report = ConversionReport(
            "x", "int8", clips, "test clips of d", 0.1, 1.0, 9, 3, 2.0, 1.0, source_clips=source_clips
        )
        return "\n".join(map(str, conversion(report)))

    assert "30 clips (75 windows), test clips of d" in shown(75, 30)
    assert "of 30 clips, test" in shown(30, 30)
    assert "of 1 clip, test" in shown(1, None)


def test_predict_that_is_interrupted_names_what_resumes(config: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "long.mp4", "warm", 1, seconds=60)
    process = start(
        "predict", config, *[video] * 100, "--window-seconds", 0.5, "--stride-seconds", 0.01,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    folder = Path(f"/proc/{process.pid}/fd")
    if not folder.is_dir():
        process.kill()
        pytest.skip("tells by Linux's /proc whether the video is open")
    until(lambda: process.poll() is not None or any(_leads_to(one, video) for one in folder.iterdir()))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "cliplab scan" in stderr


def _leads_to(link: Path, file: Path) -> bool:
    try:
        return link.resolve() == file.resolve()
    except OSError:  # closed meanwhile
        return False


def test_every_command_that_says_it_resumes_does_so_after_ctrl_c() -> None:
    import make_references as docs

    for name, command in docs.commands():
        function = name.removeprefix("cliplab ").replace(" ", "_").replace("-", "_")
        if "run it again to resume" in " ".join((command.help or "").split()):
            assert function in interrupts.RESUME, name


def test_all_gpus_where_there_is_none_is_said(data: Path, config: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="training devices need the train extra")
    shown = cli("train", config, data, tmp_path / "m", "--multi-gpu", code=0, env={"CUDA_VISIBLE_DEVICES": ""})
    assert "found no GPU" in shown.stderr


def test_a_manifest_makes_its_folder_for_the_first_model(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"not a model")
    cli("registry", "manifest", tmp_path / "new" / "models", "--add", tmp_path / "a.tflite", code=1)
    assert (tmp_path / "new" / "models").is_dir()
    assert "--add" in cli("registry", "manifest", tmp_path / "other", code=2).stderr


def test_paths_in_messages_are_relative_to_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cliplab.cli.shown_paths import from_here

    monkeypatch.chdir(tmp_path)
    assert from_here(f"{tmp_path}/a b/c.mp4: is damaged ({tmp_path}/x)") == "a b/c.mp4: is damaged (x)"
    assert from_here(f"'{tmp_path}/x'") == "'x'"
    assert from_here(f"{tmp_path}/-x.mp4") == "./-x.mp4"
    for same in (
        f"{tmp_path}: is a folder",
        f"file://{tmp_path}/x",
        f"/other{tmp_path}/x",
        f"{tmp_path}2/x",
        "no path",
    ):
        assert from_here(same) == same
    monkeypatch.chdir("/")
    assert from_here("/etc/x: unreadable") == "/etc/x: unreadable"


def test_an_error_names_the_path_from_here(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bad.json").write_text("{")
    shown = cli("config", "show", tmp_path / "below" / "bad.json", process=True, cwd=tmp_path, code=2).stderr
    assert "below/bad.json" in shown
    assert str(tmp_path) not in shown


def test_a_diagram_joins_no_bins_with_an_empty_one_between() -> None:
    import math

    from adapters.evaluation.plots import _joined

    bins = {"start": [0.0, 1 / 15, 0.8], "score": [0.03, 0.1, 0.85], "share": [0.0, 0.2, 1.0]}
    scores, shares = _joined(bins)
    assert scores[:2] == [0.03, 0.1]
    assert math.isnan(scores[2])
    assert math.isnan(shares[2])
    assert (scores[3], shares[3]) == (0.85, 1.0)
