"""A bundle is whole or refused by the name of the file: round trips, damage, killed writers, full disks, odd names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import python, start_python
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from adapters.bundle import (
    Bundle,
    Golden,
    is_bundle,
    read_bundle,
    read_bundle_config,
    render_card,
    render_clip,
    write_bundle,
)
from adapters.errors import BundleError, StorageError
from adapters.records import InputSpec

CONFIG = {"adapter": "adapters.x:Y", "labels": ["zoo", "ad", "café"], "imgz": 8, "mean": [0.1, 0.2, 0.3], "fps": None}
METRICS = {"f1": 0.875, "per_class": {"zoo": {"precision": np.float32(0.5)}}, "roc_auc": None}
WEIGHTS = {
    "head/kernel:0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "half": np.array([1.5], np.float16),
    "scalar": np.array(7, np.int64),
}
FILES = (
    "bundle.json",
    "card.md",
    "config.json",
    "curves/curves.csv",
    "golden.npz",
    "metrics.json",
    "programs/float32_1x8x8x3.tflite",
    "programs/int8_1x1x8x8x3.stream.tflite",
    "weights.safetensors",
)


def save(path: Path, **changes: Any) -> None:
    golden = Golden.of(render_clip(InputSpec(8, 8, 2)), np.array([0.25, 0.5, 0.25], np.float32), CONFIG["labels"])
    values: dict[str, Any] = {
        "config": CONFIG,
        "programs": {"float32_1x8x8x3": b"program" * 100, "int8_1x1x8x8x3.stream.tflite": b"stream"},
        "weights": WEIGHTS,
        "metrics": METRICS,
        "golden": golden,
        "card": render_card(CONFIG, CONFIG["labels"], {"f1": 0.875}),
        "extra": {"curves/curves.csv": b"epoch,loss\n"},
    }
    write_bundle(path, **(values | changes))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


def visible(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit bundle.json as someone would who knows how its digest is made."""
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    canonical = json.dumps(manifest["files"], sort_keys=True, separators=(",", ":"))
    manifest["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_everything_comes_back(bundle: Path) -> None:
    assert visible(bundle) == FILES
    read = read_bundle(bundle)
    assert isinstance(read, Bundle)
    assert read.config == CONFIG
    assert list(read.config) == list(CONFIG)
    assert read.metrics == {"f1": 0.875, "per_class": {"zoo": {"precision": 0.5}}, "roc_auc": None}
    assert {name: path.read_bytes()[:6] for name, path in read.programs.items()} == {
        "float32_1x8x8x3": b"progra",
        "int8_1x1x8x8x3.stream": b"stream",
    }
    assert read.card.startswith("# Y\n")
    assert read.extra["curves/curves.csv"].read_bytes() == b"epoch,loss\n"
    assert read.golden is not None
    assert read.golden.labels == ("zoo", "ad", "café")
    weights = read.weights()
    assert set(weights) == set(WEIGHTS)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(weights[name], array)
        assert weights[name].dtype == array.dtype
        assert weights[name].shape == array.shape
    assert read.size_bytes == sum((bundle / name).stat().st_size for name in FILES if name != "bundle.json")
    assert read_bundle_config(bundle) == CONFIG
    assert is_bundle(bundle)
    assert not is_bundle(bundle / "programs")


def test_the_same_values_give_the_same_digest_and_others_another(tmp_path: Path) -> None:
    save(tmp_path / "a")
    save(tmp_path / "b")
    save(tmp_path / "c", metrics={"f1": 0.876})
    digests = [read_bundle(tmp_path / name).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_an_edge_bundle_predicts_only(tmp_path: Path) -> None:
    save(tmp_path, weights=None, golden=None, extra=None)
    read = read_bundle(tmp_path)
    assert (read.has_weights, read.golden, read.extra) == (False, None, {})
    with pytest.raises(BundleError, match=r"has no weights\.safetensors, so it predicts but cannot train or convert"):
        read.weights()


def test_saving_again_replaces_and_leaves_nothing_over(bundle: Path) -> None:
    save(bundle, programs={"float16_1x8x8x3": b"other"}, weights=None, extra=None)
    assert visible(bundle) == (
        "bundle.json",
        "card.md",
        "config.json",
        "golden.npz",
        "metrics.json",
        "programs/float16_1x8x8x3.tflite",
    )
    assert sorted(os.listdir(bundle)) == [
        "bundle.json",
        "card.md",
        "config.json",
        "golden.npz",
        "metrics.json",
        "programs",
    ]
    assert list(read_bundle(bundle).programs) == ["float16_1x8x8x3"]


def test_an_existing_folder_is_used_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").write_text("")
    save(tmp_path)
    save(tmp_path)
    assert read_bundle(tmp_path).config == CONFIG
    assert (tmp_path / ".gitkeep").exists()


def test_files_that_no_bundle_put_there_are_never_overwritten(tmp_path: Path, bundle: Path) -> None:
    own = tmp_path / "project"
    own.mkdir()
    (own / "config.json").write_text("mine")
    with pytest.raises(BundleError, match=r"project/config\.json: is not a file of this bundle.*new folder"):
        save(own)
    assert visible(own) == ("config.json",)
    assert (own / "config.json").read_text() == "mine"
    (bundle / "programs" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"programs/notes\.txt"):
        save(bundle, card="new")
    assert "# Y" in (bundle / "card.md").read_text()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_byte_names_its_file(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutated"
    if not folder.exists():
        save(folder)
    path = folder / data.draw(st.sampled_from(FILES), label="file")
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1), label="byte")
    mutated = bytearray(whole)
    mutated[at] ^= data.draw(st.integers(1, 255), label="xor")
    path.write_bytes(mutated)
    try:
        with pytest.raises(BundleError) as caught:
            read_bundle(folder).weights()
        assert str(caught.value).startswith(f"{path}: ")
    except pytest.fail.Exception:
        # White space between the values of bundle.json means nothing; every other byte of it does.
        assert path.name == "bundle.json"
        assert json.loads(bytes(mutated)) == json.loads(whole)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_truncated_or_swapped_file_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=rf"model/{name}: is damaged"):
        read_bundle(bundle)
    path.unlink()
    with pytest.raises(BundleError, match=rf"model/{name}: (is missing|cannot be read)"):
        read_bundle(bundle)
    path.mkdir()
    with pytest.raises(BundleError, match=rf"model/{name}: "):
        read_bundle(bundle)


