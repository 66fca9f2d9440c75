"""The page for people who come from another pipeline: what it names here exists, and none of their words is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from command_line import cli

from adapters.config import adapter_class, key_schemas
from adapters.inference import read_config, ready_configs
from cliplab.cli.other_words import COMMANDS, MODEL_FIRST, OPTIONS, is_model, own_words

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from make_references import commands  # noqa: E402
from script_map import pipelines  # noqa: E402

SEEDS = ROOT.parent / "shared" / "seeds"
# The order of the pipelines in the table -> which document they were taken from.
DOCUMENTS = ("001", "000", "002", "003", "004")
PROGRAM = dict(commands())
ROWS = [(one["name"], *row) for one in pipelines() for row in one["rows"]]


def keys() -> set[str]:
    """Every key of every ready config's adapter, and the gates."""
    found: set[str] = set()
    for path in ready_configs().values():
        schemas = key_schemas(read_config(path)["adapter"])
        assert adapter_class(read_config(path)["adapter"])
        found |= set(schemas) | set(schemas.get("gates", {}).get("properties", {}))
    return found


@pytest.mark.parametrize(("pipeline", "theirs", "ours", "note"), ROWS, ids=[f"{row[1]}" for row in ROWS])
def test_every_command_and_option_named_here_exists(pipeline, theirs, ours, note):
    for words in re.findall(r"`(cliplab [^`]+)`", f"{ours} {note}"):
        arguments, _ = own_words(words.split()[1:], PROGRAM["cliplab"])
        name = max((n for n in PROGRAM if f"cliplab {' '.join(arguments)} ".startswith(f"{n} ")), key=len)
        assert name != "cliplab", f"{words}: no such command"
        assert not hasattr(PROGRAM[name], "commands"), f"{words}: only a group of commands"
        known = {option for parameter in PROGRAM[name].params for option in parameter.opts}
        given = [word.partition("=")[0] for word in arguments if word.startswith("--")]
        assert not set(given) - known, f"{words}: no such option"


@pytest.mark.parametrize("text", sorted({cell for row in ROWS for cell in row[2:]}))
def test_every_config_and_key_named_here_exists(text):
    for name in re.findall(r"configs? ((?:`\w+`(?:, )?)+)", text):
        assert set(re.findall(r"\w+", name)) <= set(ready_configs())
    for name in re.findall(r"keys? ((?:`\w+`(?: \d+)?(?:, | and )?)+)", text):
        assert set(re.findall(r"`(\w+)`", name)) <= keys()


@pytest.mark.skipif(not SEEDS.is_dir(), reason="needs the documents beside the checkout, in ../shared/seeds")
@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_none_of_their_commands_and_options_is_missing(number):
    (document,) = SEEDS.glob(f"{DOCUMENTS[number]}_*.txt")
    text = document.read_text(encoding="utf-8")
    told = " ".join(row[0] for row in pipelines()[number]["rows"])
    code = "\n".join(
        re.findall(r"```(?:bash|yaml|python)?\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    )
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code))
    modules = set(re.findall(r"python3? (?:-m )?([\w.]+)", code)) - {"python"}
    tasks = set(re.findall(r"aiTrainer\.js ([a-z-]+)", code))
    names = set(re.findall(r"^\* ```(\w+)```", text, re.MULTILINE))
    functions = set(re.findall(r"(?:manager|trainer)\.(\w+)\(", code))
    missing = sorted(word for word in options | modules | tasks | names | functions if word not in told)
    assert not missing


def figures(text: str) -> set[str]:
    """The numbers with a unit in a text, without the signs and spaces that are written in several ways."""
    units = r"(?:%|ms|MB|GB|hours|days|min|videos/s)"
    found = re.findall(rf"(?<![\w.])(\d[\d.,]*(?:-\d[\d.,]*)?\+?) ?({units})(?![a-df-z])", text)
    return {number.rstrip("+") + unit for number, unit in found}


