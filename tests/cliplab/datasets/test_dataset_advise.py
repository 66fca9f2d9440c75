"""`dataset advise` over rendered videos: what is read, written, skipped and refused. No TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="advice needs the train extra: pip install 'cliplab[train]'")

from command_line import cli
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.base import FeatureSource
from adapters.data import Example, read_dataset
from adapters.errors import ConfigError, DatasetError, StorageError
from adapters.records import Clip, Float32Array
from cliplab.cli.advise import advice
from cliplab.cli.console import show
from cliplab.datasets import dataset_advise
from cliplab.datasets.advise_looks import PROPERTIES, clip_looks


class MeanColors(TinyAdapter):
    """The tiny adapter, with the mean colour of each frame for features."""

    def feature_source(self) -> FeatureSource:
        def compute(clips: list[Clip]) -> list[Float32Array]:
            return [clip.frames.mean(axis=(1, 2), dtype=np.float32) for clip in clips]

        return FeatureSource({"of": "a test of advice"}, (self.config["n_frames"], 3), compute)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("adapters.training.fold_division._FOLDS", 3)
    monkeypatch.setattr("adapters.training.out_of_fold._INNER_FOLDS", 2)
    monkeypatch.setattr("cliplab.datasets.advise_shortcuts._TREES", 8)

    def model(*arguments: Any, **keys: Any) -> MeanColors:
        return MeanColors({"labels": ["cold", "warm"], "n_frames": 2, "imgz": 32})

    monkeypatch.setattr("adapters.inference.open_model", model, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number in range(12):
        kind = ("warm", "cold")[number % 2]
        render_video(folder / f"{number}.mp4", kind, number, seconds=0.5 if number % 2 else 1.0)
        rows.append({"path": f"{number}.mp4", "label": kind})
    (folder / "broken.mp4").write_bytes(b"no video")
    rows += [{"path": "broken.mp4", "label": "warm"}, {"path": "gone.mp4", "label": "cold"}]
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_everything_is_written_shown_and_the_rest_set_aside(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the train extra")
    stages: list[str] = []
    output = tmp_path / "advice"
    report = dataset_advise(data, output=output, on_progress=lambda stage, done, total: stages.append(stage))
    assert report.figure is not None
    assert report.figure.accuracy == 1
    assert {"features", "looks", "heads", "learning curve", "shortcuts"} <= set(stages)
    assert len(report.skipped) == 2
    assert any("broken.mp4" in reason for reason in report.skipped)
    assert (output / "advise.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((output / "advise.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["clips"] == 12
    assert (written["data"], written["output"]) == (str(data), str(output))
    assert (written["model"], written["groups"], written["labels"]) == (report.model, 12, {"cold": 6, "warm": 6})
    assert (written["largest_share"], len(written["skipped"])) == (0.5, 2)
    assert (output / "label_issues.csv").read_text().startswith("path,start_seconds,end_seconds,given,likely")
    if (output / "proposed_groups.csv").exists():
        assert len(read_dataset(output / "proposed_groups.csv")) == 12
    show(*advice(report))
    assert "length" in capsys.readouterr().out
    with pytest.raises(StorageError, match="force"):
        dataset_advise(data, output=output)


def test_looks_tell_shape_length_rate_and_light(tmp_path: Path) -> None:
    short = render_video(tmp_path / "short.mp4", "warm", 1, seconds=0.5, fps=8, size=64)
    long = render_video(tmp_path / "long.mp4", "cold", 2, seconds=2, fps=16, size=128)
    examples, looks = clip_looks(
        [Example(short, ("warm",)), Example(long, ("cold",)), Example(tmp_path / "no", ("a",))]
    )
    assert [example.path for example in examples] == [short, long]
    names = [name for numbers in PROPERTIES.values() for name in numbers]
    first, second = (dict(zip(names, row.tolist(), strict=True)) for row in looks.properties)
    assert first["log2 of height"] == 6
    assert second["log2 of height"] == 7
    assert first["log2 of width over height"] == 0
    assert second["log2 of seconds"] - first["log2 of seconds"] == pytest.approx(2, abs=0.1)
    assert (first["frames per second"], second["frames per second"]) == (8, 16)
    assert second["mean lightness"] > first["mean lightness"] + 20
    np.testing.assert_allclose(np.square(looks.colours).sum(axis=1), 1, atol=1e-5)
    assert looks.colours[0] @ looks.colours[1] < 0.5


def test_features_are_those_of_the_clips_whose_looks_are_known(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SeenError(Exception):
        """What would be analysed is known."""

    def advised() -> tuple[Any, Any]:
        with pytest.raises(SeenError) as seen:
            dataset_advise(data)
        return seen.value.args[0], seen.value.args[1]

    def analyse(*arguments: Any, **options: Any) -> None:
        raise SeenError(arguments[0], options["skipped"])

    monkeypatch.setattr("cliplab.datasets.advise_analysis.analyse", analyse)
    whole, _ = advised()
    monkeypatch.setattr("cliplab.datasets.advise_looks.clip_looks", lambda clips, _: clip_looks(clips[1:]))
    rest, skipped = advised()
    assert rest.names == whole.names[1:]
    np.testing.assert_array_equal(rest.features, whole.features[1:])
    assert any(reason.endswith("cannot be decoded") and whole.names[0] in reason for reason in skipped)


def test_one_class_and_no_readable_clip_are_refused(data: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.csv"
    one.write_text(f"path,label\n{data.parent / '0.mp4'},warm\n{data.parent / '2.mp4'},warm\n")
    with pytest.raises(DatasetError, match="two classes"):
        dataset_advise(one)
    none = tmp_path / "none.csv"
    none.write_text("path,label\na.mp4,warm\nb.mp4,cold\n")
    with pytest.raises(DatasetError, match="none of 2 clips"):
        dataset_advise(none)
    half = tmp_path / "half.csv"
    half.write_text(f"path,label\n{data.parent / '0.mp4'},warm\n{data.parent / '2.mp4'},warm\nb.mp4,cold\n")
    with pytest.raises(DatasetError, match="'warm'"):
        dataset_advise(half)


def test_a_group_in_two_splits_is_told_and_not_refused(data: Path, tmp_path: Path) -> None:
    rows = ["path,label,split,group"]
    for number in range(8):
        split, group = ("train", "test")[number > 5], "tape" if number in (1, 7) else number
        rows.append(f"{data.parent / f'{number}.mp4'},{('warm', 'cold')[number % 2]},{split},{group}")
    (tmp_path / "leak.csv").write_text("\n".join(rows) + "\n")
    report = dataset_advise(tmp_path / "leak.csv")
    assert any(item.topic == "splits" and "'tape'" in item.text for item in report.findings)


def test_more_classes_than_can_be_judged_are_cut_with_a_note(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cliplab.datasets.advise.MOST_CLASSES", 2)
    rows = [f"{data.parent / f'{number}.mp4'},{('warm', 'cold')[number % 2]}" for number in range(10)]
    rows += [f"{data.parent / '10.mp4'},other", f"{data.parent / '11.mp4'},third"]
    (tmp_path / "many.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    report = dataset_advise(tmp_path / "many.csv")
    assert report.clips.labels == ("warm", "cold")
    assert any("4 classes" in text for text in report.warnings)


def test_a_model_without_a_backbone_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "adapters.inference.open_model", lambda *given: TinyAdapter({"labels": ["cold", "warm"]}), raising=False
    )
    with pytest.raises(ConfigError, match="no backbone"):
        dataset_advise(data)


def test_the_command_names_what_is_missing() -> None:
    ran = cli("dataset", "advise", "nowhere.csv")
    assert ran.exit_code == 1
    assert "nowhere.csv" in ran.stderr


def test_a_head_that_sees_frames_in_order_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeanColors, "scores_items", False)
    with pytest.raises(ConfigError, match="uses the order of frames"):
        dataset_advise(data, model="ads_temporal")