def test_a_file_that_is_not_listed_is_named(bundle: Path) -> None:
    (bundle / "programs" / "int8_1x9x9x3.tflite").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"programs/int8_1x9x9x3\.tflite: is not a file of this bundle"):
        read_bundle(bundle)
    assert read_bundle_config(bundle) == CONFIG


def test_weights_that_change_after_reading_are_refused(bundle: Path) -> None:
    read = read_bundle(bundle)
    (bundle / "weights.safetensors").write_bytes((bundle / "weights.safetensors").read_bytes()[::-1])
    with pytest.raises(BundleError, match=r"weights\.safetensors: is damaged or was changed"):
        read.weights()


def test_what_is_no_bundle_says_so(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.tflite").write_bytes(b"x")
    cases = {
        "nowhere": "nowhere: does not exist",
        "empty": r"empty/bundle\.json: is missing, so this folder is not a bundle",
        "model.tflite": "is a file; a bundle is a folder",
    }
    for name, message in cases.items():
        with pytest.raises(BundleError, match=message):
            read_bundle(tmp_path / name)
    for text, message in {
        "[]": "damaged, or another program wrote it",
        "{": "damaged, or another program wrote it",
        '{"format": "other", "version": 1}': "not a cliplab bundle",
        '{"format": "cliplab-bundle", "version": 2}': "Install a newer cliplab",
        '{"format": "cliplab-bundle", "version": 1, "files": []}': "its own digest differs",
        "[" * 100_000: "damaged, or another program wrote it",
    }.items():
        (bundle / "bundle.json").write_text(text)
        with pytest.raises(BundleError, match=message):
            read_bundle(bundle)


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "card.md"])
def test_a_list_without_a_file_that_every_bundle_has_is_refused(bundle: Path, name: str) -> None:
    reseal(bundle, lambda manifest: manifest["files"].pop(name))
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"model/{name}: is missing from bundle\.json"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "programs/../../secret",
        "a//b",
        "C:\\secret",
        "..",
        "",
        ".hidden",
        "a/.b",
        "bundle.json",
    ],
)
def test_names_never_lead_out_of_the_folder(bundle: Path, name: str) -> None:
    secret = bundle.parent / "secret"
    secret.write_bytes(b"secret")
    entry = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size_bytes": 6}
    reseal(bundle, lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(BundleError, match="is not allowed as the name of a file"):
        read_bundle(bundle)
    with pytest.raises(BundleError, match="is not allowed as the name of a file"):
        save(bundle.parent / "new", extra={name: b""})
    with pytest.raises(BundleError, match="is not allowed as the name of a file"):
        save(bundle.parent / "new", programs={name: b""}) if name not in ("", ".hidden", "bundle.json") else save(
            bundle.parent / "new", programs={"../" + name: b""}
        )
    assert not (bundle.parent / "new").exists()


@settings(max_examples=60, deadline=None)
@given(
    entries=st.dictionaries(
        st.text(max_size=12), st.one_of(st.none(), st.integers(), st.text(), st.just({})), min_size=1
    )
)
def test_any_list_of_files_is_refused_without_another_error(
    entries: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "listed"
    if not folder.exists():
        save(folder)
    reseal(folder, lambda manifest: manifest.update(files=entries))
    with pytest.raises(BundleError, match=str(folder)):
        read_bundle(folder)


def test_links_out_of_the_folder_are_refused(bundle: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(bundle / "programs", elsewhere)
    (bundle / "programs").symlink_to(elsewhere)
    with pytest.raises(BundleError, match="is a link that leads out of the bundle"):
        read_bundle(bundle)
    with pytest.raises(BundleError, match="programs: is not a file of this bundle"):
        save(bundle)
    assert (elsewhere / "float32_1x8x8x3.tflite").read_bytes() == b"program" * 100


def test_a_planted_link_does_not_lead_writing_out_of_the_folder(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (bundle / ".cliplab-staged").symlink_to(tmp_path / "elsewhere")
    save(bundle, card="new")
    assert read_bundle(bundle).card == "new"
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not list(bundle.glob(".*"))


def test_a_moved_copied_or_linked_bundle_is_still_whole(bundle: Path, tmp_path: Path) -> None:
    digest = read_bundle(bundle).digest
    shutil.copytree(bundle, tmp_path / "copy")
    (tmp_path / "link").symlink_to(tmp_path / "copy")
    assert read_bundle(tmp_path / "copy").digest == digest
    assert read_bundle(tmp_path / "link").digest == digest


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"metrics": {"f1": float("nan")}}, r"metrics\.json: cannot be written as JSON"),
        ({"config": {"adapter": object()}}, r"config\.json: cannot be written as JSON"),
        ({"weights": {"a": np.array(["x"], dtype=object)}}, r"weights\.safetensors: cannot be stored"),
        ({"extra": {"config.json": b""}}, "an extra file cannot have it"),
        ({"extra": {"programs/x": b""}}, "an extra file cannot have it"),
        ({"extra": {"Card.md": b""}}, "differ only in upper and lower case"),
    ],
)
def test_values_that_cannot_be_stored_leave_the_old_bundle(bundle: Path, changes: dict[str, Any], message: str) -> None:
    before = read_bundle(bundle).digest
    with pytest.raises(BundleError, match=message):
        save(bundle, **changes)
    assert read_bundle(bundle).digest == before
    with pytest.raises(BundleError, match=message):
        save(bundle.parent / "new", **changes)
    assert not (bundle.parent / "new").exists()


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(StorageError, match=r"could not be written .* is a file, not a folder"):
            save(path)


