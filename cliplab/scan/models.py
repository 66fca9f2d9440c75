"""What scores a library: a saved model, or prompts with a pair of networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.bundle import model_digest
from adapters.choices import WantedPrecision
from adapters.config import trusting
from adapters.errors import ConfigError
from adapters.inference import parse_prompts, prompt_config, prompt_digest
from cliplab.models import PrecisionChoice, choose_precision


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


def wanted_precision(
    model: ScanModel,
    precision: WantedPrecision | None,
    trust_adapters: Sequence[str],
    note: Callable[[str], object],
) -> PrecisionChoice | None:
    """The precision that was asked for; None where none was.

    Args:
        model: The model.
        precision: "auto", a precision, or None.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each.
        note: Receives what "auto" takes, and why.

    Raises:
        ConfigError: The model has no program of this precision, and none can be made of it.
        BundleError: The model is missing or damaged.
    """
    if precision is None:
        return None
    if model.is_prompt:
        raise ConfigError(f"precision is {precision!r}, but prompts use the networks unchanged. Remove precision")
    with trusting(trust_adapters):
        chosen = choose_precision(model.name, precision)
    if precision == "auto":
        note(f"scores in {chosen.precision}: {chosen.reason}")
    return chosen


def require_cpu(precision: WantedPrecision | None, device: str) -> None:
    """ConfigError where a precision is asked for and the processor does not predict.

    Args:
        precision: What was asked for; None for nothing.
        device: "cpu" or "gpu".
    """
    if precision is not None and device == "gpu":
        raise ConfigError(
            f"precision {precision} is for the program that runs on the CPU, but device is gpu. Remove one of them"
        )
