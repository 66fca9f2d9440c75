"""A registry: versions of models, which of them each environment has, and the history of both.

A folder holds registry.json, registry.db (or the URL of a PostgreSQL server), mlflow.db, artifacts/, tuf/ and keys/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import BundleError, ConfigError, StorageError
from adapters.system import file_digest, nearest_hint
from cliplab.registry.events import PLACEMENTS as PLACEMENTS
from cliplab.registry.events import ConflictError, Event, check_chain, insert_event, select_events
from cliplab.registry.location import SETTINGS_NAME, Place, Settings, is_uri
from cliplab.registry.names import parse_environment, parse_name, parse_reference, parse_version
from cliplab.registry.records import Placement, StoredVersion
from cliplab.sql import now

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from cliplab.registry.database import RegistryDatabase


class Registry:
    """An open registry.

    Attributes:
        folder: Its folder.
        settings: What registry.json says.
        database: Its tables.
        read_only: Whether it was opened for reading.
    """

    def __init__(self, folder: Path, settings: Settings, database: RegistryDatabase, read_only: bool = False) -> None:
        """Use ``open_registry``."""
        self.folder, self.settings, self.database, self.read_only = folder, settings, database, read_only

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.database.engine.dispose()

    @property
    def name(self) -> str:
        """What the registry is called in messages."""
        return str(self.folder) if self.database.path is not None else self.database.name

    @property
    def place(self) -> Place:
        """The folder and its settings."""
        return Place(self.folder, self.settings)

    @property
    def is_here(self) -> bool:
        """Whether its folder, with tokens, keys and signed files, is on this machine."""
        return (self.folder / SETTINGS_NAME).is_file()

    @property
    def engine(self) -> Engine:
        """What runs statements on its database; rollouts keep their tables there too."""
        return self.database.engine

    @property
    def tuf_folder(self) -> Path:
        """The signed repository: metadata/ and targets/."""
        return self.folder / "tuf"

    @property
    def keys_folder(self) -> Path:
        """The private keys, which only the publisher needs."""
        return self.folder / self.settings.keys

    # Events ------------------------------------------------------------------------------------------------------

    def append(self, event: Event, *, expected: int | None = None) -> int:
        """Append an event; all of it is stored, or nothing.

        Args:
            event: What happened.
            expected: The sequence of the latest placement of the event's model and environment that the caller has
                seen, 0 for none: compare and set. None does not compare.

        Returns:
            Its sequence.

        Raises:
            ConflictError: Somebody else placed a version there in the meantime; the message names the event.
            StorageError: It cannot be written.
        """
        with self.writing() as connection:
            return self.append_in(connection, event, expected=expected).sequence

    def append_in(self, connection: Connection, event: Event, *, expected: int | None = None) -> Event:
        """Append an event in a transaction of ``writing``, together with rows of other tables.

        Args:
            connection: The transaction.
            event: What happened.
            expected: As for ``append``.

        Returns:
            The event as it is stored.
        """
        if expected is not None:
            kinds = PLACEMENTS if event.kind in PLACEMENTS else (event.kind,)
            found = select_events(connection, model=event.model, environment=event.environment, kinds=kinds, last=1)
            latest = found[-1].sequence if found else 0
            if latest != expected:
                winner = found[-1].sentence() if found else "none"
                raise ConflictError(
                    f"{event.model or event.kind}: another change came first: {winner}. "
                    "Nothing was changed. Check it (cliplab registry history) and try again"
                )
        return insert_event(connection, event, now())

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of the only writer of events.

        Raises:
            StorageError: The registry was opened for reading, or its database cannot be written.
        """
        if self.read_only:
            raise StorageError(f"{self.name}: was opened for reading. Open it without read_only")
        with self.database.writing() as connection:
            yield connection

    def history(
        self,
        name: str | None = None,
        environment: str | None = None,
        *,
        kinds: tuple[str, ...] = (),
        after: int = 0,
        last: int | None = None,
    ) -> list[Event]:
        """What happened, in order.

        Args:
            name: Only events of this model.
            environment: Only events of this environment.
            kinds: Only these kinds.
            after: Only events with a higher sequence.
            last: Maximum number of events, the latest ones.
        """
        with self.database.reading() as connection:
            return select_events(connection, model=name, environment=environment, kinds=kinds, after=after, last=last)

    def check(self) -> int:
        """Check that no event was changed or removed. Returns how many there are.

        Raises:
            StorageError: The chain of digests is broken.
        """
        with self.database.reading() as connection:
            return check_chain(connection, self.database.name)

    # Versions ----------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The models that have versions, in alphabetical order."""
        return sorted({event.model for event in self.history(kinds=("upload",)) if event.model})

    def versions(self, name: str) -> list[StoredVersion]:
        """The versions of a model, the lowest first; empty for a model without any.

        Args:
            name: The model.

        Raises:
            ConfigError: The name breaks the rule.
        """
        parse_name(name)
        found = [StoredVersion.of(event) for event in self.history(name, kinds=("upload",))]
        return sorted(found, key=lambda item: parse_version(item.version))

    def version(self, name: str, version: str) -> StoredVersion:
        """One version.

        Args:
            name: The model.
            version: The version.

        Raises:
            ConfigError: There is no such model or version; the message names those that exist.
        """
        wanted = str(parse_version(version))
        found = self.versions(name)
        for item in found:
            if item.version == wanted:
                return item
        if not found:
            names = self.names()
            hint = nearest_hint(name, names)
            raise ConfigError(f"{self.name}: has no model {name!r}.{hint} Models: {', '.join(names) or 'none'}")
        raise ConfigError(
            f"{self.name}: {name} has no version {wanted}. Versions: {', '.join(item.version for item in found)}"
        )

    def find(self, reference: str) -> StoredVersion:
        """The version that a text refers to; of a model alone, the highest one.

        Args:
            reference: As ``parse_reference`` reads it.

        Raises:
            ConfigError: The reference matches no version.
        """
        wanted = parse_reference(reference)
        if wanted.environment is not None:
            placed = self.current(wanted.name, wanted.environment)
            if placed is None:
                raise ConfigError(f"{self.name}: {wanted.environment} has no version of {wanted.name}")
            return self.version(wanted.name, placed.version)
        if wanted.version is not None:
            return self.version(wanted.name, wanted.version)
        found = self.versions(wanted.name)
        return found[-1] if found else self.version(wanted.name, "0.0.0")

    def artifact(self, name: str, version: str) -> Path:
        """The file of a version on this machine, verified by its digest; one kept elsewhere is fetched first.

        Args:
            name: The model.
            version: The version.

        Raises:
            ConfigError: There is no such version.
            BundleError: The file is missing or is not what was uploaded.
        """
        stored = self.version(name, version)
        if is_uri(stored.file):
            from cliplab.registry.tracking import fetch_artifact

            path = fetch_artifact(self.place, stored)
        else:
            path = self.folder / stored.file
        try:
            digest = file_digest(path)
        except OSError as error:
            raise BundleError(
                f"{path}: the file of {stored.full_name} cannot be read ({error.strerror}). Restore it from a backup"
            ) from error
        if digest != stored.sha256:
            raise BundleError(
                f"{path}: differs from the file uploaded as {stored.full_name} (SHA-256 {digest[:12]}..., expected "
                f"{stored.sha256[:12]}...). Restore it from a backup"
            )
        return path

    # Environments ------------------------------------------------------------------------------------------------

    def current(self, name: str, environment: str) -> Placement | None:
        """Which version of a model an environment has; None for none.

        Args:
            name: The model.
            environment: The environment.

        Raises:
            ConfigError: The name or environment breaks the rule.
        """
        parse_name(name)
        found = self.history(name, parse_environment(environment), kinds=PLACEMENTS, last=1)
        return Placement.of(found[-1]) if found else None

    def placements(self) -> list[Placement]:
        """The current version of every model in every environment."""
        latest = {(event.environment, event.model): event for event in self.history(kinds=PLACEMENTS)}
        return [Placement.of(event) for _, event in sorted(latest.items(), key=lambda item: str(item[0]))]

    # Rollouts ----------------------------------------------------------------------------------------------------

    def rollouts(self) -> list[Mapping[str, Any]]:
        """The rollouts that devices see; empty for none."""
        found = self.history(kinds=("rollouts",), last=1)
        return list(found[-1].details["rollouts"]) if found else []

    def set_rollouts(
        self,
        rollouts: list[Mapping[str, Any]],
        *,
        who: str = "",
        reason: str = "",
        model: str | None = None,
        environment: str | None = None,
        versions: tuple[str | None, str | None] = (None, None),
    ) -> int:
        """Replace the rollouts that devices see. ``publish`` signs them.

        Args:
            rollouts: JSON objects with id, model, control, candidate, percent, salt and state.
            who: Who decided.
            reason: Why.
            model: The model of the rollout that changed; None where several did.
            environment: Its environment.
            versions: Its control and its candidate.

        Returns:
            The sequence of the event.
        """
        control, candidate = versions
        return self.append(
            Event(
                "rollouts",
                model,
                environment=environment,
                from_version=control,
                to_version=candidate,
                details={"rollouts": rollouts},
                who=who,
                reason=reason,
            )
        )
