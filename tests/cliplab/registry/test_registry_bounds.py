"""Every bound and refusal of names, numbers, keys and events of a registry, and what each filter of it leaves."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up import Maker

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from registry_files import make_registry

from adapters.errors import ConfigError, StorageError
from cliplab.registry import (
    Event,
    open_registry,
    registry_download,
    registry_export,
    registry_history,
    registry_init,
    registry_list,
    registry_publish,
    registry_zoo,
)
from cliplab.registry.manifest_metrics import best_model, lower_is_better, read_metrics
from cliplab.registry.names import Version, next_number, parse_environment, parse_name, parse_reference, parse_version
from cliplab.registry.records import StoredVersion
from cliplab.registry.semantics import describe_change, differences, measured
from cliplab.registry.signing import MAX_DAYS, MAX_KEYS

INTERFACE: dict[str, Any] = {
    "adapter": "one:Adapter",
    "task": "single_label",
    "labels": ["ad", "show"],
    "input": {"height": 224, "width": 320, "frames": 8},
    "architecture": {"alpha": 1.0, "head": [{"units": 8}]},
}


def stored(version: str, **changes: Any) -> StoredVersion:
    made: StoredVersion = Maker().make(StoredVersion)
    return replace(made, version=version, interface=INTERFACE, metrics={"accuracy": 0.5, "f1": 0.25}, **changes)


OTHERS = [stored("1.0.0"), stored("1.2.0"), stored("1.2.1"), stored("3.0.0")]


def change(version: str, interface: dict[str, Any] | None = None, others: Any = OTHERS) -> dict[str, Any]:
    metrics = {"accuracy": 0.75, "recall": 1.0}
    return describe_change(parse_version(version), interface or INTERFACE, metrics, others)


def test_the_first_version_is_compared_with_nothing() -> None:
    assert change("1.0.0", others=[]) == {"kind": "first", "from": None, "interface": [], "metrics": {}}


@pytest.mark.parametrize(
    ("version", "kind", "before"),
    [("1.2.2", "patch", "1.2.1"), ("1.3.0", "minor", "1.2.1"), ("2.0.0", "", ""), ("3.0.1", "patch", "3.0.0"),
     ("3.1.0", "minor", "3.0.0"), ("4.0.0", "major", "3.0.0")],
)  # fmt: skip
def test_a_version_is_compared_with_the_one_below_it(version: str, kind: str, before: str) -> None:
    if not kind:
        with pytest.raises(ConfigError, match=r"3\.0\.0 exists, so the next one here is 4\.0\.0"):
            change(version)
        return
    found = change(version)
    assert (found["kind"], found["from"], found["interface"]) == (kind, before, [])
    assert found["metrics"] == {"accuracy": {"before": 0.5, "after": 0.75, "difference": 0.25}}


@pytest.mark.parametrize(
    ("version", "following"), [("1.2.1", "1.2.2"), ("1.0.0", "1.0.1"), ("1.1.0", "1.3.0"), ("0.9.0", "4.0.0")]
)
def test_a_number_that_is_too_low_names_the_next_one(version: str, following: str) -> None:
    with pytest.raises(ConfigError, match=f"the next one here is {following}"):
        change(version)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("adapter", "two:Adapter", "the adapter changed from one:Adapter to two:Adapter"),
        ("task", "multi_label", "the task changed from single_label to multi_label"),
        ("labels", ["ad", "news"], r"the labels changed \(without .?show.? and with .?news.?\)"),
        ("labels", ["ad"], r"the labels changed \(without .?show.?\)"),
        ("labels", ["ad", "show", "news"], r"the labels changed \(with .?news.?\)"),
        ("labels", ["show", "ad"], r"the labels changed \(another order\)"),
        ("input", {"height": 224, "width": 320}, "from 224x320 x 8 frames to 224x320"),
        ("input", {"height": 320, "width": 224, "frames": 8}, "from 224x320 x 8 frames to 320x224 x 8 frames"),
        ("architecture", {"alpha": 0.5, "head": [{"units": 8}]}, "architecture changed: alpha from 1.0 to 0.5"),
        ("architecture", {"alpha": 1.0, "head": []}, "architecture changed: head"),
        ("architecture", {"alpha": 1.0, "head": [{"units": 8}], "depth": 2}, "depth from None to 2"),
    ],
)
def test_what_users_rely_on_changes_with_a_major_version_only(key: str, value: Any, said: str) -> None:
    other = {**INTERFACE, key: value}
    with pytest.raises(ConfigError, match=rf"version 3\.1\.0: .*{said}.* since 3\.0\.0.*--version 4\.0\.0"):
        change("3.1.0", other)
    (sentence,) = change("4.0.0", other)["interface"]
    assert [sentence] == differences(INTERFACE, other)


def test_keys_of_another_adapter_are_not_compared_one_by_one() -> None:
    other = {**INTERFACE, "adapter": "two:Adapter", "architecture": {"depth": 9, "head": []}}
    assert differences(INTERFACE, other) == ["the adapter changed from one:Adapter to two:Adapter"]


def test_figures_of_both_are_compared() -> None:
    assert measured({"a": 1.0, "b": 2.0}, {"b": 1.5, "c": 3.0}) == {
        "b": {"before": 2.0, "after": 1.5, "difference": -0.5}
    }
    assert differences(INTERFACE, json.loads(json.dumps(INTERFACE))) == []


@pytest.mark.parametrize("text", ["0.0.0", "1.2.3", "999999999.0.0"])
def test_versions_are_three_numbers(text: str) -> None:
    assert str(parse_version(text)) == text
    for bad in ("1.2", "1.2.3.4", "01.2.3", "1.2.-3", "1.2.x", "", "1000000000.0.0", " 1.2.3", "1.2.3\n", 1):
        with pytest.raises(ConfigError, match="version: must be three numbers"):
            parse_version(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Did you mean 1\.2\.3\?"):
        parse_version("v1.2.3")


def test_the_next_number_of_each_kind() -> None:
    known = [Version(1, 2, 3), Version(1, 10, 0), Version(0, 99, 99)]
    assert [str(next_number(kind, known)) for kind in ("major", "minor", "patch")] == ["2.0.0", "1.11.0", "1.10.1"]
    assert [str(next_number(kind, [])) for kind in ("major", "minor", "patch")] == ["1.0.0"] * 3


@pytest.mark.parametrize(
    ("name", "kind", "variant"),
    [("base-ads", "base", "ads"), ("show-specific-news-at-ten", "show-specific", "news-at-ten"),
     ("temporal", "temporal", ""), ("basement-cat", "basement", "cat"), ("base-" + "a" * 95, "base", "a" * 95)],
)  # fmt: skip
def test_names_have_a_type_and_a_variant(name: str, kind: str, variant: str) -> None:
    assert vars(parse_name(name)) == {"type": kind, "variant": variant}
    for bad in ("", "cat", "Base-ads", "base--ads", "-base", "base-", "base ads", "base-ads-v2", "base-ads-v2-1", None):
        with pytest.raises(ConfigError, match="name: "):
            parse_name(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has 101 characters; at most 100"):
        parse_name("base-" + "a" * 96)


def test_references_name_a_version_or_an_environment() -> None:
    assert parse_reference("base-ads@1.2.3").version == "1.2.3"
    assert parse_reference("base-ads-v1.2.3").version == "1.2.3"
    assert parse_reference("base-ads@staging").environment == "staging"
    assert parse_reference("base-ads@latest").latest
    plain = parse_reference("base-ads")
    assert (plain.name, plain.version, plain.environment, plain.latest) == ("base-ads", None, None, False)
    for bad in ("base-ads@", "base-ads@test", "base-ads@1.2", "ads@1.2.3"):
        with pytest.raises(ConfigError):
            parse_reference(bad)
    for name in ("development", "staging", "production"):
        assert parse_environment(name) == name
    with pytest.raises(ConfigError, match="'prod' is not an environment"):
        parse_environment("prod")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": {"root": 0}}, f"root: must have 1 to {MAX_KEYS} keys, got 0"),
        ({"count": {"targets": MAX_KEYS + 1}}, f"targets: must have 1 to {MAX_KEYS} keys"),
        ({"thresholds": {"snapshot": 2}}, "snapshot: has 1 keys, so 1 to 1 can sign, got 2"),
        ({"thresholds": {"snapshot": 0}}, "snapshot: has 1 keys, so 1 to 1 can sign, got 0"),
        ({"count": {"root": 3}, "thresholds": {"root": 4}}, "root: has 3 keys, so 1 to 3 can sign, got 4"),
        ({"days": {"timestamp": 0}}, f"timestamp: must be valid for 1 to {MAX_DAYS} days, got 0"),
        ({"days": {"root": MAX_DAYS + 1}}, f"root: must be valid for 1 to {MAX_DAYS} days"),
        ({"count": {"roots": 1}}, "count: 'roots' is not a role"),
        ({"thresholds": {"roots": 1}}, "thresholds: 'roots' is not a role"),
        ({"days": {"roots": 1}}, "days: 'roots' is not a role"),
    ],
)
def test_numbers_of_keys_are_checked_before_any_key_is_made(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")
    with pytest.raises(ConfigError, match=said):
        registry_init(tmp_path / "r", tracking="none", **given)
    assert not list(tmp_path.rglob("*.pem"))


def test_keys_thresholds_and_days_are_those_that_were_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")
    report = registry_init(
        tmp_path / "r", tracking="none", keys_folder=tmp_path / "keys", count={"root": 3, "targets": 2},
        thresholds={"root": 2}, days={"root": MAX_DAYS, "timestamp": 1}, who="ann",
    )  # fmt: skip
    assert report.keys is not None
    assert {role: len(ids) for role, ids in report.keys.keys.items()} == {
        "root": 3, "targets": 2, "snapshot": 1, "timestamp": 1,
    }  # fmt: skip
    assert dict(report.keys.thresholds) == {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}
    assert (report.keys.days["root"], report.keys.days["timestamp"]) == (MAX_DAYS, 1)
    assert len(list((tmp_path / "keys").glob("*.pem"))) == 7
    (event,) = registry_history(registry=tmp_path / "r")
    assert (event.kind, event.who, event.reason) == ("keys", "ann", "first keys")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"database": "sqlite:///x"}, r"database: must be postgresql://USER@HOST/NAME, got 'sqlite:///x'"),
        ({"artifacts": "folder"}, "artifacts: must be a URL"),
        ({"artifacts": "s3://b/p", "tracking": "none"}, "tracking cannot be none"),
    ],
)
def test_places_of_a_registry_are_checked(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        registry_init(tmp_path / "r", keys=False, **given)
    assert not (tmp_path / "r").exists()


def test_a_registry_keeps_the_places_that_it_began_with(tmp_path: Path) -> None:
    registry_init(tmp_path / "r", tracking="none", keys=False)
    for given in ({"tracking": "http://x"}, {"keys_folder": tmp_path / "other"}, {"artifacts": "s3://b/p"}):
        with pytest.raises(ConfigError, match=r"has \w+ .*, not .*Edit registry\.json"):
            registry_init(tmp_path / "r", keys=False, **given)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").touch()
    with pytest.raises(StorageError, match=r"contains photo\.jpg and is not a registry"):
        registry_init(tmp_path / "full", tracking="none", keys=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry without models, and with events of two models in two environments."""
    folder = tmp_path_factory.mktemp("registry") / "r"
    with make_registry(folder) as registry:
        for number, (model, environment) in enumerate(
            [("base-a", "staging"), ("base-b", "staging"), ("base-a", "production"), ("base-a", None)]
        ):
            registry.append(
                Event(
                    "note", model=model, environment=environment, version=f"1.0.{number}", reason=f"reason {number}",
                    from_version="0.1.0", to_version="0.2.0", details={"number": number}, who=f"person {number}",
                )
            )  # fmt: skip
    return folder


