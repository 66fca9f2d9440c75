"""MoViNet weights from a hub on loopback, a SavedModel, a checkpoint, a path; the cache; and all that is refused."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import Answer, HubServer, closed_port_url, hub_server, tar_gz
from movinet_files import Values, export, wide_values, write_checkpoint, write_saved_model
from movinet_resolve import (
    INSTALL,
    assert_nothing_kept,
    assert_same,
    files_under,
    in_new_process,
    isolate,
    resolve,
)
from storage_server import storage_server

from adapters.errors import WeightsError
from movinet_adapter.architecture import architecture
from movinet_adapter.weights.cache import content_digest
from movinet_adapter.weights.sources import kinetics_labels

BASE, STREAM = architecture("a0", "base"), architecture("a0", "stream")
HANDLE = "tensorflow/movinet/a0/{}/kinetics-600/classification/3"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A server that is TF Hub and, under /checkpoints, the bucket of checkpoint archives."""
    pytest.importorskip("tensorflow_hub", reason=INSTALL)
    with hub_server() as server:
        monkeypatch.setenv("CLIPLAB_TFHUB_URL", server.url)
        monkeypatch.setenv("CLIPLAB_MOVINET_CHECKPOINTS_URL", f"{server.url}/checkpoints")
        yield server


@pytest.fixture(scope="session")
def base_values() -> Values:
    return wide_values(BASE)


@pytest.fixture(scope="session")
def stream_values() -> Values:
    return wide_values(STREAM)


