"""Versions outside a registry: signed exports, and the manifest of one folder in both directions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from registry_files import TRUSTED, make_registry
from tflite_adapter import make_tflite

from adapters.errors import ConfigError, MissingExtraError, StorageError
from cliplab.api import ensemble
from cliplab.registry import (
    CurrentModel,
    registry_export,
    registry_from_folder,
    registry_list,
    registry_manifest,
    registry_promote,
    registry_to_folder,
)

NAME = "base-general"


def test_workers_of_a_folder_follow_an_environment(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0", "1.1.0").close()
    registry_promote(NAME, "1.0.0", "production", registry=tmp_path / "r", trust_adapters=TRUSTED)
    report = registry_to_folder(NAME, tmp_path / "models", environment="production", registry=tmp_path / "r")
    assert report.current == "base-general-v1.0.0.tflite"
    assert len(report.written) == 2
    model = CurrentModel(tmp_path / "models", trust_adapters=TRUSTED)
    assert model.get_named()[0] == "base-general-v1.0.0.tflite"
    registry_promote(NAME, "1.1.0", "production", registry=tmp_path / "r", trust_adapters=TRUSTED)
    again = registry_to_folder(NAME, tmp_path / "models", environment="production", registry=tmp_path / "r")
    assert not again.written
    assert model.get_named()[0] == "base-general-v1.1.0.tflite"


def test_a_folder_becomes_versions_that_fit_and_is_read_again_without_harm(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    make_registry(tmp_path / "r").close()
    for number, config in enumerate(({}, {"contrast": 0.3}, {"imgz": 48}), 1):
        make_tflite(folder / f"tricks_v00{number}.tflite", **config)  # type: ignore[arg-type]
        registry_manifest(folder)
    (folder / "tricks_v004.tflite").write_bytes(b"half")
    report = registry_from_folder(folder, "drone-tricks", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert report.written == ("drone-tricks-v1.0.0", "drone-tricks-v1.1.0", "drone-tricks-v2.0.0")
    again = registry_from_folder(folder, "drone-tricks", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert again.skipped == report.written
    assert len(registry_list(registry=tmp_path / "r")) == 3


def test_an_export_is_verified_by_model_signing_itself(tmp_path: Path) -> None:
    verifying = pytest.importorskip("model_signing.verifying", reason="pip install 'cliplab[signing]'")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    make_registry(tmp_path / "r", "1.0.0").close()
    (tmp_path / "out").mkdir()
    path, signature = registry_export(
        NAME, tmp_path / "out" / "model.tflite", registry=tmp_path / "r", sign=tmp_path / "key.pem"
    )
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key.pub")
    verifier.verify(path, signature)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"[Mm]ismatch|different|[Ss]ignature"):
        verifier.verify(path, signature)
    (tmp_path / "bad.pem").write_text("no key")
    with pytest.raises(ConfigError, match="is not a private key"):
        registry_export(NAME, tmp_path / "two.tflite", registry=tmp_path / "r", sign=tmp_path / "bad.pem")
    assert not (tmp_path / "two.tflite").exists()
    (tmp_path / "two.tflite.sig").write_text("somebody else's")
    options = {"registry": tmp_path / "r", "sign": tmp_path / "key.pem"}
    with pytest.raises(StorageError, match=r"two\.tflite\.sig: already exists"):
        registry_export(NAME, tmp_path / "two.tflite", **options)
    assert not (tmp_path / "two.tflite").exists()
    verifier.verify(*registry_export(NAME, tmp_path / "two.tflite", force=True, **options))
    with pytest.raises(StorageError, match=r"two\.tflite\.sig: is the signature of another file; nothing was written"):
        registry_export(NAME, tmp_path / "two.tflite", registry=tmp_path / "r", force=True)
    verifier.verify(tmp_path / "two.tflite", tmp_path / "two.tflite.sig")


def test_without_the_package_of_signatures_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    (tmp_path / "key.pem").write_text("a key")
    for name in ("model_signing", "model_signing.signing"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"model_signing.*pip install .*\[signing\]"):
        registry_export(NAME, tmp_path / "model.tflite", registry=tmp_path / "r", sign=tmp_path / "key.pem")
    assert not list(tmp_path.glob("model*"))


def test_an_ensemble_names_versions_of_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_registry(tmp_path / "r", "1.0.0", "1.1.0").close()
    registry_promote(NAME, "1.1.0", "production", registry=tmp_path / "r", trust_adapters=TRUSTED)
    config = {"models": ["base-general-v1.0.0", "registry:base-general@production"], "voting": "mean"}
    with pytest.raises(ConfigError, match=r"base-general-v1\.0\.0"):
        ensemble({**config, "models": ["base-general-v1.0.0", "x"]}, tmp_path / "none", dry_run=True)
    monkeypatch.setenv("CLIPLAB_REGISTRY", str(tmp_path / "r"))
    report = ensemble(config, tmp_path / "out", dry_run=True, trust_adapters=TRUSTED)
    assert report.labels == ("not warm", "warm")
    with pytest.raises(ConfigError, match="has no version 9"):
        ensemble({**config, "models": ["registry:base-general@9.0.0", "x"]}, tmp_path / "none", dry_run=True)
