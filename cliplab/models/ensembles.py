"""`cliplab ensemble`: a file that lists models and how they vote becomes one bundle that holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.config import Config, adapter_class, merge_config
from adapters.errors import ConfigError, MissingExtraError
from adapters.inference import open_model, read_config
from adapters.models.ensemble import find_member
from adapters.system import did_you_mean
from cliplab.models.source import ModelSource
from cliplab.outputs import require_new
from cliplab.registry import named_in_registry, registry_model

ADAPTER = "adapters.models.ensemble:EnsembleAdapter"
SECTION = "ensemble"
# What such files call the keys of the ensemble's config, and its ways to vote. "soft" and "hard" are the words of
# scikit-learn's VotingClassifier; its soft voting with weights is the weighted mean.
_KEYS = {"models": "members", "weights": "member_weights"}
_VOTING = {"average": "mean", "soft": "mean", "hard": "majority"}
_WAYS = ("mean", "weighted", "max", "majority")


@dataclass(frozen=True)
class EnsembleReport:
    """An ensemble that was made.

    Attributes:
        output_path: The bundle.
        models: The members as the file names them, in order.
        voting: "mean", "weighted", "max" or "majority".
        shares: How much each member counts with voting "weighted", 1 in sum; None for the others.
        labels: The classes on which they vote.
        size_bytes: The size of the bundle; 0 where nothing was written.
        written: False after a dry run.
    """

    output_path: str
    models: tuple[str, ...]
    voting: str
    shares: tuple[float, ...] | None
    labels: tuple[str, ...]
    size_bytes: int
    written: bool

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return vars(self) | {
            "models": list(self.models),
            "shares": None if self.shares is None else list(self.shares),
            "labels": list(self.labels),
        }


def ensemble(
    config: ModelSource,
    output: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    dry_run: bool = False,
    trust_adapters: Sequence[str] = (),
    on_note: Callable[[str], object] | None = None,
) -> EnsembleReport:
    """Write a bundle of several models that vote.

    Args:
        config: A YAML or JSON file, or its content: ``models``, ``voting`` and ``weights``, under ``ensemble`` or by
            themselves, with other keys of an ensemble's config if needed; or an ensemble's config itself. A model is a
            bundle directory or a file, beside the config file or from here, also without its ".tflite"; a ready
            config's name; or a version of the registry, "base-general-v1.0.0" or "registry:base-general@production".
        output: The bundle directory to write.
        overrides: Keys to change, under either name.
        force: Replace output if it exists.
        dry_run: Open and check everything, and write nothing.
        trust_adapters: Adapters of other packages that the models may name, "module:Class" each; their code is run.
        on_note: Receives a sentence about keys of the file that were not used.

    Returns:
        The members, how they vote, and the labels.

    Raises:
        ConfigError: A key or weight is wrong, a model does not exist, or labels differ.
        BundleError: A model is damaged.
        StorageError: The output exists, or cannot be written.
    """
    if not dry_run:
        require_new(output, force)
    where = "config" if isinstance(config, Mapping) else str(config)
    own = _own_config(read_config(config), where, on_note)
    changes = _translated(dict(overrides or {}), where)
    own = _with_checked_vote(merge_config(own, changes), where)
    names = tuple(own["members"])
    folder = None if isinstance(config, Mapping) else Path(config).parent
    own["members"] = [str(_model_of(name, folder)) for name in names]
    model = open_model(own, trust_adapters=trust_adapters)
    _ = model.input_spec  # opens the members and compares them
    if not dry_run:
        model.save(output)
    weights = model.config["member_weights"]
    return EnsembleReport(
        output_path=str(output),
        models=names,
        voting=model.config["voting"],
        shares=None if weights is None else tuple(weight / sum(weights) for weight in weights),
        labels=model.labels,
        size_bytes=0 if dry_run else sum(file.stat().st_size for file in Path(output).rglob("*") if file.is_file()),
        written=not dry_run,
    )


def _model_of(name: str, folder: Path | None) -> str | Path:
    """A model beside the config, from here or ready; otherwise a version of the registry of that full name."""
    if name.startswith("registry:"):
        return registry_model(name)
    try:
        return find_member(name, folder)
    except ConfigError as missing:
        try:
            found = named_in_registry(name)
        except MissingExtraError:  # without the extra there is no registry to look in
            found = None
        if found is None:
            raise missing
        return found


def _own_config(given: Mapping[str, Any], where: str, on_note: Callable[[str], object] | None) -> Config:
    """The config of an ensemble in our keys, from a file in ours or in the short form."""
    section: Any = given
    if SECTION in given:
        section = given[SECTION]
        others = [str(key) for key in given if key != SECTION]
        if others and on_note is not None:
            on_note(f'{where}: only "{SECTION}" is used; {", ".join(others)} ignored')
    if not isinstance(section, Mapping):
        raise ConfigError(f'{where}: "{SECTION}" must be an object with "models" and "voting", got {section!r:.80}')
    adapter = section.get("adapter", ADAPTER)
    if adapter_class(adapter, where) is not adapter_class(ADAPTER):
        raise ConfigError(
            f'{where}: is the config of {adapter}, and not that of an ensemble. Name the models in "models" '
            'and how they vote in "voting"'
        )
    return {**_translated(section, where), "adapter": ADAPTER}


def _translated(given: Mapping[str, Any], where: str) -> Config:
    """Keys under the names of the ensemble's config."""
    result = {str(key): value for key, value in given.items()}
    for short, key in _KEYS.items():
        if short not in result:
            continue
        if key in result:
            raise ConfigError(f'{where}: "{short}" and "{key}" mean the same, but both are given. Keep one')
        result[key] = result.pop(short)
    return result


