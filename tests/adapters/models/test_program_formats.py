"""Cached programs: their keys, and that a change of the code that makes them comes with another format number."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import program_formats
import pytest
from program_formats import Described, adapter_of, problem, read_record

from adapters.config import adapter_class
from adapters.litert import program_cache
from adapters.models import ModelAdapter, NetworkAdapter
from adapters.models.programs import backbone_identity, program_identity

NUMBERS, RECORDED = read_record()


def test_programs_are_those_of_their_format_numbers() -> None:
    wrong = problem(program_formats.make_all(), program_formats.numbers(), RECORDED, NUMBERS)
    assert wrong is None, wrong


# The rule -----------------------------------------------------------------------------------------------------------


def with_changed(*names: str) -> dict[str, Described]:
    return {**RECORDED, **{name: Described("other", []) for name in names}}


def test_what_agrees_is_no_problem() -> None:
    assert problem(RECORDED, NUMBERS, RECORDED, NUMBERS) is None


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        (("resnet18 none",), "ResNet18Adapter.network_format"),
        (("movinet none", "movinet_stream int8"), "MoViNetAdapter.network_format"),
        (("movinet_stream int8",), "STREAM_FORMAT"),
        (("conversion dynamic",), "CONVERSION_FORMAT"),
        (tuple(RECORDED), "CONVERSION_FORMAT"),
        (tuple(name for name in RECORDED if not name.startswith("conversion")), "HEAD_FORMAT"),
    ],
)
def test_a_changed_program_asks_for_the_number_of_its_generator(changed: tuple[str, ...], number: str) -> None:
    wrong = problem(with_changed(*changed), NUMBERS, RECORDED, NUMBERS)
    assert wrong is not None
    assert re.search(rf"Raise [^,]*\b{re.escape(number)}\b", wrong)
    assert program_formats.COMMAND in wrong


def test_a_raised_number_asks_for_another_record() -> None:
    wrong = problem(with_changed("resnet18 none"), {**NUMBERS, "resnet18": 99}, RECORDED, NUMBERS)
    assert wrong is not None
    assert "Raise" not in wrong
    assert program_formats.COMMAND in wrong


def test_a_constant_may_be_rounded_otherwise_and_not_be_another() -> None:
    ours = Described("same", [[10.0, 3.0, 0]])
    assert ours.differs_from(Described("same", [[10.000001, 3.000001, 0]])) is None
    assert ours.differs_from(Described("same", [[10.0, 3.01, 0]])) is not None


# Keys ---------------------------------------------------------------------------------------------------------------


def named(name: str) -> ModelAdapter:
    adapter = adapter_class(name)({"schema_version": 1, "adapter": name, "weights": "random", "imgz": 32})
    assert isinstance(adapter, ModelAdapter)
    return adapter


def test_keys_do_not_depend_on_the_name_that_the_adapter_goes_by() -> None:
    short = named("adapters.models.efficientnet_lite:EfficientNetLiteAdapter")
    full = named(f"{type(short).__module__}:{type(short).__qualname__}")
    assert program_identity(short) == program_identity(full)
    assert short.feature_identity() == full.feature_identity()
    assert type(short).__module__ not in json.dumps([program_identity(short), short.feature_identity()])


def test_a_subclass_has_programs_of_its_own() -> None:
    """It may build another network under the inherited family."""
    base = adapter_of("resnet18")
    own = type("Own", (type(base),), {})
    assert backbone_identity(own(base.config)) != backbone_identity(base)


@pytest.mark.parametrize("what", ["CONVERSION_FORMAT", "HEAD_FORMAT", "network_format", "STREAM_FORMAT"])
def test_another_number_is_another_program(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_of("movinet_stream")
    places: dict[str, Any] = {
        "CONVERSION_FORMAT": program_cache,
        "HEAD_FORMAT": sys.modules[NetworkAdapter.__module__],
        "network_format": type(adapter),
        "STREAM_FORMAT": sys.modules[type(adapter).__module__],
    }

    def path() -> Path:
        return program_cache.program_path(program_identity(adapter))

    before = path()
    monkeypatch.setattr(places[what], what, 99)
    assert path() != before
