"""Which models are compared: those that the user names, those that come with weights, or the settings of one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.config import key_schemas, merge_config
from adapters.errors import AdapterError, ConfigError
from adapters.inference import open_model, ready_configs
from adapters.system import did_you_mean, without_downloads
from cliplab.models.comparison_report import LeftOut
from cliplab.models.source import ModelSource, is_stored

# Backbones for any footage, small to large. Of a variant that is missing here, or whose weights are, nothing is lost.
DEFAULT_MODELS = (
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet18",
    "movinet_a0_stream",
    "movinet_a0_base",
    "movinet_a2_stream",
    "movinet_a2_base",
)
MOST_SETTINGS = 24


@dataclass(frozen=True)
class Contestant:
    """A model that is compared.

    Attributes:
        name: Its name in the comparison.
        adapter: The open model.
        labels: Its class order; None where it takes the dataset's.
        asked_for: Whether the user named it.
        shipped: What predicts as the trained model will, for its speed and size; None where its backbone alone tells.
        source: What ``cliplab train`` takes to train it; None for a saved model and for a config in memory.
        overrides: The config keys to train it with as it is measured.
        notes: What a reader should know of its figures, one sentence each.
    """

    name: str
    adapter: BaseModelAdapter
    labels: tuple[str, ...] | None
    asked_for: bool
    shipped: BaseModelAdapter | None = None
    source: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_models(
    models: Sequence[ModelSource] | None,
    vary: Mapping[str, Sequence[Any]],
    overrides: Mapping[str, Any],
    trust_adapters: Sequence[str],
) -> tuple[list[Contestant], list[LeftOut]]:
    """Open every model that is to be compared.

    Args:
        models: Config names, config files, configs or saved models; None for ``DEFAULT_MODELS`` whose weights are on
            this machine.
        vary: Values by key, of which every combination is a setting of the one model.
        overrides: Config keys for all models; an object under a model's name is for that model alone.
        trust_adapters: See ``open_model``.

    Returns:
        The open models, and those that cannot be opened.

    Raises:
        ConfigError: A model is unknown or named twice, a key or value is wrong, or there are too many settings.
    """
    if vary:
        return _settings(models, vary, overrides, trust_adapters), []
    sources = [name for name in DEFAULT_MODELS if name in ready_configs()] if models is None else list(models)
    if not sources:
        raise ConfigError(f"models lists no model. Give some of: {', '.join(ready_configs())}")
    names = [_name(source, number) for number, source in enumerate(sources)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"model {twice!r} is listed twice. List each once, or compare its settings with --vary")
    opened, left_out = [], []
    for name, source in zip(names, sources, strict=True):
        try:
            opened.append(_open(name, source, _own(overrides, name, names), trust_adapters, models is not None))
        except AdapterError as error:
            if models is not None and isinstance(error, ConfigError):
                raise ConfigError(f"{error}{_nearest_model(source)}") from error
            left_out.append(LeftOut(name, str(error), models is not None))
    return opened, left_out


def _name(source: ModelSource, number: int) -> str:
    return str(source.get("name") or f"config {number + 1}") if isinstance(source, Mapping) else str(source)


def _nearest_model(source: ModelSource) -> str:
    if isinstance(source, Mapping) or str(source) in ready_configs() or Path(source).exists():
        return ""
    return did_you_mean(str(source), ready_configs())


def _own(overrides: Mapping[str, Any], name: str, names: Sequence[str]) -> dict[str, Any]:
    """The keys for all models, and those for this one."""
    common = {key: value for key, value in overrides.items() if key not in names}
    own = overrides.get(name, {})
    if not isinstance(own, Mapping):
        raise ConfigError(f'"{name}" is a model: change a key of it with {name}.KEY=VALUE, got {own!r:.60}')
    return merge_config(common, own)


def _open(
    name: str, source: ModelSource, overrides: Mapping[str, Any], trust_adapters: Sequence[str], asked_for: bool
) -> Contestant:
    adapter = open_model(source, overrides, trust_adapters)
    if not adapter.scores_items:
        raise AdapterError(
            f"{name}: its head uses the order of frames, which the linear heads of a comparison cannot do. "
            f"Measure it with `cliplab evaluate {name} DATA --cross-validate`, and compare its backbone instead"
        )
    stored = not isinstance(source, Mapping) and is_stored(source)
    labels = adapter.labels if stored else adapter.config["labels"]
    notes = []
    if stored and (adapter.config["fine_tune_layers"] or adapter.config["freeze_layers"] is not None):
        notes.append(
            f"layers of the backbone of {name} were trained on labelled clips: if these clips were among them, its "
            "figures are too good"
        )
    if adapter.config.get("aggregation", "mean") != "mean":
        notes.append(f'{name} is measured with the mean of its frames\' scores, whatever its "aggregation"')
    # A solved head has no hidden layers: so that what is trained is what was measured.
    hidden = any("units" in layer for layer in adapter.config["head"])
    return Contestant(
        name,
        adapter,
        None if labels is None else tuple(labels),
        asked_for,
        shipped=adapter if stored else _untrained_copy(adapter) if adapter.streams else None,
        source=None if stored or isinstance(source, Mapping) else str(source),
        overrides={
            **{key: value for key, value in overrides.items() if key != "num_threads"},
            **({"head": []} if hidden and not stored else {}),
        },
        notes=tuple(notes),
    )


def _untrained_copy(adapter: BaseModelAdapter) -> BaseModelAdapter:
    """The model with a head of random weights: as fast as the trained one, which steps along single frames."""
    return type(adapter)({**adapter.config, "weights": "random", "labels": ["a", "b"], "head": []})


def local_weights(asked_for: bool) -> Any:
    """Where the user did not name the models, only weights that are on this machine count."""
    from contextlib import nullcontext

    return nullcontext() if asked_for else without_downloads()


# Settings of one model ------------------------------------------------------------------------------------------------


def _settings(
    models: Sequence[ModelSource] | None,
    vary: Mapping[str, Sequence[Any]],
    overrides: Mapping[str, Any],
    trust_adapters: Sequence[str],
) -> list[Contestant]:
    if models is None or len(models) != 1:
        raise ConfigError(
            f"--vary compares settings of one model, got {'none' if models is None else len(models)}. Give it with "
            "--models NAME"
        )
    source = models[0]
    name = _name(source, 0)
    first = open_model(source, _own(overrides, name, [name]), trust_adapters)
    known = key_schemas(first.config["adapter"])
    for key, values in vary.items():
        if key.partition(".")[0] not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(f'--vary: "{key}" is not a key of {first.config["adapter"]}.{hint}')
        if isinstance(values, str) or not values:
            raise ConfigError(f'--vary: "{key}" takes a list of values, got {values!r:.60}, e.g. n_frames=8,16,32')
    unique = {key: _unique(values) for key, values in vary.items()}
    count = math.prod(len(values) for values in unique.values())
    if count > MOST_SETTINGS:
        raise ConfigError(
            f"--vary gives {count} settings ({' x '.join(str(len(values)) for values in unique.values())}); at "
            f"most {MOST_SETTINGS} are compared. Vary fewer keys or values at once"
        )
    found = []
    for values in itertools.product(*unique.values()):
        chosen = dict(zip(unique, values, strict=True))
        keys = merge_config(_own(overrides, name, [name]), _nested(chosen))
        setting = ", ".join(f"{key}={_shown(value)}" for key, value in chosen.items())
        found.append(_open(setting, source, keys, trust_adapters, True))
    return found


def _unique(values: Sequence[Any]) -> list[Any]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _nested(chosen: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in chosen.items():
        *parents, last = key.split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return result


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
