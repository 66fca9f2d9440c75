"""The command line as a person and a machine meet it: real processes or the app itself, real files, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, cli, start
from tiny_videos import render_dataset, render_video
from waiting import until

PIPES: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
TINY = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}


def as_json(result: Ran, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_dataset(tmp_path_factory.mktemp("data"), train=2, validation=1, test=1)


@pytest.fixture(scope="module")
def bundle(config: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    assert cli("train", config, data, path).exit_code == 0
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_video(tmp_path_factory.mktemp("video") / "warm.mp4", "warm", 1, seconds=4)


# predict ------------------------------------------------------------------------------------------------------------


def test_predict_json_is_the_documented_form(bundle: Path, video: Path) -> None:
    rows = as_json(cli("predict", bundle, video, "--window-seconds", 2, "--top-k", 1, "--json"))
    assert [list(row) for row in rows] == [["path", "predictions", "error"]]
    [row] = rows
    assert row["path"] == str(video)
    assert row["error"] is None
    assert [(p["start"], p["end"]) for p in row["predictions"]] == [(0.0, 2.0), (2.0, 4.0)]
    for prediction in row["predictions"]:
        assert list(prediction) == ["start", "end", "labels"]
        [best] = prediction["labels"]
        assert list(best) == ["label", "score"]
        assert best["label"] == "warm"
        assert 0.5 < best["score"] <= 1


def test_predict_from_a_config_with_overrides(config: Path, video: Path) -> None:
    [low] = as_json(cli("predict", config, video, "--set", "contrast=5", "--json"))
    [high] = as_json(cli("predict", config, video, "--set", "contrast=0.05", "--json"))
    assert high["predictions"][0]["labels"][0]["score"] > low["predictions"][0]["labels"][0]["score"]


def test_one_bad_file_is_an_error_row_and_exit_1(bundle: Path, video: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    done = cli("predict", bundle, bad, video, tmp_path / "missing.mp4", "--json", process=True)
    assert done.exit_code == 1
    rows = json.loads(done.stdout)
    assert [row["error"] is None for row in rows] == [False, True, False]
    assert rows[0]["predictions"] == []
    assert "bad.mp4" in rows[0]["error"]
    assert "missing.mp4" in rows[2]["error"]


def test_folders_and_patterns(bundle: Path, tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mkv", "deep/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        render_video(tmp_path / name, "cold", 1, seconds=0.5)
    (tmp_path / "notes.txt").write_text("not a video")
    rows = as_json(cli("predict", bundle, tmp_path, "--json"))
    assert [Path(row["path"]).name for row in rows] == ["a.mkv", "b.mp4", "c.mp4"]
    rows = as_json(cli("predict", bundle, tmp_path / "*.mp4", tmp_path / "*.avi", "--json"), code=1)
    assert [Path(row["path"]).name for row in rows] == ["b.mp4", "*.avi"]
    assert rows[1]["error"]


def test_predict_writes_the_same_rows_and_never_over_a_file(bundle: Path, video: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.json"
    result = cli("predict", bundle, video, "--output", output, "--json")
    assert json.loads(output.read_text()) == as_json(result)
    output.write_text("mine")
    refused = cli("predict", bundle, video, "--output", output)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert output.read_text() == "mine"
    assert cli("predict", bundle, video, "--output", output, "--force").exit_code == 0
    assert json.loads(output.read_text())


def test_the_shape_of_hugging_faces_pipeline(bundle: Path, video: Path, tmp_path: Path) -> None:
    command = ("predict", bundle, video, "--window-seconds", 1, "--shape", "hf")
    [found] = as_json(cli(*command, "--json", "--output", tmp_path / "rows.json"))
    assert [list(row) for row in found] == [["score", "label"]] * 2
    assert found[0]["label"] == "warm"
    assert found[0]["score"] > found[1]["score"]
    assert json.loads((tmp_path / "rows.json").read_text()) == [found]
    failed = cli(*command, tmp_path / "missing.mp4", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout) == [found, None]
    assert "missing.mp4: no such file" in failed.stderr
    for more, reason in (
        ((), "--shape hf"),
        (("--json", "--segments", "warm"), "cannot be written in the shape hf"),
    ):
        refused = cli(*command, *more)
        assert refused.exit_code == 2
        assert reason in refused.stderr


def test_json_of_a_name_in_another_encoding(bundle: Path, video: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    shutil.copyfile(video, odd)
    done = cli("predict", bundle, tmp_path, "--json", process=True)
    assert done.exit_code == 0, done.stderr
    [row] = json.loads(done.stdout)
    assert os.fsencode(row["path"]) == odd


def test_segments(bundle: Path, video: Path) -> None:
    command = ("predict", bundle, video, "--window-seconds", 1, "--segments")
    [row] = as_json(cli(*command, "warm", "--json"))
    [segment] = row["segments"]
    assert (segment["label"], segment["start"], segment["end"]) == ("warm", 0.0, pytest.approx(4.0))
    [row] = as_json(cli(*command, "cold", "--json"))
    assert row["segments"] == []
    unknown = cli(*command, "lukewarm")
    assert unknown.exit_code == 2
    assert "cold, warm" in unknown.stderr


def test_a_table_for_people(bundle: Path, video: Path) -> None:
    result = cli("predict", bundle, video)
    assert result.exit_code == 0
    assert "warm 0." in result.stdout
    assert "0:04.00" in result.stdout
    assert result.stderr == ""


def test_stdout_holds_data_only(bundle: Path, data: Path, tmp_path: Path) -> None:
    done = cli("train", bundle / "missing.json", data, tmp_path / "out", "--json", process=True)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = cli("config", "show", tmp_path / "none.json", process=True, env={"CLIPLAB_DEBUG": "1"})
    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict"],
        ["predict", "no_such_model", "x.mp4"],
        ["predict", "efficientnet_lite0", "x.mp4", "--set", "n_frame=3"],
        ["predict", "efficientnet_lite0", "x.mp4", "--set", "top_k"],
        ["predict", "efficientnet_lite0", "x.mp4", "--top-k", "0"],
        ["predict", "efficientnet_lite0", "x.mp4", "--window-seconds", "-1"],
        ["predict", "efficientnet_lite0", "x.mp4", "--no-such-option"],
        ["bench", "efficientnet_lite0", "--clips", "0"],
        ["convert", "efficientnet_lite0", "--output", "model.bin"],
        ["convert", "efficientnet_lite0", "--output", "m.tflite", "--quantize", "int4"],
        ["no_such_command"],
    ],
)
def test_bad_usage_is_exit_2(arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.strip()


# Ctrl-C and pipes ---------------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_no_half_written_file(bundle: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "long.mp4", "warm", 1, seconds=120)
    folder = tmp_path / "out"
    folder.mkdir()
    command = ["predict", bundle, *[video] * 200, "--window-seconds", "0.5", "--stride-seconds", "0.01"]
    process = start(*command, "--output", folder / "rows.json", **PIPES)
    _wait_until_open(process, video)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 130
    assert stdout == ""
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="tells by Linux's /proc which module is being imported"
)
@pytest.mark.parametrize("module", ["/numpy/", "/av/"])
def test_ctrl_c_while_modules_are_imported(bundle: Path, video: Path, module: str) -> None:
    """A compiled module that is interrupted raises an ImportError, or what it likes."""
    process = start("predict", bundle, *[video] * 200, **PIPES)
    maps = Path(f"/proc/{process.pid}/maps")
    until(lambda: module in maps.read_text() or process.poll() is not None, every=0.001)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode in (130, -signal.SIGINT), "a shell says 130 of both"
    assert stdout == ""
    assert stderr.startswith("error: interrupted")
    assert len(stderr.splitlines()) == 1


def _wait_until_open(process: subprocess.Popen[str], file: Path) -> None:
    """Return once the process has the file open, so that the signal meets it at work."""
    folder = Path(f"/proc/{process.pid}/fd")
    if not folder.is_dir():  # not Linux: long enough for the imports
        time.sleep(5)
        return

    def is_open() -> bool:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link) == str(file):
                    return True
        return False

    until(is_open, what=f"{file} was not opened")


def test_a_reader_that_leaves_is_no_error() -> None:
    process = start("config", "schema", "efficientnet_lite0", "--json", **{**PIPES, "text": False})
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(timeout=600) == 0


# The other commands -------------------------------------------------------------------------------------------------


def test_train_says_what_it_did_and_keeps_what_is_there(config: Path, data: Path, bundle: Path, tmp_path: Path) -> None:
    report = as_json(cli("train", config, data, tmp_path / "model", "--json"))
    assert report["labels"] == ["cold", "warm"]
    assert report["clips"]["train"] == 4
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    refused = cli("train", config, data, bundle)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    stored = cli("train", bundle, data, tmp_path / "other")
    assert stored.exit_code == 2
    assert "finetune" in stored.stderr


def test_finetune_goes_on_from_a_bundle(bundle: Path, config: Path, data: Path, tmp_path: Path) -> None:
    report = as_json(cli("finetune", bundle, data, tmp_path / "more", "--set", "num_epochs=3", "--json"))
    assert report["output_path"] == str(tmp_path / "more")
    assert as_json(cli("config", "show", tmp_path / "more", "--json"))["num_epochs"] == 3
    shapes = cli("finetune", bundle, data, tmp_path / "x", "--set", "imgz=64")
    assert shapes.exit_code == 2
    assert '"imgz"' in shapes.stderr
    none = cli("finetune", config, data, tmp_path / "x")
    assert none.exit_code == 2


def test_evaluate_and_its_gates(bundle: Path, data: Path, tmp_path: Path) -> None:
    report = as_json(cli("evaluate", bundle, data, "--output", tmp_path / "report", "--json"))
    assert report["split"] == "test"
    assert report["f1"] == 1.0
    assert report["gate_failures"] == []
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())["f1"] == 1.0
    command = ("evaluate", bundle, data, "--split", "all", "--set", "gates.max_log_loss=0")
    failed = as_json(cli(*command, "--json"), code=1)
    assert "max_log_loss" in failed["gate_failures"][0]
    assert "max_log_loss" in cli(*command).stdout
    assert cli("evaluate", bundle, data, "--split", "tests").exit_code == 2


def test_evaluate_sets_unreadable_clips_aside(bundle: Path, data: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines() if '"test"' in line]
    rows = [{**row, "path": str(data.parent / row["path"])} for row in rows]
    bad = {**rows[0], "path": str(tmp_path / "bad.mp4"), "group": "bad", "source": "bad"}
    (tmp_path / "bad.mp4").write_text("no video")
    listing = tmp_path / "dataset.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in [bad, *rows]))
    report = as_json(cli("evaluate", bundle, listing, "--json"), code=1)
    assert report["clips"] == 2
    assert [Path(item["path"]).name for item in report["skipped"]] == ["bad.mp4"]


def test_bench_json(bundle: Path, video: Path) -> None:
    report = as_json(cli("bench", bundle, "--clips", 5, "--threads", 1, "--video", video, "--json"))
    assert set(report) >= {"latency_ms", "clips_per_second", "size_bytes", "peak_memory_bytes", "threads"}
    latency = report["latency_ms"]
    assert list(latency) == ["min", "median", "p95"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p95"]
    assert report["threads"] == 1
    assert report["peak_memory_bytes"] > 10_000_000


def test_config_commands(config: Path, tmp_path: Path) -> None:
    shown = as_json(cli("config", "show", config, "--set", "top_k=2", "--json"))
    assert (shown["top_k"], shown["contrast"]) == (2, 0.2)
    assert "contrast" in cli("config", "show", config).stdout
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("schema_version: 2\nadapter: tiny_adapter:TinyAdapter\ncontrasst: 1\n")
    checks = as_json(cli("config", "check", config, wrong, "--json"), code=2)
    assert [item["error"] is None for item in checks] == [True, False]
    assert 'Did you mean "contrast"' in checks[1]["error"]
    schema = as_json(cli("config", "schema", "tiny_adapter:TinyAdapter", "--json"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "contrast" in cli("config", "schema", config).stdout
    named = tmp_path / "tiny:one.json"  # also a name with a colon is a file's where there is one
    named.write_text('{"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}')
    assert as_json(cli("config", "schema", named, "--json")) == schema


def test_dataset_commands(data: Path, tmp_path: Path) -> None:
    listing = tmp_path / "dataset.jsonl"
    report = as_json(cli("dataset", "import", data, listing, "--json"))
    assert report["output"] == str(listing)
    assert report["clips"] == 8
    assert cli("dataset", "import", data, listing).exit_code == 1
    split = tmp_path / "split.jsonl"
    command = ("dataset", "split", listing, split, "--reassign", "--fractions", 0.5, 0.25, 0.25)
    assert as_json(cli(*command, "--dry-run", "--json"))["output"] is None
    assert not split.exists()
    assert as_json(cli(*command, "--json"))["splits"]["train"]["clips"] == 4
    table = tmp_path / "rows.csv"
    assert cli("dataset", "export", split, table, "--format", "csv").exit_code == 0
    assert len(table.read_text().splitlines()) == 9
    assert cli("dataset", "export", split, tmp_path / "x", "--format", "xml").exit_code == 1
    assert cli("dataset", "export", split, tmp_path / "y.csv", "--format", "csv", "--media", "link").exit_code == 1
    assert as_json(cli("dataset", "stats", split, "--json"))["labels"]["warm"]["clips"] == 4
    assert "validation" in cli("dataset", "stats", split).stdout


def test_dataset_stats_says_what_is_wrong(tmp_path: Path) -> None:
    listing = tmp_path / "dataset.jsonl"
    listing.write_text(json.dumps({"path": "gone.mp4", "label": "warm"}) + "\n")
    report = as_json(cli("dataset", "stats", listing, "--json"), code=1)
    assert any("gone.mp4" in problem for problem in report["problems"])


def test_demo_without_samples_says_where_they_are(tmp_path: Path) -> None:
    result = cli("demo", "--samples", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "repository" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["train", "CONFIG", "DATA"], ["convert", "BUNDLE", "--output"]])
def test_an_output_below_a_file_is_refused_before_any_work(
    arguments: list[str], config: Path, bundle: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    names = {"CONFIG": config, "BUNDLE": bundle, "DATA": data}
    result = cli(*(names.get(item, item) for item in arguments), tmp_path / "file" / "model.tflite")
    assert result.exit_code == 1
    assert "is a file" in result.stderr


def test_version() -> None:
    assert cli("--version").stdout.startswith("cliplab ")
