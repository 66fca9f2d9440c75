"""What a registry answers about its versions: where they are in use, where they come from, how they differ, the zoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from registry_files import make_registry

from adapters.errors import ConfigError
from cliplab.registry import (
    open_registry,
    registry_compare,
    registry_history,
    registry_lineage,
    registry_list,
    registry_show,
    registry_zoo,
)
from cliplab.registry.events import Event
from cliplab.registry.store import Registry


def stored(registry: Registry, name: str, version: str, **details: Any) -> None:
    """An upload of a version, as uploading writes it down, without a file."""
    known = {
        "file": f"models/{name}/{version}/x.tflite", "file_name": f"{name}-v{version}.tflite", "format": "tflite",
        "sha256": f"{name}{version}".encode().hex().ljust(64, "0"), "size_bytes": 1_234_567,
    }  # fmt: skip
    registry.append(
        Event("upload", model=name, version=version, reason=f"about {version}", who="Ann", details={**known, **details})
    )


def placed(registry: Registry, name: str, version: str, environment: str, before: str | None = None) -> None:
    kind = "promote" if before is None or before < version else "rollback"
    registry.append(
        Event(kind, model=name, version=version, environment=environment, from_version=before, to_version=version,
              reason="why", who="Bob")
    )  # fmt: skip


GENERAL = {
    "task": "single_label",
    "labels": [f"c{number}" for number in range(8)],
    "input": {"height": 224, "width": 160},
}
EVALUATION = {"clips": 71, "intervals": {"accuracy": [0.5, 0.7], "f1": [0.3, 0.6]}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry") / "r"
    with make_registry(folder) as registry:
        figures = {"accuracy": 0.625, "f1": 0.5, "latency_ms": 12.34, "roc_auc": 0.9}
        stored(registry, "base-general", "1.0.0", metrics=figures, interface=GENERAL, evaluation=EVALUATION)
        after = {"accuracy": 0.75, "f1": 0.25, "recall": 0.5}
        later = {"clips": 80, "intervals": {"accuracy": [0.69, 0.8], "f1": [0.1, 0.29], "recall": [0, 1]}}
        stored(
            registry, "base-general", "1.1.0", metrics=after, evaluation=later, card="# Card\n```\ncode\n```",
            interface={**GENERAL, "input": {"height": 224, "width": 320, "frames": 8}}, change={"from": "1.0.0"},
            lineage={"parent": "base-general-v1.0.0"},
        )  # fmt: skip
        stored(registry, "base-general", "1.2.0", lineage={"parent": "base-general-v1.1.0"})
        stored(
            registry, "sports-nfl", "2.0.0", lineage={"parent": "base-general-v1.1.0"}, interface={"labels": ["<b>"]}
        )
        placed(registry, "base-general", "1.0.0", "staging")
        placed(registry, "base-general", "1.0.0", "production")
        placed(registry, "base-general", "1.1.0", "production", "1.0.0")
        placed(registry, "sports-nfl", "2.0.0", "development")
        registry.append(Event("note", model="base-general", environment="production", from_version="1.1.0"))
    return folder


def test_versions_are_listed_by_model_with_where_they_are_in_use(place: Path) -> None:
    listed = [(one.version.full_name, one.environments) for one in registry_list(registry=place)]
    assert listed == [
        ("base-general-v1.0.0", ("staging",)),
        ("base-general-v1.1.0", ("production",)),
        ("base-general-v1.2.0", ()),
        ("sports-nfl-v2.0.0", ("development",)),
    ]
    assert [one.version.version for one in registry_list("sports-nfl", registry=place)] == ["2.0.0"]
    for environment, version in (("staging", "1.0.0"), ("production", "1.1.0")):
        (only,) = registry_list(environment=environment, registry=place)
        assert only.version.version == version
    with pytest.raises(ConfigError, match="environment"):
        registry_list(environment="Living Room!", registry=place)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        *(("base-general@1.0.0", "1.0.0"), ("base-general-v1.1.0", "1.1.0"), ("base-general", "1.2.0")),
        *(("base-general@production", "1.1.0"), ("base-general@staging", "1.0.0")),
    ],
)
def test_a_reference_names_a_version_an_environment_or_the_highest(reference: str, version: str, place: Path) -> None:
    assert registry_show(reference, registry=place).version.version == version


@pytest.mark.parametrize("reference", ["base-general@9.0.0", "base-general@development", "nobody-here"])
def test_a_reference_to_nothing_is_refused(reference: str, place: Path) -> None:
    with pytest.raises(ConfigError, match=reference.partition("@")[0]):
        registry_show(reference, registry=place)


def test_a_stored_version_has_all_that_was_written_down(place: Path) -> None:
    shown = registry_show("base-general@1.1.0", registry=place)
    one = shown.version
    assert (one.uploaded_by, one.description, one.sequence, one.size_bytes) == ("Ann", "about 1.1.0", 2, 1_234_567)
    assert one.uploaded_at.startswith("20")
    assert (one.file, one.file_name) == ("models/base-general/1.1.0/x.tflite", "base-general-v1.1.0.tflite")
    assert one.target == "base-general/1.1.0/base-general-v1.1.0.tflite"
    told = shown.to_json()
    assert (told["full_name"], told["environments"]) == ("base-general-v1.1.0", ["production"])
    assert (told["metrics"], told["card"]) == ({"accuracy": 0.75, "f1": 0.25, "recall": 0.5}, one.card)


def test_an_environment_has_what_was_placed_last(place: Path) -> None:
    with open_registry(place, read_only=True) as registry:
        found = registry.current("base-general", "production")
        assert found is not None
        assert (found.version, found.previous, found.who, found.sequence) == ("1.1.0", "1.0.0", "Bob", 7)
        assert registry.current("sports-nfl", "production") is None
        rows = [(one.environment, one.name, one.version) for one in registry.placements()]
        assert rows == [
            ("development", "sports-nfl", "2.0.0"),
            ("production", "base-general", "1.1.0"),
            ("staging", "base-general", "1.0.0"),
        ]
        assert found.to_json()["since"] == found.since
        assert registry.rollouts() == []


def test_lineage_goes_up_to_the_first_and_down_to_all(place: Path) -> None:
    found = registry_lineage("base-general@1.1.0", registry=place)
    assert found.ancestors == ("base-general-v1.0.0",)
    assert found.descendants == ("base-general-v1.2.0", "sports-nfl-v2.0.0")
    assert found.before == "1.0.0"
    assert [(event.kind, event.sequence) for event in found.events] == [("upload", 2), ("promote", 7)]
    assert registry_lineage("sports-nfl", registry=place).ancestors == ("base-general-v1.1.0", "base-general-v1.0.0")
    first = registry_lineage("base-general@1.0.0", registry=place)
    assert (first.ancestors, first.before, first.descendants) == ((), None, ("base-general-v1.1.0",))
    assert [event.sequence for event in first.events] == [1, 5, 6, 7], "also where it was replaced"
    assert registry_lineage("base-general@1.2.0", registry=place).to_json()["descendants"] == []


def test_a_lineage_that_goes_in_a_circle_ends(tmp_path: Path) -> None:
    with make_registry(tmp_path / "r") as registry:
        stored(registry, "base-a", "1.0.0", lineage={"parent": "base-b-v1.0.0"})
        stored(registry, "base-b", "1.0.0", lineage={"parent": "base-a-v1.0.0"})
        stored(registry, "base-c", "1.0.0", lineage={"parent": "base-gone-v1.0.0"})
    assert registry_lineage("base-a", registry=tmp_path / "r").ancestors == ("base-b-v1.0.0", "base-a-v1.0.0")
    assert registry_lineage("base-c", registry=tmp_path / "r").ancestors == ("base-gone-v1.0.0",)


def test_a_comparison_has_the_figures_of_both_and_of_one(place: Path) -> None:
    found = registry_compare("base-general@1.0.0", "base-general@1.1.0", registry=place)
    assert set(found.metrics) == {"accuracy", "f1"}
    assert found.metrics["accuracy"]["before"] == 0.625
    assert (found.metrics["accuracy"]["after"], found.metrics["accuracy"]["difference"]) == (0.75, 0.125)
    assert found.only == {"base-general-v1.0.0": ("latency_ms", "roc_auc"), "base-general-v1.1.0": ("recall",)}
    assert found.intervals == {"accuracy": ([0.5, 0.7], [0.69, 0.8]), "f1": ([0.3, 0.6], [0.1, 0.29])}
    assert found.clips == (71, 80)
    assert found.interface == ("the input size changed from 224x160 to 224x320 x 8 frames",)
    assert found.notes == (
        "measured on 71 and 80 clips, which may differ",
        "accuracy: the 95% intervals overlap, so the difference may be chance",
    )
    without = registry_compare("base-general@1.0.0", "base-general@1.2.0", registry=place)
    assert without.notes == ("base-general-v1.2.0: no evaluation.json is stored, so differences have no interval",)
    assert without.clips == (71, None)


def test_the_history_ends_with_the_latest(place: Path) -> None:
    assert [event.sequence for event in registry_history("base-general", registry=place, last=2)] == [7, 9]
    assert [event.sequence for event in registry_history(environment="staging", registry=place)] == [5]


def test_the_zoo_shows_each_model_once_in_the_version_that_is_in_use(place: Path) -> None:
    general, sports = registry_zoo(registry=place)
    assert (general.version, general.environments, general.versions) == ("1.1.0", ("production",), 3)
    assert general.figures == (("accuracy", 0.75, (0.69, 0.8)), ("recall", 0.5, (0.0, 1.0)), ("f1", 0.25, (0.1, 0.29)))
    assert (general.clips, general.latency_ms, general.task) == (80, None, "single_label")
    assert (general.size_bytes, general.description, general.card[:6]) == (1_234_567, "about 1.1.0", "# Card")
    assert (sports.version, sports.figures, sports.clips, sports.labels) == ("2.0.0", (), None, ("<b>",))
    (staged,) = registry_zoo(registry=place, environment="staging")
    assert (staged.version, staged.latency_ms) == ("1.0.0", 12.34)


def test_the_zoo_as_pages(place: Path, tmp_path: Path) -> None:
    for name in ("zoo.html", "zoo.md", "zoo.json"):
        entries = registry_zoo(tmp_path / name, registry=place)
    page, text = (tmp_path / "zoo.html").read_text(), (tmp_path / "zoo.md").read_text()
    figures = "accuracy 0.750 (0.690 to 0.800); recall 0.500 (0.000 to 1.000); f1 0.250 (0.100 to 0.290)"
    for shown in (page, text):
        assert f"{figures}; 80 clips, 95% intervals" in shown
        assert "single_label: c0, c1, c2, c3, c4, c5 and 2 more" in shown
        assert shown.count("not measured") == 3, "a latency of one, figures and latency of the other"
        assert "1.23 MB" in shown
        assert "&lt;b&gt;" in shown
        assert "<b>" not in shown
    assert "| base-general 1.1.0 |" in text
    assert "| production |" in text
    assert "\n````text\n# Card" in text
    assert '<article id="sports-nfl"><h2>sports-nfl 2.0.0</h2><p>about 2.0.0</p>' in page
    assert "3 versions" in page
    assert "1 version<" in page
    assert page.count("No model card is stored.") == 1
    told = json.loads((tmp_path / "zoo.json").read_text())
    assert told == json.loads(json.dumps([entry.to_json() for entry in entries]))
    registry_zoo(tmp_path / "staged.md", registry=place, environment="staging")
    assert "12.3 ms" in (tmp_path / "staged.md").read_text()


def test_a_registry_without_models_has_an_empty_zoo(tmp_path: Path) -> None:
    make_registry(tmp_path / "r").close()
    assert registry_zoo(tmp_path / "zoo.html", registry=tmp_path / "r") == []
    assert "No model has been uploaded yet." in (tmp_path / "zoo.html").read_text()
