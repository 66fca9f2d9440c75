"""The manifest of a folder of models: its form, its versions, the best model, and writers that crash or meet."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import cli, start_python
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_adapter import make_tflite

from adapters.errors import AdapterError, BundleError, ConfigError, StorageError
from adapters.litert import read_description
from cliplab.registry import MANIFEST_NAME, next_version, read_manifest, registry_manifest
from cliplab.registry.manifest_metrics import best_model, lower_is_better

FIRST, SECOND = "highlight_movinet_a0_v001.tflite", "highlight_movinet_a0_v002.tflite"
BY_HAND = """{
  "current": "highlight_movinet_a0_v001.tflite",
  "models": [
    {
      "name": "highlight_movinet_a0_v001.tflite",
      "created": "2025-01-08T10:00:00Z",
      "metrics": {
        "precision": 0.85,
        "recall": 0.78,
        "accuracy": 0.82
      }
    }
  ]
}
"""


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A model outside the folder, as training writes it."""
    (tmp_path / "training").mkdir()
    return make_tflite(tmp_path / "training" / "out.tflite", "new")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "highlight"
    path.mkdir()
    return path


@pytest.fixture
def deployed(folder: Path) -> Path:
    """A folder whose manifest somebody wrote by hand."""
    make_tflite(folder / FIRST, "v001")
    (folder / MANIFEST_NAME).write_text(BY_HAND)
    return folder


def metrics_file(folder: Path, **figures: Any) -> Path:
    path = folder.parent / "metrics.json"
    path.write_text(json.dumps(figures))
    return path


def stored(folder: Path) -> Any:
    return json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the lock, which stays empty."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".model_manifest.lock"}


