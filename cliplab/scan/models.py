"""What scores a library: a saved model, or prompts with a pair of networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.bundle import model_digest
from adapters.errors import ConfigError
from adapters.inference import parse_prompts, prompt_config, prompt_digest


@dataclass(frozen=True)
class ScanModel:
    """A model to scan with.

    Attributes:
        source: What ``open_model`` opens.
        name: What messages call it.
        is_prompt: Whether it is made of prompts.
        digest: Computes what identifies it in a store.
    """

    source: str | Path | Mapping[str, Any]
    name: str
    is_prompt: bool
    digest: Callable[[], str]


def choose_model(
    bundle: str | Path | None, prompt: str | None, prompt_model: str | Path | None, neutral_prompt: str | None
) -> ScanModel:
    """The model that the options ask for.

    Args:
        bundle: A bundle directory or a self-describing .tflite; None with prompts.
        prompt: Prompts as they are typed; None with a bundle.
        prompt_model: The folder of the pair of networks.
        neutral_prompt: Neutral prompts as they are typed; None for the usual ones.

    Raises:
        ConfigError: Both or neither are given, or the prompts or the folder are not allowed.
    """
    if prompt is None:
        if prompt_model is not None or neutral_prompt is not None:
            raise ConfigError('a prompt model needs a prompt that says what to look for: --prompt "sunset; dive"')
        if bundle is None:
            raise ConfigError("no model is given. Give a bundle, or a prompt with --prompt-model DIR")
        return ScanModel(bundle, str(bundle), False, lambda: model_digest(bundle))
    if bundle is not None:
        raise ConfigError(f"the model {bundle} and a prompt are both given. Give only one of them")
    neutral = None if neutral_prompt is None else parse_prompts(neutral_prompt, "neutral prompt")
    config = prompt_config(parse_prompts(prompt), prompt_model, neutral)
    return ScanModel(config, str(prompt_model), True, lambda: prompt_digest(config))
