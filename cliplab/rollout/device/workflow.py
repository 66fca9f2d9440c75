"""python-tuf's workflow as a device runs it: over its own connection, by its own idea of the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.errors import MissingExtraError
from cliplab.rollout.device.connection import Answer, RegistryConnection
from cliplab.rollout.device.errors import UnreachableError
from cliplab.rollout.device.state import DeviceState

try:
    from tuf.api import exceptions
    from tuf.ngclient import FetcherInterface, Updater
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "tuf", "device", "a device's client") from error

# Also for the modules that use this one: only this one says how tuf is installed.
tuf_errors = exceptions
METADATA, TARGETS = "tuf/metadata", "tuf/targets"
# Limits on what an endless answer can fill. Models have the length that is signed for them.
ROOT_BYTES, TIMESTAMP_BYTES, SNAPSHOT_BYTES, TARGETS_BYTES = 512_000, 16_384, 2_000_000, 5_000_000
DOCUMENT_BYTES = 2_000_000
ROLES = ("root", "timestamp", "snapshot", "targets")


class TimedUpdater(Updater):
    """python-tuf's workflow with the device's idea of the time, for which it has no setting.

    Without it a clock that is behind accepts what has expired.
    """

    def __init__(self, state: DeviceState, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._state = state

    def _load_timestamp(self) -> None:
        """After the root, before anything that expires. What keys said of the time counts as long as they do."""
        replaced = replaced_keys(self._state, keys_of(self), "timestamp")
        now = self._state.clock_now() if replaced else self._state.trusted_now()
        self._trusted_set.reference_time = datetime.fromtimestamp(now, UTC)
        super()._load_timestamp()


class Fetcher(FetcherInterface):
    """python-tuf's requests over the device's own connection.

    Args:
        connection: To the registry.
        seen: Answers that came already in this round, by path; receives that of the timestamp.
    """

    def __init__(
        self, connection: RegistryConnection, seen: dict[str, Answer | UnreachableError] | None = None
    ) -> None:
        self._connection, self._seen = connection, {} if seen is None else seen

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(self._connection.url).lstrip("/")
        try:
            if path in self._seen:
                answer = self._seen[path]
                if isinstance(answer, UnreachableError):
                    raise answer
                yield answer.body
                return
            with self._connection.open("GET", path) as response:
                blocks = []
                # python-tuf counts the bytes against the limit of the role.
                for block in self._connection.blocks(response, max(DOCUMENT_BYTES, TARGETS_BYTES) + 1):
                    blocks.append(block)
                    yield block
                if path == f"{METADATA}/timestamp.json":
                    headers = {name.lower(): value for name, value in response.getheaders()}
                    self._seen[path] = Answer(response.status, b"".join(blocks), headers)
        except UnreachableError as error:
            if error.status is not None:
                raise tuf_errors.DownloadHTTPError(str(error), error.status) from error
            raise tuf_errors.DownloadError(str(error)) from error


def versions_of(updater: Updater) -> dict[str, int]:
    known = updater._trusted_set
    return {
        "root": known.root.version,
        "timestamp": known.timestamp.version,
        "snapshot": known.snapshot.version,
        "targets": known.targets.version,
    }


def keys_of(updater: Updater) -> dict[str, list[str]]:
    """The keys of each role, as the newest root names them."""
    roles = updater._trusted_set.root.roles
    return {role: sorted(roles[role].keyids) for role in ROLES}


def replaced_keys(state: DeviceState, keys: Mapping[str, list[str]], role: str) -> bool:
    """Whether none of the keys that signed for a role when it was last verified still does."""
    known = state.get("seen_keys").get(role)
    return isinstance(known, list) and not set(map(str, known)) & set(keys[role])


def signing_time(updater: Updater) -> float | None:
    """When the timestamp was signed, as it says itself; the field is our registry's, under its signature."""
    value = updater._trusted_set.timestamp.unrecognized_fields.get("x-cliplab-signed-at")
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
