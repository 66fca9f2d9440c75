"""What happened in a registry: who did what, when and why. Events are appended and never changed.

Each event holds the SHA-256 of the one before it and of itself, so that a row that somebody changed or removed shows.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError, StorageError
from cliplab.registry.names import parse_person

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# Kinds that say which version an environment has.
PLACEMENTS = ("promote", "rollback")
_FIRST = "0" * 64


class ConflictError(StorageError):
    """Another change was stored first, so this one was based on an old state. The message names that change."""


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: What: "upload", "promote", "rollback", "rollouts", "keys", or a word of whoever appends it.
        model: The model; None where it concerns none.
        version: The version that it concerns.
        environment: The environment; None where it concerns none.
        from_version: What the environment had before.
        to_version: What it has from now on.
        reason: Why, in the person's words.
        details: JSON values: figures, digests, what was checked.
        who: The person or program; empty uses CLIPLAB_USER, otherwise the user of this process.
        at: The time in ISO 8601, UTC; set when it is appended.
        sequence: Its number, from 1 without gaps; set when it is appended.
    """

    kind: str
    model: str | None = None
    version: str | None = None
    environment: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    who: str = ""
    at: str = ""
    sequence: int = 0

    def to_json(self) -> dict[str, Any]:
        """The event as a JSON object."""
        return {name: getattr(self, name) for name in _COLUMNS} | {"details": dict(self.details)}

    def sentence(self) -> str:
        """The event in words, for messages that name who was faster."""
        what = " ".join(part for part in (self.kind, self.model, self.to_version or self.version) if part)
        where = f" to {self.environment}" if self.environment else ""
        return f"{what}{where} by {self.who} at {self.at} (event {self.sequence})"


_COLUMNS = (
    "sequence",
    "at",
    "who",
    "kind",
    "model",
    "version",
    "environment",
    "from_version",
    "to_version",
    "reason",
)


def this_person() -> str:
    """Who acts, where nobody is named: CLIPLAB_USER, otherwise the user of this process."""
    named = os.environ.get("CLIPLAB_USER")
    if named:
        return parse_person(named)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def insert_event(connection: Connection, event: Event, at: str) -> Event:
    """Append an event inside the only writer's transaction.

    Args:
        connection: Of ``RegistryDatabase.writing``.
        event: What happened.
        at: The time, as ``cliplab.sql.now`` writes it.

    Returns:
        The event with its sequence, time and person.

    Raises:
        ConfigError: Its person or details cannot be stored.
    """
    from cliplab.registry.schema import EVENTS, sa

    row = connection.execute(
        sa.select(EVENTS.c.sequence, EVENTS.c.digest).order_by(EVENTS.c.sequence.desc()).limit(1)
    ).first()
    last, digest = (row.sequence, row.digest) if row else (0, _FIRST)
    stored = replace(event, who=parse_person(event.who or this_person()), at=at, sequence=last + 1)
    content = _content(stored)
    connection.execute(sa.insert(EVENTS).values(**content, digest=_digest(digest, content)))
    return stored


def select_events(
    connection: Connection,
    *,
    model: str | None = None,
    environment: str | None = None,
    kinds: tuple[str, ...] = (),
    after: int = 0,
    last: int | None = None,
) -> list[Event]:
    """Events in the order in which they happened.

    Args:
        connection: An open connection.
        model: Only those of this model.
        environment: Only those of this environment.
        kinds: Only these kinds; empty for all.
        after: Only those with a higher sequence.
        last: Maximum number of events, the latest ones.
    """
    from cliplab.registry.schema import EVENTS, sa

    query = sa.select(EVENTS).where(EVENTS.c.sequence > after)
    if model is not None:
        query = query.where(EVENTS.c.model == model)
    if environment is not None:
        query = query.where(EVENTS.c.environment == environment)
    if kinds:
        query = query.where(EVENTS.c.kind.in_(kinds))
    if last is None:
        rows = connection.execute(query.order_by(EVENTS.c.sequence)).all()
    else:
        rows = connection.execute(query.order_by(EVENTS.c.sequence.desc()).limit(last)).all()[::-1]
    return [_event(row) for row in rows]


def check_chain(connection: Connection, name: str) -> int:
    """Check that no event was changed or removed.

    Args:
        connection: An open connection.
        name: The database, for messages.

    Returns:
        How many events there are.

    Raises:
        StorageError: The chain of digests is broken; the message names the event.
    """
    from cliplab.registry.schema import EVENTS, sa

    digest = _FIRST
    count = 0
    for row in connection.execute(sa.select(EVENTS).order_by(EVENTS.c.sequence)):
        count += 1
        content = {column: getattr(row, column) for column in (*_COLUMNS, "details")}
        expected = _digest(digest, content)
        if row.sequence != count or row.digest != expected:
            raise StorageError(
                f"{name}: event {count} was changed or removed outside cliplab. Compare with a backup, and restore it"
            )
        digest = row.digest
    return count


def _content(event: Event) -> dict[str, Any]:
    try:
        details = json.dumps(dict(event.details), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"details of a {event.kind} event: must be JSON values ({error})") from error
    if not _is_text(event.reason):
        raise ConfigError("reason: must be text of at most 10,000 characters, without NUL and lone surrogates")
    return {name: getattr(event, name) for name in _COLUMNS} | {"details": details}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text and len(text) <= 10_000


def _digest(before: str, content: Mapping[str, Any]) -> str:
    text = json.dumps([before, *(content[name] for name in (*_COLUMNS, "details"))], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _event(row: Any) -> Event:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Event(**values, details=json.loads(row.details))
