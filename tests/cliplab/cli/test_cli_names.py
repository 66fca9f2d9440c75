"""Names of files that are no text: what commands print of them can be read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import cli
from tiny_videos import render_video


@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape"])
def test_json_of_a_name_that_is_not_utf8(encoding: str, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    try:
        render_video(tmp_path / "cafe.mp4", "warm", 1).rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system stores names as UTF-8 alone")
    (tmp_path / "tiny.json").write_text('{"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}')
    words = ("predict", "tiny.json", name, "absent-" + name, "--json")
    result = cli(*words, code=1, process=True, cwd=tmp_path, env={"PYTHONIOENCODING": encoding})
    rows = json.loads(result.stdout)
    assert [row["path"] for row in rows] == [name, "absent-" + name]
    assert [row["error"] is None for row in rows] == [True, False]
