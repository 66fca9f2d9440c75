"""Parts of the Dataloop host: which items are taken, where downloads lie, and in which order segments come."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dtlpy", reason="pip install 'cliplab[dataloop]'")

from adapters.hosts.dataloop import downloads
from adapters.hosts.dataloop.annotations import annotate, timeline
from adapters.hosts.dataloop.downloads import download_folder, fetch, unsupported_reason
from adapters.hosts.dataloop.items import ItemResult
from adapters.records import Prediction


def item(name: str = "a.mp4", place: Any = None, **changes: Any) -> Any:
    """An item of the platform, whose download writes a byte at ``place`` of the folder and returns that path."""

    def download(local_path: str, **_: Any) -> object:
        if place is None:
            return None
        path = Path(local_path) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        return str(path)

    facts = {"id": "i1", "filename": f"/{name}", "name": name, "type": "file", "mimetype": "video/mp4", "size": 70}
    return SimpleNamespace(**(facts | {"download": download, "fps": None, "metadata": {}} | changes))


class Videos:
    scores_frames = False


class Frames:
    scores_frames = True


@pytest.mark.parametrize(
    ("adapter", "changes", "words"),
    [
        (Videos, {}, None),
        (Videos, {"mimetype": "application/octet-stream"}, None),
        (Videos, {"mimetype": None}, None),
        (Videos, {"type": "dir"}, "is a dir; the model accepts files only"),
        (Videos, {"mimetype": "audio/wav"}, "is audio/wav; the model accepts videos only"),
        (Frames, {"mimetype": "audio/wav"}, "is audio/wav; the model accepts videos and images"),
        (Videos, {"mimetype": "image/png"}, "is image/png; Videos accepts videos only"),
        (Frames, {"mimetype": "image/png"}, None),
    ],
)
def test_items_of_a_kind_that_the_model_cannot_read_say_so(adapter: Any, changes: Any, words: str | None) -> None:
    reason = unsupported_reason(adapter(), item(**changes))
    assert (reason is None) is (words is None)
    assert words is None or str(reason).startswith(words)


def test_a_download_outside_its_folder_or_of_nothing_is_an_error_of_its_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_POLL_SECONDS", 0.01)
    given = [item(place="a.mp4"), item("../b.mp4", "../../b.mp4"), item("c.mp4")]
    with download_folder() as folder:
        found = list(fetch(Videos(), given, folder))  # type: ignore[arg-type]
        assert found[0].error is None
        assert found[0].path is not None
        assert found[0].path.read_bytes() == b"x"
        assert "'/../b.mp4' points outside the download folder. Rename it" in str(found[1].error)
        assert "ended after 0 of 70 bytes" in str(found[2].error)
        assert [one.path for one in found[1:]] == [None, None]


def test_a_download_that_stands_still_is_given_up_with_what_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(downloads, "STALLED_SECONDS", 0.05)
    with download_folder() as folder:
        closed = folder.closed

        def stall(local_path: str, **_: Any) -> None:
            (Path(local_path) / "part").write_bytes(b"xyz")
            closed.wait(5)

        [found] = fetch(Videos(), [item(download=stall)], folder)  # type: ignore[arg-type]
        assert found.error == "cannot be downloaded: no data for 0 s, after 3 bytes"
        closed.set()


def test_segments_come_by_start_then_by_falling_score_then_by_label() -> None:
    def window(start: float, *scores: float) -> Prediction:
        return Prediction(np.array(scores, np.float32), ("a", "b", "c"), start, start + 1)

    found = timeline([window(0, 0.25, 0.5, 0.25), window(1, 0.5, 0.25, 0.25)], 3)
    assert [(one.label, one.start, one.end) for one in found] == [("a", 0, 2), ("b", 0, 2), ("c", 0, 2)]
    assert [one.score for one in found] == [0.375, 0.375, 0.25]
    found = timeline([window(0, 0.125, 0.25, 0.625), window(1, 0.125, 0.625, 0.25)], 1)
    assert [one.label for one in found] == ["c", "b"]
    found = timeline([window(0, 0.125, 0.25, 0.625)], 3)
    assert [one.label for one in found] == ["c", "b", "a"]


def test_annotations_name_the_model_and_its_score() -> None:
    import dtlpy as dl

    scores = Prediction(np.array([0.75, 0.25], np.float32), ("a", "b"), 1.0, 2.5)
    video = item(
        dataset_url="u", dataset_id="d", fps=25.0, metadata={"system": {"nb_frames": 100, "duration": 4}, "fps": 25}
    )
    model = SimpleNamespace(name="sports", id="m7")
    (made,) = annotate(ItemResult(video, (scores,)), 1, model).annotations
    assert isinstance(made, dl.Annotation)
    assert made.metadata["user"]["model"] == {"confidence": 0.75, "name": "sports", "model_id": "m7"}
    assert (made.label, made.start_time, made.end_time) == ("a", 1.0, 2.5)
