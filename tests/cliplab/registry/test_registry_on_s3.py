"""A registry whose files are on S3: upload, promote, publish, download, and what happens where S3 fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs MLflow: pip install 'cliplab[registry]'")
pytest.importorskip("boto3", reason="needs MLflow's client of S3: pip install boto3")
pytest.importorskip("s3fs", reason="needs the client of the storage: pip install s3fs")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from registry_files import TRUSTED, upload, use_registry
from s3_server import Bucket, s3_server

from adapters.errors import StorageError
from cliplab.registry import (
    PromotionRefusedError,
    open_registry,
    publish,
    registry_download,
    registry_init,
    registry_promote,
    registry_show,
)

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
NAME = "base-general"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    folder = tmp_path / "bucket"
    folder.mkdir()
    with s3_server(folder) as found:
        found.announce_to_boto3(monkeypatch)
        monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))  # another test's may be set for the whole run
        yield found


def test_it_is_alike_with_files_on_s3(bucket: Bucket, tmp_path: Path) -> None:
    registry_init(tmp_path / "r", artifacts="s3://library/models", keys=False)
    use_registry(tmp_path / "r", tmp_path)
    assert len(list(bucket.folder.rglob("*.tflite"))) == 2


def test_files_are_on_s3_and_devices_get_them_from_here(bucket: Bucket, tmp_path: Path) -> None:
    place = tmp_path / "r"
    registry_init(place, artifacts="s3://library/models")
    upload(place, NAME, "1.0.0")
    stored = registry_show(NAME, registry=place).version
    [kept] = bucket.folder.rglob("*.tflite")
    assert stored.file == f"s3://library/{kept.relative_to(bucket.folder).as_posix()}"
    assert not list(place.rglob("*.tflite"))
    registry_promote(NAME, "1.0.0", "production", registry=place, trust_adapters=TRUSTED)
    [served] = (place / "tuf" / "targets").rglob("*.tflite")
    assert served.read_bytes() == kept.read_bytes()
    registry_download(NAME, tmp_path / "model.tflite", registry=place)
    assert (tmp_path / "model.tflite").read_bytes() == kept.read_bytes()
    # What fails stores nothing, and says where.
    bucket.failing.add("PUT")
    with pytest.raises(StorageError, match=r"ServiceUnavailable|503|upload"):
        upload(place, NAME, "1.1.0")
    bucket.failing.clear()
    with open_registry(place) as registry:
        assert [item.version for item in registry.versions(NAME)] == ["1.0.0"]
    upload(place, NAME, "1.1.0")
    [new] = [path for path in bucket.folder.rglob("*.tflite") if path != kept]
    content = new.read_bytes()
    new.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for path in (tmp_path / "cache").rglob("*.tflite"):
        path.unlink()
    with pytest.raises(PromotionRefusedError, match="differs from the file uploaded"):
        registry_promote(NAME, "1.1.0", "production", registry=place, trust_adapters=TRUSTED)
    with open_registry(place) as registry:
        current = registry.current(NAME, "production")
        assert current is not None
        assert current.version == "1.0.0"
        assert not publish(registry).changed
