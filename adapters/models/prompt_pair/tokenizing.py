"""Words to the numbers that a text network takes, with the tokenizer that it was trained with.

The tokenizer runs in a process of its own with limits: its file may hold patterns and replacements that never end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import BundleError, ConfigError, MissingExtraError
from adapters.system import parse_json, read_regular_text

IntArray = npt.NDArray[np.int64]
Tokens = tuple[IntArray, IntArray]  # numbers and mask, [N, context] each
# CLIP's has 49,408 entries and 1 MB; XLM-R's tokenizer.json has 17 MB.
_MOST_BYTES = 64 << 20
_CHILD = Path(__file__).with_name("tokenizing_process.py")
# Of the process: 17 MB of XLM-R take 0.8 s and 330 MB; and as long as other processes keep the cores.
_MEMORY_BYTES, _CPU_SECONDS, _WALL_SECONDS = 1_000_000_000, 8, 120


def open_tokenizer(files: Sequence[Path], context: int) -> Callable[[Sequence[str]], Tokens]:
    """A function from texts to their tokens. Each call starts a process, so that all texts should be given at once.

    Args:
        files: ``tokenizer.json``, or ``vocab.json`` and ``merges.txt`` of CLIP's byte pairs.
        context: How many tokens the text network takes.

    Raises:
        BundleError: A file is damaged, or is not one of a tokenizer.
        MissingExtraError: The ``prompt`` extra is not installed.
    """
    try:
        import tokenizers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tokenizers", "prompt", "prompts") from error
    content = {path.name: _text(path) for path in files}
    for path in files:
        if path.suffix == ".json":
            _check_json(path, content[path.name])

    def encode(texts: Sequence[str]) -> Tokens:
        answer = _ask({"files": content, "texts": list(texts), "context": context}, files[0])
        numbers = np.full((len(texts), context), answer["filler"], np.int64)
        mask = np.zeros((len(texts), context), np.int64)
        for row, (text, count, found) in enumerate(zip(texts, answer["counts"], answer["tokens"], strict=True)):
            if count > context:
                raise ConfigError(
                    f"the prompt {text!r:.80} has {count} tokens; this text network takes {context}. Shorten it"
                )
            if not count:
                raise ConfigError(f"the prompt {text!r:.80} has no token that the text network knows. Use other words")
            numbers[row, :count], mask[row, :count] = found, 1
        return numbers, mask

    return encode


def _ask(request: dict[str, Any], path: Path) -> dict[str, Any]:
    """The answer of the process."""
    command = [sys.executable or "python3", str(_CHILD), str(_MEMORY_BYTES), str(_CPU_SECONDS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=_WALL_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        raise _damaged(path, "it takes too long for a short text") from None
    except OSError as error:
        raise ConfigError(f"prompts need a Python process, which could not be started ({error})") from error
    lines = done.stdout.splitlines()
    if not lines:
        last = done.stderr.decode(errors="replace").strip()[-200:]
        raise ConfigError(f"prompts need a Python process, which could not be started ({last})")
    answer: dict[str, Any] = json.loads(lines[1]) if len(lines) > 1 else {"error": _crash(done.returncode)}
    if "error" in answer:
        raise _damaged(path, answer["error"])
    return answer


def _crash(code: int) -> str:
    name = signal.Signals(-code).name if code < 0 else f"code {code}"
    if name in ("SIGXCPU", "SIGKILL"):
        return f"it needs more than {_CPU_SECONDS} seconds of computing for a few words"
    return f"it crashes the process that runs it, with {name}; it may also need more than {_MEMORY_BYTES >> 20} MB"


def _check_json(path: Path, text: str) -> None:
    try:
        parse_json(text.encode())
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)[:200] or "it is nested too deeply") from None


def _damaged(path: Path, reason: str) -> BundleError:
    return BundleError(f"{path}: is not a tokenizer, or is damaged ({reason}). Copy it again from the network's source")


def _text(path: Path) -> str:
    try:
        return read_regular_text(path, _MOST_BYTES, BundleError)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}). Copy it again from the network's source") from None