def numbers(**filters: Any) -> list[int]:
    return [event.details["number"] for event in registry_history(**filters)]


def test_the_history_is_filtered_by_model_environment_and_number(place: Path) -> None:
    assert numbers(registry=place) == [0, 1, 2, 3]
    assert numbers(name="base-a", registry=place) == [0, 2, 3]
    assert numbers(environment="staging", registry=place) == [0, 1]
    assert numbers(name="base-a", environment="production", registry=place) == [2]
    assert numbers(registry=place, last=2) == [2, 3]
    assert numbers(name="base-a", registry=place, last=1) == [3]
    with pytest.raises(ConfigError, match="last: must be at least 1, got 0"):
        registry_history(registry=place, last=0)


def test_events_keep_all_that_was_said(place: Path) -> None:
    event = registry_history(registry=place)[2]
    assert (event.kind, event.model, event.environment, event.version) == ("note", "base-a", "production", "1.0.2")
    assert (event.from_version, event.to_version, event.reason) == ("0.1.0", "0.2.0", "reason 2")
    assert (event.who, event.details, event.sequence) == ("person 2", {"number": 2}, 3)
    assert event.at.startswith("20")
    assert event.sentence() == f"note base-a 0.2.0 to production by person 2 at {event.at} (event 3)"


@pytest.mark.parametrize("reason", ["a\0b", "x" * 10_001, "\ud800"])
def test_reasons_that_cannot_be_kept_are_refused(reason: str, place: Path) -> None:
    with open_registry(place) as registry:
        before = len(registry.history())
        with pytest.raises(ConfigError, match=r"reason: must be text of at most 10,000"):
            registry.append(Event("note", reason=reason))
        with pytest.raises(ConfigError, match="details of a note event"):
            registry.append(Event("note", details={"x": object()}))
        with pytest.raises(ConfigError, match="details of a note event"):
            registry.append(Event("note", details={"x": float("nan")}))
        assert len(registry.history()) == before


