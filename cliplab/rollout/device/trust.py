"""The device's side of The Update Framework: what may be believed of what a registry sends.

python-tuf follows the client workflow of the specification (section 5). This module adds what it leaves to its user:
which root is trusted first, what time it is where the clock may be wrong, a record of the versions that were seen which
survives the loss of the stored metadata, and downloads that resume.

The rule for clocks. Metadata is checked against ``max(clock, T)``. T is evidence, never the clock: it starts at the
newest signing time of any verified metadata, and grows by the time that the client has been running since. So a clock
that is behind cannot make old metadata fresh for longer than it lives while the client runs, and a clock that is ahead
refuses everything, keeps the model in use, says so, and works again as soon as it is set right.

Most rounds find nothing new. Where the registry has no newer root and its timestamp is the very one that was verified
before, the metadata that were verified then still count, and only their expiry is checked again: each of python-tuf's
steps would read the same bytes and find the same. Anything else, and any error, takes the whole workflow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.errors import MissingExtraError, StorageError
from adapters.system import MAX_DEPTH, parse_json, read_regular_bytes, storage_error, write_bytes_atomic
from cliplab.rollout.device.connection import Answer, RegistryConnection
from cliplab.rollout.device.downloading import download
from cliplab.rollout.device.errors import TooLongError, UnreachableError, UntrustedError
from cliplab.rollout.device.refusals import download_problem, older_state, refusal
from cliplab.rollout.device.state import DeviceState
from cliplab.rollout.device.workflow import (
    DOCUMENT_BYTES,
    METADATA,
    ROLES,
    ROOT_BYTES,
    SNAPSHOT_BYTES,
    TARGETS,
    TARGETS_BYTES,
    TIMESTAMP_BYTES,
    Fetcher,
    TimedUpdater,
    keys_of,
    replaced_keys,
    signing_time,
    tuf_errors,
    versions_of,
)

try:
    from tuf.api.metadata import TargetFile
    from tuf.ngclient import Updater, UpdaterConfig
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "tuf", "device", "a device's client") from error

ROOT_NAME = "trusted_root.json"
# What a registry says where there is no newer root, as python-tuf takes it.
_NO_ROOT = (403, 404)
# A registry of ours names its newest root with the timestamp. Who could lie there could as well answer 404 to the
# request for the next root: neither is signed, and what is expected to hold is the same.
_ROOT_HEADER = "x-cliplab-root"
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{1,200}"')


class TrustedRepository:
    """The verified metadata of one registry, and downloads of what they list.

    Args:
        folder: Where metadata are kept, on this device.
        connection: To the registry.
        state: Keeps the versions and the time that were seen.
    """

    def __init__(self, folder: Path, connection: RegistryConnection, state: DeviceState) -> None:
        self._folder, self._connection, self._state = folder, connection, state
        self._updater: Updater | None = None
        self._timestamp: Answer | None = None  # the last one that led to verified metadata
        self._documents: dict[str, tuple[TargetFile, Any]] = {}

    def trust(self, root: Path | None = None) -> str | None:
        """Make sure that there is a root to trust: the given one, or that of the first contact.

        Args:
            root: The registry's root.json, which came to this device by another way; None to keep what is trusted, and
                on first contact to take the registry's.

        Returns:
            The SHA-256 of a root that was taken from the registry unseen; None otherwise.

        Raises:
            UntrustedError: Another root is trusted already.
            UnreachableError: The registry's root cannot be read.
            StorageError: The root cannot be stored, or the given file cannot be read.
        """
        stored = self._folder / ROOT_NAME
        given = None if root is None else _read_file(root)
        if stored.exists():
            if given is not None and given != _read_file(stored):
                raise UntrustedError(
                    f"{root}: differs from the root that this device trusts ({stored}). Keys are rotated by the "
                    "registry itself; to follow another registry, use another --models folder."
                )
            return None
        taken = given if given is not None else self._connection.get(f"{METADATA}/1.root.json", ROOT_BYTES).body
        try:
            Updater(str(self._folder), "", fetcher=Fetcher(self._connection), bootstrap=taken)
        except (tuf_errors.RepositoryError, ValueError) as error:
            raise UntrustedError(
                f"{root or self._connection.url}: is not a signed root of a registry ({error})."
            ) from None
        write_bytes_atomic(stored, taken)
        return hashlib.sha256(taken).hexdigest() if given is None else None

    def refresh(self) -> bool:
        """Read and verify the registry's metadata.

        Returns:
            Whether anything changed since the last time.

        Raises:
            UnreachableError: The registry does not answer as it should: try again.
            UntrustedError: Its answer must not be believed; the message says why and what to do.
            StorageError: The metadata cannot be stored.
        """
        self._state.run_clock()
        seen: dict[str, Answer | UnreachableError] = {}
        if self._unchanged(seen):
            return False
        # After an error the next round takes the whole workflow: it remembers what was seen before the error.
        self._updater, self._timestamp = None, None
        try:
            updater = TimedUpdater(
                self._state,
                str(self._folder),
                f"{self._connection.url}/{METADATA}/",
                str(self._folder / "documents"),
                f"{self._connection.url}/{TARGETS}/",
                Fetcher(self._connection, seen),
                UpdaterConfig(
                    root_max_length=ROOT_BYTES,
                    timestamp_max_length=TIMESTAMP_BYTES,
                    snapshot_max_length=SNAPSHOT_BYTES,
                    targets_max_length=TARGETS_BYTES,
                ),
                bootstrap=_read_file(self._folder / ROOT_NAME),
            )
            updater.refresh()
            versions, keys = versions_of(updater), keys_of(updater)
        except tuf_errors.DownloadError as error:
            raise download_problem(self._connection.url, error) from error
        except (tuf_errors.RepositoryError, ValueError, RecursionError) as error:
            raise UntrustedError(refusal(error, self._connection, self._state)) from error
        except OSError as error:
            raise storage_error(self._folder, error) from error
        self._check_versions(versions, keys)
        changed = versions != self._state.seen_versions
        if replaced_keys(self._state, keys, "timestamp"):
            self._state.forget_evidence()
        self._state.saw(versions, signing_time(updater))
        self._state.put("seen_keys", keys)
        answer = seen.get(f"{METADATA}/timestamp.json")
        self._updater, self._timestamp = updater, answer if isinstance(answer, Answer) else None
        return changed

    def _unchanged(self, seen: dict[str, Answer | UnreachableError]) -> bool:
        """Whether the registry presents the very metadata that were verified before, and they have not expired.

        Args:
            seen: Receives the answers by path: they need not be asked for again.
        """
        updater, before = self._updater, self._timestamp
        if updater is None or before is None:
            return False
        known, now = updater._trusted_set, datetime.fromtimestamp(self._state.trusted_now(), UTC)
        if any(signed.is_expired(now) for signed in known):
            return False
        root, stamp = f"{METADATA}/{known.root.version + 1}.root.json", f"{METADATA}/timestamp.json"
        tag = before.headers.get("etag", "")
        wanted = {"If-None-Match": tag} if _TAG.fullmatch(tag) else {}
        try:
            if before.headers.get(_ROOT_HEADER) == str(known.root.version):
                answer = self._ask(stamp, TIMESTAMP_BYTES, wanted)
                if isinstance(answer, UnreachableError) or answer.headers.get(_ROOT_HEADER) != str(known.root.version):
                    return False  # the root comes first
            else:
                seen[root] = found = self._ask(root, ROOT_BYTES, {})
                if isinstance(found, Answer) or found.status not in _NO_ROOT:
                    return False
                answer = self._ask(stamp, TIMESTAMP_BYTES, wanted)
        except TooLongError:
            seen.clear()
            return False
        if isinstance(answer, Answer) and (answer.status == 304 or answer.body == before.body):
            return True
        seen[stamp] = answer
        return False

    def _ask(self, path: str, max_bytes: int, headers: Mapping[str, str]) -> Answer | UnreachableError:
        """An answer of the registry, also one that there is no such file; raises where there is none."""
        try:
            return self._connection.get(path, max_bytes, headers)
        except UnreachableError as error:
            if error.status is None:
                raise
            return error

    def document(self, target: str) -> Any:
        """A small signed JSON file of the registry.

        Args:
            target: Its target path, such as "environments/production.json".

        Returns:
            Its value, which the caller does not change; None where the registry has no such target.

        Raises:
            UnreachableError: It cannot be downloaded.
            UntrustedError: It is not what was signed, or not JSON.
        """
        info = self.info(target)
        if info is None:
            return None
        if info.length > DOCUMENT_BYTES:
            raise UntrustedError(f"{target}: has {info.length} bytes; {DOCUMENT_BYTES} are allowed.")
        kept = self._documents.get(target)
        if kept is not None and kept[0] == info:
            return kept[1]
        updater = self._refreshed()
        try:
            path = updater.find_cached_target(info) or updater.download_target(info)
            value = parse_json(Path(path).read_text("utf-8"), MAX_DEPTH)
        except tuf_errors.DownloadError as error:
            raise download_problem(self._connection.url, error) from error
        except tuf_errors.RepositoryError as error:
            raise UntrustedError(f"{target}: differs from the document that the registry signed ({error}).") from error
        except OSError as error:
            raise storage_error(self._folder, error) from error
        except (ValueError, RecursionError) as error:
            raise UntrustedError(f"{target}: is signed but is not JSON ({error}).") from error
        self._documents[target] = (info, value)
        return value

    def info(self, target: str) -> TargetFile | None:
        """What is signed about a file: length and digests; None where the registry has no such target.

        Args:
            target: Its target path.

        Raises:
            UnreachableError: Metadata of a delegated role cannot be downloaded.
            UntrustedError: They are not what was signed.
        """
        try:
            return self._refreshed().get_targetinfo(target)
        except tuf_errors.DownloadError as error:
            raise download_problem(self._connection.url, error) from error
        except tuf_errors.RepositoryError as error:
            raise UntrustedError(refusal(error, self._connection, self._state)) from error

    def download(self, info: TargetFile, path: Path) -> None:
        """Download a file; it continues what an earlier attempt left at ``path``, and is verified as a whole.

        Args:
            info: What is signed about it.
            path: Where it is written. Only after this returned may it be used.

        Raises:
            UnreachableError, UntrustedError, StorageError: As ``downloading.download``.
        """
        download(self._connection, info, path)

    def _refreshed(self) -> Updater:
        if self._updater is None:
            raise UntrustedError("the registry's metadata have not been verified. Call refresh first.")
        return self._updater

    def _check_versions(self, versions: Mapping[str, int], keys: Mapping[str, list[str]]) -> None:
        """Refuse what is older than what was seen, also where the stored metadata were lost (power, a full disk).

        Versions that a role's former keys signed do not count: who had stolen a key may have signed the highest number
        there is, and new keys are the way out (specification, section 5.3.11). The root's keys sign their own end.
        """
        rotated = {role for role in ROLES[1:] if replaced_keys(self._state, keys, role)}
        if rotated & {"snapshot", "targets"}:
            rotated.add("targets")  # the snapshot says which targets are current
        older = [
            role for role in ROLES if role not in rotated and versions[role] < self._state.seen_versions.get(role, 0)
        ]
        if older:
            seen = self._state.seen_versions
            raise UntrustedError(
                older_state(
                    self._connection.url, ", ".join(f"{role} {versions[role]} after {seen[role]}" for role in older)
                )
            )


def _read_file(path: Path) -> bytes:
    try:
        return read_regular_bytes(path, ROOT_BYTES, StorageError)
    except OSError as error:
        raise StorageError(
            f"{path}: the trusted root cannot be read ({error.strerror}). Give the registry's root.json."
        ) from error
