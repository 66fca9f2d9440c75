"""The keys of a registry and its root of trust, as The Update Framework asks for (TUF specification 1.0.31, section 2).

Four roles sign: root says which keys count, targets says which files are whole, snapshot which targets are current,
timestamp that nothing is held back. Every new root is signed by the old root keys and the new ones, so that devices
follow it without a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import ConfigError, MissingExtraError, StorageError
from adapters.system import file_lock, read_regular_bytes, write_bytes_atomic
from cliplab.registry.events import Event
from cliplab.registry.key_files import load_key, new_key, retire_keys
from cliplab.registry.store import Registry

MAX_METADATA_BYTES = 64_000_000  # of a file of signed metadata

if TYPE_CHECKING:
    from securesystemslib.signer import Signer
    from tuf.api.metadata import Metadata, Root

ROLES = ("root", "targets", "snapshot", "timestamp")
DEFAULT_DAYS: Mapping[str, int] = {"root": 365, "targets": 90, "snapshot": 30, "timestamp": 7}
# Root metadata may have fields of its own; it is signed with them.
DAYS_FIELD = "x-cliplab-days"
MAX_KEYS, MAX_DAYS = 10, 3650
_LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class KeysReport:
    """The root of trust after a change.

    Attributes:
        root_version: The version of root.json.
        root_expires: When it expires, ISO 8601, UTC.
        keys: The ids of the keys of each role.
        thresholds: How many of them must sign, by role.
        days: For how long metadata is valid, by role.
        made: The files of private keys that were made.
        retired: The files of private keys that no longer count; they were moved aside.
    """

    root_version: int
    root_expires: str
    keys: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, int]
    days: Mapping[str, int]
    made: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def has_keys(registry: Registry) -> bool:
    """Whether the registry has a root of trust, so that it can be published.

    Args:
        registry: The registry.
    """
    return root_path(registry, 1).is_file()


def init_keys(
    registry: Registry,
    *,
    count: Mapping[str, int] | None = None,
    thresholds: Mapping[str, int] | None = None,
    days: Mapping[str, int] | None = None,
    who: str = "",
) -> KeysReport:
    """Make the keys of all roles and the first root.json.

    Args:
        registry: The registry.
        count: How many keys each role has; one where it is not named.
        thresholds: How many of a role's keys must sign; all of them where it is not named.
        days: For how long a role's metadata is valid; ``DEFAULT_DAYS`` where it is not named.
        who: Who made them, for the history.

    Returns:
        The root of trust.

    Raises:
        ConfigError: A number is not allowed, or the registry has keys.
        StorageError: The folders cannot be written.
        MissingExtraError: The ``registry`` extra is not installed.
    """
    counts, limits, valid = _checked(count, thresholds, days)
    with publishing_lock(registry):
        if has_keys(registry):
            raise ConfigError(
                f"{registry.tuf_folder}: already has a root of trust. Replace its keys: cliplab registry rotate"
            )
        made: list[str] = []
        signers = {role: [new_key(registry.keys_folder, role, made) for _ in range(counts[role])] for role in ROLES}
        root = tuf_module().Root(expires=_expiry(valid["root"]), unrecognized_fields={DAYS_FIELD: dict(valid)})
        for role in ROLES:
            for signer in signers[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = limits[role]
        metadata = tuf_module().Metadata(root)
        sign_metadata(metadata, signers["root"])
        _write_root(registry, metadata)
        report = _report(metadata, made)
        registry.append(
            Event("keys", who=who, reason="first keys", details={"root_version": 1, "keys": dict(report.keys)})
        )
    return report


def rotate_keys(
    registry: Registry,
    roles: Iterable[str] = (),
    *,
    count: Mapping[str, int] | None = None,
    thresholds: Mapping[str, int] | None = None,
    days: Mapping[str, int] | None = None,
    who: str = "",
    reason: str = "",
) -> KeysReport:
    """Replace the keys of roles by new ones, or renew root.json alone.

    The new root is signed by the old root keys and the new ones. Publish afterwards, so that the other roles sign too.

    Args:
        registry: The registry.
        roles: Whose keys are replaced; empty renews root.json with the keys that it has.
        count: How many keys those roles get; as many as they had where it is not named.
        thresholds: How many must sign; of these roles and of others. As before where it is not named.
        days: For how long metadata is valid from now on; as before where it is not named.
        who: Who rotates, for the history.
        reason: Why.

    Returns:
        The root of trust.

    Raises:
        ConfigError: A role or number is not allowed, or the private root keys are not here.
        StorageError: The folders cannot be written.
    """
    chosen = tuple(dict.fromkeys(roles))
    for role in chosen:
        if role not in ROLES:
            raise ConfigError(f"roles: {role!r:.80} is not a role. Allowed: {', '.join(ROLES)}")
    with publishing_lock(registry):
        metadata = read_root(registry)
        root = metadata.signed
        had = {role: len(root.roles[role].keyids) for role in ROLES}
        before = {role: root.roles[role].threshold for role in ROLES}
        counts = {**had, **{role: number for role, number in (count or {}).items() if role in chosen}}
        wanted = {**{r: min(before[r], counts[r]) for r in ROLES}, **(thresholds or {})}
        counts, limits, valid = _checked(counts, wanted, {**role_days(root), **(days or {})})
        old_root = signers_of(registry, root, "root", need=before["root"])
        retired_ids: set[str] = set()
        made: list[str] = []
        new_root = old_root
        for role in chosen:
            fresh = [new_key(registry.keys_folder, role, made) for _ in range(counts[role])]
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
                retired_ids.add(keyid)
            for signer in fresh:
                root.add_key(signer.public_key, role)
            new_root = fresh if role == "root" else new_root
        for role in ROLES:
            root.roles[role].threshold = limits[role]
        root.version += 1
        root.expires = _expiry(valid["root"])
        root.unrecognized_fields[DAYS_FIELD] = dict(valid)
        sign_metadata(metadata, {signer.public_key.keyid: signer for signer in (*old_root, *new_root)}.values())
        _write_root(registry, metadata)
        # Only now: a crash before this line leaves the old keys in their place.
        retired = retire_keys(registry.keys_folder, retired_ids)
        report = _report(metadata, made, retired)
        details = {"root_version": root.version, "roles": list(chosen), "keys": dict(report.keys)}
        registry.append(Event("keys", who=who, reason=reason, details=details))
    return report


def show_keys(registry: Registry) -> KeysReport:
    """The root of trust as it is.

    Args:
        registry: The registry.

    Raises:
        ConfigError: It has none.
    """
    return _report(read_root(registry), [])


def read_root(registry: Registry) -> Metadata[Root]:
    """The newest root.json.

    Args:
        registry: The registry.

    Raises:
        ConfigError: There is none.
        StorageError: It is damaged.
    """
    versions = sorted(
        int(path.name.partition(".")[0])
        for path in (registry.tuf_folder / "metadata").glob("*.root.json")
        if path.name.partition(".")[0].isdigit()
    )
    if not versions:
        raise ConfigError(f"{registry.name}: has no keys. Create them: cliplab registry init")
    path = root_path(registry, versions[-1])
    try:
        data = read_regular_bytes(path, MAX_METADATA_BYTES, StorageError)
        return tuf_module().Metadata[tuf_module().Root].from_bytes(data)  # type: ignore[no-any-return]
    except Exception as error:  # python-tuf has many reasons of its own
        raise StorageError(f"{path}: is damaged ({error}). Restore it from a backup") from error


def root_path(registry: Registry, version: int) -> Path:
    """Where a version of root.json is.

    Args:
        registry: The registry.
        version: The version.
    """
    return registry.tuf_folder / "metadata" / f"{version}.root.json"


def role_days(root: Root) -> dict[str, int]:
    """For how long metadata is valid, by role.

    Args:
        root: The root.
    """
    found = root.unrecognized_fields.get(DAYS_FIELD)
    return {**DEFAULT_DAYS, **(found if isinstance(found, dict) else {})}


def signers_of(registry: Registry, root: Root, role: str, need: int | None = None) -> list[Signer]:
    """The private keys of a role that are on this machine.

    Args:
        registry: The registry.
        root: The root that says which keys count.
        role: The role.
        need: How many are needed; None for the role's threshold.

    Raises:
        ConfigError: Too few are here, a file can be read by others, or the password is wrong.
    """
    wanted = set(root.roles[role].keyids)
    found: dict[str, Signer] = {}
    folder = registry.keys_folder
    for path in sorted(folder.glob(f"{role}-*.pem")) if folder.is_dir() else ():
        signer = load_key(path)
        if signer.public_key.keyid in wanted:
            found[signer.public_key.keyid] = signer
    least = root.roles[role].threshold if need is None else need
    if len(found) < least:
        raise ConfigError(
            f"{folder}: holds {len(found)} of the {len(wanted)} private keys of {role}; {least} must sign. Run this on "
            "the machine that has them, or mount the folder that contains them"
        )
    return list(found.values())


def publishing_lock(registry: Registry) -> Any:
    """Be the only one who signs, over threads and processes; the lock ends with the process.

    Args:
        registry: The registry.
    """

    def busy(holder: str) -> StorageError:
        return StorageError(
            f"{registry.tuf_folder}: {holder} has been publishing for {_LOCK_SECONDS:.0f} s. Wait until it finishes, "
            "or stop it"
        )

    return file_lock(registry.tuf_folder / ".publish.lock", busy=busy, wait=_LOCK_SECONDS)


def tuf_module() -> Any:
    """python-tuf's metadata.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import tuf.api.metadata as module
    except ImportError as error:
        raise MissingExtraError("tuf", "registry") from error
    return module