def test_a_registry_that_was_opened_for_reading_writes_nothing(place: Path) -> None:
    with open_registry(place, read_only=True) as registry, pytest.raises(StorageError, match="opened for reading"):
        registry.append(Event("note"))
    with pytest.raises(StorageError, match="there is no registry"):
        open_registry(place.parent / "none", read_only=True)


def test_pages_and_exports_are_refused_before_they_are_made(place: Path, tmp_path: Path) -> None:
    assert registry_list(registry=place) == []
    with pytest.raises(ConfigError, match=r"must end in \.html, \.md, \.json"):
        registry_zoo(tmp_path / "zoo.txt", registry=place)
    (tmp_path / "zoo.md").write_text("mine")
    with pytest.raises(StorageError, match=r"zoo\.md: already exists"):
        registry_zoo(tmp_path / "zoo.md", registry=place)
    assert (tmp_path / "zoo.md").read_text() == "mine"
    assert registry_zoo(tmp_path / "zoo.md", registry=place, force=True) == []
    assert (tmp_path / "zoo.md").read_text() != "mine"
    with pytest.raises(ConfigError, match=r"sign: .*key\.pem is not a file"):
        registry_export("base-a@1.0.0", tmp_path / "x", registry=place, sign=tmp_path / "key.pem")
    with pytest.raises(ConfigError, match="base-a"):
        registry_download("base-a@1.0.0", tmp_path / "x", registry=place)
    for reason in ("", " "):
        with pytest.raises(ConfigError, match="recover: needs a reason"):
            registry_publish(registry=place, recover=True, reason=reason)


