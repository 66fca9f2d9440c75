"""Every bound and refusal of the commands around a model, before a model is opened."""

from __future__ import annotations

import importlib
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
from watched_calls import ReachedError, watch

import adapters.models.tflite_classifier as tflite_classifier
from adapters.errors import ConfigError, DatasetError, StorageError
from cliplab import api
from cliplab.models import adopt, bench, cache_clear, cache_show, compare
from cliplab.models.caches import KEPT, KINDS
from cliplab.models.comparison_report import parse_size, require_positive
from cliplab.studio import run as studio_run

LABELS = ["ad", "show"]
ADOPT: list[tuple[dict[str, Any], str]] = [
    ({"output": "x.json"}, "ends in .tflite, got 'x.json'"),
    ({"value_range": "0:2"}, "the range must be one of"),
    ({"value_range": "0:1", "mean": 1.0}, "replaces mean and std"),
    ({"value_range": "0:1", "std": 1.0}, "replaces mean and std"),
    ({"mean": 1.0}, "must be given together"),
    ({"std": 1.0}, "must be given together"),
    ({"mean": [1.0, 2.0], "std": 1.0}, "one number or three"),
    ({"mean": 1.0, "std": [1.0, 2.0]}, "one number or three"),
    ({"mean": 1.0, "std": 0.0}, "std above 0"),
    ({"mean": 1.0, "std": [1.0, -1.0, 1.0]}, "std above 0"),
    ({"size": "224x"}, "size must be a number of pixels"),
    ({"size": "1x2x3"}, "size must be a number of pixels"),
    ({"size": "big"}, "size must be a number of pixels"),
    ({"positive_label": "news"}, "positive_label is 'news'"),
]


@pytest.mark.parametrize(("given", "said"), ADOPT)
def test_what_a_program_of_others_needs_is_checked(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        adopt(**{"model": tmp_path / "m.tflite", "output": tmp_path / "x.tflite", "labels": LABELS, **given})


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, {}),
        ({"mean": 127.5, "std": 2.0}, {"mean": 127.5, "scale": 2.0}),
        ({"mean": 0.5, "std": 0.5}, {"mean": 127.5, "scale": 127.5}),
        ({"mean": 1.0, "std": 1.0}, {"mean": 255.0, "scale": 255.0}),
        ({"mean": 1.5, "std": 1.0}, {"mean": 1.5, "scale": 1.0}),
        ({"mean": [1, 2, 3], "std": [4, 5, 6]}, {"mean": [1.0, 2.0, 3.0], "scale": [4.0, 5.0, 6.0]}),
        ({"size": 224}, {"imgz": 224}),
        ({"size": "224x224"}, {"imgz": 224}),
        ({"size": "224X320"}, {"imgz": 224, "input_width": 320}),
        ({"frames": 8}, {"n_frames": 8}),
        ({"fps": 2.5}, {"fps": 2.5}),
        ({"task": "multi_label"}, {"task": "multi_label"}),
        ({"background": "first"}, {"background": "first"}),
        ({"scores": "out"}, {"scores_output": "out"}),
        ({"activation": "none"}, {"activation": "none"}),
        ({"channel_order": "bgr"}, {"channel_order": "bgr"}),
        ({"positive_label": "ad"}, {"positive_label": "ad"}),
        ({"aspect": "pad"}, {"aspect": "pad"}),
        ({"overrides": {"fps": 3.0}, "fps": 2.5}, {"fps": 3.0}),
    ],
)
def test_each_fact_about_a_program_becomes_its_key(
    given: dict[str, Any], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = watch(monkeypatch, [tflite_classifier.adopt_tflite], [tflite_classifier])
    with pytest.raises(ReachedError):
        adopt(tmp_path / "m.tflite", tmp_path / "x.tflite", labels=LABELS, **given)
    assert list(arrived.values()) == [str(tmp_path / "m.tflite"), LABELS, str(tmp_path / "x.tflite"), keys]


def test_the_ranges_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = watch(monkeypatch, [tflite_classifier.adopt_tflite], [tflite_classifier])
    # A level x becomes (x - mean) / scale.
    for name, (low, high) in (("0:1", (0.0, 1.0)), ("-1:1", (-1.0, 1.0)), ("0:255", (0.0, 255.0))):
        with pytest.raises(ReachedError):
            adopt(tmp_path / "m.tflite", tmp_path / "x.tflite", labels=LABELS, value_range=name)
        keys = list(arrived.values())[-1]
        assert [(level - keys["mean"]) / keys["scale"] for level in (0.0, 255.0)] == pytest.approx([low, high])


def test_an_output_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").touch()
    with pytest.raises(StorageError, match="already exists"):
        adopt(tmp_path / "m.tflite", tmp_path / "x.tflite", labels=LABELS)


@pytest.mark.parametrize(
    ("text", "count"),
    [("5MB", 5_000_000), ("800kB", 800_000), ("4.5 MiB", 4_718_592), ("1 GB", 10**9), (".5MB", 500_000), (7, 7),
     ("12B", 12), ("1KiB", 1024), (0.5, 1), ("2 GiB", 2 * 1024**3)],
)  # fmt: skip
def test_sizes_have_units(text: Any, count: int) -> None:
    assert parse_size(text) == count
    for bad in ("5", "0MB", "-1MB", "5 XB", "MB", "", 0, -1, math.inf, math.nan, True, None):
        with pytest.raises(ConfigError, match="max_size must be a size above 0"):
            parse_size(bad)  # type: ignore[arg-type]


def test_limits_are_above_zero() -> None:
    assert require_positive("x", None) is None
    assert require_positive("x", 0.5) == 0.5
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="x must be"):
            require_positive("x", bad)


