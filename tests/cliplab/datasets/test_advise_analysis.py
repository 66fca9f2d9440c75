"""What the advice finds in clips whose faults were planted: random features and looks, nothing is decoded."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="advice needs the train extra: pip install 'cliplab[train]'")

from adapters.data import Dataset, Example
from cliplab.datasets.advise_alike import groups_alike, likeness_tree
from cliplab.datasets.advise_analysis import analyse
from cliplab.datasets.advise_figures import AdvisedClips, compact
from cliplab.datasets.advise_files import write_advice
from cliplab.datasets.advise_labels import LabelIssue
from cliplab.datasets.advise_looks import PROPERTIES, Looks, source_names
from cliplab.datasets.advise_report import AdviseReport
from cliplab.datasets.advise_words import gain_words


@pytest.fixture(autouse=True)
def few_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small part of the heads: what is planted is found by these, too."""
    for name, value in {
        "adapters.training.fold_division._FOLDS": 4,
        "adapters.training.out_of_fold._INNER_FOLDS": 2,
        "cliplab.datasets.advise_figures._CONTROLS": 2,
        "cliplab.datasets.advise_shortcuts._TREES": 8,
        "cliplab.datasets.advise_curve._REPEATS": 2,
    }.items():
        monkeypatch.setattr(name, value)


STARTS = dict(zip(PROPERTIES, np.cumsum([0, *(len(names) for names in PROPERTIES.values())]).tolist(), strict=False))


class Planted:
    """Clips of two classes or more, in which a test plants what is to be found."""

    def __init__(self, clips: int = 60, classes: int = 2, groups: int | None = None, signal: float = 1.5) -> None:
        self.rng = np.random.default_rng(7)
        self.classes = np.arange(clips) % classes
        self.groups = np.arange(clips) if groups is None else np.arange(clips) * groups // clips
        centres = self.rng.normal(size=(classes, 12)) * signal
        self.features = (centres[self.classes] + self.rng.normal(size=(clips, 12))).astype(np.float32)
        self.properties = self.rng.normal(size=(clips, sum(map(len, PROPERTIES.values())))).astype(np.float32)
        colours = self.rng.random((clips, 24)) ** 6
        self.colours = np.sqrt(colours / colours.sum(axis=1, keepdims=True)).astype(np.float32)
        self.pictures = (self.rng.random((clips, 8, 16)) * 255).astype(np.float32)
        self.paths = [f"/clips/{number}.mp4" for number in range(clips)]
        self.labels = [f"class{number}" for number in self.classes]
        self.splits: list[Any] = [None] * clips

    def look_like(self, rows: Any, first: int) -> None:
        """Rows have the colours of another, nearly."""
        noise = 0.02 * self.rng.random((len(rows), self.colours.shape[1]))
        colours = np.square(self.colours[first] + noise)
        self.colours[rows] = np.sqrt(colours / colours.sum(axis=1, keepdims=True)).astype(np.float32)

    def advice(self, **keys: Any) -> AdviseReport:
        names = tuple(dict.fromkeys(self.labels))
        truth = np.array([[label == name for name in names] for label in self.labels])
        clips = AdvisedClips(tuple(self.paths), names, truth, True, self.groups, self.features)
        examples = [
            Example(Path(path), (label,), group=str(group), split=split)
            for path, label, group, split in zip(self.paths, self.labels, self.groups, self.splits, strict=True)
        ]
        return analyse(clips, examples, Looks(self.properties, self.colours, self.pictures), **keys)


def said(report: AdviseReport, topic: str, serious: bool = True) -> str:
    return "\n".join(item.text for item in report.findings if item.topic == topic and item.serious is serious)


# Shortcuts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["frame shape", "brightness", "length"])
def test_a_property_that_gives_the_classes_away_is_named(name: str) -> None:
    planted = Planted(signal=0.6)
    planted.properties[:, STARTS[name]] += 6 * planted.classes
    report = planted.advice()
    assert report.shortcuts[0].name == name
    assert report.shortcuts[0].figure.accuracy > 0.9
    assert f"from {name}" in said(report, "shortcuts")


