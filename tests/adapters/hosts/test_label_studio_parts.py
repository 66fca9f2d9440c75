"""Labels, regions, tokens and videos of Label Studio without a server: each attribute, bound and refusal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install 'cliplab[http]'")

from adapters.errors import ConfigError, DatasetError, MediaError
from adapters.hosts.label_studio.labels import (
    Control,
    for_labels,
    parse_label_config,
    to_frames,
    to_regions,
    to_seconds,
)
from adapters.hosts.label_studio.training import read_tasks
from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher, stoppable
from adapters.records import Prediction, VideoResult

LABELS = ("warm", "cold")
SETTINGS = {"threshold": 0.5, "smoothing_seconds": 0.0, "min_segment_seconds": 0.0, "merge_gap_seconds": 0.0}


def control(kind: str = "timelinelabels", **changes: Any) -> Control:
    given = {"name": "n", "to_name": "t", "values": {"warm": "heiss", "cold": "cold"}, "multiple": False}
    given |= {"video_key": "video", "frame_rate": "10"}
    return Control(kind=kind, **{**given, **changes})  # type: ignore[arg-type]


def result(*scores: float, path: str = "v.mp4", error: str | None = None) -> VideoResult:
    """A window of a second for each score of the first label."""
    windows = (
        Prediction(np.array([score, 1 - score], np.float32), LABELS, float(at), at + 1.0)
        for at, score in enumerate(scores)
    )
    return VideoResult(path, tuple(windows), error)


# The labelling config


def config(inner: str, video: str = 'name="v" value="$clip"') -> str:
    return f"<View><Video {video}/>{inner}</View>"


ONE = '<Choices name="k" toName="v"><Choice value="x"/></Choices>'


def test_each_attribute_of_a_control_is_read() -> None:
    choices, timeline = parse_label_config(
        config(
            '<Choices name="k" toName="v" choice="multiple"><Choice value="x" alias="X"/><Choice value="y"/>'
            '<Choice/></Choices><TimelineLabels name="l" toName="v" perRegion="False"><Label value="z"/>'
            '</TimelineLabels><Choices name="other" toName="nothing"><Choice value="x"/></Choices>',
            'name="v" value="$clip" frameRate="$rate"',
        )
    )
    assert choices == Control("choices", "k", "v", {"x": "X", "y": "y"}, True, "clip", "$rate")
    assert timeline == Control("timelinelabels", "l", "v", {"z": "z"}, False, "clip", "$rate")
    assert choices.label_of("X") == choices.label_of("x") == "x"
    assert choices.frames_per_second({"rate": 30, "clip": 1}) == 30


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "is required, got NoneType"),
        ("  ", "is required, got str"),
        ("<View>" + " " * 1_000_000, "at most 1000000 characters"),
        ("<View><![CDATA[x]]></View>", "without <!"),
        ("<View>", "is not XML"),
        (config(ONE, 'name="v" value="clip"'), r"got name 'k' and value 'clip'"),
        (config(ONE.replace('name="k"', "")), "got name ''"),
        (config('<Choices name="k" toName="v"/>'), "'k' has no <Choice value=...>"),
        (config(ONE.replace('toName="v"', 'toName="w"')), "no Choices and no TimelineLabels"),
    ],
)
def test_a_config_that_does_not_label_videos_is_refused(text: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_label_config(text)
    assert parse_label_config(f"<!-- a remark -->{config(ONE)}")


def test_controls_that_share_a_label_with_the_model_are_kept_in_order() -> None:
    one, two, other = control(name="one"), control("choices", name="two"), control(values={"mild": "mild"})
    assert for_labels(iter([one, other, two]), LABELS) == (one, two)
    with pytest.raises(ConfigError, match="the config has mild, the model warm, cold"):
        for_labels([other], LABELS)


# Predictions


def test_a_region_has_its_kind_names_place_and_score() -> None:
    assert to_regions(result(0.9, 0.8, 0.1), control(), SETTINGS, {}) == [
        {
            "id": "n_0",
            "type": "timelinelabels",
            "from_name": "n",
            "to_name": "t",
            "value": {"ranges": [{"start": 1, "end": 20}], "timelinelabels": ["heiss"]},
            "score": pytest.approx(0.85),
        },
        {
            "id": "n_1",
            "type": "timelinelabels",
            "from_name": "n",
            "to_name": "t",
            "value": {"ranges": [{"start": 21, "end": 30}], "timelinelabels": ["cold"]},
            "score": pytest.approx(0.9),
        },
    ]


def test_regions_come_in_order_of_time_whatever_the_order_of_labels() -> None:
    found = to_regions(result(0.1, 0.9), control(), SETTINGS, {})
    assert [region["value"]["timelinelabels"] for region in found] == [["cold"], ["heiss"]]


@pytest.mark.parametrize(
    "key, value, ranges",
    [
        ("threshold", 0.85, [(1, 10), (31, 40)]),
        ("threshold", 0.7, [(1, 10), (21, 40)]),
        ("merge_gap_seconds", 1.0, [(1, 40)]),
        ("min_segment_seconds", 1.5, [(21, 40)]),
    ],
)
def test_the_segment_keys_of_the_config_make_the_ranges(key: str, value: float, ranges: list[tuple[int, int]]) -> None:
    only = control(values={"warm": "warm"})
    found = to_regions(result(0.9, 0.1, 0.8, 0.9), only, {**SETTINGS, key: value}, {})
    assert [(r["value"]["ranges"][0]["start"], r["value"]["ranges"][0]["end"]) for r in found] == ranges


def test_a_rate_of_the_task_counts_its_frames() -> None:
    only = control(values={"warm": "warm"}, frame_rate="$fps")
    (region,) = to_regions(result(0.1, 0.9), only, SETTINGS, {"fps": 25})
    assert region["value"]["ranges"] == [{"start": 26, "end": 50}]
    with pytest.raises(ConfigError, match="which is None for this task"):
        to_regions(result(0.9), only, SETTINGS, {})


def test_choices_are_the_best_or_all_at_the_threshold() -> None:
    def chosen(multiple: bool, threshold: float, *scores: float, **changes: Any) -> list[tuple[str, float]]:
        found = to_regions(
            result(*scores), control("choices", multiple=multiple, **changes), {"threshold": threshold}, {}
        )
        return [(region["value"]["choices"][0], round(region["score"], 6)) for region in found]

    assert chosen(False, 0.9, 0.25) == [("cold", 0.75)], "the best one, whatever the threshold"
    assert chosen(True, 0.5, 0.5) == [("heiss", 0.5), ("cold", 0.5)]
    assert chosen(True, 0.75, 0.25) == [("cold", 0.75)]
    assert chosen(True, 0.76, 0.25) == []
    assert chosen(False, 0.5, 0.25, values={"warm": "heiss"}) == [("heiss", 0.25)]
    assert chosen(False, 0.5, 0.25, 0.75, 0.75) == [("heiss", 0.583333)], "the mean of the windows"


@pytest.mark.parametrize("kind", ["choices", "timelinelabels"])
def test_a_video_that_failed_has_no_regions_but_its_reason(kind: str) -> None:
    with pytest.raises(MediaError, match="cannot be read"):
        to_regions(result(error="v.mp4: cannot be read"), control(kind), SETTINGS, {})


def test_the_work_is_asked_whether_it_has_to_end() -> None:
    def check() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        to_regions(result(*[0.9] * 3000), control(), SETTINGS, {}, check)


@pytest.mark.parametrize(
    "start, end, rate, first, last",
    [(0.0, 1.0, 25, 1, 25), (0.04, 0.08, 25, 2, 2), (1.0, 1.0, 25, 26, 26), (0.5, 0.51, 10, 6, 6), (0, 0.11, 10, 1, 2)],
)
def test_seconds_become_the_frames_that_they_touch(
    start: float, end: float, rate: float, first: int, last: int
) -> None:
    assert to_frames(start, end, rate) == {"start": first, "end": last}


def test_frames_become_the_seconds_while_they_are_shown() -> None:
    assert to_seconds(1, 1, 10) == (0.0, 0.1)
    assert to_seconds(11, 20, 10) == (1.0, 2.0)
    assert to_seconds(0, 0, 10) == (0.0, 0.0)
    assert to_seconds(5, 3, 10) == (0.4, 0.5)


# Videos


@pytest.mark.parametrize("token", ["", "  ", "two words", "é"])
def test_a_token_that_is_not_one_word_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="access token must be one ASCII word"):
        LabelStudioClient("http://127.0.0.1:1", token)


@pytest.mark.parametrize("url", ["ftp://x", "x:1", "http://", "http://a?b", "http://a#b", "http://user@a"])
def test_an_address_with_more_than_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be http"):
        LabelStudioClient(url, "t")


def test_requests_carry_the_token_without_the_spaces_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ask(self: LabelStudioClient, request: Any) -> Any:
        asked.append((request.full_url, request.get_header("Authorization"), request.data))
        return io.BytesIO(b'{"access": "short", "x": 1}')

    monkeypatch.setattr(LabelStudioClient, "_ask", ask)
    assert LabelStudioClient("http://h:1/", " legacy\n").get_json("/api?x=1") == {"access": "short", "x": 1}
    assert asked == [("http://h:1/api?x=1", "Token legacy", None)]
    del asked[:]
    LabelStudioClient("http://h:1", "a.b.c").open("/file")
    assert asked[0][0] == "http://h:1/api/token/refresh"
    assert json.loads(asked[0][2]) == {"refresh": "a.b.c"}
    assert asked[1] == ("http://h:1/file", "Bearer short", None)


def test_answers_that_are_not_as_documented_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [b"no json", b"{}"]
    monkeypatch.setattr(LabelStudioClient, "_ask", lambda self, request: io.BytesIO(answers.pop()))
    with pytest.raises(MediaError, match="http://h:1/api/token/refresh: the answer has no access token"):
        LabelStudioClient("http://h:1", "a.b.c").open("/file")
    with pytest.raises(MediaError, match="http://h:1/x: the answer is not JSON"):
        LabelStudioClient("http://h:1", "legacy").get_json("/x")


def test_a_file_is_found_under_the_root_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a b.mp4").write_bytes(b"x")
    (tmp_path / "out.mp4").write_bytes(b"x")
    fetcher = VideoFetcher(root, None, 10)
    for value in ("sub/a b.mp4", "sub/a%20b.mp4", "/data/local-files/?d=sub/a%20b.mp4"):
        assert fetcher.fetch(value, tmp_path, "n") == root / "sub" / "a b.mp4"
    for value, words in (
        ("sub", "there is no such file"),
        ("gone.mp4", "there is no such file"),
        ("/data/local-files/?d=", "is outside the host's root"),
        ("/data/local-files/?d=a&d=b", "is outside the host's root"),
        ("%252e", "percent-encoded twice"),
        ("a\x7fb.mp4", "is outside"),
        ("/data/upload/a.mp4", "without --label-studio-url"),
        ("https://host/a.mp4", "is not supported"),
        (7, "must be a path or URL, got 7"),
        (" ", "must be a path or URL"),
    ):
        with pytest.raises(MediaError, match=words):
            fetcher.fetch(value, tmp_path, "n")
    with pytest.raises(MediaError, match="without --root"):
        VideoFetcher(None, None, 10).fetch("a.mp4", tmp_path, "n")


class Answer(io.BytesIO):
    headers: dict[str, str]


@pytest.mark.parametrize(
    "size, most, declared, words",
    [(10, 10, "10", None), (10, 9, None, "has more than 0 MB"), (10, 99, "11", "10 of 11 bytes arrived"),
     (10, 99, "x", None), (10, 99, None, None)],
)  # fmt: skip
def test_a_download_is_whole_and_at_most_as_large_as_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: int, declared: str | None, words: str | None
) -> None:
    def opened(self: LabelStudioClient, path: str) -> Any:
        assert path == "/data/upload/3/x.mp4?a=b"
        answer = Answer(b"x" * size)
        answer.headers = {} if declared is None else {"Content-Length": declared}
        return answer

    monkeypatch.setattr(LabelStudioClient, "open", opened)
    fetcher = VideoFetcher(None, LabelStudioClient("http://h:1", "t"), most)
    if words is None:
        path = fetcher.fetch("http://h:1/data/upload/3/x.mp4?a=b", tmp_path, "task7")
        assert (path, path.read_bytes()) == (tmp_path / "task7.mp4", b"x" * size)
    else:
        with pytest.raises(MediaError, match=words):
            fetcher.fetch("http://h:1/data/upload/3/x.mp4?a=b", tmp_path, "task7")
    with pytest.raises(MediaError, match="not in time"):
        fetcher.fetch("http://h:1/data/upload/3/x.mp4?a=b", tmp_path, "t", lambda: "not in time")


def test_work_that_waits_is_left_when_it_has_to_end() -> None:
    assert stoppable(lambda: 7, lambda: "never asked", "v.mp4") == 7
    with pytest.raises(ZeroDivisionError):
        stoppable(lambda: 1 // 0, lambda: None, "v.mp4")


# Trainings


def task(**changes: Any) -> dict[str, Any]:
    region = {"from_name": "n", "value": {"ranges": [{"start": 1, "end": 10}], "timelinelabels": ["heiss"]}}
    return {"id": 7, "data": {"video": "a.mp4"}, "annotations": [{"result": [region]}], **changes}


def choice(label: str, **more: Any) -> dict[str, Any]:
    return {"result": [{"from_name": "n", "value": {"choices": [label]}}], **more}


def test_labelled_tasks_become_clips_of_their_own_group(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    fetcher = VideoFetcher(tmp_path, None, 10)
    found, left_out = read_tasks([task(), task(annotations=[])], control(), fetcher, tmp_path)
    (clip,) = found
    assert (clip.path, clip.labels, clip.start_seconds, clip.end_seconds) == (tmp_path / "a.mp4", ("warm",), 0.0, 1.0)
    assert clip.group == clip.source == "label-studio-7"
    assert left_out == []
    with pytest.raises(DatasetError, match="must be a list of tasks, got dict"):
        read_tasks({}, control(), fetcher, tmp_path)


@pytest.mark.parametrize(
    "annotations, label",
    [
        ([choice("warm", updated_at="2026-01-02"), choice("cold", updated_at="2026-01-01")], "warm"),
        ([choice("warm", updated_at="2026-01-02"), choice("cold", ground_truth=True)], "cold"),
        ([choice("warm"), choice("cold", updated_at="2027-01-01", was_cancelled=True)], "warm"),
    ],
)
def test_of_several_annotations_the_truth_or_the_newest_counts(
    tmp_path: Path, annotations: list[Any], label: str
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    fetcher = VideoFetcher(tmp_path, None, 10)
    ((clip,), _) = read_tasks([task(annotations=annotations)], control("choices"), fetcher, tmp_path)
    assert (clip.labels, clip.start_seconds, clip.end_seconds) == ((label,), None, None)


def test_other_controls_and_unknown_values_are_left_out_by_task(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    fetcher = VideoFetcher(tmp_path, None, 10)
    other = choice("warm")
    other["result"][0]["from_name"] = "other"
    gone = task(annotations=[choice("warm")], data={"video": "b.mp4"})
    tasks = [task(annotations=[choice("mild")]), task(annotations=[other]), "no task", gone]
    found, left_out = read_tasks(tasks, control("choices"), fetcher, tmp_path)
    assert found == []
    assert [sentence.partition(":")[0] for sentence in left_out] == ["task 7", "task 'no task'", "task 7"]
    assert "is labelled 'mild', but 'n' no longer has this value; it has warm, cold" in left_out[0]
    assert "b.mp4: there is no such file" in left_out[2]
