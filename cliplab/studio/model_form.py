"""A config as a form drawn from its JSON Schema, posted values back to a config, and each error at its field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.config import allowed_words, config_problems, key_schemas, migrate_config, with_own_names
from adapters.system import did_you_mean
from cliplab.studio.config_changes import EFFECTS
from cliplab.studio.form_sections import FIRST, section_of, unit_of
from cliplab.studio.form_values import Rule, from_text, kinds, option, to_text

Config = dict[str, Any]
PREFIX = "c."  # before the names of a config's fields, so that no key can be taken for a field of the page
# Keys that say what the config is a config of: shown, and not edited.
FIXED = ("adapter", "schema_version")
_NEW_ROWS = 2
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)


@dataclass(frozen=True)
class Field:
    """One field of a form, or a group of fields.

    Attributes:
        name: What the form posts it as: ``PREFIX`` and the path, such as "c.gates.min_f1" or "c.head.0.units".
        key: The last part of the path, as the config has it.
        title: What it is called.
        description: What it does.
        control: "line", "lines" (several lines of text), "choice", "fixed", "group" (``fields`` are its parts) or
            "rows" (``fields`` are groups, one for each entry of a list).
        effect: "runtime", "program" or "retrain"; ``EFFECTS`` has it in words.
        allowed: What is allowed, in words.
        unit: The unit of a number; empty without one.
        default: The default as text; None where the key has none.
        value: The text in the field; empty for the default.
        choices: Texts that may be chosen.
        number: Whether phones should offer digits.
        error: What is wrong with the value, in words; empty where it is right.
        fields: Of a group or of rows.
    """

    name: str
    key: str
    title: str
    description: str
    control: str
    effect: str
    allowed: str
    unit: str = ""
    default: str | None = None
    value: str = ""
    choices: tuple[str, ...] = ()
    number: bool = False
    error: str = ""
    fields: tuple[Field, ...] = ()

    @property
    def effect_words(self) -> str:
        """What a change asks for, in words."""
        return EFFECTS[self.effect]

    @property
    def id(self) -> str:
        """The name as an identifier of HTML."""
        return re.sub(r"[^A-Za-z0-9]", "-", self.name)

    @property
    def wrong(self) -> bool:
        """Whether it or a field in it has an error."""
        return bool(self.error) or any(part.wrong for part in self.fields)


@dataclass(frozen=True)
class Section:
    """Fields under one heading.

    Attributes:
        title: The heading.
        fields: In the order of the schema.
        open: Whether it is shown from the start.
    """

    title: str
    fields: tuple[Field, ...]
    open: bool

    @property
    def given(self) -> int:
        """How many of its keys are not left at their default."""
        return sum(any(part.value for part in (item, *item.fields)) for item in self.fields)


@dataclass(frozen=True)
class Form:
    """A form with its values and errors.

    Attributes:
        sections: Those that a person edits first come first.
        errors: What is wrong with the config as a whole.
        config: The config that the values mean, keys with values only, not checked.
    """

    sections: tuple[Section, ...]
    errors: tuple[str, ...] = ()
    config: Config = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors and not any(item.wrong for section in self.sections for item in section.fields)

    def fields(self) -> list[Field]:
        """Every field without the groups that hold them."""
        found: list[Field] = []
        pending = [item for section in self.sections for item in section.fields]
        while pending:
            item = pending.pop(0)
            if item.control not in ("group", "rows") or item.control == "rows":
                found.append(item)
            pending[:0] = item.fields
        return found


def config_form(config: Mapping[str, Any]) -> Form:
    """The form of a config with its values.

    Args:
        config: Keys and values of any version, among them "adapter". Keys that do not exist are reported.

    Raises:
        ConfigError: The config is of a newer version, or names no adapter that may be imported.
    """
    given = own_keys(config)
    keys = key_schemas(given["adapter"])
    texts = {name: text for key in keys if key in given for name, text in _texts(PREFIX + key, keys[key], given[key])}
    return _with_problems(given, _draw(keys, given, texts))


def posted_form(config: Mapping[str, Any], posted: Mapping[str, str]) -> Form:
    """The form of a config with values that a person posted, and what is wrong with them.

    Args:
        config: The config that was edited. Its adapter is the new config's, whatever was posted.
        posted: Texts by name of field; an empty text, or none, means the default. Names without ``PREFIX`` are ignored.

    Raises:
        ConfigError: As ``config_form``.
    """
    base = own_keys(config)
    keys = key_schemas(base["adapter"])
    texts = {name: text for name, text in posted.items() if name.startswith(PREFIX)}
    given: Config = {key: base[key] for key in FIXED if key in base}
    for key, rule in keys.items():
        value = _posted_value(PREFIX + key, rule, texts)
        if key not in FIXED and value is not _NOTHING:
            given[key] = value
    form = _with_problems(given, _draw(keys, given, texts))
    known = {item.name for item in form.fields()} | {PREFIX + key for key in FIXED}
    names = [key for key in keys if key not in FIXED]
    unknown = [name.removeprefix(PREFIX) for name in texts if name not in known and not _is_row(name, keys)]
    sentences = [f'"{name:.80}" is not a key of this config.{did_you_mean(name, names)}' for name in unknown]
    return replace(form, errors=(*form.errors, *sentences[:20]))


def own_keys(config: Mapping[str, Any]) -> Config:
    """A config in the present form, under the schema's own names.

    Args:
        config: Keys and values of any version.

    Raises:
        ConfigError: It is of a newer version, or gives a key twice.
    """
    migrated = migrate_config(config)
    key_schemas(str(migrated.get("adapter")))  # names what is wrong with "adapter"
    return dict(with_own_names(migrated, migrated.get("adapter")))


# Values ---------------------------------------------------------------------------------------------------------------

_NOTHING: Any = object()


def _texts(name: str, rule: Rule, value: Any) -> list[tuple[str, str]]:
    """The texts of the fields of one value."""
    rows = _row_rules(rule)
    if "properties" in rule and isinstance(value, Mapping) and set(value) <= set(rule["properties"]):
        return [pair for key, item in value.items() for pair in _texts(f"{name}.{key}", rule["properties"][key], item)]
    if rows is not None and isinstance(value, list) and value and all(_fits_row(rows, item) for item in value):
        return [
            (f"{name}.{number}.{key}", to_text(rows[key], part))
            for number, item in enumerate(value)
            for key, part in item.items()
        ]
    return [(name, to_text(rule, value))]


def _posted_value(name: str, rule: Rule, texts: Mapping[str, str]) -> Any:
    """The JSON value of one key, or ``_NOTHING`` for its default."""
    rows = _row_rules(rule)
    if texts.get(name, "").strip():
        return from_text(rule, texts[name])
    if "properties" in rule:
        parts = {key: _posted_value(f"{name}.{key}", part, texts) for key, part in rule["properties"].items()}
        found = {key: value for key, value in parts.items() if value is not _NOTHING}
        return found or _NOTHING
    if rows is not None:
        numbers = sorted(_row_numbers(name, texts))
        entries = [{k: _posted_value(f"{name}.{n}.{k}", part, texts) for k, part in rows.items()} for n in numbers]
        kept = [{key: value for key, value in entry.items() if value is not _NOTHING} for entry in entries]
        return [entry for entry in kept if entry] or _NOTHING
    return _NOTHING


def _row_rules(rule: Rule) -> dict[str, Rule] | None:
    """The rules of the keys of a list's objects, those of all kinds of objects together; None for other values."""
    part = option(rule, "array")
    items = None if part is None else part.get("items")
    if not isinstance(items, Mapping) or kinds(items) != {"object"}:
        return None
    found: dict[str, Rule] = {}
    for variant in items.get("oneOf", (items,)):
        found |= variant.get("properties", {})
    return found