def test_a_class_that_one_property_gives_away_is_named_among_others() -> None:
    planted = Planted(clips=90, classes=6, groups=15)
    planted.properties[planted.classes == 2, STARTS["frame shape"]] -= 8
    found = said(planted.advice(), "shortcuts")
    assert "frame shape" in found
    assert "'class2'" in found
    assert "'class3'" not in found


def test_the_names_of_sources_give_the_classes_away() -> None:
    planted = Planted(signal=0.6)
    planted.paths = [f"/clips/{'tv' if kind else 'phone'}_{row}.mp4" for row, kind in enumerate(planted.classes)]
    report = planted.advice()
    assert report.shortcuts[0].name == "source name"
    assert "names of sources" in said(report, "shortcuts")


def test_a_label_in_the_name_of_a_file_is_not_its_source() -> None:
    examples = [
        Example(Path(f"/data/{label}/{label}_{n}_cam.mp4"), (label,)) for label in ("ad", "show") for n in (1, 2)
    ]
    assert set(source_names(examples)) == {"data cam"}


def test_even_classes_have_no_shortcut_and_no_false_alarm() -> None:
    report = Planted(clips=80).advice()
    assert said(report, "shortcuts") == said(report, "groups") == said(report, "copies") == ""
    assert report.figure is not None
    assert report.figure.accuracy > 0.9
    assert [item.topic for item in report.findings if item.serious] == []


# Groups, copies -----------------------------------------------------------------------------------------------------


def deceiving() -> Planted:
    """Features and colours say the source alone, and each source has clips of one class, but for two."""
    planted = Planted(clips=96, signal=0.0)
    source = np.arange(96) // 12
    planted.classes = np.array([0, 1, 0, 1, 1, 0, 1, 0])[source]
    planted.labels = [f"class{number}" for number in planted.classes]
    planted.features[:, :8] += 6 * np.eye(8, dtype=np.float32)[source]  # a source says nothing of another
    for number in range(8):
        rows = np.flatnonzero(source == number)
        planted.look_like(rows[1:], rows[0])
    return planted


def test_a_figure_that_is_the_source_is_shown_beside_that_of_look_alikes() -> None:
    report = deceiving().advice()
    assert report.figure is not None
    assert report.alike is not None
    assert report.alike.proposed is not None
    proposed = report.alike.proposed
    assert report.figure.accuracy > 0.95
    assert proposed.groups == 8
    assert proposed.figure is not None
    assert proposed.figure.accuracy < 0.75
    assert report.alike.control is not None
    assert report.alike.control > 0.9
    assert "most of the figure may be the source video" in said(report, "groups")
    assert "class.There" not in said(report, "groups")


def test_sources_that_hold_all_classes_are_no_alarm() -> None:
    planted = Planted(clips=96, signal=2.0)
    for number in range(8):
        rows = np.arange(12) + 12 * number
        planted.look_like(rows[1:], rows[0])
    report = planted.advice()
    assert report.alike is not None
    assert report.alike.proposed is not None
    assert report.alike.proposed.groups == 8
    assert said(report, "groups") == ""
    assert "no sign" in said(report, "groups", serious=False)


def test_a_class_that_looks_all_alike_cannot_be_told_from_its_source() -> None:
    planted = Planted(clips=60)
    rows = np.flatnonzero(planted.classes == 1)
    planted.look_like(rows[1:], rows[0])
    report = planted.advice()
    assert report.alike is not None
    assert report.alike.proposed is None
    assert "'class1'" in said(report, "groups")
    assert "cannot show whether" in said(report, "groups")


def test_written_groups_stay_whole_at_every_level() -> None:
    planted = Planted(clips=30, groups=10)
    looks = Looks(planted.properties, planted.colours, planted.pictures)
    for level in (0.95, 0.8, 0.0):
        member = groups_alike(likeness_tree(looks), planted.groups, level)
        assert all(len(set(member[planted.groups == group])) == 1 for group in range(10))
    assert member.max() == 0


