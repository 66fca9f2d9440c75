"""The Dataloop host without a service: items that link to local files, models made from JSON, dtlpy's own download."""

from __future__ import annotations

import copy
import itertools
import json
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from dataloop_gateway.client import logged_in
from dataloop_gateway.server import gateway
from dataloop_offline import TINY, dl, item, model
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_videos import render_video

from adapters.config import check_config
from adapters.errors import AdapterError, BundleError, ConfigError, DatasetError
from adapters.hosts.dataloop import items as dataloop_items
from adapters.hosts.dataloop.annotations import annotate, timeline
from adapters.hosts.dataloop.downloads import DOWNLOADS_AHEAD
from adapters.hosts.dataloop.evaluation import remove_model_annotations
from adapters.hosts.dataloop.items import ItemResult
from adapters.hosts.dataloop.metrics import publish_metrics
from adapters.hosts.dataloop.training import download_items
from adapters.hosts.dataloop_host import ModelAdapter
from adapters.records import Clip, Prediction, Segment, VideoResult


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """warm, cold, warm, cold; of 2, 3, 4, 5 seconds."""
    folder = tmp_path_factory.mktemp("videos")
    kinds = ("warm", "cold", "warm", "cold")
    return [render_video(folder / f"{i}_{kind}.mp4", kind, i, seconds=2 + i) for i, kind in enumerate(kinds)]


