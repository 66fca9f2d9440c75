"""Each option and argument of each command reaches the function that does the work by its name, and changes no other.

A new option is tested without a line here where it arrives as it is given; SPECIAL has those that are translated.
"""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import make_references as docs
import pytest
from watched_calls import ReachedError, defaults, plain, watch

from cliplab import detect, models
from cliplab.api import scan
from cliplab.detect import HighlightOptions

LEAVES = {name.removeprefix("cliplab "): one for name, one in docs.commands() if not getattr(one, "commands", None)}
PLACES = ("api", "clips", "datasets", "demo", "detect", "models", "reel", "registry", "rollout", "scan", "studio")
DEEPER = ("rollout.device", "rollout.serving")
# Commands whose function is made of several, in the order of their calls.
PARTS = {
    "detect": ("highlight_options", "detect_all"),
    "generate": ("highlight_options", "make_judge", "RatingOrder", "generate_clips"),
    "evaluate": ("models:evaluate",),
    "ads": ("find_ads",),
    "ads-learn": ("learn_breaks",),
}
# Options with which the arguments mean something else, or another function works. They have tests of their own.
LEFT_OUT = {("finetune", "base_model"), ("evaluate", "segment_metrics"), ("scan", "prompt")}
SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "overrides": ("n_frames=13", {"overrides": {"n_frames": 13}}),
    "device_option": ("gpu", {"overrides": {"device": "gpu"}}),
    "threads_option": ("3", {"overrides": {"num_threads": 3}}),
}
HIGHLIGHTS = ("clip_seconds", "min_gap_seconds", "min_score", "most", "before", "snap_seconds", "frames", "quality")
STEPS = {"head_solver": "adam"}


def _keys(**keys: Any) -> dict[str, Any]:
    return {"overrides": keys}


# The words after the option's name, and what they change of what arrives.
SPECIAL: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("adopt", "mean"): ("1.5,2,3", {"mean": [1.5, 2.0, 3.0]}),
    ("adopt", "std"): ("4.5", {"std": [4.5]}),
    ("compare", "models"): ("one, two", {"models": ["one", "two"]}),
    ("compare", "vary"): ("n_frames=8,16", {"vary": {"n_frames": [8, 16]}}),
    ("dataset export", "only"): ("ad, news", {"only": ["ad", "news"]}),
    ("dataset from-db", "labels"): ("hit, miss", {"labels": ["hit", "miss"]}),
    ("dataset split", "fractions"): ("0.5 0.3 0.2", {"fractions": [0.5, 0.3, 0.2]}),
    ("dataloop programs", "model_ids"): ("a1, a2", {"model_ids": ["a1", "a2"]}),
    ("evaluate", "cross_validate"): ("", {"cross_validate": "folds"}),
    ("evaluate", "leave_one_group_out"): ("", {"cross_validate": "groups"}),
    ("extract", "video_source"): ("more.mp4", {"sources": ["given sources", "more.mp4"]}),
    ("generate", "no_database"): ("", {"database": None}),
    ("generate", "keep_around"): ("7.25", {"keep_around_seconds": 7.25}),
    ("generate", "rating_model"): ("x.skops", {"RatingOrder.path": "x.skops"}),
    ("predict", "shape"): ("hf --json", {"shape": "hf"}),
    ("train", "epochs"): ("3", _keys(num_epochs=3, **STEPS)),
    ("train", "batch_size"): ("3", _keys(batch_size=3, **STEPS)),
    ("train", "learning_rate"): ("0.5", _keys(learning_rate=0.5, **STEPS)),
    ("train", "optimize"): ("f1", _keys(optimize="f1")),
    ("train", "devices"): ("2", {"devices": 2}),
    ("train", "multi_gpu"): ("", {"devices": "all"}),
    ("finetune", "epochs"): ("3", _keys(num_epochs=3, fine_tune_epochs=3, **STEPS)),
    ("finetune", "batch_size"): ("3", _keys(batch_size=3, **STEPS)),
    ("finetune", "learning_rate"): ("0.5", _keys(learning_rate=0.5, fine_tune_learning_rate=0.5, **STEPS)),
    ("finetune", "optimize"): ("f1", _keys(optimize="f1")),
    ("finetune", "freeze_layers"): ("3", _keys(freeze_layers=3)),
    ("finetune", "devices"): ("2", {"devices": 2}),
    ("finetune", "multi_gpu"): ("", {"devices": "all"}),
    ("studio", "labels"): ("hit, miss", {"labels": ["hit", "miss"]}),
    ("label launch", "labels"): ("hit, miss", {"labels": ["hit", "miss"]}),
    ("label server", "labels"): ("hit, miss", {"labels": ["hit", "miss"]}),
    **{
        (command, name): (f"{role}=3", {name: {role: 3}})
        for command in ("registry init", "registry rotate")
        for name, role in (("count", "root"), ("thresholds", "targets"), ("days", "timestamp"))
    },
    **{(command, "header"): ("'A: b'", {"highlight_options.headers": ["A: b"]}) for command in ("detect", "generate")},
}
# What a command passes on that differs from its function's default, and means the same.
SAME: dict[tuple[str, str], Any] = {
    ("compare", "vary"): {},
    ("detect", "options"): "made by highlight_options",
    ("generate", "options"): "made by highlight_options",
    ("generate", "stage2"): "made by make_judge",
    ("generate", "ratings"): "made by RatingOrder",
    ("scan", "min_score"): "0.7",
}
# Callbacks for callers in Python, and what only begins like the name of one.
NO_CALLBACKS = ("on_epoch_end", "on_drift")
# Words of arguments for which a text such as "given name" is not allowed.
WORDS = {"rating": "4"}


