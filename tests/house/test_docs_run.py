"""The code blocks of README.md and docs/ run as they are printed, unless a comment before the block says why not.

``<!-- not run: REASON -->`` before a block excludes it; ``<!-- run by: tests/... -->`` names the test that runs it.
The blocks of a page run in their order, in a folder of tiny clips and models under the names that the pages use.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from doc_blocks import PAGES, SHELL, Block, blocks, command_lines, words
from environment import environment
from places import ROOT
from tiny_adapter import TinyAdapter
from tiny_videos import render_video
from typer.main import get_command

from cliplab.cli.app import app

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = sorted({block.page for block in BLOCKS if block.reason is None and block.run_by is None})
CONFIG = {
    "schema_version": 2, "adapter": "tiny_adapter:TinyAdapter", "labels": ["content", "ad"], "positive_label": "ad",
    "imgz": 32, "n_frames": 2, "contrast": 0.02,  # sure enough of a red picture for a scan's 0.7
}  # fmt: skip
# What pages call their videos and models; the first of each kind is rendered, the others are copies.
NAMES = {
    "warm": (
        "a.mp4",
        "clip.mp4",
        "my_clip.mp4",
        "holiday.mp4",
        "match.mp4",
        "videos/one.mp4",
        "my_studio/one.mp4",
        "footage/one.mp4",
        "footage/test_ad_01.mp4",
        "footage/test_ad_02.mp4",
    ),
    "cold": ("b.mp4", "flight.mp4", "videos/two.mp4", "footage/two.mp4", "footage/test_content_01.mp4"),
}
MODELS = ("my_model", "ads", "models/ads")
# Blocks with these install something, or run until they are stopped.
NEVER = re.compile(r"^(pip |docker |cliplab (studio|label|worker|host|registry serve|device run)\b)")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that pages name: two videos, clips of two classes, models that call red an ad."""
    folder = tmp_path_factory.mktemp("pages")
    rows = []
    for number in range(12):
        label = ("content", "ad")[number % 2]
        name = f"clips/{label}/{number}.mp4"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        render_video(folder / name, ("cold", "warm")[number % 2], number, seconds=0.6)
        split = ("train", "train", "validation", "validation", "test", "test")[number // 2]
        rows.append({"path": name, "label": label, "split": split, "group": f"g{number}"})
    (folder / "dataset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_class = {label: [row["path"] for row in rows if row["label"] == label] for label in ("content", "ad")}
    (folder / "labels.json").write_text(json.dumps(by_class))
    for kind, (first, *others) in NAMES.items():
        render_video(folder / first, kind, 20, seconds=3.0)
        for name in others:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(folder / first, folder / name)
    (folder / "samples").symlink_to(ROOT / "samples")
    for name in MODELS:
        TinyAdapter(CONFIG).save(folder / name)
    return folder


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Run one block in the current folder: Python in ``names``, commands of cliplab in this process."""
    if block.language not in SHELL:
        exec(compile("\n" * block.line + block.code, block.page, "exec"), names)
        return
    for line in command_lines(block):
        assert not NEVER.match(line), f"{line}: put <!-- not run: REASON --> before the block"
        if line.startswith("cliplab ") and words(line) == shlex.split(line, comments=True):
            cli(*words(line)[1:], code=0)
        else:
            done = subprocess.run(
                ["sh", "-euc", line], env=environment(), capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(
    page: str, pattern: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pattern, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        if block.page == page and block.reason is None and block.run_by is None:
            try:
                run_block(block, names)
            except Exception as error:
                raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.reason is not None or block.run_by], ids=str)
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    if block.run_by:
        assert (ROOT / block.run_by).is_file(), block
    else:
        assert len(str(block.reason).split()) >= 2, block
        for path in re.findall(r"tests/[\w/.]+", str(block.reason)):
            assert (ROOT / path.rstrip(".")).exists(), block


def understood(arguments: list[str], program: Any) -> None:
    """Have the program itself read a command: that it exists, takes these options and arguments, and misses none."""
    command, context = program, program.make_context("cliplab", list(arguments))
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(rest), parent=context)


def test_printed_commands_are_understood() -> None:
    """All of them, also those that are not run; targets of make exist."""
    program: Any = get_command(app)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for block in BLOCKS:
        for line in command_lines(block) if block.language in SHELL else ():
            found = re.match(r"(?:\S*/)?(cliplab|make) ", line)
            if found and found[1] == "make":
                assert words(line)[1] in targets, f"{block}: {line}"
            elif found:
                try:
                    understood(words(line)[1:], program)
                except Exception as error:
                    raise AssertionError(f"{block}: {line}: {error}") from error
