"""The container's packages: each has a hash, fits setup.py, and is in the list of what is shipped."""

from __future__ import annotations

import json
import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import ROOT
from test_floors import declared

FOLDER = ROOT / "constraints"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", re.MULTILINE)


def pinned(name: str) -> dict[str, Version]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return {canonicalize_name(package): Version(version) for package, version in PINNED.findall(text)}


def shipped() -> list[dict[str, object]]:
    components: list[dict[str, object]] = json.loads((FOLDER / "container.cdx.json").read_text(encoding="utf-8"))[
        "components"
    ]
    return components


def test_every_package_has_hashes_and_no_list_names_an_index() -> None:
    for name in ("container.txt", "container_build.txt"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        blocks = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
        assert blocks
        assert all(PINNED.match(block) and "--hash=sha256:" in block for block in blocks)
        assert not re.search(r"https?://|--index-url|--find-links|--trusted-host", text)


def test_the_packages_fit_setup_py() -> None:
    versions, lists = pinned("container.txt"), declared()
    wanted: list[Requirement] = [*lists["CORE"], *lists["HTTP"]]
    missing = [str(item) for item in wanted if versions.get(canonicalize_name(item.name)) not in item.specifier]
    assert not missing, "run `make lock`"


def test_the_list_of_what_is_shipped_is_of_these_packages_and_their_native_libraries() -> None:
    python = {
        canonicalize_name(str(item["name"])): Version(str(item["version"]))
        for item in shipped()
        if str(item.get("purl", "")).startswith("pkg:pypi/")
    }
    assert python == pinned("container.txt"), "run `make lock`"
    native = {str(item["name"]): json.dumps(item.get("licenses")) for item in shipped() if "purl" not in item}
    assert "GPL-2.0" in native["libx264"]
    assert "GPL-2.0" in native["libx265"]
    assert all(licence != "null" for licence in native.values()), "scripts/make_sbom.py knows no licence of a library"


def test_the_lists_name_no_place_on_the_machine_that_made_them() -> None:
    for path in FOLDER.iterdir():
        assert not re.search(r"file://|/home/|/root/|/tmp/|/opt/pypi", path.read_text(encoding="utf-8")), path.name


def test_the_image_installs_by_hash_and_runs_as_no_root() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    commands = [command for line in text.replace("\\\n", " ").splitlines() for command in line.split("&&")]
    installs = [command for command in commands if "pip" in command and re.search(r" (install|wheel) ", command)]
    assert len([command for command in installs if "--require-hashes" in command]) == 3
    # The rest takes what is there: our own source, and wheels that were built of it.
    assert all("--require-hashes" in item or "/src" in item or "--no-index" in item for item in installs)
    assert "USER 10001" in text
    copied = re.findall(r"^COPY (?!--from)(\S.*) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