def _function(command: str, part: str = "") -> Any:
    folder, _, name = (part or command.replace(" ", "_").replace("-", "_")).rpartition(":")
    for place in (folder,) if folder else (*DEEPER, *PLACES):
        found = getattr(importlib.import_module(f"cliplab.{place}"), name, None)
        if found is not None and not inspect.ismodule(found):
            return found
    raise AssertionError(f"{command}: no function {name} in cliplab")


def _functions(command: str) -> list[Any]:
    return [_function(command, part) for part in PARTS.get(command, ("",))]


def _modules() -> list[Any]:
    return [importlib.import_module(f"cliplab.{place}") for place in (*PLACES, *DEEPER)]


def _own(command: str) -> list[Any]:
    """The parameters of a command, without those of every command."""
    return [one for one in LEAVES[command].params if one.name not in ("as_json", "help") and one.expose_value]


def _kind(command: str, parameter: Any) -> Any:
    """The type of one value of a parameter."""
    hint = get_type_hints(inspect.unwrap(LEAVES[command].callback))[parameter.name]
    for _ in range(2):  # without None, and the items of a list
        if get_origin(hint) in (Union, UnionType, list):
            hint = next(one for one in get_args(hint) if one is not NoneType)
    return hint


def _words(command: str, parameter: Any) -> tuple[list[str], Any]:
    """Words for a parameter, and the value that they mean. Names make values distinct."""
    size = 3 + sum(map(ord, parameter.name)) % 89
    kind = _kind(command, parameter)
    if getattr(parameter, "is_flag", False):
        wanted = not parameter.default
        return [(parameter.opts if wanted else parameter.secondary_opts)[-1]], wanted
    if parameter.name in WORDS:
        words, value = [WORDS[parameter.name]], WORDS[parameter.name]
    elif get_origin(kind) is Literal:
        value = next(word for word in get_args(kind) if word != parameter.default)
        words = [value]
    elif kind in (int, float):
        value = size if kind is int else size + 0.25
        words = [str(value)]
    else:
        value = f"given {parameter.name}"
        words = [value]
    several = parameter.multiple or parameter.nargs == -1
    option = parameter.opts[-1].startswith("-")
    return ([parameter.opts[0], *words] if option else words), [value] if several else value


def _needed(command: str, without: str = "") -> tuple[list[str], dict[str, Any]]:
    """The words of a command with all of its arguments and required options, without one of them, by name."""
    words: list[str] = []
    values: dict[str, Any] = {}
    for parameter in _own(command):
        argument = parameter.param_type_name == "argument"
        if parameter.name != without and (argument or parameter.required):
            more, values[parameter.name] = _words(command, parameter)
            words += more
    return words, values


