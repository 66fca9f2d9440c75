"""The attacks of The Update Framework's specification (1.0.31, section 1.5.2): no byte of them comes into use."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="pip install 'cliplab[device]'")
from securesystemslib.signer import CryptoSigner
from signed_registry import MODEL, Served, SignedRegistry, drip, serving
from tflite_adapter import make_tflite

from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions, Round
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import UnreachableError
from cliplab.rollout.device.installed import InstalledModel

GOOD, BAD = "good", "bad"


class Attacked:
    """A device that has version 1.0.0 and asks a registry that an attacker speaks for."""

    def __init__(self, tmp_path: Path, served: Served) -> None:
        self.folder, self.tmp_path, self.served, self.registry = tmp_path / "models", tmp_path, served, served.registry
        self.clients: list[DeviceClient] = []
        self.registry.promote("1.0.0", self.model(GOOD))
        self.client = self.new_client()
        assert self.client.round().problems == ()

    def new_client(self) -> DeviceClient:
        def check(path: Path, golden: Any) -> CheckResult:
            return CheckResult(True, "")

        client = DeviceClient(DeviceOptions("a", self.served.url, self.folder), check=check, machine="one")
        self.clients.append(client)
        return client

    def model(self, label: str) -> bytes:
        return make_tflite(self.tmp_path / f"{label}.made", label).read_bytes()

    def target(self, version: str) -> str:
        [path] = [path for path in self.registry.files if path.endswith(f"v{version}.tflite")]
        return path

    def require_refused(self, *words: str) -> Round:
        """A round that changes nothing, and says why."""
        done = self.client.round()
        assert done.problems
        assert any(word in " ".join(done.problems) for word in words), done.problems
        current = InstalledModel(self.folder, MODEL).current()
        assert current is not None
        assert current.version == "1.0.0"
        files = [path.read_bytes() for path in (self.folder / MODEL).glob("*.tflite")]
        assert files == [self.model(GOOD)]
        return done

    def require_recovered(self, version: str = "2.0.0") -> None:
        """After the attack the device goes on."""
        self.served.answers.clear()
        self.registry.promote(version, self.model("new"))
        done = self.client.round()
        assert (done.problems, done.models[MODEL].version) == ((), version)


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    with serving(SignedRegistry()) as served:
        made = Attacked(tmp_path, served)
        yield made
        for client in made.clients:
            client.close()


def replies(data: bytes, status: int = 200) -> Callable[[Any], None]:
    return lambda handler: handler.answer(status, data)


def test_arbitrary_software(attacked: Attacked) -> None:
    """Another file under the name of a signed one."""
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.registry.files[attacked.target("1.1.0")] = attacked.model("evl")
    attacked.require_refused("that the registry signed")
    attacked.require_recovered()


def test_metadata_of_other_keys(attacked: Attacked) -> None:
    """All of a repository, signed by the attacker's own keys."""
    other = SignedRegistry()
    other.version = 5
    other.promote("1.1.0", attacked.model(BAD))
    attacked.served.registry = other
    attacked.require_refused("without valid signatures")


def test_rollback(attacked: Attacked) -> None:
    """What was signed before is presented again."""
    old = dict(attacked.registry.files)
    attacked.registry.promote("1.0.0", attacked.model(GOOD))
    assert attacked.client.round().problems == ()
    attacked.registry.files = old
    attacked.require_refused("older state")
    # Also where the stored metadata were lost.
    for path in (attacked.folder / ".device" / "trust").glob("*.json"):
        if path.name != "trusted_root.json":
            path.unlink()
    attacked.client = attacked.new_client()
    attacked.require_refused("restored from a backup")
    attacked.require_recovered()


def test_indefinite_freeze(attacked: Attacked) -> None:
    """The same answer for ever: it expires."""
    attacked.registry.sign(days=-0.01)
    attacked.require_refused("expired")
    attacked.require_recovered()


