"""docs/licences.md names every package of an extra whose licence is not permissive, and every vendored file's."""

from __future__ import annotations

import json
import re
from importlib import metadata

from places import ROOT

from cliplab.models.extras import declared_requirements

PAGE = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
FOR_DEVELOPERS = ("all", "dev", "lock", "test", "test-all")
COPYLEFT = re.compile(r"GPL|Sleepycat|MPL|EUPL|CDDL|Ms-RL|OSL|CC-BY-SA|SSPL|AGPL", re.I)


def licence(package: str) -> str:
    """What the installed package's metadata say of its licence; empty where it is not installed."""
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return ""
    classifiers = [line for line in found.get_all("Classifier") or [] if line.startswith("License ::")]
    return " ".join([found.get("License-Expression") or (found.get("License") or "")[:200], *classifiers])


def test_packages_with_copyleft_licences_are_in_the_table() -> None:
    """Only what a user installs counts, and only what is installed here can be read."""
    lines = declared_requirements(ROOT / "setup.py") or []
    assert lines
    users = [line for line in lines if line.rpartition("extra == ")[2].strip("'") not in FOR_DEVELOPERS]
    packages = {match[0] for line in users if (match := re.match(r"[\w.-]+", line))}
    strict = {name for name in packages if COPYLEFT.search(licence(name))}
    assert {name for name in strict if f"`{name}`" not in PAGE} == set()


def test_the_page_names_the_vendored_files_and_their_licences() -> None:
    folder = ROOT / "cliplab/studio/static/vendor"
    for entry in json.loads((folder / "vendored.json").read_text(encoding="utf-8")):
        name = entry["name"].removeprefix("@picocss/").partition(".")[0]
        assert re.search(rf"{name}\S* {re.escape(entry['version'])}", PAGE, re.I), entry["name"]
        assert entry["licence"] in PAGE
        assert (folder / entry["licence_file"]).is_file()