@pytest.fixture(autouse=True)
def _no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever a test does, nothing stays in the working directory or among the temporary files."""
    for name in ("cwd", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    assert not list((tmp_path / "cwd").iterdir())
    assert not list((tmp_path / "tmp").glob("dataloop_items_*"))


def labels_of(found: list[Any]) -> list[list[str]]:
    return [[annotation.label for annotation in collection] for collection in found]


# Predict --------------------------------------------------------------------------------------------------------------


def test_each_item_has_its_labels_over_its_whole_length(videos: list[Path]) -> None:
    found = ModelAdapter(model(top_k=2)).predict([item(path) for path in videos])
    assert labels_of(found) == [["warm", "cold"], ["cold", "warm"]] * 2
    for seconds, collection in enumerate(found, 2):
        for annotation in collection:
            system = annotation.to_json()["metadata"]["system"]
            assert (system["startTime"], system["endTime"]) == (0, pytest.approx(seconds, abs=0.01))
            assert (system["frame"], system["endFrame"], system["snapshots_"]) == (0, 8 * seconds, [])
        shares = [annotation.metadata["user"]["model"]["confidence"] for annotation in collection]
        assert all(type(share) is float for share in shares)
        assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_the_platforms_frame_rate_counts_where_it_has_one(videos: list[Path]) -> None:
    [[annotation]] = ModelAdapter(model(top_k=1)).predict([item(videos[0], fps=25)])
    assert annotation.to_json()["metadata"]["system"]["endFrame"] == 50


def test_windows_give_a_timeline(tmp_path: Path) -> None:
    """Two seconds warm, three cold, one warm: three annotations, whatever the number of windows."""
    path = tmp_path / "mixed.mp4"
    _join(path, [render_video(tmp_path / f"{i}.mp4", k, i, seconds=s) for i, (k, s) in enumerate(PARTS)])
    [found] = ModelAdapter(model(top_k=1, window_seconds=0.5)).predict([item(path)])
    told = [(a.label, a.start_time, a.end_time) for a in found]
    assert told == [("warm", 0, 2), ("cold", 2, 5), ("warm", 5, 6)]
    assert len({a.object_id for a in found}) == 3


PARTS = (("warm", 2), ("cold", 3), ("warm", 1))


def _join(path: Path, parts: list[Path]) -> None:
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=8, options={"crf": "18"})
        stream.width = stream.height = 64
        for part in parts:
            with av.open(part) as source:
                for frame in source.decode(video=0):
                    frame = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
                    out.mux(stream.encode(frame))
        out.mux(stream.encode())


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12), st.floats(0.1, 1))
def test_a_timeline_says_what_the_windows_say(top_k: int, seeds: list[int], stride: float) -> None:
    names = ("a", "b", "c", "d", "e")
    windows = [
        Prediction(np.random.default_rng(seed).random(5).astype(np.float32), names, i * stride, i * stride + 1)
        for i, seed in enumerate(seeds)
    ]
    found = timeline(windows, top_k)
    for label in names:
        inside = [label in {best.label for best in window.top_k(top_k)} for window in windows]
        runs = [
            [window for window, _ in group]
            for is_in, group in itertools.groupby(zip(windows, inside, strict=True), lambda pair: pair[1])
            if is_in
        ]
        mine = [segment for segment in found if segment.label == label]
        assert [(s.start, s.end) for s in mine] == [(run[0].start, run[-1].end) for run in runs]
        means = [np.mean([window.score_of(label) for window in run]) for run in runs]
        assert [segment.score for segment in mine] == pytest.approx(means)
    assert [s.start for s in found] == sorted(s.start for s in found)
    assert timeline([], top_k) == []


@pytest.mark.parametrize("window_seconds", [None, 10.0, 2.6])
def test_two_hours_take_less_than_two_kilobytes_a_label(videos: list[Path], window_seconds: float | None) -> None:
    names = tuple(f"a label of the usual length, number {i}" for i in range(600))
    rng, length = np.random.default_rng(0), 7200.0
    step = window_seconds or length
    windows = []
    for start in np.arange(0, length, step):
        scores = rng.random(600, dtype=np.float32)
        windows.append(Prediction(scores, names, float(start), float(min(start + step, length))))
    result = ItemResult(item(videos[0], fps=30), tuple(windows))
    found = annotate(result, 3, model())
    sizes = [len(json.dumps(annotation.to_json())) for annotation in found]
    assert len(sizes) >= 3
    assert max(sizes) < 700
    assert sum(sizes) < 2000 * len(sizes)


def test_a_score_a_little_above_one_is_a_confidence(videos: list[Path]) -> None:
    over = Prediction(np.array([np.nextafter(np.float32(1), np.float32(2)), 0], np.float32), ("a", "b"), 0, 1)
    found = annotate(ItemResult(item(videos[0]), (over,)), 2, model())
    assert [a.metadata["user"]["model"]["confidence"] for a in found] == [1.0, 0.0]


def test_bad_items_are_named_and_the_others_are_predicted(videos: list[Path], tmp_path: Path) -> None:
    torn, text = tmp_path / "torn.mp4", tmp_path / "notes.mp4"
    torn.write_bytes(videos[0].read_bytes()[:300])
    text.write_text("no video")
    batch = [
        item(torn),
        item(videos[0]),
        item(tmp_path / "missing.mp4"),
        item(videos[1], "text/plain", "a text"),
        item(videos[2], "image/png", "a picture"),
        item(text),
        item(videos[1], "application/octet-stream"),
    ]
    adapter, failures = ModelAdapter(model(top_k=1, batch_size=4)), {}
    results = list(dataloop_items.predict_items(adapter.loaded_adapter, batch))
    assert [result.item for result in results] == batch
    failures = {result.item.id: result.error for result in results if result.error}
    assert set(failures) == {"torn", "missing", "a text", "a picture", "notes"}
    assert "is text/plain; the model accepts videos" in failures["a text"]
    assert "A frame model (EfficientNet) also accepts images" in failures["a picture"]
    assert "cannot be downloaded: " in failures["missing"]
    assert "not a video" in failures["notes"]
    assert not any("dataloop_items_" in reason for reason in failures.values()), "the temporary file says nothing"
    with pytest.raises(AdapterError, match="5 of 7 items could not be predicted; the other 2 were") as caught:
        adapter.predict(batch)
    assert all(f"(item {key}): " in str(caught.value) for key in failures)


def test_a_message_names_the_item_wherever_it_names_the_file(
    videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(adapter: Any, paths: Any) -> Any:
        for path in paths:
            yield VideoResult(path, error=f"{path}: cannot be read, and {path} is needed")

    monkeypatch.setattr(dataloop_items, "predict_videos", predict)
    # A generator, since the results of predict_videos are closed.
    [result] = dataloop_items.predict_items(ModelAdapter(model()).loaded_adapter, [item(videos[0])])
    assert result.error == f"cannot be read, and {result.item.filename} is needed"


def test_a_download_without_its_file_is_named_as_cut_short(videos: list[Path], tmp_path: Path) -> None:
    gone = item(videos[0])
    object.__setattr__(gone, "download", lambda **_: str(tmp_path / "nowhere.mp4"))
    [result] = dataloop_items.predict_items(ModelAdapter(model()).loaded_adapter, [gone])
    assert "the download ended after 0 of" in str(result.error)


def test_preparing_an_item_never_raises(tmp_path: Path) -> None:
    broken = item(tmp_path / "missing.mp4", "text/plain")
    assert ModelAdapter(model()).prepare_item_func(broken) is broken


def test_items_of_one_name_do_not_meet(videos: list[Path], tmp_path: Path) -> None:
    same = []
    for number, path in enumerate(videos[:2]):
        (tmp_path / str(number)).mkdir()
        same.append(tmp_path / str(number) / "clip.mp4")
        same[-1].write_bytes(path.read_bytes())
    found = ModelAdapter(model(top_k=1)).predict([item(path, item_id=str(path)) for path in same])
    assert labels_of(found) == [["warm"], ["cold"]]


def test_few_files_lie_on_the_disk_at_a_time(videos: list[Path], tmp_path: Path) -> None:
    adapter = ModelAdapter(model(top_k=1, batch_size=1))
    items = [item(videos[number % 2], item_id=str(number)) for number in range(20)]
    most = 0
    for _ in dataloop_items.predict_items(adapter.loaded_adapter, items):
        [folder] = (tmp_path / "tmp").glob("dataloop_items_*")
        most = max(most, len(list(folder.iterdir())))
    assert 1 <= most <= DOWNLOADS_AHEAD + 4


def test_stopping_early_leaves_no_thread(videos: list[Path]) -> None:
    results = dataloop_items.predict_items(ModelAdapter(model()).loaded_adapter, [item(path) for path in videos * 3])
    next(results)
    results.close()  # type: ignore[attr-defined]
    wait_for_threads("decode ", "sources", "download ")


def wait_for_threads(*names: str) -> None:
    """Until those of such names have ended, also those that were begun meanwhile."""
    while left := [thread for thread in threading.enumerate() if thread.name.startswith(names)]:
        left[0].join(120)
        assert not left[0].is_alive()


def test_a_download_that_ends_after_everyone_has_left_removes_its_file(videos: list[Path], tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()
    slow = item(videos[1])
    fetch = slow.download

    def download(**options: Any) -> str:
        started.set()
        assert go_on.wait(120)
        return str(fetch(**options))

    slow.download = download
    results = dataloop_items.predict_items(ModelAdapter(model(batch_size=1)).loaded_adapter, [item(videos[0]), slow])
    next(results)
    assert started.wait(120)
    results.close()  # type: ignore[attr-defined]
    go_on.set()
    wait_for_threads("sources", "download ")
    assert not list((tmp_path / "tmp").iterdir())


def test_a_frame_model_takes_images(tmp_path: Path, own_cache: Path) -> None:
    picture, torn = tmp_path / "picture.png", tmp_path / "torn.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert cv2.imwrite(str(picture), pixels)
    torn.write_bytes(b"no picture")
    small = {"adapter": "small_network:SmallNetworkAdapter", "weights": "random", "imgz": 32}
    adapter = ModelAdapter(model(**small, n_frames=2, top_k=3))
    clip = render_video(tmp_path / "clip.mp4", "warm", 0)
    batch = [item(picture, "image/png"), item(clip), item(torn, "image/jpeg"), item(clip)]
    results = list(dataloop_items.predict_items(adapter.loaded_adapter, batch))
    assert [result.item for result in results] == batch
    assert "is not a picture that can be read" in str(results[2].error)
    found = [annotate(result, 3, model()) for result in results]
    assert [len(collection) for collection in found] == [3, 3, 0, 3]
    of_picture, of_video = (next(iter(c)).to_json()["metadata"]["system"] for c in found[:2])
    assert "endTime" not in of_picture
    assert of_video["endTime"] == 1
    [vector] = adapter.embed([item(picture, "image/png")])
    assert len(vector) == 256
    rgb = Clip(pixels[None, :, :, ::-1], np.zeros(1), "", 0, 0)
    expected = adapter.loaded_adapter.predict([rgb])[0].scores
    np.testing.assert_allclose(results[0].predictions[0].scores, expected, atol=1e-6)


def test_embeddings_are_python_floats_and_a_bad_item_is_named(videos: list[Path], tmp_path: Path) -> None:
    adapter, failures = ModelAdapter(model()), {}
    first, bad, last = adapter.embed([item(videos[0]), item(tmp_path / "missing.mp4"), item(videos[1])], failures)
    assert bad is None
    assert list(failures) == ["missing"]
    assert [type(value) for value in (*first, *last)] == [float] * 6
    with pytest.raises(AdapterError, match="1 of 1 items could not be embedded"):
        adapter.embed([item(tmp_path / "missing.mp4")])


# Configuration --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"topk": 3}, '"topk" is not a key of tiny_adapter:TinyAdapter. Did you mean "top_k"?'),
        ({"n_frames": "many"}, '"n_frames" must be'),
        ({"include_backgroud": True}, '"include_backgroud" is not a key'),
        ({"adapter": "nowhere:Adapter"}, "nowhere"),
        ({"stride_seconds": 1.0}, '"stride_seconds" needs "window_seconds"'),
    ],
)
def test_a_wrong_key_comes_back_by_its_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        ModelAdapter(model(**wrong))
    assert "configuration of model 'a model'" in str(caught.value)


def test_the_configuration_is_never_written(videos: list[Path]) -> None:
    """dtlpy's own ``configuration.get(key, default)`` and ``resolve`` write into a copy, and push nothing."""
    entity = model(top_k=1)
    before = copy.deepcopy(entity.configuration)
    adapter = ModelAdapter(entity)
    adapter.predict([item(videos[0])])
    assert adapter.configuration.get("predict_something", 7) == 7
    assert adapter.adapter_defaults.resolve("root_path", "somewhere") == "somewhere"
    adapter.configuration["embeddings_size"] = 3
    assert entity.configuration == before