@pytest.fixture(scope="session")
def base_model(base_values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel folder of a0 base, computing with our own lowering."""
    pytest.importorskip("tensorflow", reason=INSTALL)
    return write_saved_model(tmp_path_factory.mktemp("light") / "base", BASE, base_values)


@pytest.fixture(scope="session")
def stream_model(stream_values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow", reason=INSTALL)
    return write_saved_model(tmp_path_factory.mktemp("light") / "stream", STREAM, stream_values)


@pytest.fixture
def checkpoint(base_values: Values, tmp_path: Path) -> Path:
    """The prefix of a checkpoint of a0 base, in a folder of its own."""
    pytest.importorskip("tensorflow", reason=INSTALL)
    return write_checkpoint(tmp_path / "movinet_a0_base" / "ckpt", BASE, base_values)


# TF Hub over HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_tf_models_exports_is_read_and_kept_for_processes_without_tensorflow(
    hub: HubServer, base_values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("official", reason=INSTALL)
    hub.publish(HANDLE.format("base"), export(tmp_path / "export", BASE, base_values))
    found = resolve()
    assert_same(found, base_values)
    assert found.source == f"{hub.url}/{HANDLE.format('base')}"
    assert found.labels == kinetics_labels()
    assert hub.requests == [f"/{HANDLE.format('base')}?tf-hub-format=compressed"]
    shutil.rmtree(tmp_path / "hub_cache")
    hub.answers.clear()
    again = in_new_process({"weights": "kinetics-600", "model_id": "a0", "model_mode": "base", "hub_version": 3})
    assert again == {"digest": found.digest, "source": found.source, "heavy": []}
    assert len(hub.requests) == 1


@pytest.mark.slow
def test_a_stream_that_tf_models_exports_is_read_from_the_hub(
    hub: HubServer, stream_values: Values, tmp_path: Path
) -> None:
    pytest.importorskip("official", reason=INSTALL)
    hub.publish(HANDLE.format("stream"), export(tmp_path / "export", STREAM, stream_values))
    assert_same(resolve(model_mode="stream"), stream_values)


def test_a_saved_model_is_read_from_an_archive(stream_model: Path, stream_values: Values, tmp_path: Path) -> None:
    archive = tmp_path / "movinet_a0_stream.tar.gz"
    archive.write_bytes(tar_gz(stream_model))
    assert_same(resolve(archive, model_mode="stream"), stream_values)


def test_a_stream_model_is_fetched_once_and_found_in_the_cache_of_the_client(
    hub: HubServer, stream_model: Path, stream_values: Values, tmp_path: Path
) -> None:
    hub.publish(HANDLE.format("stream"), stream_model)
    assert_same(resolve(model_mode="stream"), stream_values)
    shutil.rmtree(tmp_path / "cache")
    assert_same(resolve(model_mode="stream"), stream_values)
    assert hub.requests == [f"/{HANDLE.format('stream')}?tf-hub-format=compressed"]
    assert any((tmp_path / "hub_cache").glob("*/saved_model.pb"))


def test_a_mirror_may_be_a_folder_of_unpacked_models(
    base_model: Path, base_values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow_hub", reason=INSTALL)
    shutil.copytree(base_model, tmp_path / "mirror" / HANDLE.format("base"))
    monkeypatch.setenv("CLIPLAB_TFHUB_URL", str(tmp_path / "mirror"))
    found = resolve()
    assert_same(found, base_values)
    assert found.source == str(tmp_path / "mirror" / HANDLE.format("base"))


def test_the_version_of_the_config_is_asked_for(hub: HubServer) -> None:
    with pytest.raises(WeightsError, match="hub_version 2") as caught:
        resolve(hub_version=2)
    assert hub.requests == ["/" + HANDLE.format("base").replace("/3", "/2") + "?tf-hub-format=compressed"]
    assert "not tried, since it only has the weights of hub_version 3" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_download_that_is_cut_short_keeps_nothing(hub: HubServer, base_model: Path, share: float) -> None:
    size = len(tar_gz(base_model))
    hub.publish(HANDLE.format("base"), base_model, cut=int(size * share))
    with pytest.raises(WeightsError, match=r"classification/3: the download is damaged or was cut short") as caught:
        resolve()
    assert "movinet_a0_base.tar.gz: the server answered 404" in str(caught.value)
    assert_nothing_kept()


def test_a_model_that_came_incomplete_is_fetched_again(
    hub: HubServer, base_model: Path, base_values: Values, tmp_path: Path
) -> None:
    """tensorflow_hub takes an archive that ends between two files for a whole one, and would keep it."""
    partial = shutil.copytree(base_model, tmp_path / "partial")
    (partial / "variables" / "variables.data-00000-of-00001").unlink()
    hub.publish(HANDLE.format("base"), partial)
    with pytest.raises(WeightsError, match="is damaged or incomplete"):
        resolve()
    assert_nothing_kept()
    hub.publish(HANDLE.format("base"), base_model)
    assert_same(resolve(), base_values)


def test_a_damaged_model_in_the_cache_of_the_client_is_named_and_left(
    hub: HubServer, base_model: Path, tmp_path: Path
) -> None:
    hub.publish(HANDLE.format("base"), base_model)
    resolve()
    shutil.rmtree(tmp_path / "cache")
    (damaged,) = (tmp_path / "hub_cache").glob("*/variables/variables.data-00000-of-00001")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=f"delete {damaged.parent.parent} to download it again"):
        resolve()
    assert damaged.exists()
    assert files_under("CLIPLAB_CACHE") == []


@pytest.mark.slow
def test_an_uncompressed_model_is_read_where_it_is_served_from(
    hub: HubServer, base_model: Path, base_values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks where the model lies unpacked, and TensorFlow reads it there, gs:// and all."""
    if shutil.which("openssl") is None:
        pytest.skip("the loopback storage needs a certificate: install openssl (apt install openssl)")
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    location = f"/{HANDLE.format('base')}?tf-hub-format=uncompressed"
    hub.answers[location] = Answer(b"gs://tfhub-modules/a0/base/3/uncompressed", status=303)
    shutil.copytree(base_model, tmp_path / "bucket" / "a0" / "base" / "3" / "uncompressed")
    with storage_server(tmp_path / "bucket", tmp_path) as reached:
        for key, value in reached.items():
            monkeypatch.setenv(key, value)
        found = in_new_process({"weights": "kinetics-600", "model_id": "a0", "model_mode": "base"})
    assert found["digest"] == content_digest(base_values)
    assert hub.requests == [location]
    assert files_under("TFHUB_CACHE_DIR") == []


def test_an_uncompressed_location_that_is_not_one_is_reported(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    location = f"/{HANDLE.format('base')}?tf-hub-format=uncompressed"
    hub.answers[location] = Answer(b"https://elsewhere.example/model", status=303)
    with pytest.raises(WeightsError, match="Expected server to return a GCS location"):
        resolve()
    assert hub.requests[0] == location


def test_offline_the_message_has_every_source_and_the_way_out(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_hub", reason=INSTALL)
    with pytest.raises(WeightsError) as caught:
        resolve()
    text = str(caught.value)
    hub_url = os.environ["CLIPLAB_TFHUB_URL"]
    checkpoints = os.environ["CLIPLAB_MOVINET_CHECKPOINTS_URL"]
    assert 'weights "kinetics-600" for MoViNet a0 base, hub_version 3, could not be downloaded or read' in text
    assert f"the cache: nothing in {tmp_path / 'cache' / 'movinet'}" in text
    assert f"{hub_url}/{HANDLE.format('base')}: the server could not be reached" in text
    assert f"{checkpoints}/movinet_a0_base.tar.gz: the server could not be reached" in text
    assert "CLIPLAB_TFHUB_URL" in text
    assert "docs/weights.md" in text
    assert_nothing_kept()


def test_without_the_client_the_message_has_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason=INSTALL)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)  # as if it were not installed
    with pytest.raises(
        WeightsError, match=r"tensorflow_hub is not installed\. Install it with: pip install .*\[train\]'"
    ):
        resolve()


# Models that are not what was asked for ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "served, asked, message",
    [
        (
            "stream",
            {"model_mode": "base"},
            r"variable 2 is 'stem/kernel' \[3, 3, 3, 8\] in the file but 'stem/kernel' \[1, 3, 3, 3, 8\]"
            r" in the network. "
            r'It is MoViNet a0 stream: set "model_mode" to "stream"',
        ),
        ("base", {"model_mode": "stream"}, 'It is MoViNet a0 base: set "model_mode" to "base"'),
        ("base", {"model_id": "a2"}, 'It is MoViNet a0 base: set "model_id" to "a0"'),
        ("stream", {"model_id": "a5"}, 'It is MoViNet a0 stream: set "model_id" to "a0" and "model_mode" to "stream"'),
    ],
)
def test_another_model_is_refused_and_named(
    served: str, asked: dict[str, str], message: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{served}_model")
    with pytest.raises(WeightsError, match=message) as caught:
        resolve(folder, **asked)
    assert str(folder) in str(caught.value)
    assert_nothing_kept()


def test_a_foreign_model_on_the_hub_is_refused_and_not_kept(hub: HubServer, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason=INSTALL)
    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    two = tf.train.Checkpoint(variables=[tf.Variable([1.0], name="w"), tf.Variable([2.0], name="b")])
    tf.saved_model.save(two, str(tmp_path / "two"))
    hub.publish(HANDLE.format("base"), tmp_path / "module")
    with pytest.raises(WeightsError, match="has no list of variables, so Keras did not write it"):
        resolve()
    hub.publish(HANDLE.format("base"), tmp_path / "two")
    with pytest.raises(
        WeightsError, match=r"variable 0 is 'w' \[1\] in the file but 'stem/bn/gamma' \[8\] in the network"
    ):
        resolve()
    assert_nothing_kept()


def test_a_model_that_computes_something_else_is_refused(base_model: Path, tmp_path: Path) -> None:
    """Two variables of one shape change places: order and shapes fit, the logits tell."""
    tf = pytest.importorskip("tensorflow", reason=INSTALL)
    model = tf.saved_model.load(str(base_model))
    first, second, *rest = model.variables
    swapped = tf.train.Checkpoint(variables=[second, first, *rest], model=model)
    tf.saved_model.save(swapped, str(tmp_path / "swapped"), signatures=dict(model.signatures))
    with pytest.raises(WeightsError, match="computes something else: its logits differ from ours by"):
        resolve(tmp_path / "swapped")
    assert_nothing_kept()


# Local paths ----------------------------------------------------------------------------------------------------------


def test_a_saved_model_folder_is_imported_once_for_each_content(
    base_model: Path, base_values: Values, tmp_path: Path
) -> None:
    folder = shutil.copytree(base_model, tmp_path / "model")
    found = resolve(folder)
    assert_same(found, base_values)
    assert found.source == str(folder)
    config = {"weights": str(folder), "model_id": "a0", "model_mode": "base"}
    assert in_new_process(config) == {"digest": found.digest, "source": str(folder), "heavy": []}
    data = folder / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="could not be read"):
        resolve(folder)