def test_the_card_says_what_a_reader_needs() -> None:
    config = {
        "adapter": "adapters.x:NiceAdapter",
        "task": "single_label",
        "imgz": 224,
        "fps": None,
        "mean": [127.0, 1.5],
    }
    labels = ["a|b", "<script>", "two\nlines", *(f"label {i}" for i in range(100))]
    card = render_card(config, labels, {"f1": 0.91239, "per_class": {"x": {"recall": 1}}, "ok": True, "curve": [1, 2]})
    assert card.startswith("# NiceAdapter\n\nA video classifier: a clip in, one of 103 labels out.\n")
    assert "| mean | 127, 1.5 |" in card
    assert "fps" not in card
    assert "0. a\\|b\n1. \\<script\\>\n2. two lines\n" in card
    assert "label 46\n\nand 53 more" in card
    assert "| f1 | 0.9124 |\n| per\\_class.x.recall | 1 |\n" in card
    assert "curve" not in card
    assert "Nothing yet: run `cliplab evaluate`." in render_card(config, labels, {})


PREAMBLE = f"""
import os, sys, signal, json
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_bundle import save
from adapters.bundle import read_bundle
from adapters.errors import AdapterError, BundleError
A = dict(card="old", golden=None, extra=None)
B = dict(card="new", golden=None, extra=None, weights=None, programs={{"float16_1x8x8x3": b"p" * 5000}})
C = dict(card="third", golden=None, weights=None, programs={{}}, extra={{"a/b/c": b"x"}})
"""


