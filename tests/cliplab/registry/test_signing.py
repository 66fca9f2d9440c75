"""The signed repository: what a client sees after publishing, rotating keys, restoring a backup and being killed."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from command_line import python
from registry_files import TRUSTED, make_registry, upload
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata
from tuf_client import Device

from adapters.errors import AdapterError, ConfigError
from cliplab.registry import (
    Registry,
    init_keys,
    open_registry,
    publish,
    registry_init,
    registry_keys,
    registry_promote,
    registry_publish,
    registry_rollback,
    registry_rotate,
    rotate_keys,
)
from cliplab.registry.signing import ROLES

NAME = "base-general"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two versions, the first in production, published."""
    folder = tmp_path_factory.mktemp("template") / "r"
    make_registry(folder, "1.0.0", "1.1.0", keys=True).close()
    registry_promote(NAME, "1.0.0", "production", registry=folder, trust_adapters=TRUSTED)
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "r"))


@pytest.fixture
def device(place: Path, tmp_path: Path) -> Device:
    return Device(tmp_path / "device", place / "tuf")


def current(device: Device, environment: str = "production") -> str:
    """The version that a client may use, after every byte of it was verified."""
    document = json.loads(device.read(f"environments/{environment}.json"))
    model = document["models"][NAME]
    assert len(device.read(model["target"])) == model["size_bytes"]
    return str(model["version"])


def promote(place: Path, version: str) -> None:
    registry_promote(NAME, version, "production", registry=place, trust_adapters=TRUSTED)


def test_a_client_sees_promotions_rollbacks_and_rollouts(place: Path, device: Device) -> None:
    assert current(device) == "1.0.0"
    promote(place, "1.1.0")
    assert current(device) == "1.1.0"
    document = json.loads(device.read("environments/production.json"))
    assert document["models"][NAME]["previous"]["version"] == "1.0.0"
    assert document["models"][NAME]["golden"]["scores"]
    registry_rollback(NAME, "production", registry=place)
    assert current(device) == "1.0.0"
    upload(place, NAME, "1.2.0")
    rollout = {"id": "x", "model": NAME, "control": "1.0.0", "candidate": "1.2.0", "percent": 5, "salt": "x"}
    with open_registry(place) as registry:
        assert "1.2.0" not in str(publish(registry).targets), "what nobody may use is not published"
        registry.set_rollouts([rollout])
        publish(registry)
    seen = json.loads(device.read("rollouts.json"))["rollouts"][0]
    assert seen["candidate_file"]["version"] == "1.2.0"
    assert device.read(seen["candidate_file"]["target"])


def test_what_did_not_change_is_not_signed_again(place: Path) -> None:
    before = {path.name: path.read_bytes() for path in (place / "tuf" / "metadata").iterdir()}
    assert not registry_publish(registry=place).changed
    assert before == {path.name: path.read_bytes() for path in (place / "tuf" / "metadata").iterdir()}


@pytest.mark.parametrize("roles", [("timestamp",), ("snapshot",), ("targets",), ("root",), ROLES])
def test_a_device_follows_new_keys_and_the_old_ones_sign_nothing(
    place: Path, device: Device, roles: tuple[str, ...]
) -> None:
    assert current(device) == "1.0.0"
    before = registry_keys(registry=place)
    after, _ = registry_rotate(roles, registry=place, reason="a laptop was stolen")
    for role in ROLES:
        assert (set(before.keys[role]) & set(after.keys[role]) == set()) == (role in roles)
    promote(place, "1.1.0")
    assert current(device) == "1.1.0"
    assert current(Device(device.home.parent / "new", place / "tuf")) == "1.1.0", "also from the first root"
    assert len(list((place / "keys" / "retired").iterdir())) == len(roles)
    # The stolen key signs, as an attacker would, what says 1.0.0 again.
    for role in ("timestamp", "snapshot", "targets"):
        if role not in roles:
            continue
        attack(place, role)
        with pytest.raises(RepositoryError):
            current(Device(device.home.parent / "third", place / "tuf"))
        return