def test_freeze_of_a_device_whose_clock_is_a_year_behind(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_at = datetime.now(UTC)
    year_ago = time.time() - 365 * 86400
    monkeypatch.setattr("cliplab.rollout.device.state.wall_clock", lambda: year_ago)
    done = attacked.client.round()
    assert done.problems == ()  # what is fresh is taken
    assert any("clock" in warning for warning in done.warnings)
    attacked.registry.sign(days=1, signed_at=signed_at)
    assert attacked.client.round().problems == ()
    # The client runs for two days, by a clock that nobody sets, while the same answer comes.
    elapsed = time.monotonic() + 2 * 86400
    monkeypatch.setattr("cliplab.rollout.device.state.steady_clock", lambda: elapsed)
    attacked.require_refused("expired")
    attacked.registry.sign(days=5)
    assert attacked.client.round().problems == ()


def test_a_clock_a_year_ahead_refuses_and_recovers(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = time.time() + 365 * 86400
    monkeypatch.setattr("cliplab.rollout.device.state.wall_clock", lambda: ahead)
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    done = attacked.require_refused("expired")
    assert "set the clock" in done.problems[0]
    monkeypatch.undo()
    attacked.require_recovered()


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"])
def test_endless_data(attacked: Attacked, name: str) -> None:
    """An answer without an end: it is cut off at the length that is signed or allowed."""
    sent = []

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            sent.append(65536)

    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.served.answers[f"tuf/metadata/{name}"] = endless
    attacked.require_refused("more than", "signed")
    assert sum(sent) < 20_000_000
    attacked.require_recovered()


def test_an_endless_model(attacked: Attacked) -> None:
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.served.answers[attacked.target("1.1.0")] = replies(attacked.model(BAD) + b"0" * 100_000)
    attacked.require_refused("more than")
    assert sum(path.stat().st_size for path in (attacked.folder / ".device" / "downloads").iterdir()) <= 100_000
    attacked.require_recovered()


def test_slow_retrieval(attacked: Attacked) -> None:
    """A byte now and then: a request ends by its own limit, whatever arrives."""
    attacked.served.answers["tuf/metadata/timestamp.json"] = lambda handler: drip(handler, b"x" * 1000, 60)
    connection = RegistryConnection(attacked.served.url, small_seconds=0.4)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="within"):
        connection.get("tuf/metadata/timestamp.json", 10_000)
    assert time.monotonic() - began < 15
    attacked.client._connection._small_seconds = 0.4
    attacked.require_refused("within")


def test_mix_and_match(attacked: Attacked) -> None:
    """Metadata of different times together."""
    attacked.registry.promote("1.0.1", attacked.model(BAD))
    earlier = dict(attacked.registry.files)
    attacked.registry.promote("1.0.2", attacked.model("third"))
    for name in ("snapshot", "targets"):
        attacked.registry.files[f"tuf/metadata/3.{name}.json"] = earlier[f"tuf/metadata/2.{name}.json"]
    attacked.require_refused("without valid signatures", "more than", "older state")


def test_extraneous_dependencies(attacked: Attacked) -> None:
    """A file of the attacker's as something that the update needs: beside the signed document, and in it."""
    entry = attacked.registry.promote("1.1.0", attacked.model(BAD))
    [document] = [
        path for path in attacked.registry.files if path.endswith("production.json") and _latest(attacked, path)
    ]
    signed = json.loads(attacked.registry.files[document])
    evil = {**entry, "target": "base-needed/1.0.0/base-needed-v1.0.0.tflite"}
    attacked.registry.files[f"tuf/targets/base-needed/1.0.0/{entry['sha256']}.base-needed-v1.0.0.tflite"] = b"evil"
    more = {**signed["models"], "base-needed": evil}
    attacked.registry.files[document] = json.dumps({"models": more, "requires": ["base-needed"]}).encode()
    attacked.require_refused("that the registry signed", "more than")
    assert not (attacked.folder / "base-needed").exists()
    # A document that is signed and asks for more than models: what it asks for is not read.
    asked = {"models": signed["models"], "requires": [evil["target"]], "post_install": "rm -r /"}
    attacked.registry.targets["environments/production.json"] = json.dumps(asked).encode()
    attacked.registry.sign()
    attacked.served.asked.clear()
    assert attacked.client.round().models[MODEL].version == "1.1.0"
    assert not [path for path, _ in attacked.served.asked if "base-needed" in path]
    assert sorted(path.name for path in attacked.folder.iterdir() if not path.name.startswith(".")) == [MODEL]


def _latest(attacked: Attacked, path: str) -> bool:
    """Whether it is the document that is signed now, and not an earlier one."""
    return attacked.registry.files[path] == attacked.registry.targets["environments/production.json"]


@pytest.mark.parametrize("held", ["metadata", "targets", "all"])
def test_a_mirror_that_prevents_updates(attacked: Attacked, held: str) -> None:
    """Whoever stands between answers that nothing is there: said in each round, asked more rarely, and over at once."""
    attacked.registry.promote("1.1.0", attacked.model("wanted"))
    for path in list(attacked.registry.files):
        if held in ("all", path.split("/")[1]):
            attacked.served.answers[path] = replies(b"not here", 404)
    for _ in range(3):
        attacked.require_refused("404")
    attacked.served.answers.clear()
    done = attacked.client.round()
    assert (done.problems, done.models[MODEL].version) == ((), "1.1.0")


def test_wrong_software(attacked: Attacked) -> None:
    """A file that is signed, under the name of another."""
    attacked.registry.place("0.9.0", attacked.model(BAD))
    attacked.registry.promote("1.1.0", attacked.model("wanted"))
    attacked.registry.files[attacked.target("1.1.0")] = attacked.model(BAD)
    attacked.require_refused("that the registry signed")
    # A document that names a file whose digest is another.
    entry = attacked.registry.place("1.2.0", attacked.model(BAD))
    models = {"models": {MODEL: {**entry, "sha256": "0" * 64}}}
    attacked.registry.targets["environments/production.json"] = json.dumps(models).encode()
    attacked.registry.sign()
    attacked.served.answers.clear()
    attacked.require_refused("differ")


def test_keys_below_the_threshold(tmp_path: Path) -> None:
    """Two of three keys were stolen, and three must sign."""
    with serving(SignedRegistry(targets=3)) as served:
        attacked = Attacked(tmp_path, served)
        keys = {"targets": attacked.registry.keys["targets"][:2]}
        attacked.registry.place("1.1.0", attacked.model(BAD))
        attacked.registry.sign(keys=keys)
        attacked.require_refused("without valid signatures")
        stolen = attacked.registry.keys["targets"][:2]
        attacked.registry.sign(keys={"targets": [*stolen, CryptoSigner.generate_ed25519()]})
        attacked.require_refused("without valid signatures")
        attacked.require_recovered()


def test_stolen_online_keys_do_not_sign_models(attacked: Attacked) -> None:
    """Who has only snapshot and timestamp cannot add a file."""
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.registry.sign(keys={"targets": attacked.registry.keys["timestamp"]})
    attacked.require_refused("without valid signatures")


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_truncated_files(attacked: Attacked, cut: float) -> None:
    """A connection that ends early; the next round continues where it stopped."""
    attacked.registry.promote("1.1.0", make_tflite(attacked.tmp_path / "m", "x", size_bytes=50_000).read_bytes())
    target = attacked.target("1.1.0")
    data = attacked.registry.files[target]
    length = int(len(data) * cut)

    def cut_short(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:length])
        handler.close_connection = True

    attacked.served.answers[target] = cut_short
    attacked.require_refused("ended after", "cannot be reached")
    attacked.served.answers.clear()
    attacked.served.asked.clear()
    assert attacked.client.round().models[MODEL].version == "1.1.0"
    assert [wanted for path, wanted in attacked.served.asked if path == target] == (
        [f"bytes={length}-"] if length else [""]
    )


