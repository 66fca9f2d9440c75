"""The databases of rollouts: the tests that use them run on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server that tests share."""
    import postgres_server

    if postgres_server.programs() is None:
        pytest.skip(postgres_server.NEEDED)
    with postgres_server.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An engine whose database has the tables of rollouts and nothing in them."""
    import postgres_server
    import sqlalchemy as sa

    from cliplab.rollout import make_tables
    from cliplab.sql import named_database, open_engine

    path = tmp_path / "r.db"
    database = str(path)
    if request.param == "postgres":
        database = postgres_server.new_database(request.getfixturevalue("postgres"))
    name, file = named_database(database)
    made = open_engine(name, database, file, "registry")
    if file is not None:  # without fsync, which these tests do not need
        sa.event.listen(made, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
    make_tables(made)
    yield made
    made.dispose()
