"""The tables of a registry. Their names begin with registry_, since MLflow or a clip database may share the server."""

from __future__ import annotations

from adapters.errors import MissingExtraError

try:
    import sqlalchemy as sa
    from sqlalchemy import Column, Index, Integer, MetaData, Table, Text, text
    from sqlalchemy.engine import Connection, Engine
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "sqlalchemy", "registry") from error

# Others of this folder take sqlalchemy from here, so that one place says what to install.
__all__ = [
    "EVENTS",
    "FACTS",
    "METADATA",
    "POSTGRES_TRIGGERS",
    "SQLITE_TRIGGERS",
    "VERSION_TABLE",
    "Connection",
    "Engine",
    "sa",
]

METADATA = MetaData()
VERSION_TABLE = "registry_version"

# Append-only: triggers refuse changes. Each row holds the digest of the row before it, so that a gap or a change shows.
EVENTS = Table(
    "registry_events",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text),
    Column("version", Text),
    Column("environment", Text),
    Column("from_version", Text),
    Column("to_version", Text),
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("registry_events_by_model", "model", "environment", "sequence"),
    Index("registry_events_by_kind", "kind", "sequence"),
)

# A version is uploaded once, whatever two uploads at one time do.
Index(
    "registry_uploads_once",
    EVENTS.c.model,
    EVENTS.c.version,
    unique=True,
    sqlite_where=text("kind = 'upload'"),
    postgresql_where=text("kind = 'upload'"),
)

FACTS = Table("registry_facts", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

REFUSAL = "the history of a registry is append-only"
SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER registry_events_no_{change.lower()} BEFORE {change} ON registry_events "
    f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    for change in ("UPDATE", "DELETE")
)
POSTGRES_TRIGGERS = (
    "CREATE FUNCTION registry_events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    "CREATE TRIGGER registry_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON registry_events "
    "FOR EACH STATEMENT EXECUTE FUNCTION registry_events_refuse()",
)