def _fits_row(rows: Mapping[str, Rule], item: Any) -> bool:
    return isinstance(item, Mapping) and bool(item) and set(item) <= set(rows)


def _row_numbers(name: str, texts: Mapping[str, str]) -> set[int]:
    found = (re.fullmatch(re.escape(name) + r"\.([0-9]{1,3})\..+", key, re.DOTALL) for key in texts)
    return {int(match[1]) for match in found if match}


def _is_row(name: str, keys: Mapping[str, Rule]) -> bool:
    match = re.fullmatch(re.escape(PREFIX) + r"(\w+)\.[0-9]{1,3}\.(\w+)", name)
    rows = _row_rules(keys[match[1]]) if match and match[1] in keys else None
    return rows is not None and match is not None and match[2] in rows


# Fields ---------------------------------------------------------------------------------------------------------------


def _draw(keys: Mapping[str, Rule], given: Mapping[str, Any], texts: Mapping[str, str]) -> Form:
    sections: dict[str, list[Field]] = {"First": []}
    for key, rule in keys.items():
        if key in FIXED:
            item = replace(_field(PREFIX + key, key, rule, {}), control="fixed", value=str(given.get(key, "")))
        else:
            item = _field(PREFIX + key, key, rule, texts)
        sections.setdefault("First" if key in FIRST else section_of(key), []).append(item)
    sections["First"].sort(key=lambda item: FIRST.index(item.key))
    shown = [Section(title, tuple(items), title == "First") for title, items in sections.items() if items]
    return Form(tuple(shown), (), dict(given))