def test_a_poisoned_download_is_not_continued(attacked: Attacked) -> None:
    """What lies on the disk from before is verified with the rest."""
    attacked.registry.promote("1.1.0", attacked.model("next"))
    sha256 = attacked.target("1.1.0").rpartition("/")[2].partition(".")[0]
    downloads = attacked.folder / ".device" / "downloads"
    downloads.mkdir(exist_ok=True)
    (downloads / f"{sha256}.part").write_bytes(b"poison")
    attacked.require_refused("that the registry signed")
    (downloads / f"{sha256}.tflite").write_bytes(attacked.model(BAD)[: len(attacked.model("next"))])
    attacked.require_refused("that the registry signed", "more than")
    assert attacked.client.round().models[MODEL].version == "1.1.0"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"signed": {}}', b"\xff" * 50, b"[" * 15_000, b'{"a": NaN}'])
@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_corrupted_metadata(attacked: Attacked, name: str, data: bytes) -> None:
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.served.answers[f"tuf/metadata/{name}"] = replies(data)
    attacked.require_refused("without valid signatures", "reached")


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 500, 503])
def test_other_answers(attacked: Attacked, status: int) -> None:
    attacked.registry.promote("1.1.0", attacked.model(BAD))
    attacked.served.answers["tuf/metadata/timestamp.json"] = replies(b"no", status)
    attacked.require_refused(str(status))
    attacked.require_recovered()