def attack(place: Path, role: str) -> None:
    """Sign newer metadata of a role by its retired key."""
    from cliplab.registry.key_files import load_key

    folder = place / "tuf" / "metadata"
    name = {"timestamp": "timestamp.json"}.get(role)
    path = folder / name if name else max(folder.glob(f"*.{role}.json"), key=lambda item: int(item.name.split(".")[0]))
    metadata: Metadata = Metadata.from_file(str(path))  # type: ignore[type-arg]
    metadata.signed.version += int(role == "timestamp")
    metadata.signatures.clear()
    metadata.sign(load_key(next((place / "keys" / "retired").glob(f"{role}-*.pem"))))
    metadata.to_file(str(path))


def test_thresholds_ask_for_so_many_keys(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with make_registry(folder, "1.0.0") as registry:
        init_keys(registry, count={"root": 3, "targets": 2}, thresholds={"root": 2})
    report = registry_keys(registry=folder)
    assert (len(report.keys["root"]), report.thresholds["root"], report.thresholds["targets"]) == (3, 2, 2)
    promote(folder, "1.0.0")
    assert current(Device(tmp_path / "device", folder / "tuf")) == "1.0.0"
    roots = sorted((folder / "keys").glob("root-*.pem"))
    roots[0].rename(tmp_path / "a.pem")
    registry_rotate(("timestamp",), registry=folder)  # two of three are enough
    roots[1].rename(tmp_path / "b.pem")
    with pytest.raises(ConfigError, match=r"holds 1 of the 3 private keys of root; 2 must sign"):
        registry_rotate(("timestamp",), registry=folder)
    next((folder / "keys").glob("targets-*.pem")).unlink()
    upload(folder, NAME, "1.1.0")
    report = registry_promote(NAME, "1.1.0", "production", registry=folder, trust_adapters=TRUSTED)
    assert any("1 of the 2 private keys of targets" in note for note in report.notes), "stored, and not published"
    assert current(Device(tmp_path / "other", folder / "tuf")) == "1.0.0", "what was published stays whole"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"thresholds": {"root": 2}}, "1 to 1 can sign"),
        ({"count": {"root": 0}}, "1 to 10 keys"),
        ({"days": {"timestamp": 0}}, "1 to 3650 days"),
        ({"count": {"mirrors": 1}}, "is not a role"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, dict[str, int]], said: str) -> None:
    with make_registry(tmp_path / "r") as registry, pytest.raises(ConfigError, match=said):
        init_keys(registry, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "r" / "keys").exists()


def test_a_restored_backup_is_refused_until_somebody_recovers(place: Path, device: Device, tmp_path: Path) -> None:
    assert current(device) == "1.0.0"
    backup = shutil.copytree(place, tmp_path / "backup")
    promote(place, "1.1.0")
    assert current(device) == "1.1.0"
    shutil.rmtree(place)
    shutil.copytree(backup, place)
    with pytest.raises(BadVersionNumberError):
        current(device)
    with pytest.raises(ConfigError, match="needs a reason"):
        registry_publish(registry=place, recover=True)
    registry_publish(registry=place, recover=True, reason="the disk broke")
    assert current(device) == "1.0.0"
    promote(place, "1.1.0")
    assert current(device) == "1.1.0"