@pytest.mark.parametrize("given_as", ["prefix", "index", "folder", "archive"])
def test_a_checkpoint_is_read_however_it_is_given(
    given_as: str, checkpoint: Path, base_values: Values, tmp_path: Path
) -> None:
    archive = tmp_path / "movinet_a0_base.tar.gz"
    archive.write_bytes(tar_gz(checkpoint.parent, "movinet_a0_base"))
    path = {
        "prefix": checkpoint,
        "index": checkpoint.with_name(checkpoint.name + ".index"),
        "folder": checkpoint.parent,
        "archive": archive,
    }[given_as]
    found = resolve(path)
    assert_same(found, base_values)
    assert found.labels == kinetics_labels()


def test_a_folder_of_checkpoints_gives_the_one_that_it_calls_the_latest(checkpoint: Path, base_values: Values) -> None:
    later = write_checkpoint(checkpoint.parent / "other" / "ckpt", BASE, wide_values(BASE, seed=2))
    for path in later.parent.glob("ckpt-1.*"):
        path.rename(checkpoint.parent / path.name.replace("ckpt-1", "ckpt-0"))
    assert_same(resolve(checkpoint.parent), base_values)


def test_a_stream_checkpoint_with_positions_has_every_variable_in_its_place(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason=INSTALL)
    of = architecture("a3", "stream")
    values = wide_values(of, classes=5)
    found = resolve(write_checkpoint(tmp_path / "ckpt", of, values), model_id="a3", model_mode="stream")
    assert_same(found, values)
    assert found.labels is None


