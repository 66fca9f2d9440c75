"""Label Studio's ML backend: requests of the forms that its SDK and documentation give, to a real host."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flat_videos import flat_video
from http_server import PATIENT, Served, http_host
from hypothesis import given
from hypothesis import strategies as st
from label_studio_server import LEGACY, PERSONAL, LabelStudioServer, label_studio
from places import SUPPORT
from tiny_adapter import TinyAdapter
from tiny_videos import render_video
from waiting import until

from adapters.data import read_dataset
from adapters.errors import ConfigError, MediaError
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.label_studio.labels import for_labels, parse_label_config, to_frames, to_regions, to_seconds
from adapters.hosts.label_studio.training import Trainer, read_tasks
from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher
from adapters.inference import open_model, predict_examples, predict_videos
from adapters.media.reading_limits import current_guard
from adapters.records import Prediction, VideoResult
from adapters.reports import TrainReport
from cliplab.models import host_label_studio

# As in the template for the classification of video frames, with another whole-video question beside it.
CONFIG = """
<View>
  <TimelineLabels name="videoLabels" toName="video">
    <Label value="warm" background="#c813ec"/>
    <Label value="Slow Motion" background="#54d651"/>
  </TimelineLabels>
  <Video name="video" value="$video" frameRate="8.0" timelineHeight="120" />
  <Choices name="kind" toName="video">
    <Choice value="cold" alias="kalt"/><Choice value="warm" alias="heiss"/><Choice value="neither"/>
  </Choices>
</View>
"""
CHOICES = (
    '<View><Video name="v" value="$clip"/><Choices name="kind" toName="v" {}><Choice value="warm"/></Choices></View>'
)
TOKEN = "a-password-of-some-length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with windows of half a second, a config to train from, and a root with videos."""
    folder = tmp_path_factory.mktemp("label_studio")
    TinyAdapter({"window_seconds": 0.5, "top_k": 2}).save(folder / "tiny")
    (folder / "train.json").write_text(json.dumps({"adapter": "tiny_adapter:TinyAdapter"}))
    (folder / "root").mkdir()
    render_video(folder / "root" / "warm.mp4", "warm", 0, seconds=2)
    render_video(folder / "root" / "cold.mp4", "cold", 1)
    render_video(folder / "outside.mp4", "warm", 2)
    (folder / "root" / "link.mp4").symlink_to(folder / "outside.mp4")
    (folder / "root" / "damaged.mp4").write_bytes((folder / "outside.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def studio(folder: Path) -> Iterator[LabelStudioServer]:
    with label_studio() as server:
        server.files["/data/upload/3/8a2e-warm.mp4"] = (folder / "root" / "warm.mp4").read_bytes()
        server.files["/data/upload/3/cut.mp4"] = (folder / "root" / "warm.mp4").read_bytes()
        yield server


@pytest.fixture(scope="module")
def served(folder: Path, studio: LabelStudioServer) -> Iterator[Served]:
    token_file = folder / "token.txt"
    token_file.write_text(PERSONAL)
    connected = ("--label-studio-url", studio.url, "--label-studio-token-file", token_file)
    training = ("--train-config", folder / "train.json", "--train-output", folder / "trained")
    with http_host([folder / "tiny"], "--root", folder / "root", *connected, *training, kind="label-studio") as host:
        yield host


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=PATIENT) as client:
        yield client


def predict_request(*videos: object, config: str = CONFIG, key: str = "video") -> dict[str, Any]:
    """As Label Studio posts it to /predict."""
    tasks = [
        {"id": 100 + number, "data": {key: video}, "project": 3, "predictions": [], "file_upload": None}
        for number, video in enumerate(videos)
    ]
    return {
        "tasks": tasks,
        "model_version": "any",
        "project": "3.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": None},
    }


