"""The models that an HTTP host serves, and the state that its requests share."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError
from adapters.hosts.http_server.metrics import HttpMetrics
from adapters.hosts.http_server.options import BODIES_AT_A_TIME, HttpOptions
from adapters.hosts.http_server.worker_pool import ByteBudget, WorkerPool
from adapters.inference import open_model
from adapters.media import DecoderPool, MediaLimits, decode_picture
from adapters.records import Clip, UInt8Array

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class ServedModel:
    """One served model.

    Attributes:
        name: Name of the model in requests.
        adapter: The opened model.
        labels: Labels in the order of each scores array.
    """

    name: str
    adapter: BaseModelAdapter
    labels: tuple[str, ...]

    @property
    def streams(self) -> bool:
        """Whether the model can follow live streams."""
        return self.adapter.streams


@dataclass
class HttpHost:
    """The state that all requests share.

    Attributes:
        models: Models by name.
        options: Limits of the host, and who may send requests.
        uploads: Folder for files that are being received or read.
        worker_pool: Threads that compute answers.
        memory: Limit on the bodies of tensor requests in memory.
        disk: Limit on the uploads on disk.
        metrics: Counters and histograms.
        draining: Whether new requests are refused because the server shuts down.
        streams: Number of open WebSockets.
        decoders: Processes that decode videos and pictures; None decodes in this process.
    """

    models: Mapping[str, ServedModel]
    options: HttpOptions
    uploads: Path
    worker_pool: WorkerPool = field(init=False)
    memory: ByteBudget = field(init=False)
    disk: ByteBudget = field(init=False)
    metrics: HttpMetrics = field(default_factory=HttpMetrics)
    draining: bool = False
    streams: int = 0
    decoders: DecoderPool | None = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        self.decoders = None
        if options.decoder_count:
            self.decoders = DecoderPool(options.decoder_count, options.decoder_memory_mb, options.decoding_seconds)
        self.worker_pool = WorkerPool(options.worker_count, options.queue, options.timeout_seconds)
        self.memory = ByteBudget(BODIES_AT_A_TIME * options.tensor_bytes, "tensor requests")
        self.disk = ByteBudget(BODIES_AT_A_TIME * options.body_bytes, "uploads")
        self.metrics.watch(
            {
                "cliplab_jobs_inside": (
                    "Requests that wait for a worker or are computed.",
                    lambda: self.worker_pool.unfinished,
                ),
                "cliplab_jobs_waiting": ("Requests that wait for a worker.", lambda: self.worker_pool.waiting),
                "cliplab_tensor_bytes": ("Bodies of tensor requests in memory.", lambda: self.memory.used_bytes),
                "cliplab_upload_bytes": ("Uploads on disk.", lambda: self.disk.used_bytes),
                "cliplab_streams": ("Open WebSockets.", lambda: self.streams),
            }
        )

    def model(self, name: str | None) -> ServedModel:
        """Return a model by its name.

        Args:
            name: Name in the request; None for the only model.

        Returns:
            The model.

        Raises:
            RequestError: 404 if no model has this name; 400 if none is named and there are several.
        """
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        names = ", ".join(self.models)
        if name is None:
            raise RequestError(400, f"several models are served: choose one with ?model=NAME, one of {names}")
        if name not in self.models:
            raise RequestError(404, f"there is no model {name!r}; served models: {names}")
        return self.models[name]

    def start(self) -> None:
        """Start the decoder processes, so that what keeps them from starting shows before the first request.

        Raises:
            StorageError: They cannot be started.
        """
        if self.decoders is not None:
            self.decoders.start()

    def close(self) -> None:
        """End the workers and the decoder processes, without waiting for running jobs."""
        self.worker_pool.abandon_all()
        self.worker_pool.close()
        if self.decoders is not None:
            self.decoders.close()

    def media_limits(self, stop: Callable[[], str | None]) -> MediaLimits:
        """Limits of a video that a request sent or named.

        Args:
            stop: Returns why the request's work has to end, or None.
        """
        return MediaLimits(self.options.frame_pixels, stop=stop, windows=self.options.max_windows)

    def decode_picture(self, data: bytes) -> UInt8Array | None:
        """Decode a picture that a client sent.

        Args:
            data: The content of the file.

        Returns:
            uint8 [H, W, 3] RGB; None where it is not a picture.

        Raises:
            MediaError: The picture crashed its decoder, or no decoder was free in time.
        """
        if self.decoders is None:
            return decode_picture(data)
        end, seconds = time.monotonic() + self.options.timeout_seconds, self.options.timeout_seconds
        limits = self.media_limits(lambda: f"took longer than {seconds:g} s." if time.monotonic() > end else None)
        return self.decoders.decode_picture(data, limits)

    @cached_property
    def frame_limits(self) -> MediaLimits:
        """Limit on a frame of a tensor or a JPEG."""
        return MediaLimits(self.options.frame_pixels)


def open_models(
    models: Iterable[str], overrides: Mapping[str, Any] | None = None, trust_adapters: Sequence[str] = ()
) -> dict[str, ServedModel]:
    """Open models by the names that requests use.

    Each model predicts once, so that its program is compiled, its weights are downloaded, and a damaged model is found
    before the first request.

    Args:
        models: SOURCE or NAME=SOURCE each. A source is what ``open_model`` accepts; without a name, its file name
            without the suffix is the model's name.
        overrides: Runtime keys of the config, for all models.
        trust_adapters: As for ``open_model``.

    Returns:
        Models by name.

    Raises:
        ConfigError: No model is given, or a name is not allowed or is used twice.
        AdapterError: A model cannot be opened; see ``open_model``.
    """
    opened: dict[str, ServedModel] = {}
    for given in models:
        name, source = _named(given)
        if name in opened:
            raise ConfigError(f"two models are called {name}. Give one another name: NAME={source}")
        adapter = open_model(source, overrides, trust_adapters)
        spec = adapter.input_spec
        frames = np.zeros((spec.n_frames, spec.height, spec.width, 3), np.uint8)
        labels = adapter.predict([Clip(frames, np.arange(spec.n_frames) / 25, "warm-up", 0.0, 1.0)])[0].labels
        opened[name] = ServedModel(name, adapter, labels)
    if not opened:
        raise ConfigError("no model is given. Give a bundle directory, a .tflite, a config file or a ready config")
    return opened


def _named(given: str) -> tuple[str, str]:
    name, equals, source = given.partition("=")
    if not equals or Path(given).exists():
        name, source = Path(given).name, given
        for suffix in (".tflite", ".json", ".yaml", ".yml", ".bundle"):
            name = name.removesuffix(suffix)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{given}: a model's name has letters, digits, dots, dashes and underscores, got {name!r}. Give NAME=SOURCE"
        )
    return name, source
