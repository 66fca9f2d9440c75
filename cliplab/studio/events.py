"""What an annotator did, as an event of the label store: its values are checked before anything is stored."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.errors import DatasetError
from adapters.system import did_you_mean

MAX_NAME = 200  # characters of a client, an annotator, a label or an interval's name
MAX_LABELS = 1000  # of one item
MAX_TEXT = 10_000  # characters of a note
MAX_SECONDS = 10.0**7  # 115 days: a longer time is an error of units
ACTIONS = ("label", "clear", "interval", "move", "delete", "note", "flag", "undo", "redo", "lease", "review")


@dataclass(frozen=True)
class LabelEvent:
    """One thing that one annotator did to one item.

    Attributes:
        client: The name of the browser tab or program that sent it; each counts its own events.
        sequence: Its number among the client's, 0 or more. The store applies a (client, sequence) once.
        annotator: The name of the person.
        item: The number of the item; None for a lease.
        action: One of ACTIONS.
        value: By action: label and review ``{"label"}``, or ``{"labels"}``, a list of several or none; clear ``{}``;
            interval ``{"interval", "label", "start", "end"}``; move ``{"interval", "start", "end"}`` and perhaps
            "label"; delete ``{"interval"}``; note ``{"text"}``; flag ``{"on"}``; undo and redo
            ``{"client", "sequence"}``; lease ``{"items", "until"}``.
        at: When, in seconds since 1970 by the client's clock.
    """

    client: str
    sequence: int
    annotator: str
    item: int | None
    action: str
    value: Mapping[str, Any]
    at: float

    def value_text(self) -> str:
        """The value as JSON: equal values give equal text."""
        return json.dumps(self.value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def event_from_json(content: Any) -> LabelEvent:
    """An event from the body of a request.

    Args:
        content: A JSON value.

    Raises:
        DatasetError: It is not an event; says what is wrong and what is allowed.
    """
    if not isinstance(content, dict):
        raise DatasetError(f"an event must be a JSON object, got {type(content).__name__}")
    known = {"client", "sequence", "annotator", "item", "action", "value", "at"}
    if unknown := sorted(set(content) - known):
        raise DatasetError(f"{str(unknown[0])[:80]!r} is not a key of an event; allowed: {', '.join(sorted(known))}")
    if missing := sorted(known - {"value", "item"} - set(content)):
        raise DatasetError(f"an event needs {missing[0]!r}")
    event = LabelEvent(**{"item": None, "value": {}, **content})
    check_event(event)
    return event


def check_event(event: LabelEvent) -> None:
    """Check everything about an event that needs no look into the store.

    Raises:
        DatasetError: A value is not allowed.
    """
    check_name(event.client, "client")
    check_name(event.annotator, "annotator")
    if not _is_number(event.sequence, whole=True) or not 0 <= event.sequence < 2**53:
        raise DatasetError(f"sequence must be a whole number of at least 0, got {event.sequence!r:.80}")
    if not _is_number(event.at) or not 0 <= event.at < 10**11:
        raise DatasetError(f"at must be seconds since 1970, got {event.at!r:.80}")
    if event.action not in ACTIONS:
        hint = did_you_mean(str(event.action)[:80], ACTIONS)
        raise DatasetError(f"{event.action!r:.80} is not an action; allowed: {', '.join(ACTIONS)}.{hint}")
    if event.action != "lease" and (not _is_number(event.item, whole=True) or not 0 < (event.item or 0) < 2**63):
        raise DatasetError(f"item must be the number of an item, got {event.item!r:.80}")
    _check_value(event.action, event.value)


def label_names(value: Mapping[str, Any]) -> list[str]:
    """The labels that the value of an event names.

    Args:
        value: Of an event of any action; empty for one without labels.
    """
    return list(value["labels"]) if "labels" in value else [value["label"]] if "label" in value else []


def check_name(name: Any, what: str) -> None:
    """Check that a name can be stored and shown on one line.

    Args:
        name: The name.
        what: What it names, for the message.

    Raises:
        DatasetError: It is not text, is empty or too long, has line ends or other control characters, or cannot be
            written as UTF-8.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
        raise DatasetError(f"{what} must be text of 1 to {MAX_NAME} characters, got {name!r:.80}")
    check_text(name, what)
    if any(ord(mark) < 32 or ord(mark) == 127 or mark in "\u0085\u2028\u2029" for mark in name):
        raise DatasetError(f"{what} must be one line without control characters, got {name!r:.80}")


