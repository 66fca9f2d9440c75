"""The list of a bundle's files: each refusal of a name, an entry, a link or a stray file, and what is read in spite."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.bundle import sealed_folder
from adapters.bundle.sealed_folder import (
    SEAL,
    STAGED,
    check_name,
    list_digest,
    obsolete_names,
    read_seal,
    read_sealed,
    write_state,
)
from adapters.errors import BundleError


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def _sealed(folder: Path, **changes: Any) -> Path:
    """A folder with a list of these files, as changed."""
    contents = {"a.json": b"{}", "deep/b.bin": b"some bytes"}
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(data)
    entries = {name: _entry(data) for name, data in contents.items()}
    entries |= changes.pop("entries", {})
    manifest = {"format": "cliplab-bundle", "version": 1, "files": entries, "digest": list_digest(entries), **changes}
    (folder / SEAL).write_text(json.dumps(manifest))
    return folder


def test_a_whole_folder_is_read(tmp_path: Path) -> None:
    folder = _sealed(tmp_path / "m")
    found = read_sealed(folder, ("a.json",))
    assert found.contents == {"a.json": b"{}"}
    assert sorted(found.files) == ["a.json", "deep/b.bin"]
    assert found.files["deep/b.bin"].read() == b"some bytes"
    assert (found.files["deep/b.bin"].size, found.files["deep/b.bin"].label) == (10, str(folder / "deep/b.bin"))
    assert found.digest == read_seal(folder)[1]
    assert list(read_sealed(folder, ("a.json",), verify_all=False).files) == ["a.json"]


@pytest.mark.parametrize("name", ["a", "a.b", "a/b", "_a+b-c", "0/" * 7 + "0", "A9"])
def test_names_of_files(name: str) -> None:
    check_name(name, "here")


@pytest.mark.parametrize(
    "name",
    ["", ".a", "a/.b", "../a", "a/../b", "/a", "a//b", "a/", "a b", "a\\b", "C:a", "0/" * 8 + "0", SEAL, 5, None],
)
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(BundleError, match=r"^here: .* is not allowed as the name of a file"):
        check_name(name, "here")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "zip"}, "has format 'zip'; 'cliplab-bundle' is expected"),
        ({"version": 2}, "has version 2; this cliplab reads 1. Install a newer cliplab"),
        ({"files": []}, "its own digest differs"),
        ({"digest": "0" * 64}, "its own digest differs"),
        ({"digest": None}, "its own digest differs"),
        ({"entries": {"../a": _entry(b"")}}, "'../a' is not allowed"),
        ({"entries": {"c": "text"}}, "c has no valid sha256 and size_bytes ('text')"),
        ({"entries": {"c": {"sha256": "0" * 63, "size_bytes": 1}}}, "c has no valid sha256"),
        ({"entries": {"c": {"sha256": "A" * 64, "size_bytes": 1}}}, "c has no valid sha256"),
        ({"entries": {"c": {"sha256": 0, "size_bytes": 1}}}, "c has no valid sha256"),
        ({"entries": {"c": {"sha256": "0" * 64, "size_bytes": True}}}, "c has no valid sha256"),
        ({"entries": {"c": {"sha256": "0" * 64}}}, "c has no valid sha256"),
        ({"entries": {"c": _entry(b"x")}}, "c: is missing, although bundle.json lists it"),
        ({"entries": {"a.json": _entry(b"{} ")}}, "a.json: is damaged: 2 bytes, bundle.json lists 3"),
        ({"entries": {"a.json": _entry(b"[]")}}, "a.json: is damaged or was changed (SHA-256 differs"),
        ({"entries": {"deep/b.bin": _entry(b"some bytes.")}}, "b.bin: is damaged: 10 bytes, bundle.json lists 11"),
        ({"entries": {"deep/b.bin": _entry(b"same bytes")}}, "b.bin: is damaged or was changed"),
        ({"entries": {"deep": _entry(b"")}}, "deep: is not a regular file"),
    ],
)
def test_a_list_that_is_not_right(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_sealed(_sealed(tmp_path / "m", **changes), ("a.json",))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", '{"format": "cliplab-bundle"}', "[" * 2000])
def test_a_list_that_is_none(tmp_path: Path, text: str) -> None:
    (_sealed(tmp_path / "m") / SEAL).write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: is damaged, or another program wrote it"):
        read_seal(tmp_path / "m")


def test_where_there_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "begun" / STAGED).mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("none", "none: does not exist. Give the folder"),
        ("file", "file: is a file; a bundle is a folder"),
        ("begun", "begun: is incomplete (it has no bundle.json): saving was interrupted"),
        (
            "empty",
            "bundle.json: is missing, so this folder is not a bundle. Give a folder that cliplab",
        ),
    ):
        with pytest.raises(BundleError) as caught:
            read_seal(tmp_path / name)
        assert message in str(caught.value)


def test_a_file_that_every_bundle_has(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"c\.json: is missing from bundle\.json; every bundle has this file"):
        read_sealed(_sealed(tmp_path / "m"), ("c.json",))


def test_what_is_not_listed(tmp_path: Path) -> None:
    folder = _sealed(tmp_path / "m")
    (folder / ".hidden").touch()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").touch()
    read_sealed(folder, ())
    (folder / "deep" / "more").touch()
    with pytest.raises(BundleError, match=r"more: is not a file of this bundle\. bundle\.json does not list it"):
        read_sealed(folder, ())
    read_sealed(folder, (), verify_all=False)
    (folder / "deep" / "more").unlink()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="link: is not a file of this bundle"):
        read_sealed(folder, ())


def test_a_link_that_leads_out(tmp_path: Path) -> None:
    folder = _sealed(tmp_path / "m")
    (tmp_path / "a.json").write_bytes(b"{}")
    (folder / "a.json").unlink()
    (folder / "a.json").symlink_to(tmp_path / "a.json")
    with pytest.raises(BundleError, match="is a link that leads out of the bundle"):
        read_sealed(folder, ("a.json",))
    (folder / "a.json").unlink()
    (folder / "inside.json").write_bytes(b"{}")
    (folder / "a.json").symlink_to(folder / "inside.json")
    assert read_sealed(folder, ("a.json",), verify_all=False).contents == {"a.json": b"{}"}


@pytest.mark.parametrize("target", ["a.json", "b.json"])
def test_links_in_a_circle(tmp_path: Path, target: str) -> None:
    folder = _sealed(tmp_path / "m")
    (folder / "a.json").unlink()
    (folder / "a.json").symlink_to(folder / target)
    (folder / "b.json").symlink_to(folder / "a.json")
    with pytest.raises(BundleError, match=r"\.json: is a link that leads to itself\. Copy the bundle with its files"):
        read_sealed(folder, ("a.json",))


def test_a_staged_file_counts_where_the_one_in_place_is_not_the_listed_one(tmp_path: Path) -> None:
    folder = _sealed(tmp_path / "m", entries={"a.json": _entry(b"[1]")})
    (folder / STAGED).mkdir()
    (folder / STAGED / "a.json").write_bytes(b"[2]")
    with pytest.raises(BundleError, match=r"a\.json: is damaged"):
        read_sealed(folder, ("a.json",))
    (folder / STAGED / "a.json").write_bytes(b"[1]")
    assert read_sealed(folder, ("a.json",)).contents == {"a.json": b"[1]"}
    assert write_state(folder).pending
    # Files of the old content that are still to go may be there.
    (folder / "old").touch()
    (folder / STAGED / ".obsolete").write_text(json.dumps(["old", "../x", 5]))
    assert obsolete_names(folder) == ["old"]
    read_sealed(folder, ("a.json",))
    (folder / STAGED / ".obsolete").write_text('{"old": 1}')
    assert obsolete_names(folder) == []


def test_the_largest_file_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _sealed(tmp_path / "m")
    monkeypatch.setattr(sealed_folder, "MAX_CONTENT_BYTES", 2)
    assert read_sealed(folder, ("a.json",)).contents == {"a.json": b"{}"}
    monkeypatch.setattr(sealed_folder, "MAX_CONTENT_BYTES", 1)
    with pytest.raises(BundleError, match=r"a\.json: has 2 bytes; at most 1 are allowed"):
        read_sealed(folder, ("a.json",))
    read_sealed(folder, ())


def test_each_write_is_another_state(tmp_path: Path) -> None:
    folder = _sealed(tmp_path / "m")
    before = write_state(folder)
    assert before == write_state(folder)
    assert not before.pending
    (folder / "next").write_bytes((folder / SEAL).read_bytes())
    (folder / "next").replace(folder / SEAL)
    assert write_state(folder) != before
    (folder / SEAL).unlink()
    assert write_state(folder).version is None