# Load and save --------------------------------------------------------------------------------------------------------


def saved(folder: Path, **configuration: Any) -> Path:
    adapter = ModelAdapter(model(**configuration))
    adapter.loaded_adapter.threshold[0] = 0.25  # type: ignore[attr-defined]
    adapter.save(str(folder))
    return folder


def test_a_saved_model_is_loaded_again(tmp_path: Path) -> None:
    again = ModelAdapter(model())
    again.load(str(saved(tmp_path / "bundle")))
    assert again.loaded_adapter.threshold[0] == 0.25  # type: ignore[attr-defined]


def test_what_an_earlier_training_left_among_the_artifacts_is_passed_over(tmp_path: Path) -> None:
    folder = saved(tmp_path / "bundle")
    (folder / "programs").mkdir()
    (folder / "programs" / "float32_1x9x9x3.tflite").write_bytes(b"of an earlier size")
    ModelAdapter(model()).load(str(folder))
    assert not (folder / "programs" / "float32_1x9x9x3.tflite").exists()


def test_a_damaged_artifact_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "bundle")
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"^artifacts of model 'a model'/weights\.safetensors: is damaged"):
        ModelAdapter(model()).load(str(folder))


def test_foreign_artifacts_are_no_reason_to_predict_with_other_weights(tmp_path: Path) -> None:
    (tmp_path / "best.h5").write_bytes(b"weights of another app")
    with pytest.raises(BundleError, match=r"best\.h5"):
        ModelAdapter(model()).load(str(tmp_path))