def test_copies_across_splits_and_labels_are_named() -> None:
    planted = Planted()
    for one, other in ((3, 20), (5, 8)):  # of two classes; of two splits
        planted.colours[other] = planted.colours[one]
        planted.pictures[other] = planted.pictures[one] + 1.0  # encoded anew
    planted.splits[5], planted.splits[8] = "train", "test"
    report = planted.advice()
    assert set(report.copies) == {(3, 20), (5, 8)}
    rows = {tuple(row["path"].rpartition("/")[2] for row in pair) for pair in report.to_json()["copies"]}
    assert rows == {("3.mp4", "20.mp4"), ("5.mp4", "8.mp4")}
    found = said(report, "copies")
    assert "/clips/5.mp4 and /clips/8.mp4" in found
    assert "two splits" in found
    assert "/clips/3.mp4 and /clips/20.mp4" in found
    assert "different labels" in found


def test_still_clips_of_one_place_are_not_copies() -> None:
    planted = Planted()
    planted.look_like([1, 2, 3], 0)
    planted.pictures[[0, 1, 2, 3]] = planted.pictures[0]
    planted.pictures[[1, 2, 3], :, :4] += np.array([60, -60, 90], np.float32)[:, None, None]  # somebody elsewhere
    assert planted.advice().copies == ()


# Labels and curve ---------------------------------------------------------------------------------------------------


def test_planted_mislabels_come_first_with_their_likely_label(tmp_path: Path) -> None:
    planted = Planted(clips=120, classes=3, signal=2.5)
    wrong = {4: "class0", 31: "class2", 62: "class1"}  # they are of class 1, 1 and 2
    for row, label in wrong.items():
        planted.labels[row] = label
    report = planted.advice()
    assert {issue.clip for issue in report.issues[:3]} == set(wrong)
    by_clip = {issue.clip: issue for issue in report.issues}
    assert {row: by_clip[row].likely for row in wrong} == {4: "class1", 31: "class1", 62: "class2"}
    assert all(by_clip[row].given == label and by_clip[row].likely_score > 0.5 for row, label in wrong.items())
    assert "/clips/4.mp4" in said(report, "labels", serious=False)
    pytest.importorskip("matplotlib", reason="the picture needs the train extra")
    write_advice(report, Dataset(report.examples, report.clips.labels, Path("/clips")), tmp_path / "out")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"advise.json", "advise.png", "label_issues.csv", "label_issues.json"} <= set(written)
    rows = json.loads((tmp_path / "out" / "label_issues.json").read_text())
    assert {row["path"] for row in rows[:3]} == {f"/clips/{row}.mp4" for row in wrong}
    assert json.loads((tmp_path / "out" / "advise.json").read_text())["label_issues"] == rows


