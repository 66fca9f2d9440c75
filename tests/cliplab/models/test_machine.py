"""What cliplab says of its installation and machine, and its cache: shown, and cleared without a loss."""

from __future__ import annotations

import json
import os
import re
import socket
import time

import pytest
from command_line import cli

from adapters.errors import ConfigError
from cliplab.models import cache_clear, cache_show, machine
from cliplab.models.extras import declared_requirements


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CLIPLAB_CACHE", str(folder))
    return folder


def fill(cache, name, size, days=0.0):
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_a_report_names_what_is_there_and_what_each_extra_lacks(cache):
    report = machine()
    assert {"cliplab", "python"} <= set(report.versions)
    assert report.cores >= 1
    assert report.decoders["h264"]
    assert report.free_bytes > 0
    assert not report.problems
    assert json.loads(json.dumps(report.to_json()))["line"] == report.line()


def test_a_package_that_is_absent_or_too_old_is_named_where_it_is_needed(cache, monkeypatch):
    declared = [
        *("numpy>=1.26", "absent-core>=2.0", "numpy; extra == 'near'"),
        *("numpy>=999; extra == 'far'", "absent-extra>=1; extra == 'far'"),
    ]
    monkeypatch.setattr("cliplab.models.extras._SETUP", cache / "setup.py")  # as if it were installed, not a checkout
    monkeypatch.setattr("importlib.metadata.requires", lambda name: declared)
    report = machine()
    assert set(report.versions) == {"cliplab", "python", "numpy"}
    assert all(report.versions.values())
    assert any(problem.startswith("absent-core>=2.0 is not installed") for problem in report.problems)
    missing = {one.name: one.missing for one in report.extras}
    assert missing == {"far": ("numpy>=999", "absent-extra>=1"), "near": ()}


def test_the_line_for_a_report_names_no_person_and_no_place(cache):
    line = machine().line()
    assert str(cache) not in line
    assert socket.gethostname() not in line
    assert os.path.expanduser("~") not in line


def test_a_cache_that_cannot_be_written_is_a_problem(cache, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = cli("doctor", "--json", code=1)
    assert any("CLIPLAB_CACHE" in problem for problem in json.loads(result.stdout)["machine"]["problems"])


def test_doctor_shows_the_extras_and_a_line_to_copy(cache):
    out = cli("doctor", code=0).stdout
    assert "No problem found." in out
    assert machine().line().split(";")[0] in out.replace("\n", " ")


def test_the_extras_of_a_checkout_are_those_of_its_setup(tmp_path):
    """What was installed from it may be older than the code that runs."""
    from places import ROOT

    found = declared_requirements(ROOT / "setup.py")
    named = set(re.findall(r'^        "([a-z-]+)": ', (ROOT / "setup.py").read_text(encoding="utf-8"), re.M))
    assert {line.rpartition("extra == ")[2].strip("'") for line in found if "extra ==" in line} == named
    assert {one.name for one in machine().extras} == named - {"all", "dev", "lock", "test", "test-all"}
    other = tmp_path / "setup.py"
    for text in (
        "",
        "setup(name='other', install_requires=[], extras_require={})",
        "setup(",
        "X = [1]\nsetup(name='cliplab')",
    ):
        other.write_text(text)
        assert declared_requirements(other) is None
    assert declared_requirements(tmp_path / "none.py") is None


def test_an_empty_cache(cache):
    assert cache_show() == ()
    assert cache_clear() == ()
    assert "empty" in cli("cache", "show", code=0).stdout
    assert not cache.exists(), "looking makes no folder"


def test_the_cache_is_listed_by_size_and_cleared_by_name(cache):
    fill(cache, "programs/a.tflite", 5000)
    fill(cache, "features/b/c.npz", 9000)
    assert [(one.name, one.files, one.bytes) for one in cache_show()] == [("features", 1, 9000), ("programs", 1, 5000)]
    assert [one.bytes for one in cache_clear(("features",), dry_run=True)] == [9000]
    assert (cache / "features/b/c.npz").is_file()
    cache_clear(("features",))
    assert [one.name for one in cache_show()] == ["programs"]
    shown = json.loads(cli("cache", "clear", "--json", code=0).stdout)
    assert [one["bytes"] for one in shown["folders"]] == [5000]
    assert cache_show() == ()


def test_what_was_used_lately_stays(cache):
    old, new = fill(cache, "programs/old.tflite", 10, days=40), fill(cache, "programs/new.tflite", 10, days=2)
    cache_clear(older_than_days=30)
    assert (old.exists(), new.exists()) == (False, True)
    read = fill(cache, "programs/read.tflite", 10, days=40)
    os.utime(read, (time.time() - 86400, read.stat().st_mtime))
    cache_clear(older_than_days=30)
    assert read.exists(), "written long ago and read since"


def test_what_cannot_be_made_again_is_never_cleared(cache):
    """Scores that a studio has not stored yet, the digests trusted at a first download, and folders of others."""
    kept = [fill(cache, name, 10, days=400) for name in ("studio_scores/s.jsonl", "first_use.json", "mine/x")]
    cache_clear()
    assert all(path.exists() for path in kept)


def test_a_link_in_the_cache_leads_nowhere(cache, tmp_path):
    outside = fill(tmp_path, "films/mine.mp4", 10)
    fill(cache, "programs/a.tflite", 10)
    (cache / "programs" / "films").symlink_to(outside.parent)
    (cache / "features").symlink_to(outside.parent)
    cache_clear()
    assert outside.is_file()


@pytest.mark.parametrize("name", ["studio_scores", "../films", "/etc", "programs/..", "feature"])
def test_names_that_are_not_folders_of_the_cache(cache, name):
    with pytest.raises(ConfigError, match="cannot be cleared"):
        cache_clear((name,))


@pytest.mark.parametrize("days", [-1.0, float("nan")])
def test_wrong_ages(cache, days):
    with pytest.raises(ConfigError, match="older-than"):
        cache_clear(older_than_days=days)