def test_a_trained_model_without_artifacts_does_not_predict_with_other_weights(tmp_path: Path) -> None:
    entity = model()
    entity.status = "trained"
    with pytest.raises(
        BundleError, match="artifacts of model 'a model': there are none, although its status is trained"
    ):
        ModelAdapter(entity)


def test_a_model_of_another_adapter_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "bundle")
    lite0 = model(adapter="adapters.models.efficientnet_lite:EfficientNetLiteAdapter")
    with pytest.raises(BundleError, match="tiny_adapter:TinyAdapter"):
        ModelAdapter(lite0).load(str(folder))


def test_a_trained_model_takes_runtime_and_training_keys_and_no_others(tmp_path: Path) -> None:
    folder = saved(tmp_path / "bundle")
    adapter = ModelAdapter(model(top_k=7, num_epochs=99, learning_rate=0.5))
    adapter.load(str(folder))
    config = adapter.loaded_adapter.config
    assert (config["top_k"], config["num_epochs"], config["learning_rate"]) == (7, 99, 0.5)
    with pytest.raises(ConfigError, match="artifacts of model 'a model': \"imgz\" belongs to the model's weights"):
        ModelAdapter(model(imgz=64)).load(str(folder))


# Train ----------------------------------------------------------------------------------------------------------------