def _checked(
    count: Mapping[str, int] | None, thresholds: Mapping[str, int] | None, days: Mapping[str, int] | None
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    for what, given in (("count", count), ("thresholds", thresholds), ("days", days)):
        for role in given or {}:
            if role not in ROLES:
                raise ConfigError(f"{what}: {role!r:.80} is not a role. Allowed: {', '.join(ROLES)}")
    counts = {role: (count or {}).get(role, 1) for role in ROLES}
    limits = {role: (thresholds or {}).get(role, counts[role]) for role in ROLES}
    valid = {role: (days or {}).get(role, DEFAULT_DAYS[role]) for role in ROLES}
    for role in ROLES:
        if not 1 <= counts[role] <= MAX_KEYS:
            raise ConfigError(f"{role}: must have 1 to {MAX_KEYS} keys, got {counts[role]}")
        if not 1 <= limits[role] <= counts[role]:
            raise ConfigError(f"{role}: has {counts[role]} keys, so 1 to {counts[role]} can sign, got {limits[role]}")
        if not 1 <= valid[role] <= MAX_DAYS:
            raise ConfigError(f"{role}: must be valid for 1 to {MAX_DAYS} days, got {valid[role]}")
    return counts, limits, valid


def _expiry(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def sign_metadata(metadata: Any, signers: Iterable[Signer]) -> None:
    """Sign metadata by these keys alone.

    Args:
        metadata: Metadata of python-tuf.
        signers: The keys.
    """
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)


def _write_root(registry: Registry, metadata: Any) -> None:
    data = metadata.to_bytes()
    write_bytes_atomic(root_path(registry, metadata.signed.version), data)
    # For people and for the first copy on a device; clients read N.root.json.
    write_bytes_atomic(registry.tuf_folder / "metadata" / "root.json", data)


def _report(metadata: Any, made: list[str], retired: Iterable[str] = ()) -> KeysReport:
    root = metadata.signed
    return KeysReport(
        root_version=root.version,
        root_expires=root.expires.isoformat().replace("+00:00", "Z"),
        keys={role: tuple(root.roles[role].keyids) for role in ROLES},
        thresholds={role: root.roles[role].threshold for role in ROLES},
        days=role_days(root),
        made=tuple(made),
        retired=tuple(retired),
    )