def run_child(code: str, *arguments: object) -> Any:
    result = python(PREAMBLE + textwrap.dedent(code), *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def fast_folder(tmp_path: Path) -> tempfile.TemporaryDirectory[str]:
    """In memory where that can be had: hundreds of fsyncs cost nothing there, and a kill is a kill."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path)


def test_a_writer_killed_at_any_moment_leaves_the_old_bundle_or_the_new_one(tmp_path: Path) -> None:
    """A child is killed (SIGKILL) before each of its changes to the file system in turn, from the first to the last."""
    code = """
        base = Path(sys.argv[1])
        CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}  # audit events, raised before they happen

        def write_killed_at(folder, changes, moment):
            pid = os.fork()
            if pid:
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
            seen = 0
            def count(event, arguments):
                nonlocal seen
                if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                    seen += 1
                    if seen == moment:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(count)
            save(folder, **changes)
            os._exit(0)

        def card(folder):
            try:
                return read_bundle(folder).card
            except BundleError as error:
                return "refused" if str(folder) in str(error) else "unnamed"

        import shutil
        outcomes = {"over": [], "new": [], "again": []}
        save(base / "old", **A)
        unsettled = None
        for kind, changes in (("over", B), ("new", A), ("again", C)):
            moment = 1
            while True:
                folder = base / f"{kind}{moment}"
                if kind != "new":
                    shutil.copytree(base / "old" if kind == "over" else unsettled, folder)
                killed = write_killed_at(folder, changes, moment)
                seen = card(folder)
                if kind == "over" and killed and seen == "new" and unsettled is None:
                    unsettled = base / "unsettled"
                    shutil.copytree(folder, unsettled)
                outcomes[kind].append(seen)
                if moment % 3 == 0 or seen != outcomes[kind][0]:  # the next save must succeed and tidy up
                    save(folder, **C)
                    assert read_bundle(folder).card == "third" and not list(folder.glob(".*")), folder
                shutil.rmtree(folder, ignore_errors=True)
                if not killed:
                    break
                moment += 1
        print(json.dumps(outcomes))
    """
    with fast_folder(tmp_path) as folder:
        outcomes = run_child(code, folder)
    assert set(outcomes["over"]) == {"old", "new"}
    assert outcomes["over"] == sorted(outcomes["over"], reverse=True)  # old until the commit, new from then on
    assert set(outcomes["new"]) == {"refused", "old"}
    assert set(outcomes["again"]) == {"new", "third"}
    assert min(len(seen) for seen in outcomes.values()) > 15


def test_a_failure_or_ctrl_c_at_any_moment_leaves_the_old_bundle_or_the_new_one(tmp_path: Path) -> None:
    """Each opening of a file and each change to the file system in turn fails, or is interrupted."""
    code = """
        import shutil
        base = Path(sys.argv[1])
        CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
        left, failure = 0, None

        def count(event, arguments):
            global left
            if event in CHANGES or event == "open":
                left -= 1
                if left == 0:
                    raise failure

        sys.addaudithook(count)
        save(base / "old", **A)
        outcomes = []
        for failure in (OSError(28, "No space left on device"), KeyboardInterrupt()):
            for moment in range(1, 1000):
                folder = base / f"{type(failure).__name__}{moment}"
                shutil.copytree(base / "old", folder)
                left, raised = moment, None
                try:
                    save(folder, **B)
                except (AdapterError, KeyboardInterrupt) as error:
                    raised = type(error).__name__
                done, left = left > 0, 0
                outcomes.append([raised, read_bundle(folder).card, len(list(folder.glob(".*")))])
                if done:
                    break
        print(json.dumps(outcomes))
    """
    with fast_folder(tmp_path) as folder:
        outcomes = run_child(code, folder)
    assert len(outcomes) > 60
    assert {raised for raised, _, _ in outcomes} == {"StorageError", "BundleError", "KeyboardInterrupt", None}
    for raised, card, hidden in outcomes:
        assert card in ("old", "new")
        assert not (raised is None and card == "old")
        assert not (card == "old" and hidden)


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """The kernel refuses to let any file grow past a limit, as it does on a full disk."""
    code = """
        import resource
        base = Path(sys.argv[1])
        save(base / "old", **A)
        digest = read_bundle(base / "old").digest
        messages = []
        for limit in (0, 10, 300, 2000, 4999):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for folder in (base / "old", base / "new"):
                try:
                    save(folder, **B)
                except AdapterError as error:
                    messages.append([type(error).__name__, str(error)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(json.dumps([read_bundle(base / "old").digest == digest, sorted(os.listdir(base)),
                          sorted(os.listdir(base / "old")), messages]))
    """
    unchanged, folders, names, messages = run_child(code, tmp_path)
    assert unchanged
    assert folders == ["old"]
    assert not [name for name in names if name.startswith(".")]
    assert len(messages) == 10
    assert all(kind == "StorageError" and "File too large" in text for kind, text in messages)


def test_two_writers_do_not_mix(bundle: Path) -> None:
    code = """
        import fcntl
        handle = os.open(sys.argv[1], os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        print("ready", flush=True)
        sys.stdin.read()
    """
    with start_python(PREAMBLE + textwrap.dedent(code), bundle, stdin=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(BundleError, match="another process is writing this bundle"):
            save(bundle, card="new")
        other.communicate("")
    save(bundle, card="new")
    assert read_bundle(bundle).card == "new"


def test_a_reader_beside_a_writer_sees_one_bundle_or_the_other(tmp_path: Path) -> None:
    code = """
        import threading
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        while True:
            save(Path(sys.argv[1]), card="A" * 50, metrics={"card": "A"})
            save(Path(sys.argv[1]), card="B" * 70, metrics={"card": "B"}, weights=None, extra=None)
    """
    with fast_folder(tmp_path) as folder:
        save(Path(folder), card="first", metrics={"card": "f"})
        with start_python(PREAMBLE + textwrap.dedent(code), folder, stdin=subprocess.PIPE) as writer:
            seen: list[str] = []

            def read_enough() -> bool:
                read = read_bundle(folder)
                seen.append(read.metrics["card"])
                if read.card != "first":
                    assert read.card[0] == read.metrics["card"]
                    assert read.has_weights == (read.card[0] == "A")
                return len(seen) >= 300 and {"A", "B"} <= set(seen)

            until(read_enough, every=0)
            writer.communicate("")


def test_a_reader_that_has_opened_the_old_files_reads_them_to_their_end(bundle: Path) -> None:
    """Each file, the list of all of them too, is replaced by a rename and never written over."""
    with contextlib.ExitStack() as stack:
        handles = {name: stack.enter_context((bundle / name).open("rb")) for name in FILES}
        before = {name: (bundle / name).read_bytes() for name in FILES}
        save(bundle, card="new", metrics={}, weights=None, programs={"float32_1x8x8x3": b"other"}, extra=None)
        assert read_bundle(bundle).card == "new"
        for name, handle in handles.items():
            assert handle.read() == before[name], name
