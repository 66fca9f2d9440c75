"""Our adapter on the imitated service, predicting: what arrives there, and what happens when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dataloop_gateway.client import logged_in
from dataloop_gateway.query import Json
from dataloop_gateway.server import Gateway, gateway
from dataloop_gateway.snapshots import check_snapshot
from dataloop_gateway.videos import LABELS, World, confidence, make_world, render_long, times

from adapters.errors import ConfigError

TINY = {"adapter": "tiny_adapter:TinyAdapter", "labels": ["cold", "warm"], "top_k": 1, "batch_size": 2}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Any, Path]]:
    with gateway() as served, logged_in(served, tmp_path_factory.mktemp("dataloop")) as dl:
        yield served, dl, tmp_path_factory.mktemp("media")


@pytest.fixture
def world(client: tuple[Gateway, Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh project; afterwards nothing lies in the working directory."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    served, dl, media = client
    served.faults.planned.clear()
    served.state.requests.clear()
    yield make_world(served, dl, media)
    assert list(Path.cwd().iterdir()) == []


def runner(world: World, model: str) -> Any:
    """What the platform's runner makes: our adapter of a model entity."""
    from adapters.hosts.dataloop_host import ModelAdapter

    return ModelAdapter(model_entity=world.dl.models.get(model_id=model))


def add_video(world: World, place: str, content: bytes | Path, **metadata: Any) -> None:
    world.items[place] = world.state.add_item(world.dataset, place, content, metadata)["id"]


def uploads(world: World, place: str) -> list[Json]:
    """Annotations as they were sent for one item."""
    return [a for r in world.state.asked("POST", f"/items/{world.items[place]}/annotations") for a in r.body]


def test_a_video_gets_a_label_for_its_whole_length(world: World) -> None:
    adapter = runner(world, world.add_model("tiny", TINY))
    adapter.predict_items(items=world.get(["/train/warm0.mp4", "/train/cold0.mp4"]))
    for kind in LABELS:
        (annotation,) = world.predicted(f"/train/{kind}0.mp4")
        assert annotation["label"] == kind
        assert times(annotation) == (0, 1)
        assert 0.5 < confidence(annotation) <= 1
    check_snapshot("annotations_of_a_video", uploads(world, "/train/warm0.mp4"))


def test_windows_give_a_timeline_in_which_equal_neighbours_are_one(world: World, tmp_path: Path) -> None:
    add_video(world, "/long.mp4", render_long(tmp_path / "long.mp4", ["warm", "cold", "cold", "warm"]), fps=1)
    model = world.add_model("tiny", {**TINY, "window_seconds": 30})
    runner(world, model).predict_items(items=world.get(["/long.mp4"]))
    found = world.predicted("/long.mp4")
    assert [(a["label"], *times(a)) for a in found] == [("warm", 0, 60), ("cold", 60, 180), ("warm", 180, 236)]
    check_snapshot("timeline_of_a_video", uploads(world, "/long.mp4"))


def test_every_label_of_top_k_arrives(world: World) -> None:
    runner(world, world.add_model("tiny", {**TINY, "top_k": 2})).predict_items(items=world.get(["/train/cold0.mp4"]))
    found = world.predicted("/train/cold0.mp4")
    assert [a["label"] for a in found] == ["cold", "warm"]
    assert sum(map(confidence, found)) == pytest.approx(1)


def test_a_label_of_two_hours_takes_less_than_two_kilobytes(world: World, tmp_path: Path) -> None:
    """Both as one label of all its length, and as each entry of a timeline that changes every minute."""
    add_video(world, "/steady.mp4", render_long(tmp_path / "steady.mp4", ["warm"] * 120), fps=25)
    add_video(world, "/changing.mp4", render_long(tmp_path / "changing.mp4", ["warm", "cold"] * 60), fps=25)
    model = world.add_model("tiny", {**TINY, "window_seconds": 30})
    runner(world, model).predict_items(items=world.get(["/steady.mp4", "/changing.mp4"]))
    steady, changing = uploads(world, "/steady.mp4"), uploads(world, "/changing.mp4")
    assert times(world.predicted("/steady.mp4")[0]) == (0, 7196)
    assert (len(steady), len(changing)) == (1, 120)
    assert max(len(json.dumps(annotation)) for annotation in steady + changing) < 2000