@pytest.mark.parametrize(
    ("name", "lower"),
    [("log_loss", True), ("calibration_error", True), ("latency_ms", True), ("size_bytes", True), ("logLoss", True),
     ("accuracy", False), ("f1", False), ("lossless", False), ("mean_recall", False)],
)  # fmt: skip
def test_some_figures_are_better_when_they_are_low(name: str, lower: bool) -> None:
    assert lower_is_better(name) is lower
    figures = {"one": {name: 1.0}, "two": {name: 2.0}, "other": {"x": 9.0}}
    assert best_model(figures, name, None) == ("one" if lower else "two")


def test_of_equal_models_the_current_one_stays() -> None:
    figures = {"one": {"f1": 0.5}, "two": {"f1": 0.5}, "three": {"f1": 0.25}}
    assert best_model(figures, "f1", None) == "one"
    assert best_model(figures, "f1", "two") == "two"
    assert best_model(figures, "f1", "three") == "one"
    with pytest.raises(ConfigError, match=r'no model has the metric "f2".*Known metrics: f1'):
        best_model(figures, "f2", None)


@pytest.mark.parametrize("value", [True, "0.5", [0.5], {"x": 1}])
def test_figures_of_a_file_are_numbers(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"f1": 0.5, "other": value}))
    with pytest.raises(ConfigError, match="'other' must be a finite number"):
        read_metrics(path)
    path.write_text(json.dumps({"f1": 0.5, "other": None}))
    assert read_metrics(path) == {"f1": 0.5}
    path.write_text(json.dumps({"validation": {"f1": 0.25}, "train": {"f1": 1.0}}))
    assert read_metrics(path) == {"f1": 0.25}
    for text, said in (("[1]", "JSON object"), ('{"validation": {}}', "no validation figures"), ("{", "is not JSON")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_metrics(path)


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ("UPDATE registry_events SET reason = 'another' WHERE sequence = 2", 2),
        ("UPDATE registry_events SET who = 'nobody' WHERE sequence = 4", 4),
        ("DELETE FROM registry_events WHERE sequence = 1", 1),
        ("UPDATE registry_events SET sequence = 9 WHERE sequence = 4", 4),
    ],
)
def test_an_event_that_was_changed_or_removed_is_found(place: Path, tmp_path: Path, change: str, event: int) -> None:
    shutil.copytree(place, tmp_path / "r")
    with open_registry(tmp_path / "r") as registry:
        assert registry.check() == 4
    with contextlib.closing(sqlite3.connect(tmp_path / "r" / "registry.db")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(change)
        connection.commit()
    with open_registry(tmp_path / "r") as registry, pytest.raises(StorageError, match=f"event {event} was changed"):
        registry.check()


def test_a_new_registry_says_where_it_is(tmp_path: Path) -> None:
    shown = registry_init(tmp_path / "r", keys=False).to_json()
    assert shown["folder"] == str(tmp_path / "r")
    assert (shown["keys"], shown["published"]) == (None, None)
    assert shown["settings"]["database"] == "registry.db"
