"""Whatever is raised while one source is opened, decoded or scored costs that source alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from reel_helpers import highlights
from scan_helpers import save_model
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters import media
from adapters.data import Example, read_dataset
from adapters.errors import MediaError
from adapters.inference import predict_examples, predict_videos
from adapters.media import MediaLimits, decode, live, open_video, read_clip, video
from adapters.records import Clip, InputSpec, Prediction
from adapters.reports import TrainReport
from adapters.training.feature_cache import ExampleView, cached_features

ODD = "odd.mp4"
RAISED: tuple[Exception, ...] = (
    ValueError("31 is not a valid Type"),
    av.ArgumentError(22, "Invalid argument"),
    MemoryError(),
    IndexError("tuple index out of range"),
    OverflowError("Python int too large to convert to C long"),
    cv2.error("(-215:Assertion failed)"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OSError(5, "Input/output error"),
)
Stage = Callable[[pytest.MonkeyPatch, Exception], None]


def at_opening(patch: pytest.MonkeyPatch, error: Exception) -> None:
    real = decode.open_container

    def opened(source: Any, *rest: Any, **more: Any) -> Any:
        if "odd" in str(source):
            raise error
        return real(source, *rest, **more)

    patch.setattr(decode, "open_container", opened)


def at_decoding(patch: pytest.MonkeyPatch, error: Exception) -> None:
    real = decode.Decoder.read

    def read(self: decode.Decoder) -> Any:
        if "odd" in str(self.source) and self.frame_count > 2:
            raise error
        return real(self)

    patch.setattr(decode.Decoder, "read", read)


def at_scaling(patch: pytest.MonkeyPatch, error: Exception) -> None:
    real = video.Video._scaler

    def scaler(self: Any, *rest: Any) -> Any:
        def scale(*frames: Any) -> Any:
            raise error

        return scale if "odd" in str(self._source) else real(self, *rest)

    patch.setattr(video.Video, "_scaler", scaler)


@pytest.fixture(params=[at_opening, at_decoding, at_scaling], ids=lambda stage: stage.__name__)
def stage(request: pytest.FixtureRequest) -> Stage:
    found: Stage = request.param
    return found


@pytest.fixture
def faulty(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(monkeypatch, RAISED[0])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The middle one is the odd one."""
    folder = tmp_path_factory.mktemp("videos")
    kinds = (("a.mp4", "warm"), (ODD, "cold"), ("z.mp4", "cold"))
    return [render_video(folder / name, kind, number) for number, (name, kind) in enumerate(kinds)]


