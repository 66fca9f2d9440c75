"""`cliplab compare`: figures of each model on the same clips, and what is said of clips that allow no figures.

The models are backbones of mean colours, so that nothing here needs TensorFlow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from tiny_videos import render_video

pytest.importorskip("sklearn", reason="training needs the train extra: pip install 'cliplab[train]'")

from adapters.errors import AdapterError, ConfigError, DatasetError, StorageError
from cliplab.api import compare
from cliplab.models import Comparison

ADAPTER = "mean_colors:MeanColors"
TRUST = {"trust_adapters": [ADAPTER]}


def model(name: str, **keys: Any) -> dict[str, Any]:
    return {"adapter": ADAPTER, "name": name, **keys}


COLOR, GRAY = model("color"), model("gray", weights="gray")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    kinds = ["warm", "cold"] * 6
    return [render_video(folder / f"{number}_{kind}.mp4", kind, number, 0.5) for number, kind in enumerate(kinds)]


@pytest.fixture(scope="module", autouse=True)
def own_features(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "dataset.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(videos: list[Path], **keys: Any) -> list[dict[str, Any]]:
    return [
        {"path": str(path), "label": path.stem.partition("_")[2], "group": f"tape {number // 2}", **keys}
        for number, path in enumerate(videos)
    ]


@pytest.fixture
def data(videos: list[Path], tmp_path: Path) -> Path:
    rows = rows_of(videos)
    rows[0]["split"] = "test"  # the others of its group are of no split, which does not matter here
    return written(tmp_path, rows)


def test_the_better_model_is_taken_and_every_split_counts(data: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    lines: list[str] = []
    found = compare(
        data,
        models=[GRAY, COLOR],
        output=tmp_path / "out",
        on_progress=lambda stage, done, total: stages.append(stage),
        on_line=lines.append,
        **TRUST,
    )
    color, gray = found.models
    assert (color.model, color.accuracy) == ("color", 1.0)
    assert gray.accuracy < 0.8
    assert color.interval[0] > found.largest_class_share == 0.5
    assert (found.clips, found.groups) == (12, 6)
    assert found.recommended == "color"
    assert gray.difference_interval[0] > 0
    assert color.latency_ms > 0
    assert color.size_bytes == 7000 + 4 * 4 * 2
    assert stages[0].startswith("gray (1 of 2)")
    assert any("features" in stage for stage in stages)
    assert [line.partition(":")[0] for line in lines] == ["gray", "color"]
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert stored == json.loads(json.dumps(found.to_json()))
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(StorageError, match="force"):
        compare(data, models=[COLOR], output=tmp_path / "out", **TRUST)


def test_a_second_run_takes_everything_from_the_cache(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare(data, models=[COLOR], **TRUST)
    monkeypatch.setattr("adapters.training.out_of_fold.solve", None)
    again = compare(data, models=[COLOR], **TRUST)
    assert again.models[0].decoded == 0
    assert again.models[0].recall == first.models[0].recall


def test_damage_in_the_cache_is_repaired(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    first = compare(data, models=[COLOR], **TRUST)
    (kept,) = (tmp_path / "cache" / "comparisons").iterdir()
    whole = kept.read_text()
    for text in ("{", whole.replace("true", "true, true", 1)):
        kept.write_text(text)
        assert compare(data, models=[COLOR], **TRUST).models[0].recall == first.models[0].recall
        assert kept.read_text() == whole


def test_limits_decide(data: Path) -> None:
    small = model("small", weights="gray", program_size=10)
    found = compare(data, models=[COLOR, small], max_size="5kB", max_latency_ms=1e6, device_factor=2, **TRUST)
    assert [item.fits for item in found.models] == [None, "float32"]
    assert found.recommended is None  # what fits is no better than the largest class
    assert "largest class" in found.why[0] or "always answering" in found.why[0]
    assert found.models[0].device_latency_ms == pytest.approx(2 * found.models[0].latency_ms, abs=0.01)
    none = compare(data, models=[COLOR], max_size=10, **TRUST)
    assert none.recommended is None
    assert "--max-size" in none.why[1]


def test_settings_of_one_model(data: Path) -> None:
    found = compare(data, models=[COLOR], vary={"n_frames": [2, 3], "weights": ["color", "gray"]}, **TRUST)
    assert {item.model for item in found.models} == {
        f"n_frames={count}, weights={weights}" for count in (2, 3) for weights in ("color", "gray")
    }
    assert found.recommended is not None
    assert "weights=color" in found.recommended
    assert found.models[0].overrides["weights"] == "color"


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"vary": {"n_frame": [2]}}, "n_frames"),
        ({"vary": {"n_frames": ["many"]}}, "n_frames"),
        ({"vary": {"n_frames": []}}, "list of values"),
        ({"vary": {"n_frames": list(range(1, 30))}}, "29 settings"),
        ({"vary": {"top_k": [1, 2]}}, "changes nothing"),
        ({"vary": {"n_frames": [2, 3]}, "models": [COLOR, GRAY]}, "one model"),
        ({"vary": {"n_frames": [2, 3]}, "models": None}, "one model"),
        ({"models": ["efficientnet_lite"]}, "efficientnet_lite0"),
        ({"models": [COLOR, COLOR]}, "twice"),
        ({"models": []}, "lists no model"),
        ({"overrides": {"n_frame": 3}}, "n_frames"),
        ({"overrides": {"color": 3}}, "color.KEY=VALUE"),
        ({"max_latency_ms": -1}, "max_latency_ms"),
        ({"max_latency_ms": float("nan")}, "max_latency_ms"),
        ({"device_factor": 0}, "device_factor"),
        ({"max_size": "5"}, "max_size"),
        ({"max_size": "large"}, "5MB"),
        ({"max_size": -3}, "max_size"),
    ],
)
def test_wrong_arguments_are_refused(data: Path, keys: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        compare(data, **{"models": [COLOR], **keys}, **TRUST)


def test_models_that_cannot_be_compared_are_left_out_with_the_reason(data: Path) -> None:
    missing = model("missing", weights="missing")
    plain = {"adapter": "tiny_adapter:TinyAdapter", "name": "plain"}
    other = model("other", labels=["left", "right"])
    found = compare(data, models=[missing, COLOR, plain, other], trust_adapters=[ADAPTER, "tiny_adapter:TinyAdapter"])
    reasons = {item.model: item.reason for item in found.left_out}
    assert "cannot be found" in reasons["missing"]
    assert "no backbone" in reasons["plain"]
    assert "unknown to the model" in reasons["other"]
    assert found.recommended == "color"
    with pytest.raises(AdapterError, match="none of 2 models"):
        compare(data, models=[missing, other], **TRUST)


def test_a_model_whose_head_sees_frames_in_order_is_left_out(data: Path) -> None:
    with pytest.raises(DatasetError, match="--cross-validate"):
        compare(data, models=["ads_temporal"])


def test_default_models_without_weights_are_left_out_and_nothing_is_downloaded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLIPLAB_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("urllib.request.build_opener", None)
    monkeypatch.setattr("cliplab.models.comparison_models.DEFAULT_MODELS", ("mobilenet_v2", "movinet_a2_base", "gone"))
    with pytest.raises(AdapterError, match="not on this machine"):
        compare(data)


def test_a_key_can_be_changed_for_one_model(data: Path) -> None:
    found = compare(data, models=[COLOR, model("other")], overrides={"other": {"weights": "gray"}}, **TRUST)
    assert found.models[0].model == "color"
    assert found.models[1].accuracy < 1
    found = compare(
        data, models=[COLOR, model("other")], overrides={"weights": "gray", "color": {"weights": "color"}}, **TRUST
    )
    assert found.models[0].model == "color", "its own key counts, and not that of all"
    assert found.models[1].accuracy < 1


def test_clips_that_cannot_be_read_are_named(videos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    rows = [*rows_of(videos), {"path": "broken.mp4", "label": "warm"}, {"path": "gone.mp4", "label": "cold"}]
    found = compare(written(tmp_path, rows), models=[COLOR], **TRUST)
    assert found.clips == 12
    assert sorted("broken.mp4" in reason for reason in found.skipped) == [False, True]


def test_clips_of_several_labels(videos: list[Path], tmp_path: Path) -> None:
    rows = rows_of(videos)
    for row in rows:
        row["labels"] = ["moving", row.pop("label")]
    rows[0]["labels"] = []
    found = compare(written(tmp_path, rows), models=[COLOR], **TRUST)
    assert any("multi_label" in text for text in found.warnings)
    assert set(found.models[0].recall) == {"moving", "warm", "cold"}


def test_a_positive_label(data: Path) -> None:
    found = compare(data, models=[COLOR], overrides={"positive_label": "warm"}, **TRUST)
    assert found.models[0].accuracy == 1


def refusal(folder: Path, rows: list[dict[str, Any]]) -> str:
    with pytest.raises(DatasetError) as raised:
        compare(written(folder, rows), models=[COLOR, GRAY], **TRUST)
    return str(raised.value)


def test_clips_that_allow_no_figures_are_refused(videos: list[Path], tmp_path: Path) -> None:
    assert "no" in refusal(tmp_path, [])
    warm = [row for row in rows_of(videos) if row["label"] == "warm"]
    assert "two classes" in refusal(tmp_path, warm)
    single = [{"path": str(path), "label": path.stem} for path in videos]
    assert "single clip" in refusal(tmp_path, single)
    assert "at least 4" in refusal(tmp_path, rows_of(videos[:3]))
    gone = [{"path": f"{number}.mp4", "label": "ab"[number % 2]} for number in range(8)]
    assert "can be read" in refusal(tmp_path, gone)


def test_unusual_clips_have_warnings(videos: list[Path], tmp_path: Path) -> None:
    rows = [*rows_of(videos[:10]), {"path": str(videos[10]), "label": "rare", "group": "tape 9"}]
    for row in rows[:10]:
        row["group"] = "tape 1"
    found = compare(written(tmp_path, rows), models=[COLOR], **TRUST)
    text = " ".join(found.warnings)
    assert "'rare' (1)" in text
    assert "seen the class" in text


def command(data: Path, tmp_path: Path, *words: str, code: int = 0) -> Any:
    config = tmp_path / "color.json"
    config.write_text(json.dumps(COLOR))
    return cli("compare", data, "--models", config, "--trust-adapter", ADAPTER, *words, code=code)


def test_the_command_shows_a_table_or_json(data: Path, tmp_path: Path) -> None:
    shown = command(data, tmp_path, "--vary", "weights=color,gray", "--device-factor", "2").stdout
    assert "weights=gray" in shown
    assert "take weights=color" in shown
    assert f"cliplab train {tmp_path / 'color.json'} {data} MODEL --set weights=color" in shown
    found = json.loads(command(data, tmp_path, "--json", "--threads", "1").stdout)
    assert found["recommended"].endswith("color.json")
    assert found["threads"] == 1
    assert set(found) == set(Comparison.__dataclass_fields__)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--max-size", "1B"), 1),
        (("--max-size", "small"), 2),
        (("--max-latency-ms", "fast"), 2),
        (("--vary", "n_frames"), 2),
        (("--vary", "n_frames=2", "--vary", "n_frames=3"), 2),
    ],
)
def test_the_command_says_what_went_wrong_by_its_exit_code(data: Path, tmp_path: Path, words: Any, code: int) -> None:
    command(data, tmp_path, *words, code=code)
