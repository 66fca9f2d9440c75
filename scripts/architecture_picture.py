"""docs/images/architecture.svg: the folders in the layers that import-linter checks, so that the picture stays true."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LEFT, GAP, HEIGHT = 1180, 32, 10, 58
TITLES = {
    "cliplab": "cliplab: what a person does around a model",
    "adapters": "adapters: the library",
}
COLOURS = {"cliplab": "#e8f0fe", "adapters": "#e6f4ea"}
ABOUT = {
    "cliplab.__main__": "python -m cliplab",
    "cliplab.cli": "arguments, progress, tables",
    "cliplab.api": "one function for each command",
    "cliplab.scan": "a library of videos to scores and highlights",
    "cliplab.reel": "highlights to one video",
    "cliplab.studio": "the web app: label, review, models, generate, rate, browse, fleet",
    "cliplab.demo": "the whole loop on the sample clips",
    "cliplab.models": "predict, train, evaluate, compare, convert, bench, stream, serve",
    "cliplab.datasets": "import, split, export, prepare, advise, extract frames",
    "cliplab.detect": "highlights of streams; ad breaks: evidence, decision, marks, cuts",
    "cliplab.rollout": "registry to devices: stages, evidence, the device's client; hard examples back",
    "cliplab.library": "which videos there are, on disks and in storages",
    "cliplab.registry": "versions of models, promotion, history, signatures",
    "cliplab.clips": "clips and ratings, and what learns from them",
    "cliplab.outputs": "what may be replaced",
    "cliplab.sql": "SQLite and PostgreSQL",
    "adapters.testing": "the contract suite, as a kit",
    "adapters.hosts": "Dataloop, HTTP, Label Studio, MLflow, Ray: each a door (*_host.py) and the rooms behind it",
    "adapters.models": "one folder for each family, and what they share; movinet_adapter is a package of its own",
    "adapters.training": "labelled clips to cached features, a head, fine-tuning; checkpoints, devices",
    "adapters.inference": "open_model, predict_videos, streams, segments; the one pipeline that decodes ahead",
    "adapters.evaluation": "metrics, gates, curves, plots, report",
    "adapters.base": "the contract",
    "adapters.litert": "programs: run, stream, edit, write, quantise, cache",
    "adapters.bundle": "a model on disk: sealed, golden clip, card",
    "adapters.data": "labelled clips; formats/ has one file for each format",
    "adapters.protocols": "what the contract's methods hand out",
    "adapters.config": "read, migrate, check, override",
    "adapters.media": "files and streams to frames, by time; frames to model input",
    "adapters.system": "whole writes, locks, digests, caches",
    "adapters.reports": "of training and conversion",
    "adapters.records": "the values that pass between parts",
    "adapters.errors": "what goes wrong on purpose",
    "adapters.choices": "words that options allow",
}


def architecture_svg() -> str:
    """The picture as SVG.

    Raises:
        KeyError: A folder has no description in ``ABOUT``.
    """
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = {one["containers"][0]: one["layers"] for one in contracts if "containers" in one}
    parts: list[str] = []
    top = 14
    for package in ("cliplab", "adapters"):
        rows = [[name.strip(" ()") for name in layer.split("|")] for layer in layers[package]]
        height = 28 + len(rows) * (HEIGHT + GAP) + 6
        parts.append(
            f'<rect x="20" y="{top}" width="{WIDTH - 40}" height="{height}" rx="10" fill="none" stroke="#9aa0a6" '
            'stroke-dasharray="5 4"/>'
        )
        parts.append(
            f'<text x="{LEFT}" y="{top + 20}" font-size="13" font-weight="700">{escape(TITLES[package])}</text>'
        )
        for number, row in enumerate(rows):
            parts += _row(package, row, top + 28 + number * (HEIGHT + GAP))
        top += height + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 4}" width="{WIDTH}" height="{top + 4}" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" fill="#202124">'
    )
    title = "<title>The folders of cliplab, from the command line at the top to the values at the bottom</title>"
    return "\n".join([head, title, f'<rect width="{WIDTH}" height="{top + 4}" fill="#ffffff"/>', *parts, "</svg>\n"])


def _row(package: str, names: list[str], y: int) -> list[str]:
    """One layer: its folders side by side, since they do not import each other."""
    width = (WIDTH - 2 * LEFT - (len(names) - 1) * GAP) / len(names)
    parts = []
    for place, name in enumerate(names):
        x = LEFT + place * (width + GAP)
        path = ROOT / package / name
        shown = name if path.is_dir() else f"{name}.py"
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="6" fill="{COLOURS[package]}" '
            'stroke="#9aa0a6"/>'
        )
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 20}" font-size="14" font-weight="600">{escape(shown)}</text>')
        for line, text in enumerate(textwrap.wrap(ABOUT[f"{package}.{name}"], max(10, int((width - 20) / 5.9)))[:2]):
            parts.append(
                f'<text x="{x + 10:.1f}" y="{y + 36 + 15 * line}" font-size="11.5" fill="#5f6368">{escape(text)}</text>'
            )
    return parts