@pytest.mark.skipif(not SEEDS.is_dir(), reason="needs the documents beside the checkout, in ../shared/seeds")
@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_none_of_their_figures_is_missing(number):
    (document,) = SEEDS.glob(f"{DOCUMENTS[number]}_*.txt")
    parts = document.read_text(encoding="utf-8").split("```")
    printed = [index % 2 == 1 and part.startswith("\n") for index, part in enumerate(parts)]  # output and diagrams
    prose = "".join(part for part, left_out in zip(parts, printed, strict=True) if not left_out)
    told = " ".join(f"{row[0]} {row[2]}" for row in pipelines()[number]["rows"])
    assert sorted(figures(prose) - figures(told)) == []


def test_the_words_of_other_pipelines_lead_to_commands_and_arguments_that_exist():
    for begin in COMMANDS.values():
        assert any(f"cliplab {' '.join(begin)} ".startswith(f"{name} ") for name in PROGRAM if name != "cliplab")
    for name, words in OPTIONS.items():
        parameters = PROGRAM[f"cliplab {name}"].params
        places = [p for p in parameters if not p.opts[0].startswith("-")]
        own = {option for p in parameters for option in p.opts}
        assert all(target in own if isinstance(target, str) else target < len(places) for target in words.values())
    assert all(f"cliplab {name}" in PROGRAM for name in MODEL_FIRST)


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        ("train --config ads_base --data-dir d --output-dir o", "train ads_base d --output-dir o"),
        ("train --data-dir=d ads_base o --lr 0.1", "train ads_base d o --learning-rate 0.1"),
        ("train_movinet.py --dataset ./d --output o", "train trick_movinet_a0 ./d --output o"),
        ("evaluate --test-data t --model m.tflite --json", "evaluate m.tflite t --json"),
        ("evaluate --model m.tflite --test-data t -- ", "evaluate m.tflite t --"),
        ("convert --model b --output m.tflite --quantize int8", "convert b --output m.tflite --quantize int8"),
        ("batch-classify videos m.tflite h.json", "scan m.tflite videos h.json"),
        ("test-video v.mp4 m.tflite --label ad", "score m.tflite v.mp4 --label ad"),
        ("create-reel h.json best.mp4 --top 50", "reel h.json best.mp4 --top 50"),
        ("predict --set top_k=1 v.mp4 m.tflite", "predict --set top_k=1 m.tflite v.mp4"),
        # An argument under its own name, in any order; several where it takes several.
        ("clips rate --stars 4 --id 7", "clips rate 7 4"),
        ("clips tag --id=7 --tag dive --tag sunset", "clips tag 7 dive sunset"),
        ("predict m --video a.mp4 --video b.mp4", "predict m a.mp4 b.mp4"),
        ("rollout status --rollout 3", "rollout status 3"),
        ("compare --data d", "compare d"),
        # As they came: right already, the command's own words, nothing that names a command.
        ("predict m.tflite v.mp4", "predict m.tflite v.mp4"),
        ("verify a.tflite b.tflite", "verify a.tflite b.tflite"),
        ("label auto --model m.tflite --data-dir d --output o", "label auto --model m.tflite --data-dir d --output o"),
        ("evaluate --model", "evaluate --model"),
        ("clips rate 7 --stars", "clips rate 7 --stars"),
        ("train --lr", "train --learning-rate"),
        ("nonsense --lr 1", "nonsense --lr 1"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_arguments_in_other_words(given, rewritten):
    arguments, notes = own_words(given.split(), PROGRAM["cliplab"])
    assert arguments == rewritten.split()
    assert bool(notes) == (given.split() != rewritten.split())


def test_what_is_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text('{"adapter": "a:b"}')
    (tmp_path / "labels.json").write_text('{"ad": []}')
    (tmp_path / "resnet18").mkdir()  # a folder of videos that is called like a ready config
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    assert [is_model(name) for name in ("config.json", "bundle", "x.tflite", "ads_base")] == [True] * 4
    assert [is_model(name) for name in ("labels.json", "resnet18", "v.mp4", "no/such", ".", "")] == [False] * 6


def test_a_note_says_which_words_were_taken(tmp_path):
    result = cli("test-video", tmp_path / "v.mp4", "ads_base", code=None)
    assert "note: test-video is cliplab score here" in result.stderr
    assert "note: took ads_base as the model: cliplab score takes the model first" in result.stderr
