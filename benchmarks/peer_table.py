"""The results of benchmarks/peers.py as Markdown tables, between the two markers of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- peers: begin, written by benchmarks/peers.py --docs -->", "<!-- peers: end -->"
MOST_DIFFERENCE = 0.003  # of scores of the same model and frames, on average over the videos
HEAD = ["", "seconds", "rate", "ours is faster by", "aim", "memory, MB", "answers"]


def write_table(groups: dict[str, Any], page: Path) -> None:
    """Replace what is between the markers of a page.

    Args:
        groups: As benchmarks/peers.py --json writes them.
        page: A Markdown file with both markers.

    Raises:
        ValueError: A marker is missing.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: the lines {BEGIN!r} and {END!r} are missing. Put them where the tables go.")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(groups)}\n{after}", encoding="utf-8")


def as_markdown(groups: dict[str, Any]) -> str:
    """All groups, each with a table of its contests."""
    parts = [f"### {name.capitalize()}\n\n{group['where']}.\n\n{_table(group)}\n" for name, group in groups.items()]
    return "\n".join(parts)


def _table(group: dict[str, Any]) -> str:
    lines = [_line(HEAD), "|---" * len(HEAD) + "|"]
    for contest in group["contests"]:
        lines.append(_line([f"**{contest['title']}**", *[""] * (len(HEAD) - 1)]))
        for number, row in enumerate(contest["entrants"]):
            lines.append(_line(_cells(contest, row, first=not number)))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _cells(contest: dict[str, Any], row: dict[str, Any], first: bool) -> list[str]:
    if not row["seconds"]:
        return [row["name"], "", "", "", "", "", row["note"]]
    seconds = statistics.median(row["seconds"])
    rate = f"{contest['amount'] / seconds:.3g} {contest['unit']}/s" if contest["unit"] else ""
    memory = f"{row['memory_mb']:.0f}"
    if first:
        return [row["name"], f"{seconds:.2f}", rate, "", "", memory, row["note"] or _ours(contest["ours"])]
    ratio, aim = "", ""
    if "ratios" in row:
        ratio = f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})"
        ratio = ratio if len(row["ratios"]) > 1 else f"{row['ratio']:.2f} (one run)"
        target = contest["target"]
        aim = "" if target is None else f"{target:g}: {'reached' if row['ratio'] >= target else 'missed'}"
    return [row["name"], f"{seconds:.2f}", rate, ratio, aim, memory, row["note"] or _theirs(row, contest["same_model"])]


def _ours(answer: dict[str, Any]) -> str:
    return ", ".join(_figure(name, value) for name, value in answer.items() if value is not None)


def _theirs(row: dict[str, Any], same_model: bool) -> str:
    found = [
        _figure(name, row[f"answer_{name}"])
        for name in ("frames", "accuracy", "seconds")
        if row.get(f"answer_{name}") is not None
    ]
    if difference := row.get("score_difference"):
        found.append(f"scores differ by {difference['mean']:.4f} on average, {difference['largest']:.4f} at most")
        if same_model and difference["mean"] > MOST_DIFFERENCE:
            found.append(f"not the same work: more than {MOST_DIFFERENCE} on average")
        if difference["missing"]:
            found.append(f"{difference['missing']} of only one")
    return ", ".join(found)


def _figure(name: str, value: float) -> str:
    return {
        "frames": f"{value:g} frames",
        "accuracy": f"accuracy {value:.2f} on unseen recordings",
        "seconds": f"{value:.2f} s long",
    }[name]
