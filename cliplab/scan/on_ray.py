"""Files to scores on a Ray cluster: ``cliplab scan --engine ray``.

The model travels with the scan; the videos do not: a worker reads them by the path that the scan found them under, on
storage that all nodes share, or by address. The driver alone writes the store.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cliplab
from adapters.base import BaseModelAdapter
from adapters.bundle import model_digest
from adapters.errors import ClusterError, ConfigError
from adapters.inference import open_model
from adapters.system import cache_dir
from cliplab.library import is_remote, storage
from cliplab.scan.one_pass import Engine, OnNote
from cliplab.scan.sampling import Sampling
from cliplab.scan.score_rows import Scores
from cliplab.scan.scoring import ScoredVideo, ScoringJob, score_one

# Videos that a worker has in hand where each read waits for the network.
ITEMS_PER_WORKER_REMOTE = 4


@dataclass(frozen=True)
class PackedModel:
    """A saved model as bytes.

    Attributes:
        name: Name of the bundle directory or file.
        digest: The model's digest.
        files: Contents by path below the bundle directory; a .tflite is one file of the name "".
    """

    name: str
    digest: str
    files: dict[str, bytes]


def pack_model(path: str | Path, digest: str) -> PackedModel:
    """Read the files of a saved model.

    Args:
        path: A bundle directory or a .tflite.
        digest: Its digest.
    """
    path = Path(path)
    if path.is_file():
        return PackedModel(path.name, digest, {"": path.read_bytes()})
    names = sorted(file for file in path.rglob("*") if file.is_file())
    return PackedModel(path.name, digest, {str(file.relative_to(path)): file.read_bytes() for file in names})


def unpack_model(model: PackedModel) -> Path:
    """Write the model into this computer's cache, for other workers and scans too.

    Args:
        model: The packed model.

    Returns:
        The model's path.

    Raises:
        OSError: The cache cannot be written.
    """
    folder = cache_dir() / "models" / model.digest[:32]
    if not folder.is_dir():
        begun = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        try:
            for name, data in model.files.items():
                file = begun / model.name / name if name else begun / model.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            os.rename(begun, folder)
        except OSError:
            shutil.rmtree(begun, ignore_errors=True)
            if not folder.is_dir():  # else another worker was faster
                raise
    return folder / model.name


class ScanWorker:
    """An actor of the scan: opens the model once, then scores videos."""

    def __init__(
        self,
        model: PackedModel,
        overrides: dict[str, Any],
        sampling: Sampling,
        library: str,
        version: str,
        trust_adapters: tuple[str, ...] = (),
    ) -> None:
        self._model, self._overrides, self._sampling = model, overrides, sampling
        self._trust_adapters = trust_adapters
        self._library, self._version = library, version
        self._scoring = threading.Lock()

    def start(self) -> None:
        """Open the model.

        Raises:
            ConfigError: The node has another version of cliplab, or cannot reach the library.
            ClusterError: The model cannot be written to the node's cache, or is damaged there.
        """
        from adapters.hosts.ray_cluster import node_name

        if cliplab.__version__ != self._version:
            raise ConfigError(
                f"node {node_name()} has cliplab {cliplab.__version__}, but the scan was started by {self._version}. "
                "Install the same version on every node"
            )
        try:
            storage.require_folder(self._library)
        except ConfigError as error:
            raise ConfigError(f"node {node_name()}: {error}. Every node must reach the library by this path") from error
        try:
            path = unpack_model(self._model)
        except OSError as error:
            raise ClusterError(
                f"node {node_name()}: the model cannot be written to {cache_dir()} ({error.strerror}). Free some space "
                "there, or set CLIPLAB_CACHE to another folder."
            ) from error
        if model_digest(path) != self._model.digest:
            raise ClusterError(f"{path} on node {node_name()} is damaged. Remove it there and start the scan again.")
        self._adapter = open_model(path, self._overrides, self._trust_adapters)

    def work(self, job: ScoringJob) -> ScoredVideo:
        """Score one video, decoded and predicted on one core, as the node has one worker per core.

        Local videos are scored one at a time; remote ones overlap, as they mostly wait for their storage.
        """
        with contextlib.nullcontext() if is_remote(self._library) else self._scoring:
            return score_one(self._adapter, job, self._sampling)


def score_on_ray(
    bundle: str | Path,
    digest: str,
    library: str,
    device: str | None,
    overrides: dict[str, Any],
    ray_address: str | None,
    trust_adapters: tuple[str, ...],
    on_note: OnNote,
) -> Engine:
    """The engine of a scan on a Ray cluster: workers of one CPU each, and one GPU each where device is "gpu".

    Args:
        bundle: The model.
        digest: The model's digest.
        library: The library's absolute path or address.
        device: "cpu" or "gpu"; None is the model's.
        overrides: What else ``open_model`` needs to predict in the scan's precision.
        ray_address: HOST:PORT of the cluster; None is that in RAY_ADDRESS, and this computer without it.
        trust_adapters: As for ``open_model``.
        on_note: Called with a sentence for each unusual event.

    Returns:
        A function as ``score_files``; workers None is one per CPU or GPU of the cluster. It raises ClusterError, and
        ConfigError where a node is unfit.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    from adapters.hosts.ray_cluster import cluster_connection, share
    from adapters.hosts.ray_pool import ITEMS_PER_WORKER, LostItem, process_items

    changes = {"num_threads": 1, **overrides, **({} if device is None else {"device": device})}

    def engine(
        adapter: BaseModelAdapter, jobs: Iterable[ScoringJob], sampling: Sampling, workers: int | None = None
    ) -> Iterator[ScoredVideo]:
        left = iter(jobs)
        if (first := next(left, None)) is None:  # no cluster is needed
            return
        with cluster_connection(ray_address):
            model = share(pack_model(bundle, digest))
            arguments = (model, changes, sampling, library, cliplab.__version__, trust_adapters)
            options: dict[str, Any] = {"workers": workers, "on_note": on_note, "gpus": 1 if device == "gpu" else 0}
            options["items_per_worker"] = ITEMS_PER_WORKER_REMOTE if is_remote(library) else ITEMS_PER_WORKER
            for job, result in process_items(ScanWorker, arguments, chain([first], left), **options):
                yield _given_up(job, result.lost_workers) if isinstance(result, LostItem) else result

    return engine


def _given_up(job: ScoringJob, workers: int) -> ScoredVideo:
    error = (
        f"{workers} workers were lost while they scored it, so it is not given to another one. Look at it with "
        "cliplab score, or try it again with --retry-failed."
    )
    return ScoredVideo(job, Scores(None, None, None, error))