def test_models_to_compare_are_listed_once(tmp_path: Path) -> None:
    for name in ("ad", "show"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"v")
    for given, said in (
        ({"models": []}, "models lists no model"),
        ({"models": ["resnet18", "resnet18"]}, "'resnet18' is listed twice"),
        ({"max_size": "big"}, "max_size must be"),
        ({"max_latency_ms": 0.0}, "max_latency_ms must be"),
        ({"device_factor": 0.0}, "device_factor must be"),
        ({"vary": {"n_frames": [1]}}, "settings of one model, got none"),
        ({"vary": {"n_frames": [1]}, "models": ["a", "b"]}, "settings of one model, got 2"),
    ):
        with pytest.raises((ConfigError, DatasetError), match=said):
            compare(tmp_path, **given)  # type: ignore[arg-type]


def test_a_benchmark_times_one_clip_at_least(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clips must be a whole number of at least 1, got 0"):
        bench(tmp_path, clips=0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path))
    for name in (*KINDS, "other"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for age, size in ((0, 10), (3, 100)):
            path = tmp_path / name / "deep" / f"{age}.bin"
            path.write_bytes(b"x" * size)
            then = time.time() - age * 86_400
            os.utime(path, (then, then))
    return tmp_path


def test_the_cache_is_shown_with_what_it_holds(cache: Path) -> None:
    found = {one.name: one for one in cache_show()}
    assert set(found) == {*KINDS, "other"}
    assert {(one.files, one.bytes >= 110) for one in found.values()} == {(2, True)}
    assert found["other"].holds.startswith("unknown")
    for name, holds in KINDS.items():
        assert found[name].holds == holds


def test_the_cache_is_cleared_by_name_and_age_and_keeps_what_is_not_made_again(cache: Path) -> None:
    name, other = [name for name in KINDS if name not in KEPT][:2]
    for bad in ("other", *KEPT, "x"):
        with pytest.raises(ConfigError, match=f"'{bad}' cannot be cleared. Folders of the cache: "):
            cache_clear((bad,))
    for days in (-0.1, math.nan):
        with pytest.raises(ConfigError, match="--older-than-days must be 0 or more"):
            cache_clear(older_than_days=days)
    (shown,) = cache_clear((name,), older_than_days=2.9, dry_run=True)
    assert (shown.name, shown.files) == (name, 1)
    assert (cache / name / "deep" / "3.bin").exists()
    assert cache_clear((name,), older_than_days=3.1)[0].files == 0
    assert cache_clear((name,), older_than_days=2.9)[0].files == 1
    assert [path.name for path in (cache / name / "deep").iterdir()] == ["0.bin"]
    assert (cache / other / "deep" / "3.bin").exists()
    cleared = cache_clear()
    assert {one.name for one in cleared} == set(KINDS) - set(KEPT)
    for kept in ({*KINDS} & {*KEPT}) | {"other"}:
        assert len(list((cache / kept / "deep").iterdir())) == 2


def test_evaluate_hands_on_its_options_and_refuses_those_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        "output": "x", "overrides": {"a": 1}, "force": True, "trust_adapters": ["a:B"],
    }  # fmt: skip
    of_clips = {"split": "test", "cross_validate": "folds", "on_progress": print}
    for place, name, more in (
        ("cliplab.models", "evaluate", of_clips), ("cliplab.detect", "evaluate_breaks", {"segment_metrics": True}),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            arrived: dict[str, Any] = {}

            def reached(*values: Any, arrived: dict[str, Any] = arrived, **named: Any) -> Any:
                arrived.update(named, values=values)

            patch.setattr(importlib.import_module(place), name, reached)
            api.evaluate("model", "data", **given, **more)  # type: ignore[arg-type]
        expected = {**given, **{key: value for key, value in more.items() if key != "segment_metrics"}}
        assert arrived == {**expected, "values": ("model", "data")}
    for wrong in ({"split": "test"}, {"cross_validate": "folds"}):
        with pytest.raises(ConfigError, match="Remove split and cross_validate"):
            api.evaluate("model", "data", segment_metrics=True, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a saved model"):
        api.evaluate({}, "data", segment_metrics=True)


@pytest.mark.parametrize(("function", "opens"), [(api.label_launch, True), (api.label_server, False)])
def test_the_older_names_of_the_studio_hand_on_their_options(
    function: Any, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = watch(monkeypatch, [studio_run.studio], [studio_run])
    given: dict[str, Any] = {
        "host": "::1", "port": 7, "labels": ["a"], "output": "x", "token_file": "t", "annotator": "ann",
    }  # fmt: skip
    with pytest.raises(ReachedError):
        function("folder", on_ready=print, **given)
    assert {name: arrived[name] for name in given} == given
    assert (arrived["data_dir"], arrived["open_browser"], arrived["on_ready"]) == ("folder", opens, "a function")