def download(
    folder: Path, clips: dict[str, list[tuple[str, float | None, float | None]]], suffix: str = ".mp4"
) -> Path:
    """What dtlpy leaves of a dataset: <subset>/items and <subset>/json, the JSON without the video's suffix.

    clips: subset/name -> labels with their seconds.
    """
    for number, (place, labels) in enumerate(clips.items()):
        subset, name = place.split("/")
        for kind in ("items", "json"):
            (folder / subset / kind / "deep").mkdir(parents=True, exist_ok=True)
        kinds = [label for label, _, _ in labels] or ["warm"]
        parts = [render_video(folder / f"part{i}.mp4", kind, number + i, seconds=2) for i, kind in enumerate(kinds)]
        _join(folder / subset / "items" / "deep" / f"{name}{suffix}", parts)
        for part in parts:
            part.unlink()
        annotations = []
        for label, start, end in labels:
            system = {} if start is None else {"startTime": start, "endTime": end, "frame": 0, "endFrame": 9}
            annotations.append({"type": "class", "label": label, "metadata": {"system": system}})
        sheet = {"id": name, "filename": f"/deep/{name}{suffix}", "metadata": {}, "annotations": annotations}
        (folder / subset / "json" / "deep" / f"{name}.json").write_text(json.dumps(sheet))
    return folder


CLIPS: dict[str, list[tuple[str, float | None, float | None]]] = {
    "train/a": [("warm", 0, 2), ("cold", 2, 4)],  # two stretches of one video
    "train/b": [("warm", None, None)],
    "train/c": [("cold", None, None)],
    "validation/d": [("cold", None, None)],
    "validation/e": [("warm", None, None)],
}


def test_ranges_and_subsets_of_a_download_are_trained_on(tmp_path: Path) -> None:
    data = download(tmp_path / "data", CLIPS)
    entity, epochs = model(), []
    adapter = ModelAdapter(entity)
    adapter.convert_from_dtlpy(str(data))
    rows = [json.loads(line) for line in (data / "dataset.jsonl").read_text().splitlines()]
    told = sorted(
        (Path(r["path"]).stem, r["label"], r.get("start_seconds"), r.get("end_seconds"), r["split"]) for r in rows
    )
    assert told[:2] == [("a", "cold", 2, 4, "train"), ("a", "warm", 0, 2, "train")]
    assert {row[4] for row in told[3:]} == {"train", "validation"}
    output = tmp_path / "output"
    adapter.train(str(data), str(output), on_epoch_end_callback=lambda *call: epochs.append(call))
    assert epochs == [(0, 200)]
    assert entity.labels == ["cold", "warm"]
    assert entity.id_to_label_map == {0: "cold", 1: "warm"}
    stamp = (output / "bundle.json").stat().st_mtime_ns
    adapter.save(str(output))
    assert (output / "bundle.json").stat().st_mtime_ns == stamp, "training has written it"
    again = ModelAdapter(model())
    again.load(str(output))
    video = next((data / "train" / "items").rglob("b.mp4"))
    assert again.predict([item(video)])[0][0].label == "warm"


def test_two_items_that_share_a_json_are_named(tmp_path: Path) -> None:
    """dtlpy writes a.json for a.mp4 and again for a.mov: the labels of one are lost."""
    data = download(tmp_path / "data", {"train/a": [("warm", None, None)]})
    download(tmp_path / "data", {"train/a": [("cold", None, None)]}, suffix=".mov")
    with pytest.raises(DatasetError, match=r"a\.mov and a\.mp4 differ only in their suffix"):
        ModelAdapter(model()).convert_from_dtlpy(str(data))


