"""The queue of hard examples: no near-duplicates, bounded, and whole after a kill."""

import json

import pytest

from adapters.errors import ConfigError
from cliplab.rollout import ExampleQueue, sampled, uncertain


def test_examples_wait_whole_and_without_near_duplicates(tmp_path):
    queue = ExampleQueue(tmp_path / "q")
    assert queue.put(b"one", ".jpg", {"scores": [0.5]}, embedding=[1, 0, 0])
    assert not queue.put(b"one", ".jpg", {})
    assert not queue.put(b"nearly one", ".jpg", {}, embedding=[1, 0.01, 0])
    assert queue.put(b"two", ".mp4", {}, embedding=[0, float("nan"), 1])
    again = ExampleQueue(tmp_path / "q")
    first, second = again.waiting()
    assert (first.data(), second.data(), first.facts["scores"]) == (b"one", b"two", [0.5])
    again.remove(first.name)
    again.remove("../../etc/passwd")
    assert [item.name for item in queue.waiting()] == [second.name]


def test_what_a_kill_leaves_is_no_example(tmp_path):
    queue = ExampleQueue(tmp_path)
    queue.put(b"whole", ".jpg", {})
    (whole,) = queue.waiting()
    (tmp_path / f"{7:020d}-{'a' * 16}.jpg").write_bytes(b"without its JSON")
    (tmp_path / f"{8:020d}-{'b' * 16}.json").write_text(json.dumps({"suffix": ".jpg", "bytes": 5}))
    (tmp_path / f"{9:020d}-{'c' * 16}.json").write_text("{")
    (tmp_path / "notes.json").write_text("{}")
    assert [item.name for item in queue.waiting()] == [whole.name]
    queue.put(b"next", ".jpg", {})
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert {name for name in names if "aaaa" in name or "bbbb" in name or "cccc" in name} == set()
    assert "notes.json" in names


def test_the_disk_is_bounded_and_the_least_uncertain_go_first(tmp_path):
    queue = ExampleQueue(tmp_path, max_bytes=300, max_examples=5)
    for number in range(12):
        queue.put(bytes([number]) * 100, ".jpg", {"uncertainty": number / 12})
        assert sum(path.stat().st_size for path in tmp_path.glob("*.jpg")) <= 300
    assert [item.data()[0] for item in queue.waiting()] == [9, 10, 11]
    assert not queue.put(b"x" * 301, ".jpg", {"uncertainty": 1})
    assert not queue.put(b"y" * 100, ".jpg", {"uncertainty": 0})


def test_what_is_hard(tmp_path):
    assert uncertain([0.45, 0.55])
    assert not uncertain([0.1, 0.9])
    assert uncertain([0.1, 0.9], 0.0, 0.2, positive=0)
    assert uncertain([float("nan")])
    assert not uncertain([])
    chosen = {name for name in map(str, range(2000)) if sampled(name, 0.1)}
    assert 140 < len(chosen) < 260
    assert chosen <= {name for name in map(str, range(2000)) if sampled(name, 0.2)}
    for bad in ({"min_confidence": 0.7}, {"max_confidence": 1.5}, {"min_confidence": float("nan")}):
        with pytest.raises(ConfigError, match="confidence"):
            uncertain([0.5], **bad)
    with pytest.raises(ConfigError, match="must be one of"):
        ExampleQueue(tmp_path).put(b"", ".exe", {})
