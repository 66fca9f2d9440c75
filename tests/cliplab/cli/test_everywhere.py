"""One command line: the same option is the same everywhere, help fits a screen, and -q, -v, --color work anywhere."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import make_references as docs
import pytest
from command_line import cli
from tiny_videos import render_video

COMMANDS = dict(docs.commands())
LEAVES = {name: one for name, one in COMMANDS.items() if not getattr(one, "commands", None)}
# Options of one name that mean different things, each in its own command.
DIFFERENT = {
    "--frames",
    "--labels",
    "--merge",
    "--models",
    "--only",
    "--root",
    "--threshold",
    "--version",
    "--registry",
}
# Where a value is a file, a folder, or either.
PLACES = {"FILE", "DIR", "PATH"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name: str) -> None:
    command = COMMANDS[name]
    shown = command.get_help(command.make_context(name, [], resilient_parsing=True, terminal_width=80))
    lines = shown.splitlines()
    assert len(lines) < 45, len(lines)
    assert max(map(len, lines)) <= 80
    assert "…" not in shown
    assert not re.search(r"[a-z]\.\.\.$", shown, re.M)  # a text that was cut
    assert "--color" in shown


def test_the_first_page_has_every_command_in_a_group() -> None:
    shown = cli("--help", code=0).stdout
    lines = shown.splitlines()
    assert 24 <= len(lines) <= 40
    assert all(f"\n{group}:" in shown for group in ("Predict", "Train", "Library", "Label", "Ship", "Serve"))
    words = set(re.findall(r"[\w-]+", shown.partition("Options")[0]))
    assert not [name for name in COMMANDS["cliplab"].commands if name not in words]
    assert "Other:" not in shown, "give new commands a row in cliplab/cli/first_page.py"


def test_an_option_of_one_name_is_the_same_everywhere() -> None:
    seen: dict[str, dict[Any, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, command in LEAVES.items():
        for option in command.params:
            long = next((one for one in option.opts if one.startswith("--")), None)
            if long is None or long in DIFFERENT:
                continue
            short = tuple(one for one in option.opts if not one.startswith("--"))
            seen[long][short, "PLACE" if option.metavar in PLACES else option.metavar].append(name)
    found = {option: dict(forms) for option, forms in seen.items() if len(forms) > 1}
    found.pop("--database", None)  # registry init has the address of a database of its own
    found.pop("--model-id", None)  # a model's name in a registry, and a size of MoViNet for Dataloop
    assert not found
    assert set(seen["--output"]) == {(("-o",), "PLACE")}


def test_a_command_with_an_output_takes_it_by_name() -> None:
    for name, command in LEAVES.items():
        places = [one.metavar for one in command.params if not one.opts[0].startswith("-")]
        assert "OUTPUT" not in places or any("-o" in one.opts for one in command.params), name


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps({"schema_version": 2, "adapter": "tiny_adapter:TinyAdapter"}))
    return path


@pytest.mark.parametrize("where", ["before", "after"])
def test_quiet_and_verbose_stand_before_or_after_the_command(where: str, config: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "warm.mp4", "warm", 1, seconds=1)

    def run(*options: str) -> Any:
        words = ("score", video, config)  # swapped, which is put right with a note
        return cli(*options, *words, code=None) if where == "before" else cli(*words, *options, code=None)

    assert "note: took" in run().stderr
    assert run("--quiet").stderr.startswith("error:") or run("-q").stderr == ""
    assert "of processor time" in run("-v").stderr
    assert "of processor time" not in run().stderr  # nothing stays from the command before


def test_colours_as_asked(config: Path) -> None:
    wrong = ("config", "show", config, "--set", "nothing=1")
    assert "\033[31merror:" in cli(*wrong, "--color", "always", code=2).stderr
    assert "\033[" not in cli(*wrong, code=2).stderr  # no terminal
    assert "\033[" in cli("config", "show", config, "--color=always", code=0, env={"NO_COLOR": "1"}).stdout
    assert "\033[" not in cli("config", "show", config, "--color", "never", code=0).stdout
    assert "auto" in cli("config", "show", config, "--color", "blue", code=2).stderr


def test_no_color_is_respected_on_a_terminal(config: Path) -> None:
    pty = pytest.importorskip("pty")
    from command_line import start

    for variables, colored in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
        mine, theirs = pty.openpty()
        env = {"TERM": "xterm", "NO_COLOR": None} | variables
        process = start("config", "show", config, "--set", "x=1", env=env, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(mine, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(mine)
        assert process.wait() == 2
        assert (b"\033[31m" in shown) is colored, shown


def test_a_second_argument_is_the_output_where_it_is_plain(config: Path, tmp_path: Path) -> None:
    twice = cli("convert", config, tmp_path / "a.tflite", "-o", tmp_path / "b.tflite", code=2).stderr
    assert "one output is required" in twice
    assert "one output is required" in cli("convert", config, code=2).stderr
    assert "a.tflite" not in cli("dataset", "split", tmp_path / "none", "-o", tmp_path / "x.jsonl").stderr


def test_device_and_threads_are_keys(config: Path) -> None:
    both = cli("predict", config, "x.mp4", "--device", "gpu", "--set", "device=cpu", code=2).stderr
    assert "--device" in both
    assert "Give only one of them" in both
    assert "num_threads" in cli("predict", config, "x.mp4", "--threads", -3, code=2).stderr


def test_completion_knows_commands_and_options() -> None:
    def complete(words: str) -> str:
        env = {"_CLIPLAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return cli(process=True, env=env, before="import sys; sys.argv[0] = 'cliplab'").stdout

    assert "predict" in complete("cliplab pre")
    assert "--quantize" in complete("cliplab convert --qu")
    assert "--quiet" not in complete("cliplab convert --qua")


def test_verbose_logs_what_is_loaded(config: Path, tmp_path: Path) -> None:
    video = render_video(tmp_path / "warm.mp4", "warm", 1, seconds=1)
    shown = cli("predict", config, video, "-v", "--json", code=0)
    assert "tiny.json: config of tiny_adapter:TinyAdapter" in shown.stderr
    assert json.loads(shown.stdout)
    assert cli("predict", config, video, "--json", code=0).stderr == ""
