"""``cliplab scan --engine ray`` on a cluster of several nodes: it gives what this machine gives, whoever is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command_line import cli
from places import ROOT, SUPPORT
from s3_server import Bucket, s3_server
from scan_helpers import render_library, save_model

from adapters.bundle import model_digest
from adapters.errors import BundleError, ClusterError, ConfigError
from adapters.inference import open_model
from cliplab.scan import scan
from cliplab.scan.on_ray import ScanWorker, pack_model, unpack_model
from cliplab.scan.sampling import Sampling

pytest.importorskip("adapters.hosts.ray_pool")
pytest.importorskip("s3fs")
VIDEOS = 24


@dataclass
class Nodes:
    """A cluster of two nodes of one CPU each. log: where SlowAdapter writes. bucket: an S3 that they reach."""

    cluster: Any
    log: Path
    bucket: Bucket

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def scored(self) -> list[list[str]]:
        """Node and video of each frame that was scored."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("cluster")
    with s3_server(folder / "bucket") as bucket, pytest.MonkeyPatch.context() as patch:
        # What starts from here on inherits these.
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{SUPPORT}")
        patch.setenv("CLIPLAB_CACHE", str(folder / "cache"))
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what else the machine does kills no worker
        patch.setenv("SCAN_RAY_LOG", str(folder / "log"))
        bucket.announce(patch)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield Nodes(cluster, folder / "log", bucket)
        cluster.shutdown()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, one of them damaged. Not to be changed: copy it."""
    folder = render_library(tmp_path_factory.mktemp("library"), VIDEOS)
    (folder / "bad.mp4").write_text("no video")
    return folder


def slow_model(folder: Path) -> Path:
    return save_model(folder / "slow", adapter="ray_helpers:SlowAdapter")


def on_this_machine(library: Path, model: Path, folder: Path) -> bytes:
    scan(library, model, output=folder / "local" / "h.json", min_score=0.0)
    return (folder / "local" / "h.json").read_bytes()


@dataclass
class KilledNode:
    """Takes a node from the cluster, its processes killed, while it scores."""

    nodes: Nodes
    node: Any
    notes: list[str] = field(default_factory=list)
    killed: bool = False

    def __call__(self, progress: Any) -> None:
        if not self.killed and any(node == self.node.node_id for node, _ in self.nodes.scored()):
            self.killed = True
            self.nodes.cluster.remove_node(self.node, allow_graceful=False)


def test_one_of_three_nodes_is_killed_and_the_result_is_that_of_this_machine(
    nodes: Nodes, library: Path, tmp_path: Path
) -> None:
    model = slow_model(tmp_path)
    expected = on_this_machine(library, model, tmp_path)
    kill = KilledNode(nodes, nodes.cluster.add_node(num_cpus=1))
    report = scan(
        library,
        model,
        output=tmp_path / "h.json",
        min_score=0.0,
        engine="ray",
        ray_address=nodes.address,
        on_progress=kill,
        on_note=kill.notes.append,
    )
    assert kill.killed
    assert any("a worker was lost while it had" in note for note in kill.notes), kill.notes
    assert (tmp_path / "h.json").read_bytes() == expected
    assert (report.scored, report.failed) == (VIDEOS + 1, 1)
    found = nodes.scored()
    assert len({node for node, _ in found}) == 3
    twice = len(found) - VIDEOS
    assert 0 <= twice <= 2, "more was done again than the lost worker had in hand"


def test_a_video_that_kills_its_workers_is_set_aside(nodes: Nodes, library: Path, tmp_path: Path) -> None:
    model, output = save_model(tmp_path / "m", adapter="ray_helpers:DeadlyAdapter"), tmp_path / "h.json"
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    (copy / "day1" / "004.mp4").rename(copy / "day1" / "boom.mp4")
    arguments = ["scan", str(model), str(copy), "--output", str(output), "--min-score", "0", "--json"]
    result = cli(*arguments, "--engine", "ray", "--ray-address", nodes.address)
    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert (report["videos"], report["highlights"], report["failed"]) == (VIDEOS + 1, VIDEOS - 1, 2)
    [error] = [item["error"] for item in report["failures"] if item["path"].endswith("boom.mp4")]
    assert "3 workers were lost while they scored it" in error
    assert result.stderr.count("a worker was lost while it had") == 3
    # Nothing is new, so no cluster is asked.
    again = scan(copy, model, output=output, min_score=0.0, engine="ray", ray_address="127.0.0.1:1")
    assert again.scored == 0


def test_workers_read_a_library_in_a_storage(nodes: Nodes, library: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "tiny")
    shutil.copytree(library, nodes.bucket.folder / "videos")
    options: dict[str, Any] = {"output": tmp_path / "h.json", "min_score": 0.0}
    scan("s3://library/videos", model, **options)
    expected = (tmp_path / "h.json").read_bytes()
    report = scan(
        "s3://library/videos", model, **options, store=tmp_path / "ray.db", engine="ray", ray_address=nodes.address
    )
    assert (report.scored, report.failed) == (VIDEOS + 1, 1)
    assert (tmp_path / "h.json").read_bytes() == expected


def test_what_the_model_raises_is_raised_and_the_workers_end(nodes: Nodes, library: Path, tmp_path: Path) -> None:
    import ray

    model = save_model(tmp_path / "broken", adapter="scan_helpers:StoppedAdapter")
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    (copy / "day2" / "023.mp4").rename(copy / "day2" / "boom.mp4")
    output = tmp_path / "h.json"
    with pytest.raises(ZeroDivisionError, match="the model's own fault"):
        scan(copy, model, output=output, engine="ray", ray_address=nodes.address)
    assert not output.exists()
    assert not ray.is_initialized(), "the scan leaves its connection"
    (copy / "day2" / "boom.mp4").unlink()
    # What was scored before is kept; one worker, on a cluster that this process is connected to already.
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    try:
        report = scan(copy, model, output=output, engine="ray", workers=1)
        assert ray.is_initialized()
        assert report.scored < VIDEOS
        with pytest.raises(ClusterError, match="already connected to the Ray cluster at"):
            scan(copy, slow_model(tmp_path), output=output, engine="ray", ray_address="127.0.0.1:1")
    finally:
        ray.shutdown()


def test_a_node_that_is_not_fit_says_so(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cliplab

    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    bundle = save_model(tmp_path / "tiny")
    model, sampling = pack_model(bundle, model_digest(bundle)), Sampling("fps", fps=1.0)
    with pytest.raises(ConfigError, match=r"/nowhere: there is no such folder.* Every node must reach the library"):
        ScanWorker(model, {}, sampling, "/nowhere", cliplab.__version__).start()
    with pytest.raises(ConfigError, match=r"the scan was started by 0\.0\.1\. Install the same version"):
        ScanWorker(model, {}, sampling, str(library), "0.0.1").start()
    (tmp_path / "file").write_text("no folder")
    with monkeypatch.context() as other:
        other.setenv("CLIPLAB_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(ClusterError, match="the model cannot be written to"):
            ScanWorker(model, {}, sampling, str(library), cliplab.__version__).start()
    path = unpack_model(model)
    assert path == unpack_model(model)
    assert open_model(path).labels == ("cold", "warm")
    (path / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"config\.json"):
        ScanWorker(model, {}, sampling, str(library), cliplab.__version__).start()


def test_where_no_cluster_is_one_line_says_so(library: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = save_model(tmp_path / "tiny")
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        scan(library, model, output=tmp_path / "h", engine="ray", ray_address=f"127.0.0.1:{port}")
    with pytest.raises(ConfigError, match="Set engine to ray"):
        scan(library, model, output=tmp_path / "h", ray_address="127.0.0.1:1")
