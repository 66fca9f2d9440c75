"""Metadata that are wrong in one place each: versions, lengths, digests, thresholds, chains of roots, names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from securesystemslib.signer import CryptoSigner
from signed_registry import MODEL, SignedRegistry, serving, soon
from test_device_attacks import Attacked
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    with serving(SignedRegistry()) as served:
        yield Attacked(tmp_path, served)


def signed(registry: SignedRegistry, name: str) -> Any:
    return Metadata.from_bytes(registry.files[f"tuf/metadata/{name}"]).signed


def point_at(registry: SignedRegistry, snapshot: bytes, version: int, **changes: int) -> None:
    """A new timestamp, well signed, that names this snapshot."""
    meta = MetaFile.from_data(version, snapshot, ["sha256"])
    for name, value in changes.items():
        setattr(meta, name, value)
    registry.version += 1
    stamp = Timestamp(registry.version, expires=soon(1), snapshot_meta=meta)
    registry.write("timestamp.json", stamp, "timestamp")


def snapshot_of(registry: SignedRegistry, meta: dict[str, MetaFile]) -> bytes:
    """A new snapshot, well signed, with this content, and a timestamp that names it."""
    version = registry.version + 1
    data = registry.write(f"{version}.snapshot.json", Snapshot(version, expires=soon(30), meta=meta), "snapshot")
    point_at(registry, data, version)
    return data


def old_snapshot(registry: SignedRegistry) -> None:
    point_at(registry, registry.files["tuf/metadata/1.snapshot.json"], 1)


def old_targets(registry: SignedRegistry) -> None:
    data = registry.files["tuf/metadata/1.targets.json"]
    snapshot_of(registry, {"targets.json": MetaFile.from_data(1, data, ["sha256"])})


def no_targets(registry: SignedRegistry) -> None:
    snapshot_of(registry, {"other.json": MetaFile(1)})


def targets_of_another_version(registry: SignedRegistry) -> None:
    """The snapshot promises version 9, and the file of that name says 2."""
    data = registry.files["tuf/metadata/2.targets.json"]
    registry.files["tuf/metadata/9.targets.json"] = data
    snapshot_of(registry, {"targets.json": MetaFile.from_data(9, data, ["sha256"])})


def shorter_snapshot(registry: SignedRegistry) -> None:
    data = snapshot_of(registry, signed(registry, "2.snapshot.json").meta)
    point_at(registry, data, registry.version, length=len(data) - 1)


def longer_snapshot(registry: SignedRegistry) -> None:
    data = snapshot_of(registry, signed(registry, "2.snapshot.json").meta)
    point_at(registry, data, registry.version, length=len(data) + 1)


def expired_snapshot(registry: SignedRegistry) -> None:
    meta = signed(registry, "2.snapshot.json").meta
    version = registry.version + 1
    data = registry.write(f"{version}.snapshot.json", Snapshot(version, expires=soon(-1), meta=meta), "snapshot")
    point_at(registry, data, version)


def changed_targets(registry: SignedRegistry) -> None:
    """Signed well and not what the snapshot says: another digest."""
    registry.version += 1
    targets = signed(registry, "2.targets.json")
    before = registry.files["tuf/metadata/2.targets.json"]
    targets.version = registry.version
    registry.write(f"{targets.version}.targets.json", targets, "targets")
    snapshot_of(registry, {"targets.json": MetaFile.from_data(targets.version, before, ["sha256"])})


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (old_snapshot, "older state"),
        (old_targets, "older state"),
        (no_targets, "without valid signatures"),
        (targets_of_another_version, "older state|without valid signatures"),
        (shorter_snapshot, "more than|without valid signatures"),
        (longer_snapshot, "without valid signatures"),
        (expired_snapshot, "expired"),
        (changed_targets, "without valid signatures|more than"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_role_is_wrong(attacked: Attacked, attack: Callable[[SignedRegistry], None], words: str) -> None:
    attacked.registry.promote("1.0.0", attacked.model("good"))
    assert attacked.client.round().problems == ()
    attack(attacked.registry)
    attacked.require_refused(*words.split("|"))
    attacked.require_refused(*words.split("|"))  # what was kept of the first does not help the second
    attacked.registry.version += 10
    attacked.require_recovered()


def next_root(registry: SignedRegistry, version: int, keys: Any = None, days: float = 365.0) -> Root:
    """Replace the root's key, and sign with the old and the new one, or as asked."""
    old = registry.keys["root"]
    new = [CryptoSigner.generate_ed25519()]
    registry.root.revoke_key(old[0].public_key.keyid, "root")
    registry.root.add_key(new[0].public_key, "root")
    registry.root.version, registry.root.expires = version, soon(days)
    registry.write(f"{version}.root.json", registry.root, "root", keys({"old": old, "new": new}) if keys else old + new)
    registry.keys["root"] = new
    return registry.root


