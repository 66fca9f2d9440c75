"""Configs: check, fill in defaults, override."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.config.files import Config
from adapters.config.local_paths import file_name
from adapters.config.messages import short_json, unknown_key_message, violation
from adapters.config.migration import SCHEMA_VERSION, migrate_config
from adapters.config.objective import parse_objective
from adapters.config.rules import UnknownKeywordError, satisfies
from adapters.config.schemas import adapter_class, cached_key_schemas, fill_defaults, with_own_names
from adapters.errors import ConfigError
from adapters.system import parse_json

MERGED_KEYS = ("augmentation", "gates", "best_thresholds")


class CheckedConfig(Config):
    """A complete config that ``check_config`` has checked; it is not checked again as long as it is unchanged."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._passed = copy.deepcopy(config)

    @property
    def unchanged(self) -> bool:
        """Whether it equals the config that was checked."""
        return self == self._passed


def check_config(config: Mapping[str, Any], where: str = "config") -> Config:
    """The complete config: migrated, validated, every default filled in.

    Args:
        config: Keys and values, among them "adapter", which is imported.
        where: The name of the config, for messages.

    Raises:
        ConfigError: The config is not allowed. The message has a line for each key that is wrong, or one for the
            first problem between keys.
    """
    if isinstance(config, CheckedConfig) and config.unchanged:
        return config
    migrated = migrate_config(config, where)
    name = migrated.get("adapter")
    if not isinstance(name, str):
        raise ConfigError(f'{where}: "adapter" is required, e.g. "movinet_adapter:MoViNetAdapter", got {name!r}')
    cls = adapter_class(name, where)
    keys = cached_key_schemas(cls.schema_path)
    migrated = with_own_names(migrated, name, where)
    problems = list(_problems(migrated, keys))
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem.message}" for problem in problems))
    filled = fill_defaults(migrated, keys)
    for sentence in [*_common_problems(filled), *cls.config_problems(filled)]:
        raise ConfigError(f"{where}: {sentence}")
    return CheckedConfig(filled)


@dataclass(frozen=True)
class ConfigProblem:
    """One thing that is wrong with a config.

    Attributes:
        path: Where it is: the key, and for a part of its value the key or index in it. Empty for the config as a whole.
        message: The sentence of ``check_config``, without the name of the config.
    """

    path: tuple[str | int, ...]
    message: str


def config_problems(config: Mapping[str, Any]) -> list[ConfigProblem]:
    """Every problem that ``check_config`` would report, each with its place, for forms.

    Problems between keys are looked for where each key alone is right.

    Args:
        config: Keys and values under the names of the schema, among them "adapter", in the present form.

    Returns:
        Empty for a config that is allowed.

    Raises:
        ConfigError: "adapter" names no class that may be imported.
    """
    cls = adapter_class(str(config.get("adapter")))
    keys = cached_key_schemas(cls.schema_path)
    problems = list(_problems(dict(config), keys))
    if problems:
        return problems
    filled = fill_defaults(config, keys)
    return [
        ConfigProblem(_place(text, keys), text) for text in [*_common_problems(filled), *cls.config_problems(filled)]
    ]


def _place(sentence: str, keys: Config) -> tuple[str, ...]:
    """The key that a sentence about several keys names first."""
    return next(((word,) for word in re.findall(r'"(\w+)"', sentence) if word in keys), ())


def _problems(config: Config, keys: Config) -> Iterable[ConfigProblem]:
    for name in config:
        if name not in keys:
            yield ConfigProblem((name,), unknown_key_message(name, keys, config["adapter"]))
    for name, value in config.items():
        if name in keys and not _surely_keeps(keys[name], value):
            from jsonschema import Draft202012Validator

            for error in Draft202012Validator(keys[name]).iter_errors(value):
                path, message = violation(name, error)
                yield ConfigProblem(path, message)


def _surely_keeps(rule: Any, value: Any) -> bool:
    try:
        return satisfies(rule, value)
    except UnknownKeywordError:
        return False


