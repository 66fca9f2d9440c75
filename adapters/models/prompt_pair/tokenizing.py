"""Words to the numbers that a text network takes, with the tokenizer that it was trained with."""

from __future__ import annotations

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
_START, _END = "<|startoftext|>", "<|endoftext|>"
# openai/CLIP, simple_tokenizer.py: words, single digits, and runs of other signs.
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def open_tokenizer(files: Sequence[Path], context: int) -> Callable[[Sequence[str]], Tokens]:
    """A function from texts to their tokens.

    Args:
        files: ``tokenizer.json``, or ``vocab.json`` and ``merges.txt`` of CLIP's byte pairs.
        context: How many tokens the text network takes.

    Raises:
        BundleError: A file is damaged, or is not one of a tokenizer.
        MissingExtraError: The ``prompt`` extra is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tokenizers", "prompt", "prompts") from error
    try:
        if len(files) == 1:
            tokenizer = tokenizers.Tokenizer.from_str(_text(files[0]))
        else:
            tokenizer = _clip_tokenizer(tokenizers, *files)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        filler = _filler(tokenizer)
    except (BundleError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of its Rust code is a BaseException
        raise _damaged(files[0], error) from None

    def encode(texts: Sequence[str]) -> Tokens:
        numbers = np.full((len(texts), context), filler, np.int64)
        mask = np.zeros((len(texts), context), np.int64)
        for row, text in enumerate(texts):
            try:
                found = tokenizer.encode(text).ids
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raise _damaged(files[0], error) from None
            if len(found) > context:
                raise ConfigError(
                    f"the prompt {text!r:.80} has {len(found)} tokens; this text network takes {context}. Shorten it"
                )
            if not found:
                raise ConfigError(f"the prompt {text!r:.80} has no token that the text network knows. Use other words")
            numbers[row, : len(found)], mask[row, : len(found)] = found, 1
        return numbers, mask

    return encode


def _damaged(path: Path, error: BaseException) -> BundleError:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return BundleError(f"{path}: is not a tokenizer, or is damaged ({line}). Copy it again from the network's source")


def _text(path: Path) -> str:
    try:
        return read_regular_text(path, _MOST_BYTES, BundleError)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}). Copy it again from the network's source") from None


def _filler(tokenizer: Any) -> int:
    """What is behind the end: CLIP repeats its end, others have a sign for it."""
    for name in ("<pad>", "[PAD]", "<|pad|>", _END):
        number = tokenizer.token_to_id(name)
        if number is not None:
            return int(number)
    return 0


def _clip_tokenizer(tokenizers: Any, vocabulary: Path, merges: Path) -> Any:
    """CLIP's byte pairs: lower case, words that end in </w>, between a start and an end."""
    known = parse_json(_text(vocabulary).encode())
    if not isinstance(known, dict) or not all(isinstance(number, int) for number in known.values()):
        raise BundleError(f"{vocabulary}: is not a vocabulary: it must be a JSON object of words and their numbers")
    missing = [name for name in (_START, _END) if name not in known]
    if missing:
        raise BundleError(
            f"{vocabulary}: has no {' and '.join(missing)}, so it is not CLIP's. Use a tokenizer.json instead"
        )
    pairs = []
    for line in _text(merges).splitlines():
        if line.startswith("#version") or not line.strip():
            continue
        words = line.split()
        if len(words) != 2:
            raise BundleError(f"{merges}: has a line that is not a pair: {line!r:.60}. Copy it again")
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