def test_health_and_setup(http: httpx.Client) -> None:
    health = http.get("/health").json()
    assert health["status"] == "UP"
    assert health["model_class"] == "TinyAdapter"
    assert http.get("/").json() == health
    asked = {"project": "3.1700000000", "schema": CONFIG, "hostname": "http://127.0.0.1:9", "access_token": "x"}
    answer = http.post("/setup", json={**asked, "extra_params": None})
    assert answer.status_code == 200
    assert answer.json()["model_version"] == health["model_version"]
    assert health["model_version"].startswith("tiny-")


def test_predictions_in_label_studios_form(http: httpx.Client, folder: Path) -> None:
    body = predict_request("/data/local-files/?d=warm.mp4", "cold.mp4")
    answer = http.post("/predict", json=body).json()
    warm, cold = answer["results"]
    model = open_model(folder / "tiny")
    windows = [p.score_of("warm") for p in next(predict_videos(model, [folder / "root" / "warm.mp4"])).predictions]
    timeline, choice = warm["result"]
    assert {key: timeline[key] for key in ("type", "from_name", "to_name")} == {
        "type": "timelinelabels",
        "from_name": "videoLabels",
        "to_name": "video",
    }
    assert timeline["value"] == {"ranges": [{"start": 1, "end": 16}], "timelinelabels": ["warm"]}
    assert timeline["score"] == pytest.approx(sum(windows) / len(windows), abs=1e-6)
    assert choice["value"] == {"choices": ["heiss"]}
    assert choice["type"] == "choices"
    assert choice["score"] == pytest.approx(sum(windows) / len(windows), abs=1e-6)
    assert warm["score"] == pytest.approx((timeline["score"] + choice["score"]) / 2)
    assert warm["model_version"] == answer["model_version"] == http.get("/health").json()["model_version"]
    assert [region["value"] for region in cold["result"]] == [{"choices": ["kalt"]}]
    assert len({region["id"] for region in warm["result"]}) == 2


def test_several_choices_are_those_above_the_threshold(http: httpx.Client) -> None:
    for attribute, found in (("", 1), ('choice="multiple"', 0)):
        body = predict_request("cold.mp4", config=CHOICES.format(attribute), key="clip")
        (prediction,) = http.post("/predict", json=body).json()["results"]
        assert len(prediction["result"]) == found
        assert (prediction["score"] > 0) == bool(found)


def test_uploads_come_from_the_configured_label_studio(http: httpx.Client, studio: LabelStudioServer) -> None:
    path = "/data/upload/3/8a2e-warm.mp4"
    local, relative, absolute = http.post("/predict", json=predict_request("warm.mp4", path, studio.url + path)).json()[
        "results"
    ]
    assert local["result"]
    assert local == relative == absolute