def _common_problems(config: Config) -> Iterable[str]:
    labels, positive = config["labels"], config["positive_label"]
    if positive is not None:
        if config["task"] != "single_label":
            yield f'"positive_label" is only for task "single_label", got task {config["task"]!r}'
        if labels is not None and (len(labels) != 2 or positive not in labels):
            yield f'"positive_label" must be one of two labels, got {positive!r} with labels {labels!r}'
    if config["sampling"] != "spread" and config["fps"] is None:
        yield f'"fps" is required with sampling "{config["sampling"]}", e.g. 5'
    if config["stride_seconds"] is not None and config["window_seconds"] is None and config["sampling"] != "rate":
        yield '"stride_seconds" needs "window_seconds": without a window the whole video is one clip'
    if config["fine_tune_layers"] is not None and config["freeze_layers"] is not None:
        yield '"fine_tune_layers" and "freeze_layers" are two ways to say the same: give only one of them'
    if not math.isclose(sum(config["split_fractions"]), 1, abs_tol=1e-6):
        yield f'"split_fractions" must add up to 1, got {config["split_fractions"]}'
    if config["optimize"] is not None:
        try:
            parse_objective(config["optimize"])
        except ConfigError as error:
            yield str(error)
    foreign = sorted(set(config["best_thresholds"]) - set(labels)) if labels is not None else []
    if foreign:
        yield f'"best_thresholds" names {foreign[0]!r}, which is not one of the labels {labels}'
    weights = config["class_weights"]
    if isinstance(weights, dict) and labels is not None and set(weights) != set(labels):
        yield f'"class_weights" must name each label once, got {sorted(weights)} for labels {labels}'


# Overrides ----------------------------------------------------------------------------------------------------------


def parse_assignments(assignments: Iterable[str]) -> Config:
    """Assignments of the command line as nested keys and values.

    Args:
        assignments: Such as ``["imgz=224", "gates.min_f1=0.9"]``. A value is JSON, or text where it is not valid JSON.

    Returns:
        Such as ``{"imgz": 224, "gates": {"min_f1": 0.9}}``, not checked.

    Raises:
        ConfigError: An assignment has no key, or one sets a key inside a plain value.
    """
    result: Config = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f'--set takes key=value, got {assignment!r}, e.g. --set "top_k=5"')
        try:
            value = parse_json(text)
        except ValueError:
            value = text
        *parents, last = key.strip().split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError(f'--set "{key}": "{parent}" was given a plain value before')
        target[last] = value
    return result


def merge_config(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """A copy of the config with changes. The objects of ``MERGED_KEYS`` are merged key by key.

    Args:
        config: Keys and values; not changed.
        changes: Keys and values that take precedence.
    """
    adapter = changes.get("adapter", config.get("adapter"))
    result = copy.deepcopy(with_own_names(config, adapter))
    for key, value in with_own_names(changes, adapter).items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict) and key in MERGED_KEYS:
            result[key] = merge_config(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def override_config(
    stored: Config, given: Mapping[str, Any], where: str = "config", *, explicit: bool = True
) -> tuple[Config, list[str]]:
    """A stored model's config with the keys that a user gives beside it.

    A runtime key takes effect. A program key that differs is reported, so that the caller finds or makes the program.
    A retrain key that differs is an error.

    Args:
        stored: The model's config, complete.
        given: The user's keys and values.
        where: The name of the user's config, for messages.
        explicit: Whether the user meant every key. If not, a program or retrain key at its schema's default counts as
            not given, since a config with every default filled in has every key.

    Returns:
        The complete config, and the names of the program keys that differ.

    Raises:
        ConfigError: A key or value is not allowed, or a retrain key differs.
    """
    given = _with_stored_weights(stored, with_own_names(given, stored["adapter"], where))
    if all(name in stored and _same(stored[name], value) for name, value in given.items()):
        return stored, []
    # The stored keys are used where none was given, so that only what the user wrote can be wrong.
    merged = {**stored, **migrate_config({"schema_version": SCHEMA_VERSION, **given}, where)}
    complete = check_config(given if merged == given else merged, where)
    keys = cached_key_schemas(adapter_class(stored["adapter"]).schema_path)
    kept: Config = {}  # what the user wrote and does not take effect
    programs: list[str] = []
    for name in given:
        if name not in keys or complete[name] == stored.get(name):
            continue
        if keys[name]["x-effect"] == "runtime":
            continue
        if not explicit and complete[name] == fill_defaults({}, {name: keys[name]}).get(name):
            kept[name] = stored[name]
        elif keys[name]["x-effect"] == "program":
            programs.append(name)
        else:
            raise ConfigError(
                f'{where}: "{name}" belongs to the model\'s weights: it was made with {short_json(stored.get(name))}, '
                f"got {short_json(complete[name])}. Remove it, or train a new model with it"
            )
    return check_config({**complete, **kept}, where) if kept else complete, programs


def _with_stored_weights(stored: Config, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A saved model names the file of its first weights without its path: one of the same name is the same."""
    own, other = stored.get("weights"), given.get("weights")
    if isinstance(own, str) and isinstance(other, str) and own != other and file_name(own) == file_name(other):
        return {**given, "weights": own}
    return given


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)  # true equals 1, and means something else
