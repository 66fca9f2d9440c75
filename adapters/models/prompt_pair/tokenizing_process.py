"""The process in which texts become tokens: a tokenizer's file may have rules that never end or grow without bounds.

It reads {"files": {name: text}, "texts": [...], "context": N} on stdin and prints {"ready": true} once it has begun,
and then {"filler": number, "counts": [...], "tokens": [[...], ...]}, or {"error": the reason}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

_START, _END = "<|startoftext|>", "<|endoftext|>"
# openai/CLIP, simple_tokenizer.py: words, single digits, and runs of other signs.
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenize(files: Mapping[str, str], texts: Sequence[str], context: int) -> dict[str, Any]:
    """The tokens of texts.

    Args:
        files: The text of ``tokenizer.json``, or of ``vocab.json`` and ``merges.txt``, by its name.
        texts: Any.
        context: How many tokens of each are wanted.

    Returns:
        "filler", the number behind the end; "counts", how many tokens each text has; and the first "tokens" of each.

    Raises:
        ValueError: A file is not one of a tokenizer.
    """
    import tokenizers

    if "tokenizer.json" in files:
        tokenizer = tokenizers.Tokenizer.from_str(files["tokenizer.json"])
    else:
        tokenizer = _clip_tokenizer(tokenizers, json.loads(files["vocab.json"]), files["merges.txt"])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = [tokenizer.encode(text).ids for text in texts]
    return {
        "filler": _filler(tokenizer),
        "counts": [len(numbers) for numbers in found],
        "tokens": [numbers[:context] for numbers in found],
    }


def _filler(tokenizer: Any) -> int:
    """What is behind the end: CLIP repeats its end, others have a sign for it."""
    for name in ("<pad>", "[PAD]", "<|pad|>", _END):
        number = tokenizer.token_to_id(name)
        if number is not None:
            return int(number)
    return 0


def _clip_tokenizer(tokenizers: Any, known: Any, merges: str) -> Any:
    """CLIP's byte pairs: lower case, words that end in </w>, between a start and an end."""
    if not isinstance(known, dict) or not all(isinstance(number, int) for number in known.values()):
        raise ValueError("vocab.json is not a vocabulary: it must be a JSON object of words and their numbers")
    missing = [name for name in (_START, _END) if name not in known]
    if missing:
        raise ValueError(
            f"vocab.json has no {' and '.join(missing)}, so it is not CLIP's; use a tokenizer.json instead"
        )
    pairs = []
    for line in merges.splitlines():
        if line.startswith("#version") or not line.strip():
            continue
        words = line.split()
        if len(words) != 2:
            raise ValueError(f"merges.txt has a line that is not a pair: {line!r:.60}")
        pairs.append((words[0], words[1]))
    model = tokenizers.models.BPE(
        vocab=known, merges=pairs, unk_token=_END, end_of_word_suffix="</w>", continuing_subword_prefix=""
    )
    tokenizer = tokenizers.Tokenizer(model)
    normalizers, splitting = tokenizers.normalizers, tokenizers.pre_tokenizers
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = splitting.Sequence(
        [
            splitting.Split(tokenizers.Regex(_PATTERN), behavior="removed", invert=True),
            splitting.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(_START, known[_START]), (_END, known[_END])]
    )
    return tokenizer


def main(arguments: list[str]) -> None:
    """Answer the request on stdin.

    Args:
        arguments: Bytes of memory and seconds of CPU time.
    """
    import tokenizers  # noqa: F401  # before the limits, which are for the file

    from adapters.litert import limit_process

    print(json.dumps({"ready": True}), flush=True)
    request = json.load(sys.stdin)
    limit_process(*map(int, arguments))
    try:
        answer = tokenize(request["files"], request["texts"], request["context"])
    except MemoryError:
        answer = {"error": "it needs more memory than the limit allows"}
    except BaseException as error:  # a panic of its Rust code is a BaseException
        answer = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0][:200]}
    print(json.dumps(answer))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1:])