@pytest.mark.parametrize(
    "video, reason",
    [
        ("/data/local-files/?d=../outside.mp4", "is outside the host's root"),
        ("/data/local-files/?d=%2e%2e%2foutside.mp4", "is outside the host's root"),
        ("/data/local-files/?d=/etc/passwd", "is outside the host's root"),
        ("/data/local-files/", "is outside the host's root"),
        ("link.mp4", "is outside the host's root"),
        ("missing.mp4", "no such file under the host's root"),
        ("damaged.mp4", "damaged.mp4: an MP4 or MOV without a readable index"),
        ("/etc/passwd", "is not supported"),
        ("file:///etc/passwd", "is not supported"),
        ("http://169.254.169.254/latest/meta-data", "is not supported"),
        ("s3://bucket/clip.mp4", "is not supported"),
        ("/data/upload/../../api/projects/3/export?exportType=JSON", "is outside Label Studio's uploads"),
        ("/data/upload/%252e%252e/api", "percent-encoded twice"),
        ("/data/upload/%2e%2e/%2e%2e/api", "is outside Label Studio's uploads"),
        ("/data/upload/3/%5c..%5cclip.mp4", "is outside Label Studio's uploads"),
        ("/data/upload/3/clip%00.mp4", "is outside Label Studio's uploads"),
        ("/data/upload//evil.example/clip.mp4", "is not the path of an upload"),
        ("/data/upload/3/a b.mp4", "is not the path of an upload"),
        ("/data/local-files/?d=%252e%252e%252foutside.mp4", "percent-encoded twice"),
        ("/data/local-files/?d=sub%255c..%255coutside.mp4", "percent-encoded twice"),
        ("/data/local-files/?d=..%5coutside.mp4", "is outside the host's root"),
        ("/data/local-files/?d=warm.mp4%00.mp4", "is outside the host's root"),
        ("/data/local-files/?d=%2fetc%2fpasswd", "is outside the host's root"),
        ("/data/local-files/?d=warm.mp4&d=../outside.mp4", "is outside the host's root"),
        ("/data/local-files/?" + "d=a&" * 100, "is outside the host's root"),
        ("/data/local-files/../../etc/passwd?d=link.mp4", "is outside the host's root"),
        ("%2e%2e/outside.mp4", "is outside the host's root"),
        ("%252e%252e/outside.mp4", "percent-encoded twice"),
        ("%2fetc%2fpasswd", "is outside the host's root"),
        ("sub\\..\\..\\outside.mp4", "is outside the host's root"),
        ("http://[", "is not"),
        ("/data/upload/3/missing.mp4", "Label Studio answered 404"),
        ("/data/upload/moved/clip.mp4", "Label Studio answered 302"),
        ("/data/upload/3/cut.mp4", "bytes arrived from Label Studio"),
        (["warm.mp4"], "must be a path or URL"),
        (None, "must be a path or URL"),
    ],
)
def test_videos_that_are_not_read(http: httpx.Client, video: object, reason: str) -> None:
    """One bad task is answered with an error and an empty result of another version; alone it is a 422."""
    good, bad = http.post("/predict", json=predict_request("warm.mp4", video)).json()["results"]
    assert good["result"]
    assert bad["result"] == []
    assert bad["model_version"] == f"{good['model_version']} (failed)"
    assert reason in bad["error"]
    alone = http.post("/predict", json=predict_request(video))
    assert alone.status_code == 422
    assert alone.json()["error"].startswith("task 100: ")


