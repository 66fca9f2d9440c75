"""Labels, names and file names of others are shown as they are: they command no terminal and are no markup."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, cli, python
from environment import environment
from scan_helpers import FRAMES, save_model
from tiny_videos import render_video

from cliplab.cli.console import Bar, show
from cliplab.cli.tables import table

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x1b]8;;evil\x1b\\\x9b31m\x85\r\x08\x7f\u202e\u2066"
MARKUP = "[red]x[/red][link=http://evil]y[/link]:smile:"
LABELS = [f"cold{ESCAPES}", f"warm{MARKUP}"]
UNSAFE = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202e\u2066"} - {"\n", "\t"}


def safe(ran: Ran) -> Ran:
    for name, text in (("stdout", ran.stdout), ("stderr", ran.stderr)):
        assert not set(text) & UNSAFE, (name, text)
        assert "😄" not in text, "read as markup"
    return ran


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of hostile labels, videos of hostile names, and their labels."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "videos").mkdir()
    names = {f"a{ESCAPES}.mp4": "warm", "b[bold]c:smile:.mp4": "cold"}
    rows = []
    for number, (name, kind) in enumerate(names.items()):
        render_video(folder / f"{number}.mp4", kind, number, seconds=0.5).rename(folder / "videos" / name)
        rows.append({"path": f"videos/{name}", "label": LABELS[kind == "warm"], "split": "test"})
    (folder / "videos" / f"bad{ESCAPES}.mp4").write_text("no video")
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    wrong = [*rows, {"path": f"videos/absent{ESCAPES}.mp4", "label": f"other{ESCAPES}", "split": "test"}]
    (folder / "wrong.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in wrong))
    save_model(folder / "model", labels=LABELS, positive_label=LABELS[1], name=f"name{ESCAPES}{MARKUP}")
    config = {**FRAMES, "labels": LABELS, "positive_label": LABELS[1], "name": ESCAPES}
    (folder / f"config{ESCAPES}.json").write_text(json.dumps(config))
    (folder / "bad.json").write_text(json.dumps({**config, f"key{ESCAPES}": ESCAPES}))
    return folder


COMMANDS: dict[str, tuple[Any, ...]] = {
    "predict": ("predict", "model", "videos"),
    "predict segments": ("predict", "model", "videos", "--segments", LABELS[1], "--window-seconds", "0.2"),
    "predict unknown": ("predict", "model", "videos", "--segments", ESCAPES),
    "predict absent": ("predict", "model", f"absent{ESCAPES}.mp4"),
    "predict model": ("predict", f"absent{ESCAPES}", "videos"),
    "evaluate": ("evaluate", "model", "data.jsonl"),
    "evaluate wrong": ("evaluate", "model", "wrong.jsonl"),
    "train": ("train", f"config{ESCAPES}.json", "data.jsonl", f"out{ESCAPES}", "--set", f"name={ESCAPES}"),
    "config show": ("config", "show", "model"),
    "config check": ("config", "check", f"config{ESCAPES}.json", "bad.json"),
    "config schema": ("config", "schema", f"config{ESCAPES}.json"),
    "scan": ("scan", "videos", "model", "--output", f"h{ESCAPES}.json", "--label", LABELS[1], "--min-score", "0"),
    "score": ("score", f"videos/a{ESCAPES}.mp4", "model", "--label", LABELS[0]),
    "dataset stats": ("dataset", "stats", "data.jsonl"),
    "dataset stats wrong": ("dataset", "stats", "wrong.jsonl"),
    "dataset import": ("dataset", "import", "data.jsonl", f"imported{ESCAPES}"),
    "dataset split": ("dataset", "split", "data.jsonl", f"split{ESCAPES}"),
    "dataset prepare": ("dataset", "prepare", "data.jsonl", f"prepared{ESCAPES}"),
    "verify": ("verify", "model", "model"),
    "bench": ("bench", "model", "--clips", "1"),
    "finetune": ("finetune", "model", "data.jsonl", f"out{ESCAPES}"),
    "reel": ("reel", f"absent{ESCAPES}.json", "reel.mp4"),
    "stream": ("stream", "model", f"videos/a{ESCAPES}.mp4"),
    "registry": ("registry", "manifest", f"absent{ESCAPES}"),
    "option": ("predict", f"--absent{ESCAPES}"),
    "command": (f"absent{ESCAPES}",),
    "value": ("bench", "model", "--clips", ESCAPES),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_lets_them_through(folder: Path, name: str, as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    ran = safe(cli(*COMMANDS[name], *(["--json"] if as_json else [])))
    if as_json and ran.exit_code == 0:
        json.loads(ran.stdout)
    if name == "predict":
        if as_json:
            assert any(ESCAPES in row["path"] for row in json.loads(ran.stdout))
        else:
            assert MARKUP in ran.stdout.replace("\n", "")
            assert "b[bold]c:smile:.mp4" in ran.stdout
            assert r"\x1b[2J\x1b]0;owned\x07" in ran.stdout.replace("\n", "")


def test_a_registry_of_hostile_names(tmp_path: Path) -> None:
    (tmp_path / f"bad{ESCAPES}.tflite").write_text("no model")
    (tmp_path / "[red]b.tflite").write_text("no model")
    ran = safe(cli("registry", "manifest", tmp_path))
    assert "[red]b.tflite" in ran.output


def test_a_reel_of_hostile_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    cli("scan", "videos", "model", "--output", "h.json", "--label", LABELS[1], "--min-score", "0")
    ran = safe(cli("reel", "h.json", f"reel{ESCAPES}.mp4", "--dry-run", "--min-score", "0"))
    assert "[bold]c" in ran.stdout


def test_logs_and_tracebacks_of_the_program_are_safe_too() -> None:
    before = "import logging\nfrom cliplab.cli import console\nconsole.guard_terminal()\n"
    ran = safe(python(f"{before}logging.getLogger('x').warning('a %s', {ESCAPES!r})"))
    assert r"a \x1b[2J" in ran.stderr
    ran = safe(python(f"{before}raise ValueError({ESCAPES!r})"))
    assert r"ValueError: \x1b[2J" in ran.stderr
    assert logging.lastResort is not None


def test_shown_text_is_literal(capsys: pytest.CaptureFixture[str]) -> None:
    show(MARKUP, table((f"head{MARKUP}{ESCAPES}", ">n"), [(MARKUP, ESCAPES), ("two\nlines", 1)]))
    Bar(None).line(f"{MARKUP}{ESCAPES}")
    ran = Ran(0, *capsys.readouterr())
    safe(ran)
    assert ran.stdout.count("[red]x[/red][link=http://evil]y[/link]:smile:") >= 1
    assert r"two\nlines" in ran.stdout


def test_a_card_is_safe_to_show(folder: Path) -> None:
    text = (folder / "model" / "card.md").read_text(encoding="utf-8")
    assert not set(text) & UNSAFE


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_on_a_terminal_too(folder: Path) -> None:
    """There rich writes escape codes of its own, but no title, no link and none of the names' characters."""
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "cliplab", "predict", "model", "videos"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(TERM="xterm-256color"), stdout=terminal, stderr=terminal, stdin=terminal
    ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is gone with the process
            while part := os.read(reader, 65536):
                shown += part
    os.close(reader)
    assert process.returncode == 1
    text = shown.decode("utf-8", "backslashreplace")
    assert "warm" in text
    for unsafe in ("\x1b]", "\x9b", "\x85", "\x07", "\x08", "\u202e", "\x1b[2J\x1b]"):
        assert unsafe not in text
