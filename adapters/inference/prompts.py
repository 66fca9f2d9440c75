"""Prompts as a model: text that describes what to find, and a folder with an image and a text network to compare.

The folder holds ``image.onnx`` or ``image.tflite``, ``text.onnx`` or ``text.tflite``, ``tokenizer.json`` or
``vocab.json`` with ``merges.txt``, and where it is there ``preprocessor_config.json``. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from adapters.config import Config, check_config
from adapters.errors import ConfigError
from adapters.system import file_digest

ADAPTER = "adapters.models.prompt_pair:PromptPairAdapter"
IMAGE_FILES, TEXT_FILES = ("image.onnx", "image.tflite"), ("text.onnx", "text.tflite")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt")
PREPROCESSOR_FILE = "preprocessor_config.json"
PAIR_FILES = (*IMAGE_FILES, *TEXT_FILES, *TOKENIZER_FILES, PREPROCESSOR_FILE)
# What most pictures show: a picture that fits none of the prompts has to look like something.
NEUTRAL_PROMPTS = ("an ordinary scene", "a blurred picture", "nothing in particular")
_MOST_PROMPTS, _LONGEST = 64, 300
# What the scores of a frame follow from, beside the files.
_SCORING_KEYS = ("prompts", "neutral_prompts", "templates", "scoring", "logit_scale")


def parse_prompts(text: str, what: str = "prompt") -> tuple[str, ...]:
    """Prompts as they are typed, such as ``sunset; dive; fast turn``.

    Args:
        text: What was typed.
        what: What messages call it.

    Returns:
        At least one prompt, each once.

    Raises:
        ConfigError: There is none, there are too many, or one is too long or given twice.
    """
    prompts = tuple(part for part in (" ".join(piece.split()) for piece in text.split(";")) if part)
    if not prompts:
        raise ConfigError(f'{what} has no words. Write what to look for, such as "sunset; dive; fast turn"')
    if len(prompts) > _MOST_PROMPTS:
        raise ConfigError(f"{what} lists {len(prompts)} prompts; at most {_MOST_PROMPTS} are allowed")
    for prompt in prompts:
        if len(prompt) > _LONGEST:
            raise ConfigError(f"{what} {prompt[:40]!r}... has {len(prompt)} characters; at most {_LONGEST} are allowed")
        if not prompt.isprintable():
            raise ConfigError(f"{what} {prompt!r:.60} has characters that cannot be printed. Use plain words")
    if len(set(prompts)) < len(prompts):
        raise ConfigError(f"{what} lists {max(prompts, key=prompts.count)!r} twice. Remove one of them")
    return prompts


def prompt_config(prompts: Sequence[str], folder: str | Path | None, neutral: Sequence[str] | None = None) -> Config:
    """The config of a model that scores frames by prompts; ``open_model`` opens it.

    Args:
        prompts: Texts that describe what to find; these become the model's first labels.
        folder: The folder of the image and text networks.
        neutral: What else a picture may show; None for ``NEUTRAL_PROMPTS``.

    Raises:
        ConfigError: No folder is named.
    """
    if folder is None:
        raise ConfigError(
            f"a prompt needs a folder with an image and a text network (--prompt-model DIR): {layout_text()}. "
            "Without one, cliplab detect SOURCE -o X.json finds highlights by sound and motion, and "
            "cliplab reel X.json OUT.mp4 makes a reel of them"
        )
    words = list(NEUTRAL_PROMPTS if neutral is None else neutral)
    name = f"prompts: {'; '.join(prompts)}"[:200]
    return {"adapter": ADAPTER, "pair": str(folder), "prompts": list(prompts), "neutral_prompts": words, "name": name}


def prompt_digest(config: Config) -> str:
    """The digest that identifies prompts with a pair: that of the prompts and of each file of the folder.

    Args:
        config: Of ``prompt_config``.

    Returns:
        A SHA-256 in hexadecimal.

    Raises:
        ConfigError: A file cannot be read.
    """
    known = {key: check_config(config)[key] for key in _SCORING_KEYS}
    folder, files = Path(config["pair"]), dict[str, str]()
    for name in PAIR_FILES:
        if (folder / name).is_file():
            try:
                files[name] = file_digest(folder / name)
            except OSError as error:
                raise ConfigError(f"{folder / name}: cannot be read ({error.strerror}). Check the folder") from None
    text = json.dumps({"config": known, "files": files}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def layout_text() -> str:
    """Which files the folder of a pair holds, for messages."""
    return (
        f"{' or '.join(IMAGE_FILES)}, {' or '.join(TEXT_FILES)}, tokenizer.json (or vocab.json with merges.txt), and "
        f"{PREPROCESSOR_FILE} if the networks came with one"
    )
