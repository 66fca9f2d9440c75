"""A PostgreSQL server of its own for tests: Debian's programs, run by an ordinary user in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = "PostgreSQL's programs are not installed: apt-get install postgresql"


def programs() -> Path | None:
    """The folder of initdb and postgres; None where they are not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server on loopback; gives the URL of its database."""
    folder = programs()
    assert folder is not None, NEEDED
    # The server refuses to run as root.
    user = pwd.getpwnam("postgres" if _has_user("postgres") else "nobody") if os.getuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="cliplab-postgres-"))
    options: dict[str, object] = {"cwd": home, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}}
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        data = home / "data"
        arguments = [folder / "initdb", "-D", data, "-U", "cliplab", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(arguments, check=True, capture_output=True, **options)  # type: ignore[call-overload]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
        start = [folder / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", home / "log", "-o", settings, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        try:
            yield f"postgresql://cliplab@127.0.0.1:{port}/postgres"
        finally:
            stop = [folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
            subprocess.run(stop, check=False, capture_output=True, **options)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def new_database(server: str) -> str:
    """Make an empty database on a server of ``postgres``. Gives its URL."""
    import sqlalchemy as sa

    base, name = server.rpartition("/")[0], f"r{os.urandom(6).hex()}"
    engine = sa.create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return f"{base}/{name}"


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
