"""Every bound and refusal of a scan's options, and what follows from those that are allowed."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.errors import AdapterError, ConfigError, DatasetError, StorageError
from cliplab.library.highlights import read_highlights
from cliplab.outputs import require_new
from cliplab.scan import scan, score
from cliplab.scan.models import choose_model, require_cpu, wanted_precision
from cliplab.scan.report import require_replaceable
from cliplab.scan.run import make_criteria
from cliplab.scan.sampling import choose_sampling


def model(frames: bool = True, **config: Any) -> Any:
    spec = SimpleNamespace(
        sampling_tolerance_seconds=0.02, n_frames=8, window_seconds=None, stride_seconds=None, fps=4.0, sampling="fps"
    )
    return SimpleNamespace(scores_frames=frames, input_spec=spec, labels=("ad", "show"), config=config)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.0, False, None), "sample_fps is 0.0"),
        ((-1.0, False, None), "sample_fps is -1.0"),
        ((math.inf, False, None), "sample_fps is inf"),
        ((math.nan, False, None), "sample_fps is nan"),
        ((None, False, 0), "frames is 0 and must be a whole number of at least 1"),
        ((None, False, 1.5), "frames is 1.5"),
        ((None, True, 3), "frames and keyframes are two ways"),
        ((2.0, False, 3), "frames and sample_fps are two ways"),
    ],
)
def test_ways_to_choose_frames_are_checked(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose_sampling(model(), *given)


@pytest.mark.parametrize("given", [(1.0, False, None), (None, True, None), (None, False, 1)])
def test_a_model_of_clips_chooses_its_frames_itself(given: Any) -> None:
    with pytest.raises(ConfigError, match="this model uses clips of 8 frames"):
        choose_sampling(model(frames=False), *given)


def test_the_sampling_that_was_asked_for_is_part_of_the_key() -> None:
    found = [
        choose_sampling(model(), *given).to_json()
        for given in (
            (None, False, None), (1.0, False, None), (2.5, False, None), (None, True, None), (3.0, True, None),
            (None, False, 1), (None, False, 7),
        )
    ]  # fmt: skip
    assert found[0] == found[1], "one frame per second is the default"
    assert len({str(one) for one in found}) == 6
    assert found[2]["fps"] == 2.5
    assert found[6]["frames"] == 7
    assert found[2]["tolerance_seconds"] == found[6]["tolerance_seconds"] == 0.02


def criteria(
    adapter: Any = None, label: str | None = None, how: Any = None, least: Any = 0.5, window: float = 5.0
) -> Any:
    return make_criteria(adapter or model(positive_label="show"), "bundle", label, how, least, window)


def test_criteria_follow_from_the_options_before_the_model() -> None:
    found = criteria()
    assert (found.label, found.column, found.aggregation) == ("show", 1, "mean")
    assert (found.top_fraction, found.min_score, found.window_seconds) == (0.25, 0.5, 5.0)
    own = model(positive_label="show", aggregation="top_mean", top_fraction=0.125)
    assert (criteria(own).aggregation, criteria(own).top_fraction) == ("top_mean", 0.125)
    found = criteria(own, "ad", "max", 0.75, 2.5)
    assert (found.label, found.column, found.aggregation) == ("ad", 0, "max")
    assert (found.min_score, found.window_seconds) == (0.75, 2.5)


def test_criteria_that_cannot_be() -> None:
    said = r"bundle: has several labels and no positive_label\. Say whose score counts with --label"
    with pytest.raises(ConfigError, match=said):
        criteria(model())
    with pytest.raises(ConfigError, match="label is 'news', which is not a label of this model"):
        criteria(label="news")
    with pytest.raises(ConfigError, match="aggregation is 'median'"):
        criteria(how="median")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"window_seconds": 0.0}, "window_seconds is 0.0"),
        ({"window_seconds": math.inf}, "window_seconds is inf"),
        ({"window_seconds": math.nan}, "window_seconds is nan"),
        ({"settle_seconds": 0.0}, "settle_seconds is 0.0"),
        ({"settle_seconds": math.inf}, "settle_seconds is inf"),
        ({"engine": "spark"}, "engine is 'spark'"),
        ({"workers": 0}, "workers is 0"),
        ({"ray_address": "auto"}, "ray_address is 'auto', but engine is 'local'"),
        ({"min_score": 1.1}, "min"),
        ({"min_score": "most"}, "min"),
        ({"bundle": None}, "no model is given"),
        ({"prompt_model": "m"}, "needs a prompt"),
        ({"neutral_prompt": "wall"}, "needs a prompt"),
        ({"prompt": "dive"}, "are both given"),
    ],
)
def test_a_scan_checks_its_options_before_it_opens_a_model(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    options = {"bundle": tmp_path / "none", "output": tmp_path / "out" / "x.json", **given}
    with pytest.raises(ConfigError, match=said):
        scan(tmp_path / "library", **options)
    assert not (tmp_path / "out").exists()


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none: there is no such folder"):
        scan(tmp_path / "none", tmp_path / "bundle")
    for window in (0.0, math.inf):
        with pytest.raises(ConfigError, match="window_seconds"):
            score(tmp_path / "a.mp4", tmp_path / "bundle", window_seconds=window)


def test_a_file_that_is_no_result_of_a_scan_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    require_replaceable(path)
    with pytest.raises(StorageError, match="is a folder or a device"):
        require_replaceable(tmp_path)
    path.write_text('{"format": "other"}')
    with pytest.raises(StorageError, match=r"x\.json: already exists and is not a highlights\.json"):
        require_replaceable(path)
    path.write_text("")
    require_replaceable(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "x", "version": 1}', "{"])
def test_what_is_no_list_of_highlights_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DatasetError, match=r"x\.json"):
        read_highlights(tmp_path / "x.json")


def test_a_precision_is_for_programs_on_the_processor() -> None:
    with pytest.raises(ConfigError, match="precision int8 is for the program that runs on the CPU, but device is gpu"):
        require_cpu("int8", "gpu")
    require_cpu("int8", "cpu")
    require_cpu(None, "gpu")
    bundle = choose_model("bundle", None, None, None)
    assert (bundle.source, bundle.name, bundle.is_prompt) == ("bundle", "bundle", False)
    assert wanted_precision(bundle, None, (), print) is None
    prompts = SimpleNamespace(is_prompt=True, name="m")
    with pytest.raises(ConfigError, match="prompts use the networks unchanged"):
        wanted_precision(prompts, "int8", (), print)  # type: ignore[arg-type]


def test_results_replace_nothing_unless_they_are_asked_to(tmp_path: Path) -> None:
    require_new(None, False)
    require_new(tmp_path / "new" / "deep" / "x.json", False)
    (tmp_path / "empty").mkdir()
    require_new(tmp_path / "empty", False)
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for path in (tmp_path / "file", tmp_path / "full"):
        with pytest.raises(StorageError, match=r"already exists; use --force .*, or name another path"):
            require_new(path, False)
        with pytest.raises(StorageError, match="or think again"):
            require_new(path, False, "or think again")
        require_new(path, True)
    for force in (False, True):
        with pytest.raises(StorageError, match=r"because .*file is a file"):
            require_new(tmp_path / "file" / "x.json", force)


def test_errors_of_a_scan_are_all_of_the_library() -> None:
    assert issubclass(ConfigError, AdapterError)