def ready(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs code and has printed "ready"."""
    process = start_python(f"import sys\n{code}", *arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


# Form and versions --------------------------------------------------------------------------------------------------


def test_the_file_has_the_documented_form(folder: Path) -> None:
    model = make_tflite(folder / FIRST, "v001")
    os.utime(model, (1736330400.7, 1736330400.7))
    figures = {"precision": 0.85, "recall": 0.78, "accuracy": 0.82}
    report = registry_manifest(folder, add=model, metrics=metrics_file(folder, **figures))
    assert (folder / MANIFEST_NAME).read_text() == BY_HAND
    assert (report.current, report.previous, report.added, report.written) == (FIRST, None, (FIRST,), True)


def test_the_next_version_is_entered_and_the_better_one_kept(deployed: Path, new: Path) -> None:
    worse = metrics_file(deployed, precision=0.8, recall=0.9)
    report = registry_manifest(deployed, add=new, metrics=worse, next_name=FIRST, keep_best="precision")
    assert report.added == (SECOND,)
    assert report.current == FIRST
    better = metrics_file(deployed, precision=0.9, recall=0.7)
    report = registry_manifest(deployed, add=new, metrics=better, next_name="highlight_movinet_a0", keep_best="recall")
    assert report.current == SECOND
    registry_manifest(deployed, keep_best="precision")
    document = stored(deployed)
    assert document["current"] == "highlight_movinet_a0_v003.tflite"
    assert [entry["name"][-11:-7] for entry in document["models"]] == ["v001", "v002", "v003"]
    assert document["models"][0] == json.loads(BY_HAND)["models"][0]
    assert document["models"][1]["metrics"] == {"precision": 0.8, "recall": 0.9}
    assert (deployed / SECOND).read_bytes() == new.read_bytes()


def test_adding_alone_does_not_switch_workers(deployed: Path, new: Path) -> None:
    report = registry_manifest(deployed, add=new)
    assert report.current == FIRST
    assert registry_manifest(deployed, current="out.tflite").previous == FIRST
    assert stored(deployed)["current"] == "out.tflite"


@settings(max_examples=100, deadline=None)
@given(prefix=st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True), count=st.integers(1, 6), start=st.integers(0, 1005))
def test_versions_count_up_and_never_meet_a_taken_name(prefix: str, count: int, start: int) -> None:
    taken = [f"{prefix}_v{start}.TFLITE", "other_v5000.tflite"]
    for number in range(start + 1, start + 1 + count):
        found = next_version(prefix, taken)
        assert found == f"{prefix}_v{number:03d}.tflite"
        assert next_version(found) == f"{prefix}_v{number + 1:03d}.tflite"
        taken.append(found)


def test_version_names() -> None:
    assert next_version("highlight_movinet_a0") == FIRST
    assert next_version(FIRST) == SECOND
    assert next_version("a", ["a_v7.tflite", "b_v9.tflite", "a_v0019.tflite"]) == "a_v0020.tflite"
    assert next_version("a_v999.tflite") == "a_v1000.tflite"
    for wrong in ("", "a/b", "../a", ".hidden", "a\\b", "a\nb"):
        with pytest.raises(ConfigError, match="next_name"):
            next_version(wrong)


def test_a_version_name_alone_changes_nothing(deployed: Path) -> None:
    before = content(deployed)
    make_tflite(deployed / "highlight_movinet_a0_v004.tflite")  # copied there and not entered yet
    report = registry_manifest(deployed, next_name="highlight_movinet_a0")
    assert report.next_name == "highlight_movinet_a0_v005.tflite"
    assert not report.written
    (deployed / "highlight_movinet_a0_v004.tflite").unlink()
    assert content(deployed) == before


def test_a_version_is_never_replaced(deployed: Path, new: Path) -> None:
    before = content(deployed)
    other = shutil.copy(new, new.with_name(FIRST))
    with pytest.raises(BundleError, match=rf"{FIRST}: is a different file.*--next-name highlight_movinet_a0_v001"):
        registry_manifest(deployed, add=other)
    assert content(deployed) == before
    (deployed / FIRST).rename(deployed / "gone")
    with pytest.raises(BundleError, match="its file is missing"):
        registry_manifest(deployed, add=other)
    assert not (deployed / FIRST).exists()


def test_the_same_file_again_takes_new_metrics_and_keeps_its_date(deployed: Path) -> None:
    copy = shutil.copy(deployed / FIRST, deployed.parent / FIRST)
    report = registry_manifest(deployed, add=copy, metrics=metrics_file(deployed, f1=0.5))
    assert report.added == ()
    [entry] = stored(deployed)["models"]
    assert entry == {"name": FIRST, "created": "2025-01-08T10:00:00Z", "metrics": {"f1": 0.5}}
    assert not registry_manifest(deployed, add=copy).written


def test_a_folder_alone_is_entered_oldest_first(folder: Path) -> None:
    for age, name in enumerate(("c.tflite", "a.tflite", "b.tflite")):
        path = make_tflite(folder / name, name[0])
        os.utime(path, (1e9 - age, 1e9 - age))
    (folder / "half.tflite").write_bytes((folder / "a.tflite").read_bytes()[:-9])
    make_tflite(folder / ".hidden.tflite")
    (folder / "notes.txt").write_text("x")
    report = registry_manifest(folder)
    assert report.added == ("b.tflite", "a.tflite", "c.tflite")
    assert report.current == "c.tflite"
    [problem] = report.problems
    assert "half.tflite: is truncated" in problem
    assert stored(folder)["models"][0] == {"name": "b.tflite", "created": "2001-09-09T01:46:38Z", "metrics": {}}
    assert not registry_manifest(folder).written


def test_an_empty_folder_and_none_are_errors(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"contains no \.tflite.*--add"):
        registry_manifest(folder)
    with pytest.raises(ConfigError, match="no such folder"):
        registry_manifest(folder / "deeper", add="x.tflite")
    assert content(folder) == {}


def test_keys_of_others_and_permissions_are_kept(deployed: Path, new: Path) -> None:
    document = json.loads(BY_HAND)
    document = {"owner": {"team": "búsqueda"}, **document, "note": [1, None]}
    document["models"][0]["trained_by"] = "somebody"
    (deployed / MANIFEST_NAME).write_text(json.dumps(document))
    (deployed / MANIFEST_NAME).chmod(0o640)
    registry_manifest(deployed, add=new, current="out.tflite")
    after = stored(deployed)
    assert list(after) == ["owner", "current", "models", "note"]
    assert (after["owner"], after["note"], after["models"][0]) == (
        document["owner"],
        document["note"],
        document["models"][0],
    )
    assert (deployed / MANIFEST_NAME).stat().st_mode & 0o777 == 0o640


def test_models_of_which_none_is_current_need_a_choice(deployed: Path, new: Path) -> None:
    document = {**stored(deployed), "current": None}
    (deployed / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"has no current model\. Choose one: --current NAME, --keep-best METRIC"):
        registry_manifest(deployed)
    assert stored(deployed) == document
    assert registry_manifest(deployed, add=new, next_name="highlight_movinet_a0", dry_run=True).current == SECOND
    assert registry_manifest(deployed, keep_best="accuracy", dry_run=True).current == FIRST
    assert registry_manifest(deployed, current=FIRST).previous is None
    assert stored(deployed)["current"] == FIRST


def test_a_dry_run_writes_nothing(deployed: Path, new: Path) -> None:
    before = set(deployed.iterdir()), content(deployed)
    figures = metrics_file(deployed, precision=0.99)
    report = registry_manifest(deployed, add=new, metrics=figures, keep_best="precision", dry_run=True)
    assert (report.current, report.added, report.written) == ("out.tflite", ("out.tflite",), False)
    assert (set(deployed.iterdir()), content(deployed)) == before


# Never a bad model, never over a bad manifest -----------------------------------------------------------------------

DAMAGED = {
    "half": (BY_HAND[:150], "is not JSON"),
    "empty": ("", "is not JSON"),
    "another form": ("[]", 'must be a JSON object with "current" and a list "models"'),
    "no models": ('{"current": null}', 'list "models"'),
    "current not listed": (BY_HAND.replace(FIRST, SECOND, 1), f"\"current\" is '{SECOND}', which"),
    "a folder in a name": (BY_HAND.replace(FIRST, f"../{FIRST}"), "without a folder"),
    "another kind of file": (BY_HAND.replace(".tflite", ".onnx"), "ends in .tflite"),
    "listed twice": (BY_HAND.replace('"models": [', f'"models": [{{"name": "{FIRST}"}},'), "listed twice"),
    "a key twice": (BY_HAND.replace('"models"', '"current": "x", "models"'), "is not JSON"),
    "NaN": (BY_HAND.replace("0.85", "NaN"), "is not JSON"),
    "a time of no zone": (BY_HAND.replace("00Z", "00"), '"created" must be a time in UTC'),
    "metrics in a list": (
        BY_HAND.replace("metrics", "x", 1)[:-1].replace('"x": {', '"metrics": [], "x": {'),
        '"metrics"',
    ),
    "metrics of null": (
        BY_HAND.replace("metrics", "x", 1)[:-1].replace('"x": {', '"metrics": null, "x": {'),
        '"metrics"',
    ),
}


@pytest.mark.parametrize("text, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_manifest_is_refused_by_name_and_left(text: str, message: str, deployed: Path, new: Path) -> None:
    (deployed / MANIFEST_NAME).write_text(text)
    before = content(deployed)
    for arguments in ({}, {"add": new, "next_name": "x"}, {"keep_best": "precision"}, {"current": FIRST}):
        with pytest.raises(BundleError, match=rf"model_manifest\.json: .*{re.escape(message)}"):
            registry_manifest(deployed, **arguments)
    assert content(deployed) == before


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, len(BY_HAND.rstrip()) - 1))
def test_any_half_of_a_manifest_is_refused(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / MANIFEST_NAME).write_text(BY_HAND[:length])
    with pytest.raises(BundleError, match=r"model_manifest\.json"):
        read_manifest(folder)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)


def foreign(path: Path) -> None:
    from adapters.litert.tflite_file import without_description

    path.write_bytes(without_description(path.read_bytes()))


@pytest.mark.parametrize("damage", [truncated, flipped, foreign, Path.unlink])
def test_a_bad_file_never_becomes_current(damage: Any, deployed: Path, new: Path) -> None:
    registry_manifest(deployed, add=new, metrics=metrics_file(deployed, precision=0.99), next_name=FIRST)
    before = stored(deployed)
    damage(deployed / SECOND)
    with pytest.raises(BundleError, match=rf"{SECOND}: .*It would become current"):
        registry_manifest(deployed, current=SECOND)
    assert stored(deployed) == before
    report = registry_manifest(deployed, keep_best="precision")  # the better one is not whole
    assert report.current == FIRST
    assert {item.name: item.state for item in report.models} == {
        FIRST: "good",
        SECOND: "missing" if damage is Path.unlink else "damaged",
    }
    assert len(report.problems) == (damage is not Path.unlink)
    damage(new)
    with pytest.raises(BundleError, match=r"out\.tflite: "):
        registry_manifest(deployed, add=new)
    assert not (deployed / "out.tflite").exists()


@pytest.mark.parametrize("damage", [truncated, Path.unlink])
def test_a_current_model_that_went_bad_is_said_until_another_is_chosen(damage: Any, deployed: Path, new: Path) -> None:
    damage(deployed / FIRST)
    for arguments in ({}, {"add": new}):
        with pytest.raises(BundleError, match=rf"{FIRST}: .*--keep-best METRIC"):
            registry_manifest(deployed, **arguments)
    with pytest.raises(BundleError, match=f"no undamaged model has the metric 'precision', only {FIRST}"):
        registry_manifest(deployed, keep_best="precision")
    assert not (deployed / "out.tflite").exists()
    assert registry_manifest(deployed, add=new, current="out.tflite").current == "out.tflite"


def test_a_model_that_names_no_adapter_is_refused(deployed: Path) -> None:
    from tflite_adapter import bare_program

    from adapters.litert import with_description

    (deployed / SECOND).write_bytes(with_description(bare_program(64), {"labels": ["a"]}))
    with pytest.raises(BundleError, match=rf"{SECOND}: its description has no adapter"):
        registry_manifest(deployed, add=deployed / SECOND)


# Metrics ------------------------------------------------------------------------------------------------------------

FIGURES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers())
OTHERS = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2))


@settings(max_examples=200, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from("abcdef"), FIGURES | OTHERS, min_size=1),
    metric=st.sampled_from(["f1", "val_loss", "calibration_error", "latency_ms", "size_bytes", "valLoss", "accuracy"]),
    current=st.sampled_from("abcdefg"),
)
def test_the_best_has_no_better_and_equals_keep_the_current(values: dict[str, Any], metric: str, current: str) -> None:
    figures = {k: v for k, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    metrics = {name: {metric: value, "other": 1} for name, value in values.items()}
    if not figures:
        with pytest.raises(ConfigError, match=f'no model has the metric "{metric}".*other'):
            best_model(metrics, metric, current)
        return
    best = best_model(metrics, metric, current)
    worse = (lambda a, b: a >= b) if metric in ("f1", "accuracy") else (lambda a, b: a <= b)
    assert all(worse(figures[best], value) for value in figures.values())
    assert best == current or figures.get(current) != figures[best]


def test_which_metrics_are_better_when_low() -> None:
    lower = ("loss", "log_loss", "val-loss", "ERROR", "calibration_error", "latency", "p95 latency", "modelSize", "ms")
    higher = ("precision", "recall", "f1", "accuracy", "roc_auc", "average_precision", "lossless", "resized", "terrors")
    assert [name for name in (*lower, *higher) if lower_is_better(name)] == list(lower)


def test_forms_of_metrics_files(deployed: Path, new: Path, tmp_path: Path) -> None:
    report = {"confusion_matrix": [[1]], "f1": 0.5, "roc_auc": None, "latency_ms": 3.5, "clips": 9, "threshold": 0.5}
    cases: list[tuple[Any, dict[str, float]]] = [
        (report, {"f1": 0.5, "latency_ms": 3.5}),
        ({"history": [], "clips": {}, "validation": report}, {"f1": 0.5, "latency_ms": 3.5}),
        ({"f1": 1, "loss": None, "my metric": 2.5}, {"f1": 1, "my metric": 2.5}),
    ]
    registry_manifest(deployed, add=new)
    for value, expected in cases:
        (tmp_path / "m.json").write_text(json.dumps(value))
        registry_manifest(deployed, add=deployed / "out.tflite", metrics=tmp_path / "m.json")
        assert stored(deployed)["models"][1]["metrics"] == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"f1": "good"}', "'f1' must be a finite number"),
        ('{"f1": true}', "'f1' must be a finite number"),
        ('{"f1": Infinity}', "is not JSON"),
        ('{"f1": 1e999}', "is not JSON"),
        ("[0.5]", "must hold a JSON object"),
        ('{"validation": {}}', "trained without validation clips"),
        (None, "cannot be read"),
    ],
)
def test_metrics_that_are_none_change_nothing(text: str | None, message: str, deployed: Path, new: Path) -> None:
    before = content(deployed)
    path = deployed.parent / "metrics.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=rf"metrics\.json: .*{message}"):
        registry_manifest(deployed, add=new, metrics=path)
    assert content(deployed) == before


def test_arguments_that_are_wrong_together(deployed: Path, new: Path) -> None:
    before = content(deployed)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"metrics": "m.json"}, "give add"),
        ({"keep_best": "precision", "current": FIRST}, "one of them"),
        ({"next_name": "a", "current": FIRST}, "next_name alone"),
        ({"current": "other.tflite"}, f"'other.tflite' is not listed.*{FIRST}"),
        ({"keep_best": "precison"}, 'Did you mean "precision"'),
        ({"add": new, "keep_best": "precision"}, 'no model has the metric "precision"'),
    ]
    for arguments, message in wrong:
        with pytest.raises(ConfigError, match=message):
            registry_manifest(deployed, **arguments)
    assert content(deployed) == before


# Writers that meet, crash, or find no room --------------------------------------------------------------------------


def check_whole(folder: Path) -> Any:
    """The manifest is whole, and so is every model that it names."""
    manifest = read_manifest(folder)
    for name in manifest.names:
        read_description(folder / name)
    assert manifest.current in manifest.names
    return manifest


def test_two_processes_add_at_once_and_none_is_lost(deployed: Path, new: Path) -> None:
    code = (
        "import os, time; from cliplab.registry import registry_manifest\n"
        "print('ready', flush=True)\n"
        "while not os.path.exists(sys.argv[3]): time.sleep(0.001)\n"
        "for _ in range(8): registry_manifest(sys.argv[1], add=sys.argv[2], next_name='highlight_movinet_a0')\n"
    )
    go = new.with_name("go")
    writers = [ready(code, deployed, new, go) for _ in range(2)]
    go.touch()
    assert [writer.wait(timeout=600) for writer in writers] == [0, 0]
    expected = [f"highlight_movinet_a0_v{number:03d}.tflite" for number in range(1, 18)]
    assert list(check_whole(deployed).names) == expected
    assert registry_manifest(deployed).added == ()


def test_a_writer_waits_for_another_and_goes_on_when_it_is_killed(deployed: Path, new: Path) -> None:
    code = (
        "import time; from pathlib import Path; from cliplab.registry.manifest_file import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('ready', flush=True)\n    time.sleep(600)\n"
    )
    holder = ready(code, deployed)
    add = "from cliplab.registry import registry_manifest\nprint('ready', flush=True)\n"
    waiting = ready(add + "registry_manifest(sys.argv[1], add=sys.argv[2])", deployed, new)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=0.5)
    assert "out.tflite" not in content(deployed)
    holder.send_signal(signal.SIGKILL)
    assert waiting.wait(timeout=600) == 0
    assert holder.wait(timeout=600) == -signal.SIGKILL
    assert "out.tflite" in check_whole(deployed).names


def test_a_killed_writer_leaves_a_whole_manifest_and_whole_models(folder: Path, tmp_path: Path) -> None:
    """Killed at five moments of adding models of 2 MB, each time the best so far: the first or a later one."""
    source = make_tflite(tmp_path / "big.tflite", size_bytes=2_000_000)
    figures = tmp_path / "m.json"
    code = (
        "import json, time; from pathlib import Path; from cliplab.registry import registry_manifest\n"
        "folder, source, figures = sys.argv[1:]\nprint('ready', flush=True)\n"
        "while True:\n"
        "    Path(figures).write_text(json.dumps({'f1': time.time()}))\n"
        "    registry_manifest(folder, add=source, metrics=figures, next_name='v', keep_best='f1')\n"
        "    print('added', flush=True)\n"
    )
    registry_manifest(folder, add=make_tflite(folder / "first.tflite"))
    for attempt in range(5):
        writer = ready(code, folder, source, figures)
        assert writer.stdout is not None
        for _ in range(attempt):
            assert writer.stdout.readline() == "added\n"
        time.sleep(0.013 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=600)
        check_whole(folder)
        report = registry_manifest(folder)  # a copy that was not entered yet is entered now; its name is not used twice
        assert report.problems == ()
    assert len(read_manifest(folder).names) > 4


def test_old_leftovers_of_killed_writers_are_removed_and_fresh_ones_are_not(deployed: Path, new: Path) -> None:
    old, fresh, other = (
        deployed / name for name in (".a.tflite.0123456789ab.tmp", ".b.tflite.0123456789ab.tmp", ".my.tmp")
    )
    for path in (old, fresh, other):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    os.utime(other, (1e9, 1e9))
    registry_manifest(deployed, add=new)
    assert [path.exists() for path in (old, fresh, other)] == [False, True, True]


def test_a_full_disk_changes_nothing(deployed: Path, tmp_path: Path) -> None:
    big = make_tflite(tmp_path / "big.tflite", size_bytes=2_000_000)
    before = content(deployed)
    code = (
        "import resource; from cliplab.registry import registry_manifest\nprint('ready', flush=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "try: registry_manifest(sys.argv[1], add=sys.argv[2], current='big.tflite')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    process = ready(code, deployed, big)
    assert process.stdout is not None
    output = process.stdout.read()  # communicate() would miss what came together with "ready"
    process.wait(timeout=600)
    assert output.startswith(f"{StorageError.__name__} {deployed / 'big.tflite'}: could not be written")
    assert content(deployed) == before


# The command --------------------------------------------------------------------------------------------------------


def manifest(*arguments: object, code: int = 0) -> str:
    result = cli("registry", "manifest", *arguments, code=code)
    return result.stdout if code < 2 else result.stderr


def test_the_command(deployed: Path, new: Path) -> None:
    assert manifest(deployed, "--next-name", FIRST) == f"{SECOND}\n"
    figures = metrics_file(deployed, precision=0.9)
    command = (deployed, "--add", new, "--metrics", figures, "--next-name", FIRST, "--keep-best", "precision", "--json")
    report = json.loads(manifest(*command))
    assert (report["current"], report["previous"], report["written"]) == (SECOND, FIRST, True)
    assert report["models"][1]["metrics"] == {"precision": 0.9}
    text = manifest(deployed, "--current", FIRST)
    assert "precision 0.85" in text
    assert f"current: {FIRST} (before: {SECOND})" in text
    assert json.loads(manifest(deployed, "--json"))["written"] is False
    truncated(deployed / SECOND)
    assert "is truncated" in " ".join(manifest(deployed, code=1).split())
    assert "error: " in manifest(deployed, "--current", "x.tflite", code=2)
    assert "--dry-run" in cli("registry", "manifest", "--help").stdout


def test_the_errors_are_all_of_the_library(deployed: Path) -> None:
    """So that the command line shows them in one line: also where the manifest is a folder, or the model is."""
    (deployed / "dir.tflite").mkdir()
    with pytest.raises(AdapterError, match="is a folder"):
        registry_manifest(deployed, add=deployed / "dir.tflite")
    (deployed / MANIFEST_NAME).unlink()
    (deployed / MANIFEST_NAME).mkdir()
    with pytest.raises(AdapterError, match=r"model_manifest\.json: cannot be read"):
        registry_manifest(deployed)