def _field(name: str, key: str, rule: Rule, texts: Mapping[str, str], effect: str = "retrain") -> Field:
    effect = str(rule.get("x-effect", effect))
    rows = _row_rules(rule)
    parts: tuple[Field, ...] = ()
    if "properties" in rule:
        control = "group"
        parts = tuple(_field(f"{name}.{k}", k, part, texts, effect) for k, part in rule["properties"].items())
    elif rows is not None:
        control, parts = "rows", _rows(name, rows, texts, effect)
    else:
        control = _control(rule)
    has_default = "default" in rule and control != "group"
    return Field(
        name=name,
        key=key,
        title=str(rule.get("title", key.replace("_", " ").capitalize())),
        description=str(rule.get("description", "")),
        control=control,
        effect=effect,
        allowed=allowed_words(rule),
        unit=unit_of(key),
        default=to_text(rule, rule["default"]) if has_default else None,
        value=texts.get(name, ""),
        choices=_choices(rule),
        number=bool(kinds(rule) & {"number", "integer"}) and not kinds(rule) & {"string", "array", "object"},
        fields=parts,
    )


def _rows(name: str, rows: Mapping[str, Rule], texts: Mapping[str, str], effect: str) -> tuple[Field, ...]:
    numbers = sorted(_row_numbers(name, texts))
    free = [number for number in range(1000) if number > max(numbers, default=-1)][:_NEW_ROWS]
    return tuple(
        Field(
            name=f"{name}.{number}",
            key=str(number),
            title=f"Entry {position}" if number in numbers else "New entry",
            description="",
            control="group",
            effect=effect,
            allowed="",
            fields=tuple(_field(f"{name}.{number}.{key}", key, rule, texts, effect) for key, rule in rows.items()),
        )
        for position, number in enumerate([*numbers, *free], 1)
    )


def _control(rule: Rule) -> str:
    if _choices(rule):
        return "choice"
    many = option(rule, "array") or option(rule, "object")
    items = {} if many is None else many.get("items", {})
    return "lines" if many is not None and not kinds(items) & {"number", "integer"} else "line"


def _choices(rule: Rule) -> tuple[str, ...]:
    """The texts of a value that is one of a few."""
    if "enum" in rule:
        return tuple(value if isinstance(value, str) else json.dumps(value) for value in rule["enum"])
    return ("true", "false") if kinds(rule) == {"boolean"} else ()


# Errors ---------------------------------------------------------------------------------------------------------------


def _with_problems(config: Config, form: Form) -> Form:
    errors: dict[str, list[str]] = {}
    names = {item.name for item in form.fields()} | {i.name for s in form.sections for i in s.fields}
    general: list[str] = []
    for problem in config_problems(config):
        path = [str(part) for part in problem.path]
        while path and PREFIX + ".".join(path) not in names:
            path.pop()
        target = errors.setdefault(PREFIX + ".".join(path), []) if path else general
        target.append(problem.message)
    sections = [replace(s, fields=tuple(_with_errors(item, errors) for item in s.fields)) for s in form.sections]
    sections = [replace(s, open=s.open or any(item.wrong for item in s.fields)) for s in sections]
    return replace(form, sections=tuple(sections), errors=tuple(general))


def _with_errors(item: Field, errors: Mapping[str, list[str]]) -> Field:
    parts = tuple(_with_errors(part, errors) for part in item.fields)
    sentences = list(dict.fromkeys(errors.get(item.name, ())))
    if sentences and item.number and _DECIMAL_COMMA.fullmatch(item.value.strip()):
        sentences.append(f"Write a decimal point: {item.value.strip().replace(',', '.')}")
    return replace(item, error=". ".join(sentences), fields=parts)