def test_only_the_configured_host_is_asked(http: httpx.Client) -> None:
    """Neither the host that a request names, nor another whose name begins as the right one's."""
    with label_studio() as other:
        other.files["/data/upload/3/clip.mp4"] = b"secret"
        body = {**predict_request(f"{other.url}/data/upload/3/clip.mp4"), "hostname": other.url, "access_token": LEGACY}
        assert http.post("/predict", json=body).status_code == 422
        assert other.requests == []


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"[]", "must be a JSON object"),
        (b"{", "is not JSON"),
        ({}, "a labelling config (XML text) is required"),
        ({"label_config": "<View>"}, "is not XML"),
        ({"label_config": '<!DOCTYPE x [<!ENTITY a "b">]><View/>'}, "without <!"),
        ({"label_config": "<View><Video name='v' value='$v'/></View>"}, "no Choices and no TimelineLabels"),
        ({"label_config": CHOICES.replace("warm", "ad").format("")}, "no label in common: the config has ad"),
        ({"label_config": CHOICES.replace("$clip", "clip").format("")}, 'a value="$key"'),
        ({"label_config": CONFIG, "tasks": {}}, '"tasks" must be a list'),
        ({"label_config": CONFIG, "tasks": [{"id": 1}]}, '"tasks" must be a list'),
    ],
)
def test_requests_that_are_none(http: httpx.Client, body: Any, reason: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = http.post("/predict", content=content)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    if isinstance(body, dict) and "tasks" not in body:
        assert http.post("/setup", json={"project": "3.1", "schema": body.get("label_config")}).status_code == 400


def annotated(number: int, video: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task of Label Studio's JSON export."""
    annotation = {"id": number, "result": list(results), "was_cancelled": False, "ground_truth": False, **more}
    return {"id": number, "annotations": [annotation], "data": {"video": video}, "predictions": [], "project": 3}


def labelled(label: str, first: int, last: int) -> dict[str, Any]:
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}
    return {"type": "timelinelabels", "from_name": "videoLabels", "to_name": "video", "value": value, "id": "Bx1"}


def test_a_training_started_by_webhook(http: httpx.Client, folder: Path, studio: LabelStudioServer) -> None:
    config = CONFIG.replace('value="Slow Motion"', 'value="cold"')
    studio.exports[3] = [
        annotated(1, "/data/upload/3/8a2e-warm.mp4", labelled("warm", 1, 8), labelled("warm", 9, 16)),
        annotated(2, "/data/local-files/?d=cold.mp4", labelled("cold", 1, 8)),
        annotated(3, "/data/local-files/?d=missing.mp4", labelled("cold", 1, 8)),
        annotated(4, "warm.mp4", labelled("cold", 1, 8), was_cancelled=True),
        annotated(6, "warm.mp4", {**labelled("cold", 1, 8), "value": {"ranges": [{}], "timelinelabels": []}}),
        "no task",
        {"id": 5, "annotations": [], "data": {"video": "warm.mp4"}},
    ]
    for action in ("ANNOTATION_CREATED", "TASKS_CREATED"):
        answer = http.post("/webhook", json={"action": action, "project": {"id": 3, "label_config": config}})
        assert answer.status_code == 200
        assert answer.json()["training"] == {"status": "none"}
    start = {"action": "START_TRAINING", "project": {"id": 3, "title": "Clips", "label_config": config}}
    answer = http.post("/webhook", json=start)
    assert answer.status_code == 201
    assert answer.json()["status"] == "ok"
    again = http.post("/webhook", json=start)
    assert again.status_code == 409
    assert "a training is already running" in again.json()["error"]

    def training() -> dict[str, Any]:
        state: dict[str, Any] = http.get("/health").json()["training"]
        return state

    until(lambda: training()["status"] in ("finished", "failed"), 120)
    state = training()
    assert state["status"] == "finished", state
    assert http.post("/setup", json={"project": "3.1", "schema": CONFIG}).json()["training"] == state
    assert [reason.partition(": ")[0] for reason in state["left_out"]] == ["task 3", "task 6", "task 'no task'"]
    assert "does not have the form of Label Studio's export" in state["left_out"][1]
    rows = [json.loads(line) for line in Path(state["folder"], "dataset.jsonl").read_text().splitlines()]
    assert [(row["label"], row["start_seconds"], row["end_seconds"]) for row in rows if "path" in row] == [
        ("warm", 0.0, 1.0),
        ("warm", 1.0, 2.0),
        ("cold", 0.0, 1.0),
    ]
    trained = open_model(state["model"])
    assert trained.labels == ("warm", "cold")
    assert PERSONAL not in "".join(path.read_text() for path in Path(state["folder"]).glob("*.*"))
    studio.exports[3] = []
    assert http.post("/webhook", json=start).status_code == 201
    until(lambda: training()["status"] in ("finished", "failed"), 120)
    assert training()["error"] == "project 3 has no task that is labelled with 'videoLabels'"


class Reading(TinyAdapter):
    """Its training reads every clip, as the frame models' does; it also says in which processes that was."""

    def train(self, data_path: Any, output_path: Any, *rest: Any, **more: Any) -> TrainReport:
        results = list(predict_examples(self, read_dataset(data_path).examples))
        self.save(output_path)
        skipped = tuple(item.error for item in results if item.error)
        decoders = current_guard().decoders
        assert decoders is not None
        counts = {"processes": len(decoders.pids), "seconds": int(decoders.seconds)}
        return TrainReport(str(output_path), self.labels, (), 0, "finished", counts, len(results), 0.0, skipped)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_training_decodes_within_the_hosts_limits(
    folder: Path, studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Videos that take too much memory or have too large frames cost their own clips only."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), str(Path(__file__).parent)]))
    root = tmp_path / "root"
    root.mkdir()
    render_video(root / "good.mp4", "warm", 0, seconds=2)
    flat_video(root / "heavy.mp4", 3200, 3000, 3, {"preset": "ultrafast"})
    flat_video(root / "wide.mp4", 4000, 3000, 1, {"preset": "ultrafast"})
    (root / "torn.mp4").write_bytes((root / "good.mp4").read_bytes()[:300])
    name = f"{__name__}:Reading"
    (tmp_path / "train.json").write_text(json.dumps({"adapter": name}))
    whole = {"type": "choices", "from_name": "kind", "value": {"choices": ["warm"]}}
    names = ("good", "heavy", "wide", "torn")
    studio.exports[8] = [annotated(at, f"{name}.mp4", whole) for at, name in enumerate(names)]
    options = HttpOptions(decoders=2, decoder_memory_mb=40, decoder_seconds=40)
    fetcher = VideoFetcher(root, LabelStudioClient(studio.url, LEGACY), 10_000_000)
    trainer = Trainer(
        str(tmp_path / "train.json"), tmp_path / "trained", fetcher, trust_adapters=(name,), options=options
    )
    trainer.start(
        8, CHOICES.replace("$clip", "$video").format("").replace("</Choices>", '<Choice value="cold"/></Choices>')
    )
    assert trainer.process is not None
    trainer.process.wait(PATIENT)
    state = trainer.state()
    assert state["status"] == "finished", state
    reasons = dict(zip(names[1:], state["left_out"], strict=True))
    for which, part in (
        ("heavy", "more than the 40 MB"),
        ("wide", "million"),
        ("torn", "index"),
    ):
        assert f"{which}.mp4: " in reasons[which]
        assert part in reasons[which]
    assert state["clips"] == {"processes": 2, "seconds": 40}


def test_an_odd_export_costs_its_own_tasks(tmp_path: Path, folder: Path) -> None:
    """What an export of another version, or a hostile one, may hold: nothing is written outside of the folder."""
    (control, _) = parse_label_config(CONFIG)
    hostile = [
        annotated(1, "warm.mp4", labelled("warm", 10**400, 10**401)),
        annotated(2, "warm.mp4", labelled("warm", float("nan"), 4)),
        annotated(3, "warm.mp4", labelled("warm", 8, "x")),  # type: ignore[arg-type]
        annotated(4, "warm.mp4", {**labelled("warm", 1, 8), "value": [[]]}),
        {**annotated(5, "x", labelled("warm", 1, 8)), "data": {"video": {"a": ["b"]}}},
        {**annotated(6, "warm.mp4", labelled("warm", 1, 8)), "annotations": 7},
        {**annotated(7, "../outside.mp4", labelled("warm", 1, 8))},
        {**annotated(8, "warm.mp4", labelled("warm", 1, 8)), "id": "../../up"},
        [[[]]],
        None,
    ]
    examples, left_out = read_tasks(hostile, control, VideoFetcher(folder / "root", None, 1000), tmp_path)
    assert [example.source for example in examples] == ["label-studio-../../up"]
    assert len(left_out) == len(hostile) - 1
    assert all(reason.startswith("task ") for reason in left_out)
    client = LabelStudioClient("http://127.0.0.1:9", LEGACY)
    asked: list[Path] = []

    class Fetcher(VideoFetcher):
        def fetch(self, value: object, folder: Path, name: str, stop: Any = None) -> Path:
            asked.append(folder / name)
            raise MediaError("is not needed")

    read_tasks(hostile[-3:], control, Fetcher(None, client, 1000), tmp_path)
    assert [path.parent for path in asked] == [tmp_path]


def test_a_host_without_training_or_root_says_so(folder: Path) -> None:
    with http_host([folder / "tiny"], kind="label-studio", token=TOKEN) as host:
        shown = base64.b64encode(f"label-studio:{TOKEN}".encode()).decode()
        for header in (None, f"Basic {base64.b64encode(b'label-studio:wrong').decode()}", "Basic ???"):
            headers = {} if header is None else {"Authorization": header}
            assert httpx.get(f"{host.url}/health", headers=headers, timeout=PATIENT).status_code == 401
        with httpx.Client(base_url=host.url, headers={"Authorization": f"Basic {shown}"}, timeout=PATIENT) as http:
            assert http.get("/health").json()["training"] == {"status": "none"}
            body = {"action": "START_TRAINING", "project": {"id": 3, "label_config": CONFIG}}
            refused = http.post("/webhook", json=body)
            assert refused.status_code == 409
            assert "was started without --train-config" in refused.json()["error"]
            for video, reason in (("warm.mp4", "without --root"), ("/data/upload/1/a.mp4", "--label-studio-url")):
                answer = http.post("/predict", json=predict_request(video))
                assert answer.status_code == 422
                assert reason in answer.json()["error"]


def test_settings_that_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    model, url = str(folder / "tiny"), "http://127.0.0.1:8080"
    with pytest.raises(ConfigError, match="access token is missing"):
        host_label_studio(model, label_studio_url=url)
    with pytest.raises(ConfigError, match="both train_config and train_output"):
        host_label_studio(model, train_config="efficientnet_lite0")
    with pytest.raises(ConfigError, match="training needs Label Studio's annotations"):
        host_label_studio(model, train_config="efficientnet_lite0", train_output=folder / "x")
    with pytest.raises(ConfigError, match="no token is set"):
        host_label_studio(model, host="0.0.0.0")
    for wrong in ("ftp://x", "127.0.0.1:8080", "http://user@x", "http://x?y"):
        with pytest.raises(ConfigError, match="Label Studio's URL must be"):
            LabelStudioClient(wrong, LEGACY)


def test_both_kinds_of_tokens_and_a_limit_on_downloads(studio: LabelStudioServer, tmp_path: Path) -> None:
    path = "/data/upload/3/8a2e-warm.mp4"
    for token in (LEGACY, PERSONAL):
        fetcher = VideoFetcher(None, LabelStudioClient(studio.url, token), 10_000_000)
        assert fetcher.fetch(path, tmp_path, "video").read_bytes() == studio.files[path]
    with pytest.raises(MediaError, match="answered 401"):
        VideoFetcher(None, LabelStudioClient(studio.url, "wrong"), 10_000_000).fetch(path, tmp_path, "video")
    with pytest.raises(MediaError, match="more than 0 MB"):
        VideoFetcher(None, LabelStudioClient(studio.url, LEGACY), 1000).fetch(path, tmp_path, "video")
    with pytest.raises(MediaError, match="client has disconnected"):
        VideoFetcher(None, LabelStudioClient(studio.url, LEGACY), 10_000_000).fetch(
            path, tmp_path, "video", lambda: "client has disconnected"
        )
    with pytest.raises(MediaError, match="cannot be reached"):
        VideoFetcher(None, LabelStudioClient("http://127.0.0.1:9", LEGACY), 1000).fetch(path, tmp_path, "video")


def test_labelling_configs() -> None:
    timeline, choices = parse_label_config(CONFIG)
    assert (timeline.kind, timeline.name, timeline.to_name, timeline.video_key) == (
        "timelinelabels",
        "videoLabels",
        "video",
        "video",
    )
    assert timeline.frames_per_second({}) == 8
    assert choices.values == {"cold": "kalt", "warm": "heiss", "neither": "neither"}
    assert choices.label_of("heiss") == "warm"
    assert choices.label_of("lau") is None
    (plain,) = parse_label_config(CHOICES.format(""))
    assert plain.frames_per_second({}) == 24
    (from_data,) = parse_label_config(CHOICES.replace('"$clip"', '"$clip" framerate="$fps"').format(""))
    assert from_data.frames_per_second({"fps": "29.97"}) == 29.97
    for data in ({}, {"fps": "x"}, {"fps": 0}, {"fps": "inf"}):
        with pytest.raises(ConfigError, match=r"frameRate '\$fps'"):
            from_data.frames_per_second(data)
    with pytest.raises(ConfigError, match="no Choices and no TimelineLabels"):
        parse_label_config(CHOICES.format('perRegion="true"'))
    assert for_labels([timeline, plain], ["Slow Motion"]) == (timeline,)


@given(st.integers(1, 10**6), st.integers(0, 10**5), st.sampled_from([8.0, 24.0, 25.0, 29.97, 59.94]))
def test_frames_to_seconds_and_back(first: int, more: int, rate: float) -> None:
    start, end = to_seconds(first, first + more, rate)
    assert to_frames(start, end, rate) == {"start": first, "end": first + more}


def test_a_training_that_is_killed_has_failed_and_another_may_begin(
    folder: Path, studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    fetcher = VideoFetcher(folder / "root", LabelStudioClient(studio.url, LEGACY), 10_000_000)
    trainer = Trainer(str(folder / "train.json"), tmp_path / "trained", fetcher)
    assert trainer.state() == {"status": "none"}
    with (tmp_path / "trained" / "training.lock").open("wb") as lock:  # as another host's training holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another host"):
            trainer.start(7, CONFIG)
    trainer.start(7, CONFIG)
    assert trainer.process is not None
    trainer.process.kill()
    trainer.process.wait()
    state = trainer.state()
    assert state["status"] == "failed"
    assert "ended with code -9" in state["error"]
    studio.exports[7] = [annotated(1, "warm.mp4", labelled("ad", 1, 8))]
    trainer.start(7, CONFIG)
    assert trainer.process.wait(PATIENT) == 1
    assert "task 1: is labelled 'ad', but 'videoLabels' no longer has this value" in trainer.state()["error"]


def test_a_request_ends_while_its_segments_are_computed() -> None:
    """Windows that overlap much take long: the work asks whether it has to end."""
    predictions = tuple(
        Prediction(np.array([0.4, 0.6], np.float32), ("warm", "cold"), at * 0.01, at * 0.01 + 100) for at in range(9000)
    )
    (control,) = parse_label_config(CONFIG.replace("Choices", "Other"))
    begin = time.process_time()

    def check() -> None:
        if time.process_time() > begin + 0.3:
            raise TimeoutError("it has to end")

    with pytest.raises(TimeoutError):
        to_regions(VideoResult("clip.mp4", predictions), control, TinyAdapter({}).config, {}, check)
    assert time.process_time() - begin < 2.3


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_decoder_that_dies_costs_one_task(folder: Path) -> None:
    """The other tasks of the request, and the next request, are answered."""
    flat_video(folder / "root" / "long.mp4", 64, 64, 20_000)
    with http_host([folder / "tiny"], "--root", folder / "root", kind="label-studio") as host:
        pids = [
            int(pid)
            for thread in Path(f"/proc/{host.process.pid}/task").iterdir()
            for pid in (thread / "children").read_text().split()
        ]
        assert pids
        found: list[dict[str, Any]] = []

        def ask() -> None:
            answer = httpx.post(f"{host.url}/predict", json=predict_request("long.mp4", "warm.mp4"), timeout=PATIENT)
            found.extend(answer.json()["results"])

        def reading() -> list[int]:
            links = [(pid, link) for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*")]
            return [pid for pid, link in links if str(link.resolve()).endswith("long.mp4")]

        asking = threading.Thread(target=ask)
        asking.start()
        os.kill(until(reading, every=0.001)[0], signal.SIGSEGV)
        asking.join(PATIENT)
        assert "long.mp4: crashed its decoder" in found[0]["error"]
        assert found[1]["result"]
        warm = httpx.post(f"{host.url}/predict", json=predict_request("warm.mp4"), timeout=PATIENT).json()
        assert warm["results"] == found[1:]
