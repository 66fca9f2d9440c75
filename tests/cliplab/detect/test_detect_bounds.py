"""Every bound and refusal of what finds breaks and highlights: the last value that is allowed, and the next one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from watched_calls import ReachedError, defaults, watch

import cliplab.detect.ads as ads_module
import cliplab.detect.highlights.commands as commands
from adapters.errors import ConfigError, DatasetError, StorageError
from cliplab.detect import HighlightOptions, HighlightReport, detect_all, find_ads, highlight_options
from cliplab.detect.adapting import SHORT, ScoreHead
from cliplab.detect.break_profile import change_profile, load_break_profile, read_break_profile
from cliplab.detect.following import follow_ads
from cliplab.detect.highlights.candidates import read_report
from cliplab.detect.highlights.finding import find_highlights
from cliplab.detect.highlights.options import parse_headers, parse_shares
from cliplab.detect.highlights.prompts import make_judge
from cliplab.detect.highlights.stage2 import stage2_model
from cliplab.detect.observations import Observations, load_observations

# Name, values that are allowed, values that are refused.
OPTIONS: list[tuple[str, list[Any], list[Any]]] = [
    ("clip_seconds", [1.0, 300], [0.99, 300.1, True, "30", math.nan, math.inf, None]),
    ("min_gap_seconds", [0.0, 86_400.0], [-0.1, 86_400.1, True]),
    ("min_score", [0.0, 1.0], [-0.01, 1.01, False]),
    ("snap_seconds", [0.0, 10.0], [-0.01, 10.01, True]),
    ("most", [None, 1, 500], [0, -1, True]),
    ("frames", ["auto", "reference", "key"], ["all", "", None]),
    ("quality", ["best", "lowest", "720p", "1080", "10p", "9999p"], ["p", "9p", "099p", "10000p", "worst", "", None]),
    ("before_shares", [{}, {"cheer": 0.0}, {"motion": 1.0}], [{"cheers": 0.5}, {"cheer": -0.1}, {"cheer": 1.1}]),
    ("headers", [{}, {"Cookie": "a=b: c"}],
     [{"": "x"}, {" ": "x"}, {"A:": "x"}, {"A": "x\ny"}, {"A": "x\ry"}, {"A": "x\0y"}, {"A\n": "x"}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, allowed, _ in OPTIONS for value in allowed])
def test_an_option_is_kept_up_to_its_bound(name: str, value: Any) -> None:
    options = HighlightOptions(**{name: value})
    assert getattr(options, name) == value
    assert options.to_json().get(name, value) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, refused in OPTIONS for value in refused])
def test_an_option_beyond_its_bound_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        HighlightOptions(**{name: value})


def test_headers_stay_out_of_files_since_they_may_hold_secrets() -> None:
    shown = HighlightOptions(headers={"Cookie": "secret"}, before_shares={"cheer": 0.25}).to_json()
    assert "secret" not in json.dumps(shown)
    assert shown["before_shares"] == {"cheer": 0.25}


def test_shares_that_are_not_given_keep_their_value() -> None:
    usual, changed = HighlightOptions(), highlight_options(before="cheer=0.25, motion=1")
    assert changed.before_share("cheer") == 0.25
    assert changed.before_share("motion") == 1.0
    assert changed.before_share("bang") == usual.before_share("bang")


@pytest.mark.parametrize("text", ["cheer", "cheer=", "cheer=x", "cheer=nan", "cheer=0.5,motion"])
def test_shares_have_a_form(text: str) -> None:
    with pytest.raises(ConfigError, match="shares before the peak"):
        parse_shares(text)
    assert parse_shares(" cheer = 0.5 ,, ") == {"cheer": 0.5}
    assert parse_shares("") == {}


@pytest.mark.parametrize("line", ["Cookie", ": x", "  : x", ""])
def test_headers_have_a_form(line: str) -> None:
    with pytest.raises(ConfigError, match="a header must have the form"):
        parse_headers([line])
    assert parse_headers(["A: b: c", "D :e"]) == {"A": "b: c", "D": "e"}


# What a file of candidates says, and what the refusal names.
CANDIDATES: list[tuple[Any, str]] = [
    ([], "no list of candidates"),
    ({"source": "a.mp4"}, "no list of candidates"),
    ({"source": "a.mp4", "candidates": {}}, "no list of candidates"),
    ({"candidates": []}, '"source" must name'),
    ({"source": "", "candidates": []}, '"source" must name'),
    ({"source": 7, "candidates": []}, '"source" must name'),
    ({"source": "a.mp4", "candidates": [], "version": 99}, "version 99"),
    ({"source": "a.mp4", "candidates": [], "duration_seconds": -1}, "duration_seconds must be"),
    ({"source": "a.mp4", "candidates": [], "notes": 5}, "notes must be a list of strings, got 5"),
    ({"source": "a.mp4", "candidates": [], "notes": "text"}, "notes must be a list of strings, got 'text'"),
    *(
        ({"source": "a.mp4", "candidates": [{"start": 1, "end": 3}, row]}, f"a.json: .*{said}")
        for row, said in (
            ("text", "candidate 2 is not an object"),
            ({"end": 2}, "start of candidate 2"),
            ({"start": 1}, "end of candidate 2"),
            ({"start": 2, "end": 2}, "candidate 2 must end after it begins, got 2 to 2 s"),
            ({"start": -1, "end": 2}, "start of candidate 2"),
            ({"start": True, "end": 2}, "start of candidate 2"),
            ({"start": 1, "end": 1e12}, "end of candidate 2"),
            ({"start": 1, "end": 2, "kind": "text"}, "kind of candidate 2 must be audio or video, got 'text'"),
            ({"start": 1, "end": 2, "cues": [1]}, "cues of candidate 2"),
            ({"start": 1, "end": 2, "cues": {"cheer": "x"}}, "cue 'cheer' of candidate 2"),
            ({"start": 1, "end": 2, "score": "x"}, "score of candidate 2"),
            ({"start": 1, "end": 2, "peak": -1}, "peak of candidate 2"),
            ({"start": 1, "end": 2, "stage1": -1}, "stage1 of candidate 2"),
            ({"start": 1, "end": 2, "stage2": None}, "stage2 of candidate 2"),
            ({"start": 1, "end": 2, "rating": "5"}, "rating of candidate 2"),
            ({"start": 1, "end": 2, "prompts": []}, "prompts of candidate 2"),
            ({"start": 1, "end": 2, "prompts": {"dive": "x"}}, "prompt 'dive' of candidate 2"),
        )
    ),
]


@pytest.mark.parametrize(("value", "said"), CANDIDATES)
def test_a_file_of_candidates_is_refused_by_the_place_of_its_fault(value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DatasetError, match=said):
        read_report(path)


def test_every_field_of_candidates_is_read_and_what_is_left_out_follows(tmp_path: Path) -> None:
    full = {
        "start": 5.0, "end": 9.0, "peak": 6.0, "kind": "audio", "event": "cheer", "score": 0.75, "stage1": 0.5,
        "cues": {"cheer": 0.25}, "stage2": 0.625, "rating": 4.5, "why": "because", "prompts": {"dive": 0.125},
    }  # fmt: skip
    value = {
        "source": "a.mp4", "candidates": [full, {"start": 1, "end": 3}], "duration_seconds": 60.5, "notes": ["n"],
        "model": "m", "rating_model": "r", "fingerprint": "f", "options": {"most": 3},
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    report = read_report(path)
    first, second = report.candidates
    assert (first.start, first.end, first.peak, first.kind, first.event) == (1.0, 3.0, 2.0, "video", "motion")
    assert (first.score, first.stage1, first.stage2, first.rating, first.why) == (0.0, 0.0, None, None, None)
    assert second.to_json() == full
    assert (report.source, report.duration_seconds, report.notes) == ("a.mp4", 60.5, ("n",))
    assert (report.model, report.rating_model, report.fingerprint) == ("m", "r", "f")
    assert (report.options, report.error) == ({"most": 3}, None)
    path.write_text(json.dumps(report.to_json()))
    assert read_report(path) == report


PROFILE: list[tuple[str, list[Any], list[Any]]] = [
    ("typical_break_seconds", [1.0, 7200.0], [0.9, 7200.1, True, "60", math.nan, None]),
    ("break_spread", [0.05, 3.0], [0.04, 3.1]),
    ("min_break_seconds", [0.0], [-0.1, 3600.1]),
    ("max_break_seconds", [7200.0], [9.9, 7200.1]),
    ("typical_programme_seconds", [1.0, 86_400.0], [0.9, 86_400.1]),
    ("programme_spread", [0.05, 3.0], [0.04, 3.1]),
    ("off_lattice_share", [0.001, 1.0], [0.0009, 1.1]),
    ("advert_tolerance_seconds", [0.02, 2.0], [0.01, 2.1]),
    ("min_confidence", [0.0, 1.0], [-0.1, 1.1]),
    ("adverts", [{"30": 1.0}, {"15": 0.5, "300": 0.48}, {"15": 0.5, "30": 0.52}],
     [{}, {"30": 0.97}, {"30": 0.5, "15": 0.53}, {"x": 1.0}, {"301": 1.0}, {"-2": 1.0}, {"30": -0.1, "15": 1.0},
      [30], {"30": True}]),
    ("advert_gaps", [{"0": 1.0}, {"-1": 0.5, "2": 0.5}], [{}, {"0": 0.5}, "0"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, allowed, _ in PROFILE for value in allowed])
def test_a_profile_of_breaks_keeps_each_value_up_to_its_bound(name: str, value: Any, tmp_path: Path) -> None:
    profile = read_break_profile({name: value})
    assert getattr(profile, name) == value
    usual = read_break_profile()
    assert replace(profile, **{name: getattr(usual, name)}) == usual, "other keys keep their values"
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"break_profile": profile.to_dict()}))
    assert load_break_profile(path) == profile


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, refused in PROFILE for value in refused])
def test_a_profile_of_breaks_refuses_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        read_break_profile({name: value})
    with pytest.raises(ConfigError, match=name):
        change_profile(read_break_profile(), **{name: value})


@pytest.mark.parametrize("name", ["second_weights", "edge_weights"])
def test_weights_of_a_profile_are_changed_one_by_one(name: str) -> None:
    usual = getattr(read_break_profile(), name)
    key = next(iter(usual))
    for value in (-20.0, 20.0):
        assert getattr(read_break_profile({name: {key: value}}), name) == {**usual, key: value}
    for bad in (-20.1, 20.1, True, "1"):
        with pytest.raises(ConfigError, match=rf"{name}\.{key}"):
            read_break_profile({name: {key: bad}})
    with pytest.raises(ConfigError, match=f'{name} has no "other"'):
        read_break_profile({name: {"other": 1.0}})
    with pytest.raises(ConfigError, match=f"{name} must be an object"):
        read_break_profile({name: [1.0]})


def test_a_profile_has_known_keys_and_a_least_below_its_most() -> None:
    with pytest.raises(ConfigError, match='"typical" is unknown'):
        read_break_profile({"typical": 1})
    with pytest.raises(ConfigError, match="must be under max_break_seconds 60"):
        read_break_profile({"min_break_seconds": 60.0, "max_break_seconds": 60.0})
    assert read_break_profile({"min_break_seconds": 59.9, "max_break_seconds": 60.0}).min_break_seconds == 59.9
    with pytest.raises(ConfigError, match="score_head must be an object"):
        read_break_profile({"score_head": [1]})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"break_profile": []}'])
def test_a_file_that_is_no_profile_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.json"):
        load_break_profile(tmp_path / "p.json")


def test_a_head_of_a_profile_has_its_numbers() -> None:
    kernel = (0.5,) * SHORT
    for share in (0.0, 1.0):
        assert ScoreHead("model", kernel, 0.5, share).share == share
    bad: list[tuple[Any, Any, Any]] = [
        (kernel[1:], 0.5, 0.5), ((*kernel, 0.5), 0.5, 0.5), ((math.nan, *kernel[1:]), 0.5, 0.5),
        (kernel, math.inf, 0.5), (kernel, 0.5, -0.1), (kernel, 0.5, 1.1), (kernel, 0.5, math.nan),
    ]  # fmt: skip
    for numbers, bias, share in bad:
        with pytest.raises(ConfigError, match="score_head"):
            ScoreHead("model", numbers, bias, share)


def observed(**changes: Any) -> Observations:
    values: dict[str, Any] = {
        "times": np.arange(4.0), "ad_scores": np.array([0.0, 1.0, 0.5, np.nan], np.float32),
        "rows": {"logo": np.full(4, 0.25, np.float32)}, "cuts": np.array([1.0, 1.0, 2.5]),
        "cut_strength": np.ones(3, np.float32), "cut_kinds": ("cut", "black", "cut"), "duration_seconds": 4.0,
    }  # fmt: skip
    return Observations(**{**values, **changes})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"times": np.zeros((2, 2))}, "one axis"),
    ({"cuts": np.zeros((3, 1))}, "one axis"),
    ({"ad_scores": np.zeros(3, np.float32)}, "ad_scores must have shape"),
    ({"rows": {"logo": np.zeros(5, np.float32)}}, "logo must have shape"),
    ({"ad_scores": np.array([0, 1.01, 0, 0], np.float32)}, "ad_scores must be in"),
    ({"ad_scores": np.array([0, -0.01, 0, 0], np.float32)}, "ad_scores must be in"),
    ({"rows": {"logo": np.array([0, np.inf, 0, 0], np.float32)}}, "logo must be in"),
    ({"rows": {"other": np.zeros(4, np.float32)}}, "got other"),
    ({"cut_strength": np.ones(2, np.float32)}, "as long as cuts"),
    ({"cut_kinds": ("cut", "cut")}, "as long as cuts"),
    ({"features": np.zeros((3, SHORT), np.float16)}, "features must have shape"),
    ({"features": np.zeros(4, np.float16)}, "features must have shape"),
    ({"cuts": np.array([1.0, np.nan, 2.0])}, "cuts must be finite"),
    ({"cuts": np.array([1.0, 3.0, 2.0])}, "cuts must be finite and increase"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_observations_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        observed(**changes)


def test_observations_come_back_from_their_file(tmp_path: Path) -> None:
    kept = observed(
        damaged=[(0.5, 1.0)], exact=[(2.0, 3.0), (3.5, 4.0)], key_times=np.array([0.0, 2.0]), notes=("one", "two"),
        loudness=np.array([-20.0, -30.0, np.nan, -5.0], np.float32), grid_seconds=0.5,
        features=np.full((4, SHORT), 0.5, np.float16),
    )  # fmt: skip
    kept.save(tmp_path / "o.npz")
    found = load_observations(tmp_path / "o.npz")
    for name in ("times", "ad_scores", "cuts", "cut_strength", "key_times", "loudness", "features"):
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name), name)
    np.testing.assert_array_equal(found.row("logo"), kept.row("logo"))
    assert np.isnan(found.row("speech")).all()
    assert found.row("speech").shape == (4,)
    for name in ("cut_kinds", "duration_seconds", "damaged", "exact", "notes", "grid_seconds"):
        assert getattr(found, name) == getattr(kept, name), name


SWITCHES = [
    ({}, None),
    ({"DETECTION_USE_ML_STAGE2": "false"}, None),
    ({"DETECTION_USE_ML_STAGE2": " TRUE "}, "model"),
    ({"DETECTION_USE_ML_STAGE2": "1"}, "model"),
]


@pytest.mark.parametrize(("variables", "found"), SWITCHES)
def test_the_second_stage_follows_its_switch(variables: dict[str, str], found: str | None, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    given = {**variables, "DETECTION_STAGE2_MODEL": str(tmp_path / "model")}
    assert stage2_model(given, tmp_path) == (None if found is None else str(tmp_path / found))


def test_the_second_stages_switch_and_model_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DETECTION_USE_ML_STAGE2 must be true or false, got 'maybe'"):
        stage2_model({"DETECTION_USE_ML_STAGE2": "maybe"}, tmp_path)
    with pytest.raises(ConfigError, match="no model at"):
        stage2_model({"DETECTION_USE_ML_STAGE2": "true", "DETECTION_STAGE2_MODEL": str(tmp_path / "none")}, tmp_path)


def test_a_file_of_variables_comes_after_those_of_the_process(tmp_path: Path) -> None:
    for name in ("one", "two", "a b"):
        (tmp_path / name).mkdir()
    lines = ["# DETECTION_USE_ML_STAGE2=false", "export DETECTION_USE_ML_STAGE2=true", "OTHER"]
    for value, found in ((f"{tmp_path}/one # note", "one"), (f'"{tmp_path}/a b"', "a b"), (f"'{tmp_path}/two'", "two")):
        (tmp_path / ".env").write_text("\n".join([*lines, f"DETECTION_STAGE2_MODEL={value}"]))
        assert stage2_model({}, tmp_path) == str(tmp_path / found)
    assert stage2_model({"DETECTION_STAGE2_MODEL": str(tmp_path / "one")}, tmp_path) == str(tmp_path / "one")
    assert stage2_model({"DETECTION_USE_ML_STAGE2": "off"}, tmp_path) is None


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.mp4", "b.mp4", "b.mkv")]
    for path in paths:
        path.write_bytes(b"video")
    return paths


def test_detect_all_hands_on_what_it_was_given(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = watch(monkeypatch, [make_judge, find_highlights], [commands])
    given: dict[str, Any] = {
        "stage2": "model", "stage2_label": "goal", "stage2_min": 0.25, "trust_adapters": ["a:B"], "prompt": "dive",
        "prompt_model": "networks", "neutral_prompt": "wall",
    }  # fmt: skip
    with pytest.raises(ReachedError):
        detect_all(
            videos[0], HighlightOptions(most=3), rating_model=None, chat="chat.jsonl", on_progress=print,
            on_note=print, **given,
        )  # fmt: skip
    assert {name: arrived[f"make_judge.{name}"] for name in given} == given
    assert (arrived["source"], arrived["options"]) == (str(videos[0]), HighlightOptions(most=3))
    assert (arrived["stage2"], arrived["ratings"], arrived["chat"]) == ("made by make_judge", None, "chat.jsonl")
    assert (arrived["on_progress"], arrived["on_note"]) == ("a function", "a function")


def test_the_defaults_of_a_run_are_those_of_its_parts() -> None:
    own = defaults(detect_all)
    assert {name: own[name] for name in defaults(make_judge)} == defaults(make_judge)


Refusal = tuple[Callable[[list[Path], Path], Any], type[Exception], str]
RUNS: list[Refusal] = [
    (lambda v, f: detect_all([]), ConfigError, "no source is given"),
    (lambda v, f: detect_all(v[:2], output=f / "x.json"), ConfigError, "there are 2 sources"),
    (lambda v, f: detect_all(v[:1], output=f / "x.txt"), ConfigError, "must be X.json or a folder"),
    (lambda v, f: detect_all(v[1:], output=f / "out"), ConfigError, "would both be written"),
    (lambda v, f: detect_all(v[:2], chat="c"), ConfigError, "chat belongs to one source, got 2"),
    (lambda v, f: detect_all(v[:1], output=_filled(f / "x.json")), StorageError, "already exists"),
    (lambda v, f: find_ads([]), ConfigError, "no recording is given"),
    (lambda v, f: find_ads(v[:2], cues="c"), ConfigError, "cues belong to one recording, got 2"),
    (lambda v, f: find_ads(v[:1], merge="ours"), ConfigError, "Also give --output"),
    (lambda v, f: find_ads(v[:1], merge="all", output=".edl"), ConfigError, "all"),
    (lambda v, f: find_ads(v[:2], cut=f / "x.mp4"), ConfigError, "got 2 recordings"),
    (lambda v, f: find_ads(v[:2], output=f / "x.edl"), ConfigError, "there are 2 recordings"),
    (lambda v, f: find_ads(v[1:], output=".edl"), ConfigError, "output: .*would both be written"),
    (lambda v, f: find_ads(v[1:], explain=f / "out"), ConfigError, "explain: .*would both be written"),
    (lambda v, f: find_ads(v[:1], output=f / "x.doc"), DatasetError, "doc"),
    (lambda v, f: find_ads(v[:1], output=_filled(f / "x.edl")), StorageError, r"x\.edl: already exists"),
    (lambda v, f: find_ads(v[:1], explain=_filled(f / "x.png")), StorageError, r"x\.png: already exists"),
    (lambda v, f: find_ads(v[:1], cut=_filled(f / "x.mp4")), StorageError, r"x\.mp4: already exists"),
    (lambda v, f: find_ads(v[:1], cut=v[0], force=True), ConfigError, "is the recording itself"),
    (lambda v, f: find_ads(v[:2], follow=True), ConfigError, "follow takes one recording, got 2"),
    *(
        (lambda v, f, name=name: find_ads(v[:1], follow=True, **{name: 0}), ConfigError, f"{name} is only for complete")
        for name in ("merge", "cut", "explain", "cues", "audio_stream", "store", "repetition")
    ),
    (lambda v, f: find_ads(v[:1], follow=True, again=True), ConfigError, "again is only for complete"),
    (lambda v, f: list(follow_ads("a.ts", delay_seconds=4.9)), ConfigError, "delay must be seconds of at least 5"),
    (lambda v, f: list(follow_ads("a.ts", delay_seconds=math.inf)), ConfigError, "delay"),
    (lambda v, f: make_judge(prompt_model="m"), ConfigError, "needs a prompt"),
    (lambda v, f: make_judge(neutral_prompt="m"), ConfigError, "needs a prompt"),
]  # fmt: skip


def _filled(path: Path) -> Path:
    path.write_text("there")
    return path


@pytest.mark.parametrize(("call", "kind", "said"), RUNS)
def test_what_cannot_be_done_is_refused_before_a_recording_is_watched(
    call: Any, kind: type[Exception], said: str, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETECTION_USE_ML_STAGE2", raising=False)

    def unexpected(*_: Any, **__: Any) -> Any:
        raise AssertionError("a recording was watched")

    monkeypatch.setattr(commands, "find_highlights", unexpected)
    monkeypatch.setattr(ads_module, "_one", unexpected)
    with pytest.raises(kind, match=said):
        call(videos, tmp_path)


def test_following_gets_what_find_ads_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = watch(monkeypatch, [follow_ads], [ads_module])
    given: dict[str, Any] = {
        "model": "model", "profile": "sports", "label": "ad", "output": "x.edl", "force": True,
        "trust_adapters": ["a:B"],
    }  # fmt: skip
    with pytest.raises(ReachedError):
        find_ads("live.ts", follow=True, delay=12.5, on_note=print, **given)
    assert {name: arrived[name] for name in given} == given
    assert (arrived["source"], arrived["delay_seconds"], arrived["on_note"]) == ("live.ts", 12.5, "a function")


def test_what_was_followed_is_reported_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"start_seconds": 10.0, "end_seconds": 70.0, "confidence": 0.75, "why": ["black"]}
    events = [{"event": "start", "now_seconds": 5.0}, {"event": "break", "now_seconds": 99.0, **said}]
    monkeypatch.setattr(ads_module, "follow_ads", lambda *_, **__: iter(events))
    seen: list[Any] = []
    report = find_ads("live.ts", model="m", profile="show", follow=True, on_event=seen.append)
    assert seen == events
    assert (report.model, report.profile, report.failed) == ("m", "show", 0)
    (recording,) = report.recordings
    assert (recording.path, recording.duration_seconds) == ("live.ts", 99.0)
    (found,) = recording.breaks
    assert (found.start_seconds, found.end_seconds, found.confidence, found.why) == (10.0, 70.0, 0.75, ["black"])


def test_a_source_that_fails_is_reported_and_the_others_are_done(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(source: str, *_: Any, **__: Any) -> HighlightReport:
        if source.endswith("a.mp4"):
            raise RuntimeError("broken")
        return HighlightReport(source, 5.0, ())

    monkeypatch.setattr(commands, "find_highlights", found)
    seen: list[Any] = []
    reports = detect_all(videos[:2], output=tmp_path / "out", on_report=seen.append)
    assert reports == seen
    assert [report.source for report in reports] == [str(path) for path in videos[:2]]
    assert "broken" in str(reports[0].error)
    assert reports[1].error is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.json"]