@pytest.mark.parametrize("who", ["old", "new"])
def test_a_root_needs_the_keys_before_it_and_its_own(attacked: Attacked, who: str) -> None:
    next_root(attacked.registry, 2, lambda keys: keys[who])
    attacked.require_refused("without valid signatures")


def test_a_root_must_be_the_next_one(attacked: Attacked) -> None:
    root = next_root(attacked.registry, 2)
    root.version = 5
    old = attacked.registry.keys["root"]
    attacked.registry.write("2.root.json", root, "root", old)
    attacked.require_refused("older state", "without valid signatures")


def test_a_chain_of_roots_may_have_expired_in_between(attacked: Attacked) -> None:
    """A device that slept through three rotations; only the last root must be fresh."""
    next_root(attacked.registry, 2, days=-30)
    next_root(attacked.registry, 3, days=-10)
    attacked.require_refused("expired")
    next_root(attacked.registry, 4)
    attacked.require_recovered()
    assert attacked.client._state.seen_versions["root"] == 4


def test_the_old_keys_of_the_root_sign_nothing_after_it(attacked: Attacked) -> None:
    stolen = attacked.registry.keys["root"]
    next_root(attacked.registry, 2)
    attacked.require_recovered("1.0.1")
    root = Metadata.from_bytes(attacked.registry.files["tuf/metadata/2.root.json"]).signed
    root.version = 3
    attacked.registry.write("3.root.json", root, "root", stolen)
    assert "without valid signatures" in attacked.client.round().problems[0]
    del attacked.registry.files["tuf/metadata/3.root.json"]
    attacked.require_recovered()


@pytest.mark.parametrize(
    "name",
    [
        "ü/ö.tflite",
        "базовая/модель.tflite",
        "a/\u202egnp.tflite",
        "a b/c%2fd.tflite",
        "a/?x=1#y.tflite",
        "a/\r\nX-Evil: 1.tflite",
    ],
)
def test_names_of_targets_are_quoted_and_become_no_names_here(attacked: Attacked, name: str) -> None:
    data = attacked.model("new")
    entry = attacked.registry.place("1.1.0", data)
    attacked.registry.targets[name] = attacked.registry.targets.pop(entry["target"])
    models = {"models": {MODEL: {**entry, "target": name}}}
    attacked.registry.targets["environments/production.json"] = json.dumps(models).encode()
    attacked.registry.sign()
    from urllib.parse import quote

    files = attacked.registry.files
    for path in list(files):
        files[quote(path, safe="/")] = files[path]
    assert attacked.client.round().models[MODEL].version == "1.1.0"
    assert sorted(path.name for path in (attacked.folder / MODEL).glob("*.tflite")) == [
        f"{MODEL}-v1.0.0.tflite",
        f"{MODEL}-v1.1.0.tflite",
    ]


@pytest.mark.parametrize("name", ["../../../evil.tflite", "/etc/evil.tflite", "a/../../../evil.tflite", "..", "\x00"])
@pytest.mark.parametrize("where", ["target", "version", "model"])
def test_names_that_lead_out_of_the_folder(attacked: Attacked, where: str, name: str) -> None:
    """Signed by stolen keys: whatever becomes of it, no file outside of the device's folders."""
    entry = attacked.registry.place("1.1.0", attacked.model("new"))
    model = name if where == "model" else MODEL
    if where == "target":
        attacked.registry.targets[name] = attacked.registry.targets.pop(entry["target"])
    if where != "model":
        entry[where] = name
    attacked.registry.targets["environments/production.json"] = json.dumps({"models": {model: entry}}).encode()
    attacked.registry.sign()
    attacked.model("new")
    before = set(attacked.tmp_path.iterdir())
    attacked.client.round()
    assert set(attacked.tmp_path.iterdir()) == before
    assert sorted(path.name for path in attacked.folder.iterdir()) == [".device", MODEL]
    assert all(path.is_relative_to(attacked.folder / MODEL) for path in (attacked.folder / MODEL).rglob("*"))
    attacked.registry.targets.pop(name, None)
    attacked.require_recovered()
