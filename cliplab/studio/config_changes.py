"""The keys in which two configs differ, and what each change asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.config import key_schemas
from cliplab.studio.form_values import same

EFFECTS = {
    "runtime": "takes effect at once",
    "program": "makes a new program",
    "retrain": "needs training",
}


@dataclass(frozen=True)
class Change:
    """A key that differs between two complete configs.

    Attributes:
        key: Its name.
        title: What the schema calls it.
        effect: "runtime", "program" or "retrain".
        before: The old value, as JSON text.
        after: The new value, as JSON text.
    """

    key: str
    title: str
    effect: str
    before: str
    after: str

    @property
    def effect_words(self) -> str:
        """What the change asks for, in words."""
        return EFFECTS[self.effect]


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The keys in which two complete configs differ, in the order of the schema.

    Args:
        before: The first config, with every default filled in.
        after: The second config. It may be of another adapter: then keys of both are compared.

    Raises:
        ConfigError: A config names no adapter that may be imported.
    """
    rules = key_schemas(str(before.get("adapter"))) | key_schemas(str(after.get("adapter")))
    return [
        Change(
            key,
            str(rule.get("title", key)),
            str(rule.get("x-effect", "retrain")),
            _shown(before, key),
            _shown(after, key),
        )
        for key, rule in rules.items()
        if (key in before) != (key in after) or not same(before.get(key), after.get(key))
    ]


def _shown(config: Mapping[str, Any], key: str) -> str:
    return json.dumps(config[key], ensure_ascii=False) if key in config else "(not a key)"
