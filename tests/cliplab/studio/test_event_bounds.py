"""Every bound of the studio's events, classes, options and reservations: the last that is allowed, and the next one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import ConfigError, DatasetError
from cliplab.studio.classes import checked_names
from cliplab.studio.events import LabelEvent, crc_of, event_from_json, label_names, subject_of
from cliplab.studio.options import StudioOptions
from cliplab.studio.review import ReviewFilter
from cliplab.studio.store import LabelStore, open_store

EVENT = {"client": "tab", "sequence": 3, "annotator": "ann", "item": 1, "action": "label", "at": 1.0}
SPAN = {"interval": "i", "label": "ad", "start": 1, "end": 2}


def event(action: str = "label", value: Any = None, **other: Any) -> LabelEvent:
    value = {"label": "ad"} if value is None else value
    return event_from_json({**EVENT, "action": action, "value": value, **other})


FIELDS: list[tuple[str, list[Any], list[Any]]] = [
    ("client", ["c", "c" * 200], ["", " ", "c" * 201, "a\nb", "a\x7fb", "a\u2028b", "a\u0085b", "a\0b", "\ud800", 7]),
    ("annotator", ["a", "ä" * 200], ["", "a" * 201, "a\tb", None]),
    ("sequence", [0, 2**53 - 1], [-1, 2**53, 1.0, True, "1", None]),
    ("at", [0, 0.5, 10**11 - 1], [-0.1, 10**11, math.inf, math.nan, True, "1"]),
    ("item", [1, 2**63 - 1], [0, -1, 2**63, 1.5, True, None, "1"]),
    ("action", ["label"], ["", "labels", "Label", None]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, allowed, _ in FIELDS for value in allowed])
def test_an_event_keeps_each_value_up_to_its_bound(name: str, value: Any) -> None:
    found = event(**{name: value})
    assert getattr(found, name) == value
    assert found.value == {"label": "ad"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, refused in FIELDS for value in refused])
def test_an_event_beyond_a_bound_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DatasetError, match=name):
        event_from_json({**EVENT, "value": {"label": "ad"}, name: value})


VALUES: list[tuple[str, list[Any], list[tuple[Any, str]]]] = [
    ("label", [{"label": "ad"}, {"labels": []}, {"labels": ["a"] * 1000}],
     [({}, "needs 'label'"), ({"label": "a", "labels": []}, "needs 'label'"), ({"labels": ["a"] * 1001}, "most 1000"),
      ({"labels": "a"}, "must be a list"), ({"labels": [""]}, "label must be"), ({"label": "a" * 201}, "label must be"),
      ({"name": "a"}, "not a key of the value"), ([], "JSON object")]),
    ("review", [{"label": "ad"}, {"labels": ["a", "b"]}], [({}, "needs 'label'")]),
    ("clear", [{}], [({"label": "a"}, "'label' is not a key of the value of 'clear'; allowed: none")]),
    ("interval", [SPAN, {**SPAN, "start": 0, "end": 10.0**7}],
     [({**SPAN, "end": 1}, "end must be after start"), ({**SPAN, "end": 0.5}, "end must be after start"),
      ({**SPAN, "start": -0.1}, "seconds from 0"), ({**SPAN, "end": 10.0**7 + 1}, "seconds from 0"),
      ({**SPAN, "start": True}, "seconds from 0"), ({**SPAN, "end": "2"}, "seconds from 0"),
      ({**SPAN, "interval": ""}, "interval"), ({"interval": "i", "label": "a", "start": 1}, "needs 'end'"),
      ({"interval": "i", "start": 1, "end": 2}, "needs 'label'")]),
    ("move", [{"interval": "i", "start": 1, "end": 2}, SPAN], [({"interval": "i", "start": 1}, "needs 'end'")]),
    ("delete", [{"interval": "i"}], [({}, "needs 'interval'"), ({"interval": 1}, "interval")]),
    ("note", [{"text": ""}, {"text": "t" * 10_000}, {"text": "a\nb"}],
     [({"text": "t" * 10_001}, "at most 10,000"), ({"text": 1}, "text of a note"), ({"text": "a\0"}, "NUL"),
      ({"text": "\ud800"}, "UTF-8"), ({}, "needs 'text'")]),
    ("flag", [{"on": True}, {"on": False}], [({"on": 1}, "true or false"), ({}, "needs 'on'")]),
    ("undo", [{"client": "c", "sequence": 0}, {"client": "c", "sequence": 2**53 - 1}],
     [({"client": "c", "sequence": -1}, "sequence to undo"), ({"client": "c", "sequence": 2**53}, "sequence to undo"),
      ({"client": "c", "sequence": 1.0}, "sequence to undo"), ({"client": "", "sequence": 1}, "client to undo"),
      ({"client": "c"}, "needs 'sequence'"), ({"sequence": 1}, "needs 'client'")]),
    ("redo", [{"client": "c", "sequence": 0}], [({"client": "c"}, "needs 'sequence'")]),
    ("lease", [{"items": [], "until": 1.5}, {"items": [1, 2], "until": 1}],
     [({"items": [1.5], "until": 1}, "list of numbers"), ({"items": [True], "until": 1}, "list of numbers"),
      ({"items": "1", "until": 1}, "list of numbers"), ({"items": [], "until": math.inf}, "until"),
      ({"items": [], "until": None}, "until"), ({"items": []}, "needs 'until'")]),
]  # fmt: skip


@pytest.mark.parametrize(("action", "value"), [(action, value) for action, allowed, _ in VALUES for value in allowed])
def test_each_action_takes_its_values(action: str, value: Any) -> None:
    assert event(action, value).value == value


@pytest.mark.parametrize(
    ("action", "value", "said"), [(action, value, said) for action, _, refused in VALUES for value, said in refused]
)
def test_each_action_refuses_other_values_and_says_why(action: str, value: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        event(action, value)


def test_a_lease_needs_no_item_and_other_events_do() -> None:
    assert event("lease", {"items": [], "until": 1}, item=None).item is None
    with pytest.raises(DatasetError, match="item must be the number"):
        event("flag", {"on": True}, item=None)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "JSON object"), ([], "got list"), ({**EVENT, "extra": 1}, "'extra' is not a key"),
     *(({name: value for name, value in EVENT.items() if name != left}, f"an event needs '{left}'")
       for left in ("client", "sequence", "annotator", "action", "at"))],
)  # fmt: skip
def test_what_is_no_event_is_refused(content: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        event_from_json(content)


@pytest.mark.parametrize(
    ("action", "value", "subject"),
    [("label", {"label": "a"}, "label:ann"), ("clear", {}, "label:ann"), ("note", {"text": ""}, "note:ann"),
     ("flag", {"on": True}, "flag:ann"), ("review", {"label": "a"}, "review"), ("interval", SPAN, "interval:i"),
     ("move", SPAN, "interval:i"), ("delete", {"interval": "i"}, "interval:i"),
     ("lease", {"items": [], "until": 1}, "lease")],
)  # fmt: skip
def test_what_an_event_changes(action: str, value: Any, subject: str) -> None:
    assert subject_of(event(action, value)) == subject


def test_labels_that_a_value_names() -> None:
    assert label_names({"label": "a"}) == ["a"]
    assert label_names({"labels": ["b", "a"]}) == ["b", "a"]
    assert label_names({"on": True}) == []


def test_the_checksum_of_an_event_depends_on_every_part() -> None:
    whole = ["tab", 3, "ann", 1, "label", "{}"]
    others = [[*whole[:place], other, *whole[place + 1 :]] for place, other in enumerate(["x", 4, "x", 2, "x", "[]"])]
    assert len({crc_of(*parts) for parts in [whole, *others]}) == 7  # type: ignore[arg-type]
    assert event(value={"labels": ["b", "ä"]}).value_text() == '{"labels":["b","ä"]}'


def test_names_of_classes() -> None:
    assert checked_names([" ad ", "news"]) == ["ad", "news"]
    assert len(checked_names([str(number) for number in range(10_000)])) == 10_000
    bad: list[tuple[Any, str]] = [
        ("ad", "list of up to"), ([str(number) for number in range(10_001)], "list of up to"), ([""], "of a class"),
        (["Ad", "ad"], "are the same class"), (["a" * 201], "name of a class"), ([7], "name of a class"),
    ]  # fmt: skip
    for names, said in bad:
        with pytest.raises(DatasetError, match=said):
            checked_names(names)


STUDIO: list[tuple[dict[str, Any], str]] = [
    ({"port": -1}, "port is -1"),
    ({"port": 65536}, "port is 65536"),
    ({"host": "0.0.0.0"}, "no token is set"),
    ({"token": "t" * 15}, "the token has 15 characters"),
    ({"token": "ä" * 40}, "all ASCII"),
    ({"labels": ()}, "at least one class"),
    ({"labels": ("ad", " ")}, "a class is named"),
    ({"labels": ("a" * 201,)}, "1 to 200 characters"),
    ({"labels": ("ad", "news", "ad")}, "'ad' twice"),
    ({"annotator": ""}, "annotator has 0 characters"),
    ({"annotator": "a" * 101}, "annotator has 101 characters"),
]


@pytest.mark.parametrize(("given", "said"), STUDIO)
def test_options_of_a_studio_are_checked(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        StudioOptions(tmp_path, **given)


def test_options_of_a_studio_up_to_their_bounds(tmp_path: Path) -> None:
    allowed: list[dict[str, Any]] = [
        {"port": 0}, {"port": 65535}, {"host": "0.0.0.0", "token": "t" * 40}, {"annotator": "a" * 100},
        {"labels": ("a" * 200, "b")},
    ]  # fmt: skip
    for given in allowed:
        options = StudioOptions(tmp_path, **given)
        assert {name: getattr(options, name) for name in given} == given
    assert StudioOptions(tmp_path).models_folder == tmp_path / "models"
    assert StudioOptions(tmp_path, models_dir=tmp_path / "m").models_folder == tmp_path / "m"
    assert StudioOptions(tmp_path).clip_database == str(tmp_path / "clips.db")
    assert StudioOptions(tmp_path, database="postgresql://u@h/n").clip_database == "postgresql://u@h/n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with open_store(tmp_path, ["ad", "news"]) as store:
        yield store


@pytest.mark.parametrize(("count", "seconds"), [(-1, 60.0), (10_001, 60.0), (5, 0.0), (5, 7 * 86_400.0 + 1)])
def test_reservations_have_bounds(count: int, seconds: float, store: LabelStore) -> None:
    with pytest.raises(ConfigError, match="a lease must be for 0 to"):
        store.lease("ann", count, seconds)
    assert store.lease("ann", 0, 7 * 86_400.0) == []
    assert store.lease("ann", 10_000, 1.0) == []
    with pytest.raises(DatasetError, match="annotator"):
        store.lease("", 1, 60.0)


def test_the_share_of_items_for_two_people_is_a_percentage(store: LabelStore) -> None:
    for percent in (0, 100):
        store.set_overlap(percent)
    for bad in (-0.1, 100.1, math.nan):
        with pytest.raises(ConfigError, match="overlap must be a percentage"):
            store.set_overlap(bad)


def test_what_a_store_does_not_have_is_named(store: LabelStore) -> None:
    for number in (0, 1, 2**63, -1):
        with pytest.raises(DatasetError, match=f"there is no item {number} in"):
            store.item(number)
    with pytest.raises(DatasetError, match="there is no item 7, for which 'm' has scores"):
        store.set_scores("m", [(7, "ad", 0.5)])
    for score in (-0.1, 1.1, math.nan):
        with pytest.raises(DatasetError, match="score of item 7 for 'ad' must be a number from 0 to 1"):
            store.set_scores("m", [(7, "ad", score)])
    with pytest.raises(DatasetError, match="'adz' is not a class of this studio"):
        store.rename_class("adz", "x")
    with pytest.raises(DatasetError, match="is or was another class"):
        store.rename_class("ad", "news")


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1.0), (0.6, 0.5), (0.0, 1.1), (math.nan, 1.0)])
def test_scores_of_a_review_are_in_order(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="scores must be 0 <= low <= high <= 1"):
        ReviewFilter(low=low, high=high)
    assert ReviewFilter(low=0.5, high=0.5).low == 0.5
    assert ReviewFilter(low=0.0, high=1.0).high == 1.0
