"""The code blocks of README.md and docs/, and what is said of them: run by the tests, or not run and why."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from places import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SHELL = ("sh", "bash", "console", "powershell")
CODE = (*SHELL, "python", "pycon")
FENCE = re.compile(r"^( *)```([a-z]+)\n(.*?)^\1```", re.M | re.S)
MARK = re.compile(r"<!-- (not run|run by): ((?:(?!-->).)*) -->\s*$", re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: The page, relative to the project.
        line: Where the block begins.
        language: The word after the fence.
        code: Its text, without the indentation of the fence.
        reason: Why it is not run, or None.
        run_by: The test file that runs it, where that is not test_docs_run.py, or None.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str | None
    run_by: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every block of code of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        if match[2] not in CODE:
            continue
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.M)
        mark = MARK.search(text[: match.start()])
        reason = mark[2] if mark and mark[1] == "not run" else None
        run_by = mark[2] if mark and mark[1] == "run by" else None
        line = text[: match.start()].count("\n") + 1
        found.append(Block(page.relative_to(ROOT).as_posix(), line, match[2], code, reason, run_by))
    return found


def command_lines(block: Block) -> list[str]:
    """The commands of a shell block, each on one line, without prompts, comments and empty lines.

    In a block with prompts only the lines behind them are commands.
    """
    lines = [line.strip() for line in block.code.replace("\\\n", " ").splitlines()]
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def words(line: str) -> list[str]:
    """The words of one cliplab command, without what follows a pipe, a redirection, ``&`` or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if word[0] in "|<>&;":
            break
        found.append(word)
    return found