@pytest.mark.parametrize("count", [1, 3])
def test_an_item_that_does_not_come_is_named_and_the_others_are_there(
    videos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    """dtlpy passes over it; where it is the only one it fails with a TypeError."""
    with gateway() as served, logged_in(served, tmp_path / "home"):
        state = served.state
        dataset = state.add_dataset(state.add_project()["id"], "videos", ("warm",))["id"]
        keys = [state.add_item(dataset, f"/{i}.mp4", videos[0])["id"] for i in range(count)]
        served.faults.fail("GET", f"/items/{keys[0]}/stream", status=404)
        for key in keys:
            state.add_class(key, "warm")
        labels = dl.Filters(field="type", values="class", resource=dl.FiltersResource.ANNOTATION, use_defaults=False)
        came = download_items(dl.datasets.get(dataset_id=dataset), dl.Filters(), tmp_path / "train", labels)
        assert sorted(Path(path).name for path in came) == [f"{i}.json" for i in range(1, count)]
        told = [record.getMessage() for record in caplog.records if record.name == "cliplab.dataloop"]
        assert told[0].startswith(f"item {keys[0]} is left out")
        served.faults.planned.clear()
        served.faults.fail("POST", f"/datasets/{dataset}", status=403)
        with pytest.raises(dl.exceptions.Forbidden):
            download_items(dl.datasets.get(dataset_id=dataset), dl.Filters(), tmp_path / "again", labels)


def test_a_model_is_not_measured_against_its_own_answers(tmp_path: Path) -> None:
    person = {"type": "class", "label": "warm", "metadata": {"system": {"startTime": 0}}}
    own = {"type": "class", "label": "cold", "metadata": {"system": {"model": {"name": "a model"}}}}
    sheet = tmp_path / "a.json"
    for entries in ([own, person, own], [person], []):
        sheet.write_text(json.dumps({"filename": "/a.mp4", "annotations": entries}))
        remove_model_annotations(sheet)
        assert json.loads(sheet.read_text())["annotations"] == [entry for entry in entries if entry is person]


def test_figures_are_finite_python_numbers(tmp_path: Path) -> None:
    """NaN and infinity are refused by the platform, and NumPy's numbers by JSON."""
    with gateway() as served, logged_in(served, tmp_path / "home"):
        state = served.state
        key = state.add_model(state.add_project()["id"], "a model", {})["id"]
        values: list[Any] = [np.float32(0.5), float("nan"), None, float("inf"), np.float64(0.25), 1]
        publish_metrics(
            dl.models.get(model_id=key), [("loss", "train", np.int64(i), v) for i, v in enumerate(values)], None
        )
        assert [sample["data"] for sample in state.metrics] == [
            {"x": 0, "y": 0.5},
            {"x": 4, "y": 0.25},
            {"x": 5, "y": 1},
        ]


@pytest.mark.parametrize(
    "known, mapped, expected",
    [
        (("cold", "warm"), None, ["cold", "warm"]),
        (("warm", "cold"), None, ["warm", "cold"]),
        (("other", "warm", "cold"), None, ["warm", "cold"]),
        (("cold", "warm"), {"1": "cold", "0": "warm"}, ["warm", "cold"]),
    ],
)
def test_labels_are_in_the_models_order(
    tmp_path: Path, own_cache: Path, known: tuple[str, ...], mapped: Any, expected: list[str]
) -> None:
    """id_to_label_map, else the model's labels; of a Lite0, whose configuration leaves labels open."""
    from adapters.data import read_dataset
    from adapters.hosts.dataloop.training import _labels

    entity = model(labels=known, **({"id_to_label_map": mapped} if mapped else {}))
    dataset = read_dataset(download(tmp_path / "data", CLIPS))
    assert list(_labels(dataset, entity)) == expected
    assert check_config({**TINY, "labels": expected})["labels"] == expected


def test_an_adapter_without_a_model_says_so() -> None:
    with pytest.raises(AdapterError, match="no model is loaded"):
        ModelAdapter().predict([])


def test_a_segment_is_what_the_rest_of_the_library_calls_one() -> None:
    one = Prediction(np.array([0.25, 0.75], np.float32), ("a", "b"), 0, 1)
    assert timeline([one], 1) == [Segment("b", 0, 1, 0.75)]


def test_dtlpy_is_the_one_that_was_looked_at() -> None:
    """The parts of dtlpy that are overridden or used although they are its own: an update that drops one fails here."""
    for name in (
        *(
            "_update_predictions_metadata",
            "_upload_model_annotations",
            "prepare_data",
            "save_to_model",
            "load_from_model",
        ),
        *("predict_items", "embed_items", "train_model", "evaluate_model", "evaluate"),
    ):
        assert callable(getattr(dl.BaseModelAdapter, name))
    assert callable(dl.repositories.Downloader._download_recursive)
