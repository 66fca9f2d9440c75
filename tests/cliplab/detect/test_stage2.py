"""Later stages: a model that drops and orders, models of ratings, the chat, and the worker that uses them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from highlight_files import HEIGHT, WIDTH, write_recording
from tflite_adapter import make_tflite
from tiny_adapter import TinyAdapter

from adapters.errors import ConfigError, DatasetError
from cliplab.detect import Candidate, HighlightOptions, Stage2, find_highlights, stage2_model, worker
from cliplab.detect.highlights.chat import read_chat
from cliplab.registry import registry_manifest

TRUST = ("tiny_adapter:TinyAdapter",)
OPTIONS = HighlightOptions(clip_seconds=6.0, min_gap_seconds=8.0)
RED, BLUE = 30.0, 60.0


def _colored(moment: float, _events: object) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    if 25 <= moment < 40:
        picture[..., 0] = 200
    if 55 <= moment < 70:
        picture[..., 2] = 200
    return picture


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("colors") / "match.mp4"
    return write_recording(path, 90.0, [(RED, "roar"), (BLUE, "roar")], picture_at=_colored)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "warm"
    TinyAdapter({"adapter": "tiny_adapter:TinyAdapter"}).save(path)
    return path


def test_a_model_drops_what_it_does_not_believe(recording: Path, bundle: Path) -> None:
    first = find_highlights(recording, OPTIONS)
    found = find_highlights(recording, OPTIONS, stage2=Stage2(bundle, trust_adapters=TRUST, least=0.6))
    assert len(first.candidates) >= 2
    assert [abs(one.peak - RED) < 6 for one in found.candidates] == [True]
    assert found.candidates[0].stage2 == pytest.approx(1 / (1 + math.exp(-140 / 255 / 0.2)), abs=0.05)
    assert found.model == str(bundle)
    assert any("dropped" in note for note in found.notes)


def test_a_model_may_order_alone(recording: Path, bundle: Path) -> None:
    found = find_highlights(recording, OPTIONS, stage2=Stage2(bundle, trust_adapters=TRUST, least=0.0))
    assert abs(found.ranked[0].peak - RED) < 6
    with pytest.raises(ConfigError, match="unknown to the model"):
        Stage2(bundle, trust_adapters=TRUST, label="trick")
    with pytest.raises(ConfigError, match="0 to 1"):
        Stage2(bundle, trust_adapters=TRUST, least=2)


def test_the_environment_and_its_file_switch_stage_2_on(tmp_path: Path, bundle: Path) -> None:
    assert stage2_model({}, tmp_path) is None
    (tmp_path / ".env").write_text(
        f"# workers\nexport DETECTION_USE_ML_STAGE2='true'\nDETECTION_STAGE2_MODEL={bundle}\n"
    )
    assert stage2_model({}, tmp_path) == str(bundle)
    assert stage2_model({"DETECTION_USE_ML_STAGE2": "false"}, tmp_path) is None
    with pytest.raises(ConfigError, match="true or false"):
        stage2_model({"DETECTION_USE_ML_STAGE2": "perhaps"}, tmp_path)
    with pytest.raises(ConfigError, match="no model"):
        stage2_model({"DETECTION_USE_ML_STAGE2": "1", "DETECTION_STAGE2_MODEL": str(tmp_path / "none")}, tmp_path)


def test_a_chat_finds_what_sound_and_picture_do_not_show(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "quiet.mp4", 120.0)
    random = np.random.default_rng(1)
    lines = [{"seconds": float(moment), "text": "hello"} for moment in random.uniform(0, 120, 40)]
    lines += [{"seconds": 75.0 + float(delay), "text": "WOW!!"} for delay in random.uniform(0, 4, 40)]
    log = tmp_path / "chat.jsonl"
    log.write_text("\n".join(map(json.dumps, lines)) + '\nnot json\n{"text": "no time"}\n[1]\n\x00\n')
    report = find_highlights(path, HighlightOptions(clip_seconds=10, min_score=0.35), chat=log)
    best = report.ranked[0]
    assert best.event == "chat"
    assert best.peak == pytest.approx(72.0, abs=4)
    assert any("4 of 84 lines" in note for note in report.notes)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ('{"time": "12.5", "message": "a"}', 12.5),
        ('{"content_offset_seconds": 3, "body": "a"}', 3.0),
        ('{"timestamp": 1700000000000, "text": "a"}', 0.0),
        ('{"created_at": "2026-01-01T00:00:05+00:00", "text": "a"}', 0.0),
    ],
)
def test_chat_logs_of_several_kinds(tmp_path: Path, line: str, seconds: float) -> None:
    (tmp_path / "chat.jsonl").write_text(line)
    messages, _ = read_chat(tmp_path / "chat.jsonl")
    assert messages == [(seconds, 1.0)]


@pytest.mark.parametrize("text", ["", "garbage\n" * 50, '{"seconds": 1e999}', '{"seconds": -4}', "[" * 5000])
def test_what_is_no_chat_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "chat.jsonl").write_text(text)
    with pytest.raises(DatasetError, match="none of its"):
        read_chat(tmp_path / "chat.jsonl")


def test_models_of_ratings_label_and_order(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    linear = pytest.importorskip("sklearn.linear_model")
    from cliplab.clips.feature_table import feature_table
    from cliplab.clips.rating_model import RatingModel, write_models
    from cliplab.detect import RatingOrder

    path = tmp_path / "models" / "highlight_model.skops"
    order = RatingOrder(path)
    liked, other = (
        Candidate(0, 10, 5, "audio", "cheer", 0.5, {"crowd": crowd, "level": 0.5}, 0.5) for crowd in (1.0, 0.0)
    )
    assert order.apply([liked, other]) == ([liked, other], None)
    rows = [{"cue_crowd": value} for value in (0.0, 0.5, 1.0)]
    table = feature_table(rows)
    regressor = linear.Ridge(alpha=1e-6).fit(table.matrix(rows), [0.0, 0.5, 1.0])
    write_models(path, {"audio": RatingModel(table, "ridge", regressor, (1, 2, 3), 3, "2026-01-01", {})})
    (first, second), served = order.apply([liked, other])
    assert served == "audio 3"
    assert first.score > second.score
    assert "5.0 stars expected, Excellent" in (first.why or "")


@pytest.mark.parametrize(("liked", "first"), [(1.0, RED), (-1.0, BLUE)])
def test_features_of_the_stretch_order_too(recording: Path, tmp_path: Path, liked: float, first: float) -> None:
    """A model that learned from features of clips, not from cues: the picture is brighter at one of the roars."""
    pytest.importorskip("skops")
    pytest.importorskip("librosa")
    linear = pytest.importorskip("sklearn.linear_model")
    from cliplab.clips.feature_table import feature_table
    from cliplab.clips.rating_model import RatingModel, write_models
    from cliplab.detect import RatingOrder

    rows = [{"brightness_mean": value} for value in (0.0, 0.5, 1.0)]
    table = feature_table(rows)
    regressor = linear.Ridge(alpha=1e-6).fit(table.matrix(rows), [0.5 - 0.5 * liked, 0.5, 0.5 + 0.5 * liked])
    model = RatingModel(table, "ridge", regressor, (1, 2, 3), 3, "2026-01-01", {})
    write_models(tmp_path / "m.skops", {"audio": model, "video": model})
    found = find_highlights(recording, OPTIONS, ratings=RatingOrder(tmp_path / "m.skops"))
    roars = [one for one in found.candidates if min(abs(one.peak - RED), abs(one.peak - BLUE)) < 6]
    expected = {round(one.peak): one.rating for one in roars}
    assert len(expected) == 2
    best = max(expected, key=lambda peak: expected[peak] or 0.0)
    assert abs(best - first) < 6


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    pytest.importorskip("sqlalchemy")

    def start(**options: object) -> int:
        return worker(
            tmp_path / "queue",
            output=tmp_path / "out",
            database=tmp_path / "clips.db",
            trust_adapters=TRUST,
            once=True,
            **options,  # type: ignore[arg-type]
        )

    return start


def test_a_worker_does_its_queue_and_puts_aside_what_fails(
    tmp_path: Path, recording: Path, bundle: Path, run: Callable[..., int]
) -> None:
    queue = tmp_path / "queue"
    (queue / "working").mkdir(parents=True)
    job = {"source": str(recording), "clip_seconds": 6, "min_gap_seconds": 8}
    # One is left by a worker that was killed.
    (queue / "working" / "a.json").write_text(json.dumps(job))
    (queue / "b.json").write_text('{"source": "none.mp4"}')
    (queue / "c.json").write_text('{"sauce": 1}')
    (queue / "d.json").write_text("{")
    said = list[tuple[str, str]]()
    failed = run(stage2=bundle, stage2_min=0.6, on_job=lambda state, one: said.append((one["job"], state)))
    assert failed == 3
    assert said[:2] == [("a.json", "begun"), ("a.json", "done")]
    report = json.loads((queue / "done" / "a.json.report.json").read_text())
    assert [clip["state"] for clip in report["clips"]] == ["made"]
    assert {path.name for path in (queue / "failed").glob("?.json")} == {"b.json", "c.json", "d.json"}
    assert "no such file" in json.loads((queue / "failed" / "b.json.report.json").read_text())["error"]
    assert not list((queue / "working").iterdir())


def test_a_promoted_model_is_used_without_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    make_tflite(folder / "a.tflite", "a")
    registry_manifest(folder)
    stage2 = Stage2(folder, label="a")
    assert stage2._adapter()[0] == "a.tflite"
    make_tflite(folder / "b.tflite", "a")
    registry_manifest(folder, current="b.tflite")
    assert stage2._adapter()[0] == "b.tflite"