def test_predict_dataset(world: World) -> None:
    dataset = world.dl.datasets.get(dataset_id=world.dataset)
    filters = world.dl.Filters(field="dir", values="/validation")
    runner(world, world.add_model("tiny", TINY)).predict_dataset(dataset=dataset, filters=filters)
    counts = {place: len(world.predicted(place)) for place in world.items}
    assert counts == {place: int(place.startswith("/validation")) for place in world.items}


def test_predicting_again_replaces_what_was_there_but_for_the_labels_of_people(world: World) -> None:
    adapter = runner(world, world.add_model("tiny", TINY))
    for _ in range(2):
        adapter.predict_items(items=world.get(["/train/cold0.mp4"]))
    assert len(world.predicted("/train/cold0.mp4")) == 1
    assert len(world.state.annotations_of(world.items["/train/cold0.mp4"])) == 2


# What is wrong with an item -----------------------------------------------------------------------------------------


def failing(world: World, bad: str, adapter: Any = None) -> str:
    """Predict two good items around a bad one; the message of what is raised. The good ones have their annotations."""
    adapter = adapter or runner(world, world.add_model("tiny", TINY))
    with pytest.raises(Exception) as raised:
        adapter.predict_items(items=world.get(["/train/warm0.mp4", bad, "/train/cold0.mp4"]))
    assert [len(world.predicted(f"/train/{kind}0.mp4")) for kind in LABELS] == [1, 1]
    assert world.predicted(bad) == []
    assert bad in str(raised.value)
    assert world.items[bad] in str(raised.value)
    return str(raised.value)


def test_one_bad_item_is_reported_and_the_others_are_uploaded(world: World) -> None:
    add_video(world, "/bad.mp4", b"this is not a video at all" * 100)
    message = failing(world, "/bad.mp4")
    assert "/tmp" not in message.partition("\n")[0], "the item is named by its place, not by a temporary file"


def test_an_item_of_another_kind_is_reported(world: World) -> None:
    add_video(world, "/notes.txt", b"words")
    assert "text/plain" in failing(world, "/notes.txt")


def test_an_item_that_cannot_be_fetched_is_reported(world: World) -> None:
    add_video(world, "/gone.mp4", b"x" * 100)
    world.gateway.faults.fail("GET", f"{world.items['/gone.mp4']}/stream", status=404)
    assert "failed on request" in failing(world, "/gone.mp4")


def test_a_download_that_is_always_cut_short_is_reported(world: World, client: tuple[Gateway, Any, Path]) -> None:
    add_video(world, "/short.mp4", (client[2] / "warm00.mp4").read_bytes(), fps=8)
    world.gateway.faults.cut(f"{world.items['/short.mp4']}/stream", 100)
    failing(world, "/short.mp4")


def test_a_download_that_is_cut_short_once_is_taken_up_again(world: World) -> None:
    world.gateway.faults.cut(f"{world.items['/train/cold0.mp4']}/stream", 100, times=1)
    world.gateway.faults.fail("GET", f"{world.items['/train/warm0.mp4']}/stream", times=1)
    items = world.get(["/train/cold0.mp4", "/train/warm0.mp4"])
    runner(world, world.add_model("tiny", TINY)).predict_items(items=items)
    assert [len(world.predicted(f"/train/{kind}0.mp4")) for kind in LABELS] == [1, 1]


def test_a_download_that_stalls_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.hosts.dataloop import downloads

    monkeypatch.setattr(downloads, "STALLED_SECONDS", 2.0)
    add_video(world, "/slow.mp4", b"x" * 100)
    world.gateway.faults.stall("GET", f"{world.items['/slow.mp4']}/stream", 6)
    assert "no data for" in failing(world, "/slow.mp4")