def check_text(text: str, what: str) -> None:
    """Check that a text is valid Unicode, without NUL.

    Args:
        text: The text.
        what: What it is, for the message.

    Raises:
        DatasetError: It is not.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DatasetError(f"{what} has a character that UTF-8 cannot encode: {text!r:.80}") from None
    if "\0" in text:
        raise DatasetError(f"{what} has a NUL character: {text!r:.80}")


def subject_of(event: LabelEvent) -> str:
    """What an event changes. The present state of a subject follows from its own events only.

    Args:
        event: A checked event other than undo and redo, which change the subject of the event that they name.
    """
    if event.action in ("interval", "move", "delete"):
        return f"interval:{event.value['interval']}"
    if event.action in ("review", "lease"):
        return event.action
    return f"{'label' if event.action == 'clear' else event.action}:{event.annotator}"


def crc_of(client: str, sequence: int, annotator: str, item: int | None, action: str, value: str) -> int:
    """The CRC-32 of a stored event, by which damage on the disk is found.

    Args:
        client: Its client.
        sequence: Its number.
        annotator: Its annotator.
        item: Its item.
        action: Its action.
        value: Its value as JSON text.
    """
    return zlib.crc32(json.dumps([client, sequence, annotator, item, action, value]).encode())


def _check_value(action: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise DatasetError(f"value of {action!r} must be a JSON object, got {type(value).__name__}")
    needed, optional = _KEYS[action]
    for key in needed:
        if key not in value:
            raise DatasetError(f"value of {action!r} needs {key!r}; it has {', '.join(map(str, value)) or 'no keys'}")
    for key, entry in value.items():
        if key not in needed and key not in optional:
            allowed = ", ".join((*needed, *optional)) or "none"
            raise DatasetError(f"{str(key)[:80]!r} is not a key of the value of {action!r}; allowed: {allowed}")
        _CHECKS[key](entry)
    if action in ("label", "review") and len(value) != 1:
        given = ", ".join(map(str, value)) or "no keys"
        raise DatasetError(f"value of {action!r} needs 'label', or 'labels' for several or none; it has {given}")
    if "start" in value and not value["start"] < value["end"]:
        raise DatasetError(f"end must be after start, got {value['start']!r} to {value['end']!r}")


def _name_check(what: str) -> Callable[[Any], None]:
    return lambda name: check_name(name, what)


def _check_labels(value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_LABELS:
        raise DatasetError(f"labels must be a list of at most {MAX_LABELS} names of classes, got {value!r:.80}")
    for name in value:
        check_name(name, "label")


def _check_seconds(value: Any) -> None:
    if not _is_number(value) or not 0 <= value <= MAX_SECONDS:
        raise DatasetError(f"start and end must be seconds from 0 to {MAX_SECONDS:g}, got {value!r:.80}")


def _check_note(value: Any) -> None:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise DatasetError(f"text of a note must have at most {MAX_TEXT:,} characters, got {value!r:.80}")
    check_text(value, "text of a note")


def _check_on(value: Any) -> None:
    if not isinstance(value, bool):
        raise DatasetError(f"on must be true or false, got {value!r:.80}")


def _check_target(value: Any) -> None:
    if not _is_number(value, whole=True) or not 0 <= value < 2**53:
        raise DatasetError(f"sequence to undo must be a whole number of at least 0, got {value!r:.80}")


def _check_leased(value: Any) -> None:
    if not isinstance(value, list) or not all(_is_number(one, whole=True) for one in value):
        raise DatasetError(f"items of a lease must be a list of numbers, got {value!r:.80}")


def _check_until(value: Any) -> None:
    if not _is_number(value):
        raise DatasetError(f"until must be seconds since 1970, got {value!r:.80}")


def _is_number(value: Any, whole: bool = False) -> bool:
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "label": _name_check("label"),
    "labels": _check_labels,
    "interval": _name_check("interval"),
    "client": _name_check("client to undo"),
    "sequence": _check_target,
    "start": _check_seconds,
    "end": _check_seconds,
    "text": _check_note,
    "on": _check_on,
    "items": _check_leased,
    "until": _check_until,
}
# Keys that each action needs, and those that it may have.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "label": ((), ("label", "labels")),
    "review": ((), ("label", "labels")),
    "clear": ((), ()),
    "interval": (("interval", "label", "start", "end"), ()),
    "move": (("interval", "start", "end"), ("label",)),
    "delete": (("interval",), ()),
    "note": (("text",), ()),
    "flag": (("on",), ()),
    "undo": (("client", "sequence"), ()),
    "redo": (("client", "sequence"), ()),
    "lease": (("items", "until"), ()),
}
