"""Every report tells in its JSON all that it holds: each field under its name, with its value and no other.

A new report is tested without a line here where its JSON has its fields by their names.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from made_reports import maker, told

import cliplab
from adapters.errors import MissingExtraError
from cliplab.detect.adapting import ScoreHead
from cliplab.rollout.settings import RolloutSettings

# What is in the JSON under another name or in another form: field to key and value, None for what is not told.
TOLD: dict[str, dict[str, Any]] = {
    "Gain": {"clips": "more_clips", "now": "clips_now"},
    "ResetReport": {"statistics": dict},
    "DatasetReport": {"stats": dict},
    "Round": {"retry_seconds": None},
    "TestResult": {"figures": dict, "log_e": None, "log_safe": None, "threshold": None},  # test_judging
    "SegmentEvaluation": {"report": dict, "failures": "gate_failures", "skipped": ("path", "error")},
    "FeaturesReport": {"problems": ("id", "error")},
    "ListedVersion": {"version": None},
    "UploadReport": {"version": None},
    "AnnotatorsReport": dict.fromkeys(("overlap_percent", "overlap_items", "overlap_done", "edges")),
    "PrelabelReport": dict.fromkeys(("data_dir", "labelled", "output", "pre_labels", "review", "failed")),
    "HighlightOptions": {"headers": None},  # cookies and tokens are not written to files
    "ReelFormat": {"fps": None},
    "MachineReport": {"cache": None, "extras": None},
    "ScanReport": {"failures": ("path", "error")},
    "VersionComparison": {"one": "full_name", "other": "full_name"},
}
# Reports that need more than made-up values; named are the tests that read their JSON.
ELSEWHERE = {
    "AdsReport", "AdviseReport", "Clip", "ClipList", "Comparison", "Contender", "DemoReport",
    "Evaluation", "Explanation", "Figure", "Job", "LearnedProfile", "PredictReport", "RatingsReport",
    "Recording", "ReelReport", "RolloutReport", "Shortcut", "SourceClip", "Suggestion", "TrainingResult",
    "Watched",
}  # fmt: skip


def reports() -> Iterator[type]:
    for found in pkgutil.walk_packages(cliplab.__path__, "cliplab."):
        if "__main__" in found.name or ".migrations" in found.name or ".versions" in found.name:
            continue
        try:
            module = importlib.import_module(found.name)
        except (ImportError, MissingExtraError):  # of an extra that is not installed
            continue
        for kind in vars(module).values():
            own = inspect.isclass(kind) and kind.__module__ == found.name and dataclasses.is_dataclass(kind)
            if own and hasattr(kind, "to_json"):
                yield kind


KINDS = {kind.__name__: kind for kind in reports()}


@pytest.mark.parametrize("name", sorted(set(KINDS) - ELSEWHERE))
def test_each_field_of_a_report_is_in_its_json(name: str) -> None:
    report = maker().make(KINDS[name])
    shown = json.loads(json.dumps(told(report.to_json())))
    other = TOLD.get(name, {})
    for field in dataclasses.fields(report):
        value = told(getattr(report, field.name))
        place = other.get(field.name, field.name)
        if field.name.startswith("_") or place is None:
            continue
        if place is dict:
            assert value.items() <= shown.items(), field.name
        elif isinstance(place, tuple):
            assert shown[field.name] == [dict(zip(place, row, strict=True)) for row in value]
        elif place == "full_name":
            assert shown[field.name] == getattr(report, field.name).full_name
        else:
            assert shown[place] == value, field.name


def test_reports_that_need_more_are_there() -> None:
    assert not ELSEWHERE - set(KINDS), "remove what has gone from the list"


def test_what_is_stored_comes_back() -> None:
    rules, head = maker().make(RolloutSettings), maker().make(ScoreHead)
    assert RolloutSettings.from_json(json.loads(json.dumps(rules.to_json()))) == rules
    assert ScoreHead.from_dict(json.loads(json.dumps(head.to_dict()))) == head