def check_reason(text: str | None) -> None:
    assert text is not None
    for word in ("unexpected", "ValueError", "31 is not a valid Type", "report"):
        assert word in text


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_predict(videos: list[Path], stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    stage(monkeypatch, error)
    results = list(predict_videos(TinyAdapter({}), videos))
    assert [item.error is None for item in results] == [True, False, True]
    assert str(results[1].error).startswith(f"{videos[1]}: ")
    expected = "Input/output error" if isinstance(error, OSError) else type(error).__name__
    assert expected in str(results[1].error)


@pytest.mark.usefixtures("faulty")
def test_passes_of_an_open_video(videos: list[Path]) -> None:
    spec = InputSpec(32, 32, 2)
    passes: Sequence[Callable[[Any], Any]] = (
        lambda video: list(video.clips(spec)),
        lambda video: video.clip(spec),
        lambda video: list(video.frames(height=32, width=32)),
    )
    for one in passes:
        with pytest.raises(MediaError, match="unexpected ValueError"), open_video(videos[1]) as video:
            one(video)


@pytest.mark.usefixtures("faulty")
def test_scan(videos: list[Path], tmp_path: Path) -> None:
    from cliplab.api import scan

    model, output = save_model(tmp_path / "model"), tmp_path / "h.json"
    report = scan(videos[0].parent, model, output=output, min_score=0, sample_fps=8)
    assert (report.scored, report.failed, report.highlights) == (3, 1, 2)
    check_reason(report.failures[0][1])


def labels_of(videos: list[Path], folder: Path) -> Path:
    warm = [str(path) for path in videos[::3]]
    names = {"warm": warm, "cold": [str(path) for path in videos if str(path) not in warm]}
    path = folder / "labels.json"
    path.write_text(json.dumps(names))
    return path


@pytest.mark.usefixtures("faulty")
def test_prepare(videos: list[Path], tmp_path: Path) -> None:
    from cliplab.api import dataset_prepare

    more = [render_video(tmp_path / f"{kind}.mp4", kind, 9) for kind in ("warm", "cold")]
    report = dataset_prepare(labels_of([*videos, *more], tmp_path), tmp_path / "out", fps=8)
    assert len(report.skipped) == 1
    check_reason(report.skipped[0])
    assert report.frames == {"warm": 16, "cold": 16}


def views(videos: list[Path]) -> list[ExampleView]:
    return [ExampleView(Example(path, ("warm",)), 0) for path in videos]


def mean_levels(clips: list[Clip]) -> list[np.ndarray]:
    if any(clip.source.endswith(ODD) for clip in clips):
        raise RAISED[0]
    return [clip.frames.mean(axis=(1, 2), dtype=np.float32) for clip in clips]


@pytest.mark.usefixtures("faulty")
def test_train_reads(videos: list[Path], tmp_path: Path) -> None:
    found = cached_features(
        tmp_path, {}, InputSpec(16, 16, 2), views(videos), {}, 0, lambda clips: mean_levels(clips), (2, 3)
    )
    assert list(found.skipped) == [str(videos[1])]
    check_reason(found.skipped[str(videos[1])])
    assert len(found.keys) == 2
    found.store.close()


def test_train_scores(videos: list[Path], tmp_path: Path) -> None:
    found = cached_features(tmp_path, {}, InputSpec(16, 16, 2), views(videos), {}, 0, mean_levels, (2, 3))
    check_reason(found.skipped[str(videos[1])])
    assert len(found.keys) == 2
    found.store.close()


@pytest.mark.usefixtures("faulty")
def test_evaluate(videos: list[Path], tmp_path: Path) -> None:
    from cliplab.api import evaluate

    rows = [{"path": str(path), "label": kind, "split": "test"} for path, kind in zip(videos, KINDS, strict=True)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    TinyAdapter({}).save(tmp_path / "model")
    report = evaluate(tmp_path / "model", data)
    [skipped] = report.skipped
    check_reason(skipped.error)


KINDS = ("warm", "cold", "cold")


@pytest.mark.usefixtures("faulty")
def test_reel(videos: list[Path], tmp_path: Path) -> None:
    from cliplab.api import reel

    marked = highlights(tmp_path / "h.json", *((path, 0, 1) for path in videos))
    report = reel(marked, tmp_path / "reel.mp4")
    assert [Path(clip.clip.path).name for clip in report.timeline] == ["a.mp4", "z.mp4"]
    check_reason(report.skipped[0].reason)


def test_http(videos: list[Path], tmp_path: Path) -> None:
    import httpx
    from http_server import PATIENT, PickyAdapter, http_host

    model = tmp_path / "picky"
    PickyAdapter({"adapter": "http_server:PickyAdapter"}).save(model)
    with http_host([model]) as host:
        for path, status in zip(videos, (200, 422, 422), strict=True):
            answer = httpx.post(f"{host.url}/v1/videos", files={"file": path.read_bytes()}, timeout=PATIENT)
            assert answer.status_code == status, answer.text
            assert "IndexError" in answer.json().get("error", "") if status == 422 else answer.json()


class Following(TinyAdapter):
    """The tiny adapter for streams: each frame by itself."""

    streams = True

    def open_stream(self, fps: float | None = None, *, source: str = "", on_note: Any = None) -> Any:
        return Session(self, fps or 4.0, source)


TRUSTED = (f"{__name__}:Following",)


class Session:
    """raised: by the third frame, where it is set."""

    raised: Exception | None = None

    def __init__(self, adapter: TinyAdapter, fps: float, source: str) -> None:
        self.adapter, self.fps, self.source, self.count = adapter, fps, source, 0

    def push(self, picture: Any, seconds: float) -> Prediction:
        frame = picture() if callable(picture) else picture
        self.count += 1
        if self.raised is not None and self.count == 3:
            raise self.raised
        return self.adapter.predict([Clip(frame[None], np.array([seconds]), self.source, seconds, seconds + 0.1)])[0]


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("following") / "model"
    Following({"imgz": 32}).save(folder)
    return folder


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_stream(
    videos: list[Path], following: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Of the one source that it follows: an error that names it, after the rows that came before."""
    from cliplab.models import stream

    stage(monkeypatch, error)
    assert len(list(stream(following, videos[0], trust_adapters=TRUSTED))) == 4
    with pytest.raises(MediaError) as failed:
        list(stream(following, videos[1], trust_adapters=TRUSTED))
    assert str(failed.value).startswith(f"{videos[1]}: ")
    expected = "Input/output error" if isinstance(error, OSError) else type(error).__name__
    assert expected in str(failed.value)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("live", [False, True], ids=["file", "pipe"])
def test_stream_whose_model_fails(
    videos: list[Path], following: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, live: bool
) -> None:
    from cliplab.models import streaming

    monkeypatch.setattr(Session, "raised", error)
    if live:
        monkeypatch.setattr(media, "is_live", lambda source: True)
    rows = streaming.stream(following, videos[1], trust_adapters=TRUSTED, fps=8)
    assert [next(rows)["time"], next(rows)["time"]] == pytest.approx([0.1, 0.225])
    with pytest.raises(MediaError) as failed:
        next(rows)
    assert str(failed.value).startswith(f"{videos[1]}: ")
    assert list(rows) == []


def test_stream_of_a_live_source(
    videos: list[Path], following: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cliplab.models import stream

    monkeypatch.setattr(media, "is_live", lambda source: True)
    monkeypatch.setattr(live, "Scaler", scaler_that_fails if stage is at_scaling else live.Scaler)
    if stage is at_opening:
        monkeypatch.setattr(live, "open_container", raising)
    stage(monkeypatch, RAISED[0])
    with pytest.raises(MediaError) as failed:
        list(stream(following, videos[1], trust_adapters=TRUSTED))
    check_reason(str(failed.value))


def raising(*rest: Any, **more: Any) -> Any:
    raise RAISED[0]


def scaler_that_fails(*rest: Any, **more: Any) -> Any:
    return raising


def label_studio_config(kind: str) -> str:
    labels = '<Label value="warm"/><Label value="cold"/>'
    return f'<View><Video name="v" value="$clip"/><{kind} name="t" toName="v">{labels}</{kind}></View>'


@pytest.mark.usefixtures("faulty")
def test_label_studio_predicts(videos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="pip install 'cliplab[http]'")
    from adapters.hosts.http_server.state import ServedModel
    from adapters.hosts.label_studio.labels import parse_label_config
    from adapters.hosts.label_studio_host import LabelStudioBackend, VideoFetcher

    model = ServedModel("tiny", TinyAdapter({}), ("cold", "warm"))
    backend = LabelStudioBackend(model, VideoFetcher(videos[0].parent, None, 10**7))
    tasks = [{"id": number, "data": {"clip": path.name}} for number, path in enumerate(videos)]
    controls = parse_label_config(label_studio_config("TimelineLabels"))
    answers = backend._predictions(tasks, controls, MediaLimits(10**6), tmp_path, None)
    assert ["error" in answer for answer in answers] == [False, True, False]
    check_reason(answers[1]["error"])
    assert answers[0]["result"]


def test_label_studio_host_whose_model_fails(videos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="pip install 'cliplab[http]'")
    import httpx
    from http_server import PATIENT, PickyAdapter, http_host

    PickyAdapter({"adapter": "http_server:PickyAdapter"}).save(tmp_path / "picky")
    asked = {
        "tasks": [{"id": number, "data": {"clip": path.name}} for number, path in enumerate(videos)],
        "label_config": label_studio_config("TimelineLabels"),
    }
    with http_host([tmp_path / "picky"], "--root", videos[0].parent, kind="label-studio") as host:
        answer = httpx.post(f"{host.url}/predict", json=asked, timeout=PATIENT)
    assert answer.status_code == 200, answer.text
    errors = [item.get("error") for item in answer.json()["results"]]
    assert [error is None for error in errors] == [True, False, False]
    assert "IndexError" in errors[1]


class Reading(TinyAdapter):
    """Its training reads every clip, as the frame models' does, and reports those that it leaves out."""

    def train(self, data_path: Any, output_path: Any, *rest: Any, **more: Any) -> TrainReport:
        results = list(predict_examples(self, read_dataset(data_path).examples))
        self.save(output_path)
        skipped = tuple(item.error for item in results if item.error)
        return TrainReport(str(output_path), self.labels, (), 0, "finished", {}, len(results), 0.0, skipped)


@pytest.mark.usefixtures("faulty")
def test_label_studio_trains(videos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="pip install 'cliplab[http]'")
    from label_studio_server import LEGACY, label_studio

    from adapters.hosts.http_server.options import HttpOptions
    from adapters.hosts.label_studio.training import decoding_options, train

    tasks = [
        {
            "id": number,
            "data": {"clip": path.name},
            "annotations": [{"result": [{"from_name": "t", "value": {"timelinelabels": [kind], "ranges": [whole]}}]}],
        }
        for number, (path, kind) in enumerate(zip(videos, KINDS, strict=True))
        for whole in [{"start": 1, "end": 8}]
    ]
    with label_studio() as studio:
        studio.exports[3] = tasks
        job = {
            "config": str(tmp_path / "config.json"),
            "project": 3,
            "label_config": label_studio_config("TimelineLabels"),
            "url": studio.url,
            "root": str(videos[0].parent),
            "max_bytes": 10**7,
            "trust_adapters": [f"{__name__}:Reading"],
            **decoding_options(HttpOptions(decoders=0)),
        }
        (tmp_path / "config.json").write_text(json.dumps({"adapter": f"{__name__}:Reading"}))
        (tmp_path / "job.json").write_text(json.dumps(job))
        state = train(tmp_path, LEGACY)
    assert state["status"] == "finished"
    [left_out] = state["left_out"]
    check_reason(left_out)


@pytest.mark.usefixtures("faulty")
def test_mlflow(videos: list[Path]) -> None:
    pytest.importorskip("mlflow")
    import pandas as pd

    from adapters.hosts.mlflow_host import VideoModel

    rows = VideoModel(TinyAdapter({})).predict(pd.DataFrame({"path": [str(path) for path in videos]}))
    assert rows["error"].isna().tolist() == [True, False, True]
    check_reason(rows["error"][1])


@pytest.mark.usefixtures("faulty")
def test_ray_rows(videos: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from adapters.hosts.ray_host import VideoPredictor

    TinyAdapter({}).save(tmp_path / "model")
    rows = VideoPredictor(tmp_path / "model")({"path": [str(path) for path in videos]}).to_pylist()
    assert [row["error"] is None for row in rows] == [True, False, True]
    check_reason(rows[1]["error"])


@pytest.mark.usefixtures("faulty")
def test_dataloop_items(videos: list[Path]) -> None:
    pytest.importorskip("dtlpy")
    from dataloop_offline import item

    from adapters.hosts.dataloop.items import embed_items, predict_items

    model = TinyAdapter({})
    results = list(predict_items(model, [item(path) for path in videos]))
    assert [result.error is None for result in results] == [True, False, True]
    check_reason(results[1].error)
    model.embed = lambda clips: np.zeros((len(clips), 2), np.float32)  # type: ignore[method-assign]
    embedded = list(embed_items(model, [item(path) for path in videos]))
    assert [vector is None for _, vector, _ in embedded] == [False, True, False]
    check_reason(embedded[1][2])


class Picky(TinyAdapter):
    """Fails on the odd video only."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if any(clip.source.endswith(ODD) for clip in batch):
            raise RAISED[0]
        return super().predict(batch)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("window_seconds", [None, 0.25])
def test_a_model_that_fails_on_one_video(videos: list[Path], batch_size: int, window_seconds: float | None) -> None:
    model = Picky({"batch_size": batch_size})
    results = list(predict_videos(model, videos * 2, window_seconds=window_seconds))
    assert [item.error is None for item in results] == [True, False, True] * 2
    check_reason(results[1].error)
    expected = list(predict_videos(TinyAdapter({"batch_size": batch_size}), videos, window_seconds=window_seconds))
    assert [p.scores.tolist() for p in results[2].predictions] == [p.scores.tolist() for p in expected[2].predictions]
    assert results[1].predictions == ()


def test_one_clip(videos: list[Path], faulty: None) -> None:
    with pytest.raises(MediaError, match="report"):
        read_clip(videos[1], InputSpec(32, 32, 2))
