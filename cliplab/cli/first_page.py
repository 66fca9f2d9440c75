"""The page of ``cliplab --help``: every command by what one wants to do, on one screen."""

from __future__ import annotations

import textwrap
from typing import Any

from cliplab.cli.everywhere import summary

# Group -> (commands, what they do). Commands that are in none are listed at the end by their own first sentence.
PAGE: dict[str, tuple[tuple[str, str], ...]] = {
    "Predict": (
        ("predict, score, stream", "Label videos, score one video, follow a live source"),
        ("explain, bench", "Explain a score; time a model"),
        ("ads, ads-learn", "Find ad breaks; learn from corrected ones"),
        ("detect, generate, worker", "Find highlights in streams; cut clips to rate"),
    ),
    "Train": (
        ("train, finetune", "Train a model; train it further on more clips"),
        ("evaluate, compare", "Measure a model; find the best of several"),
        ("dataset", "Import, split, export and judge labelled clips"),
        ("demo", "Run every step once on the sample clips"),
    ),
    "Library": (
        ("scan, reel", "Score thousands of videos; join the best moments"),
        ("clips", "Keep and rate clips, and learn from the ratings"),
        ("extract", "Write frames of videos as pictures"),
    ),
    "Label": (
        ("studio", "Label, review and manage models in the browser"),
        ("label", "Start the studio; let a model label first"),
        ("active", "Collect the clips that a model is unsure about"),
    ),
    "Ship": (
        ("convert, adopt", "Write a .tflite; use one made elsewhere"),
        ("ensemble, verify", "Let models vote; compare two models"),
        ("registry, rollout", "Keep model versions; roll them out to devices"),
        ("device", "Keep the models of this device up to date"),
        ("dataloop", "Write the manifest of the Dataloop app"),
    ),
    "Serve": (("host", "Serve models over HTTP or to Label Studio"),),
    "This machine": (
        ("doctor, cache", "Check machine and model; show and clear caches"),
        ("config", "Show and check configs, and list their keys"),
    ),
}
_OPTIONS = (
    ("-h, --help", "show help", "-q, --quiet", "only results and errors"),
    ("--version", "show the version", "-v, --verbose", "log details and time"),
    ("--json", "results as JSON", "--color WHEN", "auto, always or never"),
    ("", "", "--install-completion", "set up Tab completion"),
)
_LEFT, _WIDTH = 26, 80


def first_page(usage: str, about: str, commands: dict[str, Any]) -> str:
    """The page.

    Args:
        usage: How the program is called, such as "cliplab".
        about: What it is, in a sentence.
        commands: Name -> command, of all commands.
    """
    lines = [f"Usage: {usage} [OPTIONS] COMMAND ...", "", *textwrap.wrap(about, _WIDTH), ""]
    listed: set[str] = set()
    for heading, rows in PAGE.items():
        lines.append(f"{heading}:")
        for names, text in rows:
            found = [name for name in names.split(", ") if name in commands]
            listed.update(found)
            lines += [_row(", ".join(found), text)] if found else []
    others = {name: one for name, one in commands.items() if name not in listed and not one.hidden}
    lines += ["Other:", *(_row(name, summary(one)) for name, one in others.items())] if others else []
    lines.append("Options, also after a command:")
    lines += [f"  {a:<12}{b:<18}{c:<22}{d}".rstrip() for a, b, c, d in _OPTIONS]
    return "\n".join(lines)


def _row(names: str, text: str) -> str:
    indent = " " * (_LEFT + 2)
    lines = textwrap.wrap(text, _WIDTH - _LEFT - 2) or [""]
    first = f"  {names:<{_LEFT}}{lines[0]}"
    return "\n".join([first, *(indent + line for line in lines[1:])])