def _with_checked_vote(config: Config, where: str) -> Config:
    """The config with a way to vote of ours; what is wrong is said in the words of the file."""
    models, weights, voting = config.get("members"), config.get("member_weights"), config.get("voting")
    if not isinstance(models, list) or not all(isinstance(name, str) and name for name in models):
        raise ConfigError(f'{where}: "models" must be a list of names or paths of models, got {models!r:.80}')
    if len(models) < 2:
        raise ConfigError(f'{where}: "models" must name at least two models, got {len(models)}')
    if twice := next((name for name in models if models.count(name) > 1), None):
        raise ConfigError(f'{where}: "models" names {twice!r} twice. Give it a larger weight instead')
    if weights is not None:
        _check_weights(weights, models, where)
    if voting is None:
        voting = "mean" if weights is None else "weighted"
    elif weights is not None and voting in ("soft", "average"):
        voting = "weighted"
    voting = _VOTING.get(voting, voting) if isinstance(voting, str) else voting
    if voting not in _WAYS:
        known = (*_WAYS, *_VOTING)
        raise ConfigError(
            f'{where}: "voting" must be one of {", ".join(known)}, got {voting!r:.80}.'
            f"{did_you_mean(str(voting), known)}"
        )
    if (voting == "weighted") != (weights is not None):
        if weights is None:
            example = [1] * len(models)
            raise ConfigError(f'{where}: voting "weighted" needs "weights", a number for each model, e.g. {example}')
        raise ConfigError(
            f'{where}: voting "{voting}" does not use "weights". Remove them, or set "voting" to "weighted"'
        )
    return {**config, "voting": voting}


def _check_weights(weights: Any, models: Sequence[str], where: str) -> None:
    if not isinstance(weights, list):
        raise ConfigError(f'{where}: "weights" must be a list with a number for each model, got {weights!r:.80}')
    for number, weight in enumerate(weights):
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f'{where}: "weights[{number}]" must be a number of at least 0, got {weight!r:.80}')
    if len(weights) != len(models):
        raise ConfigError(
            f'{where}: "weights" must have a number for each model, in their order: got {len(weights)} for '
            f"{len(models)} models ({', '.join(models[:8])})"
        )
    if not sum(weights) > 0 or not math.isfinite(sum(weights)):
        raise ConfigError(f'{where}: "weights" add up to {sum(weights):g}. Make at least one of them greater than 0')