def test_a_spreadsheet_runs_nothing_of_a_label(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs the train extra")
    report = Planted(clips=40, classes=2, signal=2.5).advice()
    issue = LabelIssue(0, "=HYPERLINK(1)", "@sum", 0.1, 0.9)
    report = replace(report, issues=(issue,))
    write_advice(report, Dataset(report.examples, report.clips.labels, Path("/clips")), tmp_path / "out")
    (row,) = csv.DictReader((tmp_path / "out" / "label_issues.csv").read_text().splitlines())
    assert (row["given"], row["likely"]) == ("'=HYPERLINK(1)", "'@sum")
    assert json.loads((tmp_path / "out" / "label_issues.json").read_text())[0]["given"] == "=HYPERLINK(1)"


def test_random_labels_are_said_to_teach_nothing() -> None:
    planted = Planted(clips=80, classes=4, signal=0.0)
    report = planted.advice()
    assert "did not measurably learn" in said(report, "figure")
    assert report.issues == ()
    assert (report.curve.overall, report.curve.classes) == ((), ())
    assert report.curve.points
    assert any("likely wrong labels and the benefit of more clips" in text for text in report.warnings)


def test_confused_classes_are_counted() -> None:
    planted = Planted(clips=80, classes=4, signal=4.0)
    planted.features[planted.classes == 3] = planted.features[planted.classes == 2][::-1]
    found = planted.advice().confusions
    assert {found[0].label, found[0].taken_for} == {"class2", "class3"}
    assert found[0].clips > 3
    assert found[0].of == 20


def test_the_curve_rises_with_clips_and_says_what_more_would_bring() -> None:
    planted = Planted(clips=240, classes=3, groups=80, signal=0.45)
    curve = planted.advice().curve
    sizes = [point.clips for point in curve.points]
    assert sizes == sorted(set(sizes))
    assert any(abs(size - 50) <= 4 for size in sizes)
    assert sizes[-1] == 192
    assert curve.points[-1].accuracy > curve.points[0].accuracy + 0.1
    assert [gain.now + gain.clips for gain in curve.overall] == [500]
    assert {gain.label for gain in curve.classes} == {"class0", "class1", "class2"}
    for gain in (*curve.overall, *curve.classes):
        assert gain.interval[0] <= gain.gain <= gain.interval[1]
        assert 0 <= gain.gain < 0.3
    assert gain_words(curve.classes[0]).startswith("60 more clips of 'class")


def test_the_advice_follows_from_its_arguments_alone() -> None:
    one, again = (Planted(clips=30, groups=10).advice() for _ in range(2))
    assert one.to_json() == again.to_json()


# Bad input ----------------------------------------------------------------------------------------------------------


def test_one_clip_of_each_class_gives_the_reason_and_no_figure() -> None:
    report = Planted(clips=6, classes=6).advice()
    assert report.figure is None
    assert any("cannot be divided" in text for text in report.warnings)
    assert report.to_json()["figure"] is None


def test_identical_clips_teach_nothing_and_are_copies() -> None:
    planted = Planted(clips=12)
    for values in (planted.features, planted.properties, planted.colours, planted.pictures):
        values[:] = values[0]
    report = planted.advice()
    assert "did not measurably learn" in said(report, "figure")
    assert len(report.copies) == 66
    assert "different labels" in said(report, "copies")
    assert report.shortcuts == ()


@pytest.mark.parametrize(("groups", "word"), [(1, "one group"), (2, "seen the class")])
def test_few_groups_are_warned_of(groups: int, word: str) -> None:
    planted = Planted(clips=24, groups=groups)
    if groups == 2:  # each class is in one recording
        planted.groups = planted.classes.copy()
    report = planted.advice()
    assert any(word in text for text in report.warnings)
    if groups == 2:
        assert report.issues == ()


def test_several_labels_are_judged_one_by_one() -> None:
    planted = Planted(clips=80, signal=3.0)
    truth = np.stack([planted.classes == 0, planted.classes == 1, planted.features[:, 0] > 0], axis=1)
    truth[5, 0] = not truth[5, 0]
    names = ("a", "b", "c")
    clips = AdvisedClips(tuple(planted.paths), names, truth, False, planted.groups, planted.features)
    examples = [
        Example(Path(path), tuple(np.array(names)[row])) for path, row in zip(planted.paths, truth, strict=True)
    ]
    report = analyse(clips, examples, Looks(planted.properties, planted.colours, planted.pictures))
    assert report.figure is not None
    assert report.figure.accuracy > 0.6
    assert report.confusions == ()
    assert 5 in {issue.clip for issue in report.issues[:3]}
    assert any("not " in issue.likely or "not " in issue.given for issue in report.issues)


def test_many_clips_are_compacted_and_keep_their_distances() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 2, 40)) @ rng.normal(size=(40, 600))
    small = compact(features.astype(np.float32))
    assert small.shape == (500, 256)
    mean = features.mean(axis=1)
    mean = (mean - mean.mean(axis=0)) / mean.std(axis=0)
    apart, kept = (np.linalg.norm(values[:50] - values[50:100], axis=1) for values in (mean, small))
    np.testing.assert_allclose(kept, apart, rtol=0.02)
    assert compact(features[:100].astype(np.float32)).shape == (100, 600)


def test_hostile_names_stay_text() -> None:
    planted = Planted(clips=40)
    planted.labels = ["[red]a\x1b[31m$x$" if kind else "b, \n=1+1" for kind in planted.classes]
    report = replace(planted.advice(), output="out")
    assert json.loads(json.dumps(report.to_json()))["labels"] == {"b, \n=1+1": 20, "[red]a\x1b[31m$x$": 20}