def test_the_checkpoint_archive_is_the_last_resort(
    hub: HubServer, checkpoint: Path, base_values: Values, tmp_path: Path
) -> None:
    body = tar_gz(checkpoint.parent, "movinet_a0_base")
    hub.answers["/checkpoints/movinet_a0_base.tar.gz"] = Answer(body)
    found = resolve()
    assert_same(found, base_values)
    assert found.source == f"{hub.url}/checkpoints/movinet_a0_base.tar.gz"
    assert hub.requests[0].endswith("classification/3?tf-hub-format=compressed")
    hub.answers.clear()
    assert resolve().source == found.source  # from the cache
    shutil.rmtree(tmp_path / "cache")
    hub.answers["/checkpoints/movinet_a0_base.tar.gz"] = Answer(body, cut=len(body) // 2)
    with pytest.raises(WeightsError, match=rf"it ended after \d+ of {len(body)} bytes"):
        resolve()
    assert_nothing_kept()


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda v: v | {"block1_layer0/rezero": np.full((), np.nan, np.float32)},
            "'block1_layer0/rezero'.* not finite",
        ),
        (
            lambda v: v | {"block2_layer0/se/reduce/bias": np.zeros(3, np.float32)},
            r"'block2_layer0/se/reduce/bias' is \[3\] in the file but 'block2_layer0/se/reduce/bias' \[48\]"
            r" in the network",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_names_the_variable(
    change: Callable[[Values], Values], message: str, base_values: Values, tmp_path: Path
) -> None:
    pytest.importorskip("tensorflow", reason=INSTALL)
    path = write_checkpoint(tmp_path / "ckpt", BASE, change(base_values))
    with pytest.raises(WeightsError, match=message):
        resolve(path)
    with pytest.raises(WeightsError, match="does not fit MoViNet a1 base"):
        resolve(path, model_id="a1")
    with pytest.raises(WeightsError, match=r"has no 'stem/kernel', expected at 'layer_with_weights-0/"):
        resolve(path, model_mode="stream")
    assert_nothing_kept()


@pytest.mark.parametrize("part", [".index", ".data-00000-of-00001"])
def test_a_damaged_checkpoint_is_refused(part: str, checkpoint: Path) -> None:
    file = checkpoint.with_name(checkpoint.name + part)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match=r"ckpt-1 is damaged"):
        resolve(checkpoint)
    file.write_bytes(bytes(data[: len(data) // 3]))
    with pytest.raises(WeightsError, match=r"ckpt-1 is damaged"):
        resolve(checkpoint)
    assert_nothing_kept()


def _link(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("variables")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    tar.addfile(member)


def _outside(tar: tarfile.TarFile) -> None:
    tar.addfile(tarfile.TarInfo("../../escaped.txt"))


def _unrelated(tar: tarfile.TarFile) -> None:
    tar.addfile(tarfile.TarInfo("notes.txt"))


@pytest.mark.parametrize(
    "fill, message",
    [
        (_link, "holds 'variables', which is not a regular file or folder"),
        (_outside, r"holds '../../escaped.txt', which is not a regular file or folder"),
        (_unrelated, "holds neither a SavedModel"),
        (None, "is not a complete .tar or .tar.gz"),
    ],
)
def test_an_archive_of_something_else_is_refused(
    fill: Callable[[tarfile.TarFile], None] | None, message: str, tmp_path: Path
) -> None:
    data = io.BytesIO()
    if fill is None:
        data.write(b"not an archive")
    else:
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            fill(tar)
    path = tmp_path / "weights.tar.gz"
    path.write_bytes(data.getvalue())
    with pytest.raises(WeightsError, match=message):
        resolve(path)
    assert not list(tmp_path.parent.rglob("escaped.txt"))
    assert_nothing_kept()


# The cache ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_in_the_cache_is_not_used(
    damage: str, hub: HubServer, checkpoint: Path, base_values: Values
) -> None:
    hub.answers["/checkpoints/movinet_a0_base.tar.gz"] = Answer(tar_gz(checkpoint.parent))
    resolve()
    (kept,) = files_under("CLIPLAB_CACHE")
    assert kept.name == f"{content_digest(base_values)}.safetensors"
    data = bytearray(kept.read_bytes())
    data[-10] ^= 1
    kept.write_bytes({"flip": bytes(data), "cut": bytes(data[:-100]), "empty": b""}[damage])
    requests = len(hub.requests)
    assert_same(resolve(), base_values)
    assert len(hub.requests) == requests + 2
    hub.answers.clear()
    assert_same(resolve(), base_values)
    kept.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"the cache: .*\.safetensors"):
        resolve()


def test_each_server_version_and_model_has_its_own_place(
    hub: HubServer, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answers["/checkpoints/movinet_a0_base.tar.gz"] = Answer(tar_gz(checkpoint.parent))
    resolve()
    for keys in ({"hub_version": 4}, {"model_id": "a1"}, {"model_mode": "stream"}):
        with pytest.raises(WeightsError, match="the cache: nothing in"):
            resolve(**keys)
    monkeypatch.setenv("CLIPLAB_TFHUB_URL", closed_port_url())
    hub.answers.clear()
    with pytest.raises(WeightsError, match="the cache: nothing in"):
        resolve()