def test_annotations_that_cannot_be_uploaded_are_reported(world: World) -> None:
    """dtlpy itself logs a batch that was refused and goes on as if it were there."""
    adapter = runner(world, world.add_model("tiny", TINY))
    world.gateway.faults.fail("POST", f"{world.items['/train/warm0.mp4']}/annotations")
    with pytest.raises(Exception, match="refused"):
        adapter.predict_items(items=world.get(["/train/warm0.mp4", "/train/cold0.mp4"]))
    assert len(world.predicted("/train/cold0.mp4")) == 1


def test_a_part_of_the_annotations_that_is_refused_is_reported(world: World, tmp_path: Path) -> None:
    """dtlpy sends a hundred at a time, and drops those of a batch that failed."""
    add_video(world, "/long.mp4", render_long(tmp_path / "long.mp4", ["warm", "cold"] * 60), fps=25)
    adapter = runner(world, world.add_model("tiny", {**TINY, "window_seconds": 60}))
    world.gateway.faults.fail("POST", f"{world.items['/long.mp4']}/annotations", times=1)
    with pytest.raises(Exception, match=r"/long\.mp4 .*accepted \d+ of its 120"):
        adapter.predict_items(items=world.get(["/long.mp4"]))


# The configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong, named", [({"n_frame": 8}, "n_frames"), ({"top_k": "three"}, "top_k")])
def test_a_wrong_key_comes_back_by_its_name_and_nothing_is_written(world: World, wrong: Json, named: str) -> None:
    model = world.add_model("tiny", {**TINY, **wrong})
    with pytest.raises(ConfigError, match=named):
        runner(world, model)
    assert unknown_keys(world, model, wrong) == set()


def test_constructing_and_predicting_write_no_key_of_ours(world: World) -> None:
    model = world.add_model("tiny", TINY)
    runner(world, model).predict_items(items=world.get(["/train/cold0.mp4"]))
    assert unknown_keys(world, model, {}) == set()
    assert {key: world.state.models[model]["configuration"][key] for key in TINY} == TINY


@pytest.mark.parametrize("platform", [False, True])
def test_a_configuration_is_never_patched(world: World, platform: bool) -> None:
    """With the platform's own keys and without: the models of the app have none."""
    from adapters.hosts.dataloop.config import PLATFORM_DEFAULTS

    given = {**TINY, **(PLATFORM_DEFAULTS if platform else {})}
    model = world.add_model("tiny", given)
    adapter = runner(world, model)
    adapter.predict_items(items=world.get(["/train/cold0.mp4"]))
    assert world.state.asked("PATCH", model) == []
    assert adapter.model_entity.configuration == given


def unknown_keys(world: World, model: str, given: Json) -> set[str]:
    """What stands in the service's configuration besides what was given and what is the platform's own."""
    from adapters.hosts.dataloop.config import PLATFORM_KEYS

    return set(world.state.models[model]["configuration"]) - set(TINY) - set(given) - set(PLATFORM_KEYS)


# Downloads and inference --------------------------------------------------------------------------------------------


def test_downloads_go_on_while_the_model_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from tiny_adapter import TinyAdapter

    ran: list[tuple[float, float]] = []
    predict = TinyAdapter.predict

    def slow(self: TinyAdapter, batch: Any) -> Any:
        start = time.perf_counter()
        time.sleep(0.1)
        ran.append((start, time.perf_counter()))
        return predict(self, batch)

    monkeypatch.setattr(TinyAdapter, "predict", slow)
    monkeypatch.setattr(world.gateway.faults, "latency_seconds", 0.05)
    adapter = runner(world, world.add_model("tiny", {**TINY, "batch_size": 1}))
    adapter.predict_items(items=world.get(list(world.items)))
    fetched = [(r.started, r.ended) for r in world.state.asked("GET", "/stream")]
    assert len(fetched) == len(ran) == len(world.items)
    assert any(start < run_end and run_start < end for start, end in fetched for run_start, run_end in ran)
    at_once = max(sum(start <= moment < end for start, end in fetched) for moment, _ in fetched)
    assert 2 <= at_once <= 8, "downloads run beside each other, and there is a bound"