@pytest.mark.parametrize(
    "document",
    [
        b"null",
        b"{}",
        b'{"models": []}',
        b'{"models": {"a": 1}}',
        b'{"models": {"../evil": {"version": "1", "target": "t", "sha256": "%s"}}}' % (b"0" * 64),
        b'{"models": {"%s": {"version": "1", "target": "../x", "sha256": "../../x"}}}' % MODEL.encode(),
        b"not JSON",
    ],
)
def test_documents_that_are_signed_and_strange(attacked: Attacked, document: bytes) -> None:
    """A registry of a later version, or one whose keys were stolen: no folder outside of the device's is touched."""
    attacked.registry.targets["environments/production.json"] = document
    attacked.registry.sign()
    attacked.require_refused("does not know", "no environment", "not JSON", "cannot be the name", "differ")
    assert sorted(path.name for path in attacked.folder.iterdir()) == [".device", MODEL]
    attacked.require_recovered()


def test_keys_are_rotated_and_old_ones_count_no_more(attacked: Attacked) -> None:
    registry = attacked.registry
    old = registry.keys["root"], registry.keys["timestamp"]
    registry.keys["root"] = [CryptoSigner.generate_ed25519()]
    registry.keys["timestamp"] = [CryptoSigner.generate_ed25519()]
    for role, keys in (("root", old[0]), ("timestamp", old[1])):
        registry.root.revoke_key(keys[0].public_key.keyid, role)
        registry.root.add_key(registry.keys[role][0].public_key, role)
    registry.root.version = 2
    registry.write("2.root.json", registry.root, "root", [*old[0], *registry.keys["root"]])
    attacked.require_recovered()
    registry.place("3.0.0", attacked.model(BAD))
    registry.sign(keys={"timestamp": old[1]})
    assert attacked.client.round().problems
    registry.sign()
    assert attacked.client.round().problems == ()


def test_another_root_is_not_taken(attacked: Attacked, tmp_path: Path) -> None:
    """A root that was given is pinned, and so is that of the first contact."""
    other = tmp_path / "other.json"
    other.write_bytes(SignedRegistry().files["tuf/metadata/1.root.json"])
    attacked.client = DeviceClient(DeviceOptions("a", attacked.served.url, attacked.folder, root=other), machine="one")
    attacked.require_refused("differs from the root")
    fresh = DeviceClient(DeviceOptions("b", attacked.served.url, tmp_path / "b", root=other), machine="one")
    assert any("without valid signatures" in problem for problem in fresh.round().problems)
