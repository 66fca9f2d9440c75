"""The tables of rollouts under Alembic: new ones, those that were made before it, and those of a later version."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[registry]'")
import sqlalchemy as sa

from adapters.errors import StorageError
from cliplab.rollout import make_tables, migrating, read_report, store_report
from cliplab.rollout.migrating import HEAD, version_of
from cliplab.rollout.schema import FACTS, METADATA, REPORTS, VERSION_TABLE
from cliplab.sql import alembic_config, known_versions

SECOND = '''
"""Another column."""
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("rollout_devices", sa.Column("place", sa.Text))
'''


def before_alembic(path: Path) -> sa.Engine:
    """The tables as cliplab 0.2 made them, with a report."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        METADATA.create_all(connection)
        connection.execute(sa.insert(FACTS).values(name="version", value="1"))
    store_report(engine, read_report("kitchen", {"sequence": 1, "client": "c", "versions": {"base-ads": "1.0.0"}}))
    return engine


def count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(REPORTS)).scalar_one())


def version(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return version_of(connection)


def test_the_last_version_is_the_one_that_is_known() -> None:
    assert known_versions(alembic_config(migrating.SCRIPTS))[-1] == HEAD


def test_new_and_old_tables(tmp_path: Path) -> None:
    new = sa.create_engine(f"sqlite:///{tmp_path}/new.db")
    assert version(new) is None
    make_tables(new)
    make_tables(new)
    assert version(new) == HEAD
    old = before_alembic(tmp_path / "old.db")
    assert not sa.inspect(old).has_table(VERSION_TABLE)
    make_tables(old)
    assert (version(old), count(old)) == (HEAD, 1)
    assert sa.inspect(old).has_table(VERSION_TABLE)
    names = set(sa.inspect(new).get_table_names())
    assert names == set(sa.inspect(old).get_table_names())
    new.dispose()
    old.dispose()


def test_older_tables_are_copied_before_they_are_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A next version, as it will come one day."""
    import shutil

    scripts = Path(migrating.__file__).parent / "migrations"
    shutil.copytree(scripts, tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "v0002_place.py").write_text(SECOND)
    engine = before_alembic(tmp_path / "r.db")
    monkeypatch.setattr(migrating, "SCRIPTS", tmp_path / "migrations")
    monkeypatch.setattr(migrating, "HEAD", "0002")
    monkeypatch.setattr("cliplab.rollout.storing.HEAD", "0002")
    make_tables(engine)
    assert (version(engine), count(engine)) == ("0002", 1)
    assert "place" in {column["name"] for column in sa.inspect(engine).get_columns("rollout_devices")}
    [copy] = tmp_path.glob("r.db.version-rollouts-0001-*")
    kept = sa.create_engine(f"sqlite:///{copy}")
    assert count(kept) == 1
    kept.dispose()
    engine.dispose()


@pytest.mark.parametrize("alembic", [True, False])
def test_tables_of_a_later_version_are_left_as_they_are(tmp_path: Path, alembic: bool) -> None:
    engine = before_alembic(tmp_path / "r.db")
    if alembic:
        make_tables(engine)
    with engine.begin() as connection:
        table, column = (VERSION_TABLE, "version_num") if alembic else ("rollout_facts", "value")
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = '0099'")
    with pytest.raises(StorageError, match="Update cliplab"):
        make_tables(engine)
    assert count(engine) == 1
    engine.dispose()
