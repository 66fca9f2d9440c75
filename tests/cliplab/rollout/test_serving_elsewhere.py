"""``cliplab registry serve`` over https with a certificate of one's own, and on PostgreSQL."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("tuf", reason="pip install 'cliplab[registry,http]'")
pytest.importorskip("uvicorn", reason="pip install 'cliplab[registry,http]'")

import postgres_server
import sqlalchemy as sa
from command_line import cli, start
from registry_files import TRUSTED, make_registry, upload

from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError
from cliplab.registry import open_registry, publish, registry_promote
from cliplab.registry.location import NO_TRACKING, Settings
from cliplab.registry.opening import make_settings, name_folder
from cliplab.rollout import make_tables, read_report, rollout_halt, rollout_start
from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions, Round
from cliplab.rollout.schema import REPORTS
from cliplab.rollout.serving import intake, registry_device_list

NAME = "base-general"


@contextmanager
def served(place: str, *words: object) -> Iterator[str]:
    process = start("registry", "serve", "--registry", place, "--port", "0", "--json", *words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def passes(path: Path, golden: object) -> CheckResult:
    return CheckResult(True, "")


def device(url: str, folder: Path, name: str = "kitchen", ca: Path | None = None) -> DeviceClient:
    return DeviceClient(DeviceOptions(name, url, folder, ca=ca), check=passes, machine="one")


def one_round(client: DeviceClient) -> Round:
    """A round of a client that then ends: a server waits for open connections when it ends."""
    with closing(client):
        return client.round()


# https --------------------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key, for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return folder / "cert.pem", folder / "key.pem"


def test_https_with_a_certificate_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "registry"
    with make_registry(place, "1.0.0", name=NAME, keys=True) as registry:
        registry_promote(NAME, "1.0.0", "production", registry=place, trust_adapters=TRUSTED)
        publish(registry)
    cert, key = certificate(tmp_path)
    with served(str(place), "--certificate", cert, "--key", key) as url:
        assert url.startswith("https://127.0.0.1:")
        done = one_round(device(url, tmp_path / "unknown"))
        assert not done.reachable
        assert "--ca" in done.problems[0]
        trusting = device(url, tmp_path / "ca", ca=cert)
        for _ in range(2):
            done = trusting.round()
            assert done.problems == ()
            assert done.models[NAME].version == "1.0.0"
        trusting.close()
        wrong = one_round(device(url.replace("127.0.0.1", "localhost"), tmp_path / "name", ca=cert))
        assert "not trusted" in wrong.problems[0]
        words = ("--name", "hall", "--registry", url, "--models", tmp_path / "m", "--once", "--json")
        ran = json.loads(cli("device", "run", *words, "--ca", cert, code=0).stdout)
        assert ran["models"][NAME]["version"] == "1.0.0"
        # The system's own store: OpenSSL reads it from where this variable says.
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert one_round(device(url, tmp_path / "system", "bath")).problems == ()
        context = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"{url}/health", context=context) as answer:
            assert answer.status == 200
        with pytest.raises(ConfigError, match=r"none\.pem.*--ca FILE"):
            device(url, tmp_path / "none", ca=tmp_path / "none.pem")
        with pytest.raises(ConfigError, match="--ca FILE"):
            device(url, tmp_path / "none", ca=key)
        with pytest.raises(ConfigError, match="https"):
            device("http://127.0.0.1:1", tmp_path / "none", ca=cert)


# PostgreSQL ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(postgres_server.programs() is None, reason=postgres_server.NEEDED)
def test_a_fleet_on_postgres(tmp_path: Path) -> None:
    """A device follows, reports and takes part in a rollout; the same registry by its URL and by its folder."""
    place = tmp_path / "registry"
    with postgres_server.postgres() as url:
        make_settings(place, Settings(database=url, tracking=NO_TRACKING))
        with open_registry(place) as opened:
            name_folder(opened.database, place, opened.settings)
        upload(place, NAME, "1.0.0")
        cli("registry", "init", "--registry", place, code=0)
        registry_promote(NAME, "1.0.0", "production", registry=url, trust_adapters=TRUSTED)
        with served(url) as address:
            client = device(address, tmp_path / "models")
            for _ in range(2):
                done = client.round()
                assert done.problems == ()
            assert done.models[NAME].version == "1.0.0"
            client._last_report = float("-inf")
            assert client.round().reports_sent == 1
            [listed] = registry_device_list(url)
            assert (listed["name"], listed["versions"]) == ("kitchen", {NAME: "1.0.0"})
            upload(place, NAME, "1.1.0")
            begun = rollout_start(NAME, "1.1.0", registry=url, stages="100")
            assert client.round().models[NAME].version == "1.1.0"
            rollout_halt(begun.rollout.id, registry=place, reason="a test")
            done = client.round()
            assert done.problems == ()
            assert done.models[NAME].version == "1.0.0"
            with urllib.request.urlopen(f"{address}/metrics") as answer:
                assert b"cliplab_fleet_devices 1.0" in answer.read()


# A flood ------------------------------------------------------------------------------------------------------------


def test_a_flood_waits_outside_and_what_is_acknowledged_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More reports at once than may wait: the others are asked to come again, and each is stored once in the end."""
    monkeypatch.setattr(intake, "MAX_WAITING", 20)
    monkeypatch.setattr(intake, "BATCH", 10)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/r.db")
    make_tables(engine)
    refused: list[RequestError] = []
    most = [0]

    async def flood() -> int:
        taken = intake.ReportIntake(engine)

        async def send(number: int) -> bool:
            report = read_report(f"device-{number}", {"sequence": 1, "client": "c", "versions": {NAME: "1.0.0"}})
            while True:
                most[0] = max(most[0], taken.waiting)
                try:
                    return (await taken.store(report)).new
                except RequestError as error:
                    refused.append(error)
                    await asyncio.sleep(0.05)

        storing = asyncio.create_task(taken.run())
        try:
            return sum(await asyncio.gather(*(send(number) for number in range(60))))
        finally:
            storing.cancel()

    assert asyncio.run(flood()) == 60
    assert most[0] <= 20
    assert refused
    assert all((error.status, error.headers["Retry-After"]) == (429, "10") for error in refused)
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(REPORTS)).scalar() == 60
    engine.dispose()
