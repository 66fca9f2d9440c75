"""`cliplab doctor`: what is wrong with a file on this machine is a finding, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import cli
from places import ROOT
from tflite_adapter import make_tflite

from adapters.errors import ConfigError
from cliplab.models import DoctorReport, doctor

STREAM = ROOT.parent / "shared" / "weights" / "movinet_a0_stream_int8.tflite"


def states(report: DoctorReport) -> dict[str, str]:
    return {item.name: item.state for item in report.findings}


def test_the_machine_alone() -> None:
    report = doctor()
    assert report.good
    assert {"machine", "LiteRT", "disk"} <= set(states(report))


@pytest.mark.skipif(not STREAM.exists(), reason="needs the shared weights")
def test_a_file_of_others_is_examined_as_far_as_it_says() -> None:
    found = {item.name: item for item in doctor(STREAM).findings}
    assert found["size"].state == "good"
    assert "3.3 MB" in found["size"].found
    assert found["quantisation"].found == "int8"
    assert "CONV_2D" in found["operators"].found
    assert found["loading"].state == "good"
    assert found["description"].state == "warning"
    assert "cliplab adopt" in found["description"].advice
    assert states(doctor(STREAM, max_size_mb=1))["size"] == "warning"


@pytest.mark.parametrize(
    "data",
    [b"", b"no program", b"\x1c\0\0\0TFL3" + b"\xff" * 200, b"\0" * 5000],
    ids=["empty", "text", "noise", "zeros"],
)
def test_a_damaged_file_is_a_finding(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(data)
    report = doctor(path)
    assert not report.good
    assert report.findings[-1].advice


def test_a_bundle_and_a_missing_file_are_named_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "my_model").mkdir()
    found = doctor(tmp_path / "my_model").findings[-1]
    assert "is a folder" in found.found
    assert found.advice.endswith("my_model --output my_model.tflite")
    found = doctor(tmp_path / "none.tflite").findings[-1]
    assert "none.tflite: no such file (looked from " in found.found


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.tflite"):
        report = doctor(path)
        assert (report.good, report.findings[-1].name) == (False, "file")


def test_a_program_that_cannot_run_here_is_bad(tmp_path: Path) -> None:
    """It describes itself and has no operators: nothing that LiteRT can open."""
    report = doctor(make_tflite(tmp_path / "a.tflite"))
    assert states(report)["program"] == "bad"
    assert not report.good


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_limits(limit: float) -> None:
    with pytest.raises(ConfigError, match="max_size_mb"):
        doctor(max_size_mb=limit)


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a bundle"):
        doctor(tmp_path / "a.tflite", golden=tmp_path)


def test_the_command(tmp_path: Path) -> None:
    shown = json.loads(cli("doctor", "--json", code=0).stdout)
    assert shown["good"]
    (tmp_path / "x.tflite").write_bytes(b"no program")
    ran = cli("doctor", tmp_path / "x.tflite", code=1)
    assert "bad" in ran.stdout