def _arrived(command: str, words: list[str], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    with patch.context() as here:
        arrived = watch(here, _functions(command), _modules())
        with pytest.raises(ReachedError):
            LEAVES[command].main(words, standalone_mode=False)
    return arrived


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(("CLIPLAB_", "DETECTION_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


EMPTY = ("cache show",)
HIGHLIGHT_DEFAULTS = {field.name: field.default for field in fields(HighlightOptions) if field.default is not MISSING}


@pytest.mark.parametrize("command", [name for name in LEAVES if name not in EMPTY])
def test_a_command_alone_calls_its_function_with_the_functions_defaults(
    command: str, empty_environment: pytest.MonkeyPatch
) -> None:
    words, values = _needed(command)
    arrived = _arrived(command, words, empty_environment)
    *parts, function = _functions(command)
    for part in parts:
        for name, value in {**defaults(part), **(HIGHLIGHT_DEFAULTS if "options" in part.__name__ else {})}.items():
            got = arrived.get(f"{part.__name__}.{name}", value)
            assert got == value or (name, value) in (("values", {}), ("before", None)), f"{command}: {name} is {got!r}"
    known = defaults(function)
    for name in inspect.signature(function).parameters:
        if name.startswith("on_") and name not in NO_CALLBACKS:
            assert arrived[name] == "a function", f"{command} does not pass {name}"
        elif (command, name) in SAME:
            assert arrived[name] == SAME[command, name]
        elif name in values:
            assert arrived[name] == plain(values[name]), name
        elif name in known and name not in ("overrides", "trust_adapters"):
            assert arrived[name] == known[name], f"{command}: {name} is not the function's default"


CASES = [
    (command, parameter.name)
    for command in LEAVES
    for parameter in _own(command)
    if (command, parameter.name) not in LEFT_OUT and command not in EMPTY
]


@pytest.mark.parametrize(("command", "name"), CASES)
def test_an_option_arrives_and_changes_nothing_else(
    command: str, name: str, empty_environment: pytest.MonkeyPatch
) -> None:
    parameter = next(one for one in _own(command) if one.name == name)
    words, values = _needed(command)
    usual = _arrived(command, words, empty_environment)
    functions = [function.__name__ for function in _functions(command)]
    if parameter.param_type_name == "argument" or parameter.required:
        held = [value for key, value in usual.items() if value == plain(values[name])]
        assert held, f"{command}: {name} does not arrive: {usual}"
        return
    if name == "output_option":
        words, values = _needed(command, without="output")
        words += [parameter.opts[-1], "elsewhere"]
        changed: dict[str, Any] = {"output": "elsewhere"}
    elif (command, name) in SPECIAL or name in SHARED:
        text, changed = SPECIAL.get((command, name)) or SHARED[name]
        parts = [text.strip("'")] if text.startswith("'") or ", " in text else text.split()
        words += [parameter.opts[-1], *parts]
    else:
        more, value = _words(command, parameter)
        words += more
        first = next((part for part in functions[:-1] if f"{part}.{name}" in usual), "")
        split = command in PARTS and name in HIGHLIGHTS and "highlight_options" in functions
        key = f"highlight_options.{name}" if split else f"{first}.{name}" if first else name
        changed = {key: value}
    assert _arrived(command, words, empty_environment) == {**usual, **plain_values(changed)}


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


def _called(command: str, words: list[str], functions: list[Any], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What arrives at functions when a command is called with all of these words."""
    with patch.context() as here:
        arrived = watch(here, functions, _modules())
        with pytest.raises(ReachedError):
            LEAVES[command].main(words, standalone_mode=False)
    return arrived


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["-o", "x.json"], {"output": "x.json"}),
        (["--force"], {"force": True}),
        (["--set", "n_frames=13"], {"overrides": {"n_frames": 13}}),
        (["--device", "gpu"], {"overrides": {"device": "gpu"}}),
        (["--threads", "3"], {"overrides": {"num_threads": 3}}),
        (["--trust-adapter", "one:Two"], {"trust_adapters": ["one:Two"]}),
    ],
)
def test_evaluate_of_breaks_passes_its_options_on(
    words: list[str], changed: dict[str, Any], empty_environment: pytest.MonkeyPatch
) -> None:
    base = ["model", "data", "--segment-metrics"]
    usual, found = (
        _called("evaluate", [*base, *more], [detect.evaluate_breaks], empty_environment) for more in ([], words)
    )
    assert (usual["model"], usual["data"]) == ("model", "data")
    assert (usual["output"], usual["force"], usual["on_progress"]) == (None, False, "a function")
    assert found == {**usual, **changed}


@pytest.mark.parametrize("words", [["--split", "test"], ["--cross-validate"], ["--leave-one-group-out"]])
def test_evaluate_of_breaks_takes_no_split(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = LEAVES["evaluate"].main(["model", "data", "--segment-metrics", *words], standalone_mode=False)
    assert code == 2
    assert "--split" in capsys.readouterr().err


def test_scan_by_a_prompt_has_no_model(empty_environment: pytest.MonkeyPatch) -> None:
    found = _called("scan", ["library", "x.json", "--prompt", "dive", "--label", "dive"], [scan], empty_environment)
    assert (found["library"], found["bundle"], found["output"]) == ("library", None, "x.json")
    assert (found["prompt"], found["label"]) == ("dive", "dive")
    assert _called("scan", ["library", "--prompt", "dive"], [scan], empty_environment)["output"] == "highlights.json"


@pytest.mark.parametrize("words", [["model", "library", "x.json", "--prompt", "dive"], ["model"]])
def test_scan_takes_a_model_or_a_prompt(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert LEAVES["scan"].main(words, standalone_mode=False) == 2
    assert "LIBRARY" in capsys.readouterr().err


def test_finetune_with_weights_has_no_model(empty_environment: pytest.MonkeyPatch) -> None:
    words = ["data", "output", "--base-model", "x.pth"]
    found = _called("finetune", words, [models.finetune], empty_environment)
    assert (found["model"], found["data"], found["output"]) == (None, "data", "output")
    assert found["base_model"] == "x.pth"


@pytest.mark.parametrize("words", [["model"], ["model", "data", "output", "--base-model", "x.pth"]])
def test_finetune_takes_a_model_or_weights(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert LEAVES["finetune"].main(words, standalone_mode=False) == 2
    assert "--base-model" in capsys.readouterr().err


SHORT = [
    (command, name, (SPECIAL.get((command, name)) or SHARED[name])[1]["overrides"])
    for command, name in CASES
    if name != "overrides" and "overrides" in (SPECIAL.get((command, name)) or SHARED.get(name, ("", {})))[1]
]


@pytest.mark.parametrize(("command", "name", "keys"), SHORT)
def test_a_key_is_set_by_its_option_or_by_set_and_not_by_both(
    command: str, name: str, keys: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    parameter = next(one for one in _own(command) if one.name == name)
    text = (SPECIAL.get((command, name)) or SHARED[name])[0]
    words, _ = _needed(command)
    key = next(iter(keys))
    code = LEAVES[command].main([*words, parameter.opts[-1], text, "--set", f"{key}=1"], standalone_mode=False)
    assert code == 2
    said = capsys.readouterr().err
    assert parameter.opts[-1] in said
    assert f"--set {key}=" in said


@pytest.mark.parametrize("command", [command for command, name in CASES if name == "output_option"])
def test_one_output_is_given_and_not_two(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, _ = _needed(command)
    assert LEAVES[command].main([*words, "--output", "elsewhere"], standalone_mode=False) == 2
    assert "elsewhere" in capsys.readouterr().err
    without, _ = _needed(command, without="output")
    if command not in ("scan", "registry zoo"):  # they have a default
        assert LEAVES[command].main(without, standalone_mode=False) == 2
        assert "got none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "c", "d", "o", "--devices", "0"], "--devices"),
        (["train", "c", "d", "o", "--devices", "two"], "--devices"),
        (["train", "c", "d", "o", "--devices", "2", "--multi-gpu"], "--multi-gpu"),
        (["adopt", "m", "o", "--labels", "l", "--mean", "1;2"], "--mean"),
        (["adopt", "m", "o", "--labels", "l", "--std", "x"], "--std"),
        (["compare", "d", "--vary", "n_frames"], "--vary"),
        (["compare", "d", "--vary", "=1"], "--vary"),
        (["compare", "d", "--vary", "a= "], "--vary"),
        (["compare", "d", "--vary", "a=1", "--vary", "a=2"], "--vary a is given twice"),
        (["predict", "m", "v", "--shape", "hf"], "--shape"),
        (["registry init", "--keys-per-role", "root"], "--keys-per-role"),
        (["registry init", "--threshold", "root=x"], "--threshold"),
        (["registry rotate", "--days", "root=1234567890"], "--days"),
        (["registry rotate", "--days", "root=-1"], "--days"),
    ],
)
def test_values_that_are_not_allowed_are_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *rest = words
    assert LEAVES[command].main(rest, standalone_mode=False) == 2
    assert said in capsys.readouterr().err


def test_values_to_vary_are_json_where_they_can_be(empty_environment: pytest.MonkeyPatch) -> None:
    words = ["data", "--vary", "n_frames=8, 16", "--vary", "aspect=crop,pad", "--vary", "mixed=1,two"]
    found = _called("compare", words, [models.compare], empty_environment)
    assert found["vary"] == {"n_frames": [8, 16], "aspect": ["crop", "pad"], "mixed": [1, "two"]}


def test_all_gpus_may_be_asked_for_twice(empty_environment: pytest.MonkeyPatch) -> None:
    words = ["c", "d", "o", "--devices", "all", "--multi-gpu"]
    assert _called("train", words, [models.train], empty_environment)["devices"] == "all"


def test_a_figure_of_training_may_be_set_beside_another_solver(empty_environment: pytest.MonkeyPatch) -> None:
    words = ["c", "d", "o", "--epochs", "3", "--set", "head_solver=auto", "--set", "batch_size=4"]
    found = _called("train", words, [models.train], empty_environment)
    assert found["overrides"] == {"num_epochs": 3, "head_solver": "auto", "batch_size": 4}
    words = ["m", "d", "o", "--epochs", "3", "--set", "fine_tune_epochs=2"]
    found = _called("finetune", words, [models.finetune], empty_environment)
    assert found["overrides"] == {"num_epochs": 3, "fine_tune_epochs": 2, "head_solver": "adam"}
