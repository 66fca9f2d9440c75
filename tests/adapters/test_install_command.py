"""The message about a missing package names a command that works where cliplab came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import MissingExtraError

CLONE: dict[str, Any] = {"url": "file:///home/mia/cliplab", "dir_info": {}}
GIT: dict[str, Any] = {
    "url": "https://git.example/mia/cliplab.git",
    "vcs_info": {"vcs": "git", "commit_id": "4f1c"},
}
WHEEL: dict[str, Any] = {"url": "file:///home/mia/cliplab-0.2.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (CLONE, "pip install '.[train]' (in your clone of cliplab)"),
        (CLONE | {"dir_info": {"editable": True}}, "pip install -e '.[train]' (in your clone of cliplab)"),
        (GIT, "pip install 'cliplab[train] @ git+https://git.example/mia/cliplab.git'"),
        (WHEEL, "pip install './cliplab-0.2.0-py3-none-any.whl[train]' (in the folder of that file)"),
        ("damaged", "pip install '.[train]' (in your clone of cliplab)"),
    ],
)
def test_the_command_is_that_of_where_pip_got_cliplab_from(
    origin: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cliplab-0.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cliplab\nVersion: 0.2.0\n")
    (info / "direct_url.json").write_text("{" if origin == "damaged" else json.dumps(origin))
    monkeypatch.syspath_prepend(tmp_path)
    said = str(MissingExtraError("tensorflow", "train", "fine-tuning", "Or train the head only"))
    assert f"Install it with: {command}. Or train" in said
    assert "/home/mia" not in said
