"""Commands and options under the names that other pipelines give them, and a model and a video in the wrong order.

Nothing here changes what a command does: the arguments are rewritten into the command's own words before they are
parsed, and a note on stderr says which words those are. A word that a command has itself is never rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# A command of another pipeline -> how it begins here. ``.py`` at its end does not matter.
COMMANDS: dict[str, tuple[str, ...]] = {
    "batch-classify": ("scan",),
    "create-reel": ("reel",),
    "prepare-dataset": ("dataset", "prepare"),
    "test-video": ("score",),
    "to_tflite": ("convert",),
    "test_tflite": ("evaluate",),
    "train_base_model": ("train", "ads_base"),
    "train_sports_model": ("train", "ads_sports"),
    "train_movinet": ("train", "trick_movinet_a0"),
    "train_classifier": ("train", "drone_resnet18"),
    "auto_label": ("label", "auto"),
    "export_highlight_dataset": ("dataset", "from-db"),
}
# Command -> option of another pipeline -> the option here, or the place of the argument that it names.
_TRAINING: dict[str, str | int] = {"--data-dir": 1, "--dataset": 1, "--data": 1, "--lr": "--learning-rate"}
OPTIONS: dict[str, dict[str, str | int]] = {
    "train": _TRAINING | {"--config": 0},
    "finetune": _TRAINING | {"--model": 0},
    "evaluate": {"--model": 0, "--test-data": 1, "--data-dir": 1, "--data": 1},
    "convert": {"--model": 0},
    "predict": {"--model": 0, "--video": 1},
    "scan": {"--model": 0, "--library": 1},
    "score": {"--model": 0, "--video": 1},
    "reel": {"--highlights": 0},
    "stream": {"--model": 0, "--source": 1},
    "bench": {"--model": 0},
    "dataset prepare": {"--labels": 0, "--output": 1, "--output-dir": 1},
}
# Commands that take a model first and what it is used on second.
MODEL_FIRST = (
    "train",
    "evaluate",
    "predict",
    "scan",
    "score",
    "stream",
    "explain",
    "finetune",
    "active collect",
)
_CONFIG_SUFFIXES = (".json", ".yaml", ".yml")
_CONFIG_BYTES = 65536  # a config names its adapter well before that


def own_words(arguments: Sequence[str], program: Any) -> tuple[list[str], list[str]]:
    """The arguments in the words of this command line.

    Args:
        arguments: Those after the program's name.
        program: The click group of all commands.

    Returns:
        The arguments, and a note for each thing that was rewritten; both as they came where nothing was.
    """
    arguments = list(arguments)
    notes: list[str] = []
    first = next((at for at, word in enumerate(arguments) if not word.startswith("-")), None)
    if first is None:
        return arguments, notes
    word = arguments[first]
    if word not in program.commands and (known := COMMANDS.get(word.removesuffix(".py"))) is not None:
        arguments[first : first + 1] = known
        notes.append(f"{word} is {' '.join(('cliplab', *known))} here")
    name, command, start = _command(arguments, first, program)
    if command is None:
        return arguments, notes
    given, more = _rewrite(arguments[start:], command, OPTIONS.get(name, {}))
    notes += more
    if name in MODEL_FIRST:
        given, more = _model_first(given, command, name)
        notes += more
    return arguments[:start] + given, notes


def _command(arguments: list[str], first: int, program: Any) -> tuple[str, Any, int]:
    """(full name, command, where its arguments begin); no command where the words name none."""
    group, names, at = program, [], first
    while at < len(arguments):
        command = group.commands.get(arguments[at])
        if command is None:
            break
        names.append(arguments[at])
        at += 1
        if not hasattr(command, "commands"):
            return " ".join(names), command, at
        group = command
    return " ".join(names), None, at


def _rewrite(given: list[str], command: Any, words: dict[str, str | int]) -> tuple[list[str], list[str]]:
    """Options of other pipelines renamed; those that name an argument are put in its place."""
    own = {name for parameter in command.params for name in parameter.opts}
    words = _argument_words(command) | words
    kept: list[str] = []
    placed: dict[int, list[str]] = {}
    notes: list[str] = []
    at = 0
    while at < len(given) and given[at] != "--":
        option, joined, value = given[at].partition("=")
        target = None if option in own else words.get(option)
        if target is None or (isinstance(target, int) and not _is_free(target, placed, command, given[at:])):
            kept.append(given[at])
        elif isinstance(target, str):
            kept.append(target + joined + value)
            notes.append(f"{option} is {target} here")
        else:
            at += 0 if joined else 1
            placed.setdefault(target, []).append(value if joined else given[at])
            notes.append(f"{option} is the argument {_arguments(command)[target].metavar} here")
        at += 1
    rest = kept + given[at:]
    for place in sorted(placed):
        places = _places(rest, command)
        after_last = places[-1] + 1 if places else 0
        where = places[place] if place < len(places) else after_last
        rest[where:where] = placed[place]
    return rest, list(dict.fromkeys(notes))


def _is_free(place: int, placed: dict[int, list[str]], command: Any, rest: list[str]) -> bool:
    """Whether an option has a value, and its argument takes it: a second one only where it takes several."""
    return ("=" in rest[0] or len(rest) > 1) and (place not in placed or _arguments(command)[place].nargs == -1)


def _argument_words(command: Any) -> dict[str, str | int]:
    """``--stars`` for the argument STARS: people who do not know which is which guess an option."""
    names = [str(argument.metavar).strip("[].").lower() for argument in _arguments(command)]
    return {f"--{name}": place for place, name in enumerate(names) if name.isidentifier()}


def _arguments(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if not parameter.opts[0].startswith("-")]


def _places(given: Sequence[str], command: Any) -> list[int]:
    """Where in the words the arguments are, which are neither options nor the values of options."""
    takes = {
        name
        for parameter in command.params
        if parameter.opts[0].startswith("-") and not getattr(parameter, "is_flag", False)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    places: list[int] = []
    at = 0
    while at < len(given):
        if given[at] == "--":
            return places + list(range(at + 1, len(given)))
        if given[at].startswith("-") and given[at] != "-":
            at += 2 if given[at] in takes else 1
            continue
        places.append(at)
        at += 1
    return places


def _model_first(given: list[str], command: Any, name: str) -> tuple[list[str], list[str]]:
    """A model and what it is used on, in that order, where it is plain that they came in the other."""
    places = _places(given, command)
    if len(places) < 2 or any(word.partition("=")[0] == "--prompt" for word in given):
        return given, []  # with a prompt, no model is among the arguments
    first, second = given[places[0]], given[places[1]]
    if not is_model(second) or is_model(first):
        return given, []
    swapped = list(given)
    swapped[places[0]], swapped[places[1]] = second, first
    return swapped, [f"took {second} as the model: cliplab {name} takes the model first"]


def is_model(name: str) -> bool:
    """Whether a word names a model or config: a bundle, a .tflite, a config file, or a ready config's name."""
    path = Path(name)
    if path.suffix == ".tflite" or (path / "bundle.json").is_file():
        return True
    if path.suffix in _CONFIG_SUFFIXES and path.is_file():
        try:
            with path.open("rb") as file:
                return b"adapter" in file.read(_CONFIG_BYTES)
        except OSError:
            return False
    if os.path.lexists(name) or os.sep in name:
        return False
    from adapters.inference import ready_configs

    return name in ready_configs()