def test_metadata_that_is_due_is_renewed_and_a_frozen_one_expires(
    place: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as dates

    from tuf.ngclient._internal import trusted_metadata_set

    from cliplab.registry import publishing

    real = dates.datetime

    class Later(dates.datetime):
        days = 4

        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> dates.datetime:  # type: ignore[override]
            return real.now(tz) + dates.timedelta(days=cls.days)

    monkeypatch.setattr(publishing, "datetime", Later)
    report = registry_publish(registry=place)
    assert not report.changed
    assert report.versions["timestamp"] == 2
    assert report.versions["snapshot"] == 1
    monkeypatch.undo()
    assert current(device) == "1.0.0"
    Later.days = 12  # four of them are over when it was renewed
    monkeypatch.setattr(trusted_metadata_set.datetime, "datetime", Later)
    with pytest.raises(ExpiredMetadataError):
        current(device)


def test_keys_of_others_and_with_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "r"
    monkeypatch.setenv("CLIPLAB_KEY_PASSWORD", "correct horse")
    make_registry(folder, "1.0.0", keys=True).close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder / "keys").iterdir())
    assert all(b"ENCRYPTED" in path.read_bytes() for path in (folder / "keys").iterdir())
    registry_publish(registry=folder)
    for password, said in (("wrong", "CLIPLAB_KEY_PASSWORD is wrong"), ("", "protected by a password")):
        monkeypatch.setenv("CLIPLAB_KEY_PASSWORD", password)
        with pytest.raises(ConfigError, match=said):
            registry_rotate(registry=folder)
    next((folder / "keys").glob("root-*.pem")).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        registry_rotate(registry=folder)


def test_init_is_run_again_without_harm_and_names_what_differs(tmp_path: Path) -> None:
    report = registry_init(tmp_path / "r", tracking="none", thresholds={"root": 1}, days={"timestamp": 2})
    assert report.keys is not None
    assert report.keys.days["timestamp"] == 2
    again = registry_init(tmp_path / "r")
    assert again.keys is not None
    assert again.keys.keys == report.keys.keys
    with pytest.raises(ConfigError, match="has tracking 'none'"):
        registry_init(tmp_path / "r", tracking="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="must be postgresql://"):
        registry_init(tmp_path / "other", database="mysql://x")


def test_publishers_at_one_time_leave_one_whole_repository(place: Path, device: Device) -> None:
    errors: list[BaseException] = []

    def act(number: int) -> None:
        try:
            with open_registry(place) as registry:
                registry.set_rollouts([{"id": str(number), "model": NAME}])
                publish(registry)
        except BaseException as error:  # shown by the test
            errors.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with open_registry(place) as registry:
        wanted = registry.rollouts()
    assert json.loads(device.read("rollouts.json"))["rollouts"] == wanted


# At every step, or at some of them.
@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that it forked")
@pytest.mark.parametrize(("who", "steps"), [("publisher", 30), ("upload", 20)])
def test_whoever_is_killed_at_any_step_leaves_the_old_or_the_new(
    place: Path, device: Device, who: str, steps: int, stride: int
) -> None:
    # In a process of its own, without the threads of other tests: those must not be forked.
    code = f"import sys, killed_steps; print(killed_steps.{who}(*sys.argv[1:]))"
    ran = python(code, place, device.home, stride)
    assert ran.exit_code == 0, ran.output
    assert int(ran.stdout) >= steps // stride


def test_a_registry_without_keys_promotes_and_says_that_devices_do_not_see_it(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    report = registry_promote(NAME, "1.0.0", "staging", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert report.published is None
    assert any("no keys" in note for note in report.notes)
    with open_registry(tmp_path / "r") as registry:
        with pytest.raises(ConfigError, match="has no keys"):
            publish(registry)
        with pytest.raises(ConfigError, match="is not a role"):
            rotate_keys(registry, ("mirrors",))
        assert isinstance(registry, Registry)


def test_damaged_metadata_is_named_with_the_way_out(place: Path) -> None:
    (place / "tuf" / "metadata" / "timestamp.json").write_text("{")
    with pytest.raises(AdapterError, match=r"timestamp\.json: is damaged .*publish --recover"):
        registry_publish(registry=place)
    report = registry_publish(registry=place, recover=True, reason="the disk broke")
    assert report.versions["timestamp"] > 1_000_000_000
