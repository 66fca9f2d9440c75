"""Mistakes of the first hour: what the message says of a path, a pattern, a folder or a name that is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import cli, python
from tiny_adapter import TinyAdapter
from tiny_videos import render_dataset, render_video

from adapters.errors import install_command


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    TinyAdapter({"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "labels": ["cold", "warm"]}).save(path)
    return path


def test_a_folder_without_videos_is_not_an_invitation_to_give_the_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "deep").mkdir()
    shown = cli("predict", model, tmp_path, code=1).output
    assert f"{tmp_path}: is a folder that contains no video file. Check the path" in shown
    assert "one by one" not in shown


def test_the_library_still_asks_for_the_files_of_a_folder_with_videos(model: Path, tmp_path: Path) -> None:
    from adapters import open_video
    from adapters.errors import MediaError

    render_video(tmp_path / "a.mp4", "warm", 1, seconds=0.5)
    with pytest.raises(MediaError, match=r"is a folder; a video file is required\. Give the files in it one by one"):
        open_video(tmp_path)


@pytest.mark.parametrize("pattern", ["*.mov", "sub/[ab]?.mp4"])
def test_a_pattern_that_matches_nothing_is_called_a_pattern(model: Path, tmp_path: Path, pattern: str) -> None:
    shown = cli("predict", model, tmp_path / pattern, code=1).output
    assert "no file matches this pattern (looked from " in shown


@pytest.mark.parametrize("command", [("predict", "MODEL", "FILE"), ("ads", "FILE"), ("detect", "FILE")])
def test_a_file_that_is_missing_is_reported_alike(model: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    missing = tmp_path / "evening.ts"
    words = [{"MODEL": str(model), "FILE": str(missing)}.get(word, word) for word in command]
    assert f"{missing}: no such file (looked from " in cli(*words, code=1).output


def test_a_misspelt_ready_config_names_the_nearest(tmp_path: Path) -> None:
    shown = cli("predict", "eficientnet_lite0", tmp_path / "a.mp4", code=2).stderr
    assert 'no ready config of this name. Did you mean "efficientnet_lite0"? Ready configs: ads_base, ' in shown
    assert "Did you mean" not in cli("predict", "qqqqqqqqqqqqqqqq", tmp_path / "a.mp4", code=2).stderr


def test_a_path_without_a_model_is_not_taken_for_a_name(tmp_path: Path) -> None:
    shown = cli("predict", "runs/best", tmp_path / "a.mp4", code=2).stderr
    assert "runs/best: there is no such file or folder" in shown
    assert "Ready configs" not in shown


def test_equally_similar_names_are_all_named(tmp_path: Path) -> None:
    shown = cli("predict", "efficientnet_lite", tmp_path / "a.mp4", code=2).stderr
    assert 'Did you mean "efficientnet_lite0", "efficientnet_lite1" or "efficientnet_lite2"?' in shown


def test_a_value_of_another_type_is_named_with_what_is_allowed(model: Path, tmp_path: Path) -> None:
    words = ("bench", model, "--threads")
    for shown in (cli(*words, "many", code=2).stderr, cli("bench", model, "--threads=many", code=2).stderr):
        assert "'--threads': must be a whole number, got 'many'" in shown
    shown = cli("train", "efficientnet_lite0", tmp_path, tmp_path / "m", "--learning-rate", "fast", code=2).stderr
    assert "'--learning-rate': must be a number, got 'fast'" in shown
    shown = cli("convert", model, "--quantize", "int4", code=2).stderr
    assert "'int4' is not one of 'float32', 'float16', 'dynamic', 'int8', 'none'" in shown
    assert "Value error" not in shown


def test_what_is_no_model_is_called_what_it_is(model: Path, tmp_path: Path) -> None:
    render_video(tmp_path / "a.mp4", "warm", 1, seconds=0.5)
    (tmp_path / "clips").mkdir()
    shown = cli("predict", tmp_path / "clips", tmp_path / "a.mp4", code=1).stderr
    assert "clips/bundle.json: is missing, so this folder is not a bundle" in shown
    shown = cli("convert", tmp_path / "a.mp4", tmp_path / "b.tflite", code=2).stderr
    assert "a.mp4: is not a text file, so it is not a config. A model is a bundle directory" in shown
    shown = cli("scan", tmp_path / "nomodel", tmp_path, code=2).stderr
    assert "nomodel: is not a saved model: no such file or folder (looked from " in shown
    assert "ensemble" not in shown


def test_a_damaged_list_of_files_is_described_in_words(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    (damaged / "bundle.json").write_text((model / "bundle.json").read_text()[:60])
    shown = cli("predict", damaged, tmp_path / "a.mp4", code=1).stderr
    assert "bundle.json: is damaged, or another program wrote it (line " in shown
    assert "Error(" not in shown


def test_a_file_to_extract_that_is_missing_is_reported_alike(tmp_path: Path) -> None:
    shown = cli("extract", tmp_path / "evening.ts", "--output-dir", tmp_path / "frames", code=1).output
    assert "evening.ts: no such file (looked from " in shown


def test_a_model_that_knows_none_of_the_labels_leads_to_training(tmp_path: Path) -> None:
    data = render_dataset(tmp_path / "data", train=1, validation=1, test=2)
    tiny = {"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}
    config = {**tiny, "labels": ["dog", "cat"], "positive_label": "dog"}
    TinyAdapter(config).save(tmp_path / "other")
    shown = cli("evaluate", tmp_path / "other", data, code=1).stderr
    assert "`cliplab train` makes one that knows yours" in shown
    TinyAdapter({**config, "labels": ["dog", "warm"]}).save(tmp_path / "half")
    assert "`cliplab train` makes" not in cli("evaluate", tmp_path / "half", data, code=1).stderr


def test_a_video_in_place_of_a_list_is_called_no_text_file(tmp_path: Path) -> None:
    video = render_video(tmp_path / "a.mp4", "warm", 1, seconds=0.5)
    shown = cli("reel", video or tmp_path / "a.mp4", tmp_path / "reel.mp4", code=1).stderr
    assert "a.mp4: is not JSON (it is not a text file). Give the highlights.json of a scan." in shown


def test_a_manifest_that_is_missing_is_not_checked(tmp_path: Path) -> None:
    shown = cli("dataloop", "manifest", "--check", code=2, process=True, cwd=tmp_path).stderr
    assert "dataloop.json: no such file to check. Write it with: cliplab dataloop manifest" in shown
    assert "Errno" not in shown
    assert not (tmp_path / "dataloop.json").exists()


BLOCKED = "import sys\nfor name in {names}: sys.modules[name] = None"
DATABASE = ("sqlalchemy", "alembic", "psycopg", "tuf", "securesystemslib", "mlflow", "librosa", "skops")


def test_the_python_interface_opens_with_the_core_alone(tmp_path: Path) -> None:
    web = ("starlette", "uvicorn", "jinja2", "msgspec", "prometheus_client", "tensorflow", "sklearn", "ray", "dtlpy")
    blocked = BLOCKED.format(names=DATABASE + web)
    script = f"{blocked}\nfrom cliplab import api\nprint(api.scan.__name__, api.ads.__name__, api.evaluate.__name__)"
    ran = python(script)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.split() == ["scan", "find_ads", "evaluate"]


def test_every_name_of_the_python_interface_is_there() -> None:
    from cliplab import api

    pytest.importorskip("sqlalchemy")
    pytest.importorskip("tuf")
    missing = [name for name in api.__all__ if not callable(getattr(api, name))]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        getattr(api, "predikt")  # noqa: B009 - a name that type checkers refuse


def test_the_studio_does_not_ask_for_the_extra_of_clips(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    (tmp_path / "file").write_text("")
    shown = cli("studio", tmp_path / "file", code=2, before=BLOCKED.format(names=DATABASE)).stderr
    assert "is not a folder. Give the folder of your media" in shown


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("clips", "stats"), "clips"),
        (("clips", "train"), "clips"),
        (("clips", "export", "ratings.csv"), "clips"),
        (("clips", "ab-status"), "clips"),
        (("clips", "rate", "1", "5"), "clips"),
        (("registry", "init", "--registry", "new"), "registry"),
        (("rollout", "status"), "registry"),
        (("device", "run", "--name", "k", "--registry", "http://127.0.0.1:1"), "device"),
    ],
)
def test_a_command_without_its_extra_names_the_extra(words: tuple[str, ...], extra: str, tmp_path: Path) -> None:
    shown = cli(*words, code=2, before=BLOCKED.format(names=DATABASE), cwd=tmp_path).stderr
    assert f"Install it with: {install_command(extra)}" in shown
    assert "bug in cliplab" not in shown
