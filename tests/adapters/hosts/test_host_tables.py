"""Rows of MLflow's tables, the configuration of a Dataloop model and its results, and the address of a Ray cluster."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters.errors import AdapterError, BundleError, ConfigError, MediaError
from adapters.hosts.dataloop.config import (
    PLATFORM_DEFAULTS,
    find_stored_model,
    label_order,
    order_labels,
    own_config,
    remove_unlisted_files,
)
from adapters.hosts.dataloop.pods import PODS, is_too_small, warn_of_memory
from adapters.hosts.dataloop.results import describe_failure, raise_failures, upload_all
from adapters.hosts.mlflow_rows import clip_of_frames, read_rows, row_name, video_column, with_row_name
from adapters.records import Prediction, VideoResult

# MLflow


def test_frames_become_a_clip_from_zero_at_their_rate() -> None:
    frames = np.arange(4 * 2 * 2 * 3).reshape(4, 2, 2, 3)
    clip = clip_of_frames(frames.tolist(), 8.0, "row 3")
    assert (clip.frames == frames).all()
    assert (clip.times.tolist(), clip.source, clip.start, clip.end) == ([0, 0.125, 0.25, 0.375], "row 3", 0.0, 0.5)


@pytest.mark.parametrize("level, allowed", [(0, True), (255, True), (256, False), (-1, False)])
def test_levels_of_frames_are_0_to_255(level: int, allowed: bool) -> None:
    frames = np.full((1, 1, 1, 3), level)
    if allowed:
        assert clip_of_frames(frames, 1.0, "r").frames.max() == level
    else:
        with pytest.raises(MediaError, match=r"r: frames must be levels of 0\.\.255, got"):
            clip_of_frames(frames, 1.0, "r")


@pytest.mark.parametrize("fps", [None, 0, -1.0, float("nan")])
def test_frames_without_a_rate_are_refused(fps: float | None) -> None:
    with pytest.raises(MediaError, match="r: frames need fps"):
        clip_of_frames(np.zeros((1, 1, 1, 3), np.uint8), fps, "r")


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 1, 4), (0, 1, 1, 3)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaError, match="must be whole numbers"):
        clip_of_frames(np.zeros(shape, np.uint8), 1.0, "r")


def test_a_table_needs_a_column_of_input_and_empty_cells_are_left_out() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": ["a.mp4", None], "note": ["x", float("nan")], "video": [None, b"v"]})
    assert read_rows(table) == [{"path": "a.mp4", "note": "x"}, {"video": b"v"}]
    assert read_rows(table[["video"]]) == [{}, {"video": b"v"}]
    for wrong, got in (
        (table[["note"]], "got note"),
        (table[[]], "got none of these"),
        ({"path": ["a.mp4"]}, "got dict"),
        (["path"], "got list"),
    ):
        with pytest.raises(ConfigError, match=f"a table with a column path, video or frames is required, {got}"):
            read_rows(wrong)


def test_a_row_has_one_video_and_a_name() -> None:
    assert [video_column({name: 1, "fps": 2}) for name in ("path", "video", "frames")] == ["path", "video", "frames"]
    for row, words in (({"fps": 2}, "none of them"), ({"path": "a", "frames": []}, "path and frames")):
        with pytest.raises(MediaError, match=f"a row needs one of path, video, frames, got {words}"):
            video_column(row)
    assert (row_name({"path": "a.mp4"}, 3), row_name({}, 3)) == ("a.mp4", "row 3")


def test_a_result_and_its_messages_have_the_rows_name() -> None:
    window = Prediction(np.array([1.0], np.float32), ("x",), 0.0, 1.0)
    found = with_row_name(VideoResult("/tmp_0/v", (window,), "/tmp_0/v: bad", ("/tmp_0/v: odd",)), "row 3")
    assert found == VideoResult("row 3", (window,), "row 3: bad", ("row 3: odd",))
    assert with_row_name(VideoResult("/tmp_0/v", (window,)), "row 3").error is None


# The configuration of a Dataloop model


def test_the_platforms_keys_are_not_ours() -> None:
    given = {
        "adapter": "adapters.models.efficientnet_lite:EfficientNetLiteAdapter",
        "top_k": 3,
        "id_to_label_map": {"0": "x"},
        "label_to_id_map": {"x": 0},
        "embeddings_size": 5,
        "include_model_annotations": True,
        "column": "y",
        **PLATFORM_DEFAULTS,
    }
    before = dict(given)
    found = own_config(given, "here")
    assert found["top_k"] == 3
    assert not set(found) & {*PLATFORM_DEFAULTS, "id_to_label_map", "label_to_id_map", "embeddings_size", "column"}
    assert given == before


@pytest.mark.parametrize(
    "mapping, labels",
    [({"1": "b", "0": "a"}, ("a", "b")), ({0: "a"}, ("a",)), ({}, None), (None, None)],
)
def test_labels_are_in_the_order_of_their_ids(mapping: Any, labels: tuple[str, ...] | None) -> None:
    assert label_order({"id_to_label_map": mapping}, "here") == labels
    assert label_order(None, "here") is None


@pytest.mark.parametrize("mapping", [{"1": "a"}, {"0": "a", "2": "b"}, {"0": "a", "1": "a"}, {"x": "a"}, ["a"]])
def test_a_map_of_labels_that_is_not_one_to_one_is_refused(mapping: Any) -> None:
    with pytest.raises(ConfigError, match=f'here: "id_to_label_map" must give the ids 0 to {len(mapping) - 1}'):
        label_order({"id_to_label_map": mapping}, "here")


def test_labels_of_the_data_come_in_the_models_order_and_new_ones_last() -> None:
    assert order_labels(["new", "b", "a"], ["a", "unused", "b"]) == ("a", "b", "new")
    assert order_labels(["b", "a"], None) == ("b", "a")


def test_the_one_model_among_artifacts_is_found(tmp_path: Path) -> None:
    assert find_stored_model(tmp_path) is find_stored_model(tmp_path / "none") is None
    (tmp_path / "deep").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        find_stored_model(tmp_path)
    (tmp_path / "deep" / "m.TFLITE").write_bytes(b"x")
    assert find_stored_model(tmp_path) == tmp_path / "deep" / "m.TFLITE"
    (tmp_path / "n.tflite").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"deep/m\.TFLITE, n\.tflite, notes\.txt"):
        find_stored_model(tmp_path)
    remove_unlisted_files(tmp_path)
    assert len(list(tmp_path.rglob("*.*"))) == 3, "a folder that is not a bundle is left alone"


# Its results


def item(number: int) -> Any:
    return SimpleNamespace(id=str(number), filename=f"/{number}.mp4")


def outcome(number: int, error: str | None = None, warnings: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(item=item(number), error=error, warnings=warnings)


def test_what_succeeds_is_uploaded_and_each_failure_is_named(caplog: pytest.LogCaptureFixture) -> None:
    def upload(result: Any) -> list[str]:
        if result.item.id == "3":
            raise MediaError("3.mp4: too long")
        if result.item.id == "4":
            raise KeyError("token")
        return [f"a{result.item.id}", f"b{result.item.id}"]

    seen: list[tuple[int, str]] = []
    progress = SimpleNamespace(update=lambda progress, message: seen.append((progress, message)))
    results = [outcome(1), outcome(2, "cannot be read"), outcome(3), outcome(4), outcome(5, None, ("is odd",))]
    uploaded, failures = upload_all(results, upload, 5, progress)
    assert uploaded == ["a1", "b1", "a5", "b5"]
    assert failures == {
        "2": "/2.mp4 (item 2): cannot be read",
        "3": "/3.mp4 (item 3): cannot be annotated: 3.mp4: too long",
        "4": "/4.mp4 (item 4): cannot be annotated: KeyError: 'token'",
    }
    assert seen == [(20 * n, f"{n} of 5 items") for n in range(1, 6)]
    assert "/5.mp4 (item 5): is odd" in caplog.text
    with pytest.raises(AdapterError, match=r"3 of 5 items could not be predicted; the other 2 were") as caught:
        raise_failures(failures, 5, "predicted")
    assert all(reason in str(caught.value) for reason in failures.values())
    with pytest.raises(AdapterError, match=r"3 of 3 items could not be embedded\. The"):
        raise_failures(failures, 3, "embedded")
    raise_failures({}, 5, "predicted")
    assert describe_failure(item(9), "why") == "/9.mp4 (item 9): why"


def test_pods_of_each_size(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    rising = ["regular-xs", "regular-s", "regular-m", "regular-l", "highmem-l"]
    for size, (needed, _) in PODS.items():
        assert [is_too_small(pod, size) for pod in rising] == [n < rising.index(needed) for n in range(5)]
    adapter: Any = SimpleNamespace(config={"model_mode": "base", "model_id": "a2", "weights": "random"})
    for limit, warns in ((430_000_000, False), (429_999_999, True)):
        monkeypatch.setattr("adapters.hosts.dataloop.pods.memory_limit", lambda limit=limit: limit)
        caplog.clear()
        warn_of_memory(adapter, "m")
        assert bool(caplog.text) is warns
    assert "may need 0.4 GB" in caplog.text
    assert '"regular-l"' in caplog.text


# Ray


def test_an_address_at_which_nothing_listens_is_told_at_once() -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'cliplab[scale]'")
    cluster = importlib.import_module("adapters.hosts.ray_cluster")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", f"[127.0.0.1]:{port}"):
            with pytest.raises(OSError, match=r"."):
                cluster._check_reachable(address)
        listener.listen()
        cluster._check_reachable(f"127.0.0.1:{port}")
    for address in ("auto", "local", "host:", "host:name", ":6379x"):
        cluster._check_reachable(address)
