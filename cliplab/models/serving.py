"""Models behind a platform's door, by the hosts in ``adapters.hosts``. Each is a command too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def host_http(
    models: Sequence[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    root: str | Path | None = None,
    token_file: str | Path | None = None,
    max_body_mb: float = 500,
    max_tensor_mb: float = 64,
    queue: int = 64,
    workers: int | None = None,
    timeout_seconds: float = 60,
    max_megapixels: float = 10,
    max_streams: int = 32,
    trust_adapters: Sequence[str] = (),
    max_windows: int = 10_000,
    decoders: int | None = None,
    decoder_memory_mb: float = 800,
    decoder_seconds: float | None = None,
    on_ready: Callable[[str, tuple[str, ...]], object] | None = None,
) -> None:
    """Serve models over HTTP until SIGTERM or Ctrl-C; see docs/hosts/http.md.

    Args:
        models: SOURCE or NAME=SOURCE each: a bundle, a self-describing .tflite or a config.
        overrides: Config keys to change in every model.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose.
        root: Folder of the files that requests may name; None allows none.
        token_file: File with the token that callers must send; None reads it from CLIPLAB_TOKEN. Without either,
            only this machine is served.
        max_body_mb: Largest upload in millions of bytes.
        max_tensor_mb: Largest tensor request in millions of bytes.
        queue: Requests that may wait for a worker; further requests get 429 Too Many Requests.
        workers: Requests computed at a time; None is one per core.
        timeout_seconds: Time for a request's body to arrive, and then for its answer.
        max_megapixels: Largest frame of a video, a JPEG or a tensor.
        max_streams: WebSockets at a time.
        trust_adapters: Adapters of other packages that the models may name, "module:Class" each; their code is run.
        max_windows: Maximum number of windows that a video is cut into.
        decoders: Processes that decode videos; None is one per worker, 0 decodes in this process, for videos from
            people you trust.
        decoder_memory_mb: Memory for decoding one video in millions of bytes; limited on Linux only.
        decoder_seconds: Time for decoding one video, without the model's; None is ``timeout_seconds``.
        on_ready: Called with the URL and the models' names once requests are accepted.

    Raises:
        ConfigError: An option or a key is wrong.
        BundleError: A model is missing or damaged.
        WeightsError: Pretrained weights could not be downloaded.
        MissingExtraError: The packages of the HTTP host are not installed.
    """
    from adapters.hosts.http_host import HttpOptions, open_models, serve
    from adapters.hosts.http_server.options import read_token

    options = HttpOptions(
        host=host,
        port=port,
        token=read_token(token_file, os.environ.get("CLIPLAB_TOKEN")),
        root=None if root is None else Path(root),
        max_body_mb=max_body_mb,
        max_tensor_mb=max_tensor_mb,
        queue=queue,
        workers=workers,
        timeout_seconds=timeout_seconds,
        max_megapixels=max_megapixels,
        max_streams=max_streams,
        max_windows=max_windows,
        decoders=decoders,
        decoder_memory_mb=decoder_memory_mb,
        decoder_seconds=decoder_seconds,
    )
    opened = open_models(models, overrides, trust_adapters)
    serve(opened, options, lambda url: on_ready and on_ready(url, tuple(opened)))


def host_label_studio(
    model: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 9090,
    root: str | Path | None = None,
    label_studio_url: str | None = None,
    label_studio_token_file: str | Path | None = None,
    train_config: str | None = None,
    train_output: str | Path | None = None,
    token_file: str | Path | None = None,
    max_video_mb: float = 500,
    timeout_seconds: float = 100,
    trust_adapters: Sequence[str] = (),
    max_windows: int = 10_000,
    decoders: int | None = None,
    decoder_memory_mb: float = 800,
    decoder_seconds: float | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve a model as Label Studio's ML backend until SIGTERM or Ctrl-C; see docs/hosts/label_studio.md.

    Args:
        model: SOURCE or NAME=SOURCE, as for ``host_http``.
        overrides: Config keys to change.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose.
        root: Folder of Label Studio's local storage; None allows no local files.
        label_studio_url: Where Label Studio is, for uploads and annotations.
        label_studio_token_file: File with Label Studio's access token; None reads it from LABEL_STUDIO_API_KEY.
        train_config: The config or model that trainings start from; None refuses trainings.
        train_output: Folder of the trained models; given together with train_config.
        token_file: File with the password that Label Studio must send; None reads it from CLIPLAB_TOKEN.
        max_video_mb: Largest video in millions of bytes.
        timeout_seconds: Time for one request; Label Studio itself waits for 100 s.
        trust_adapters: Adapters of other packages that the models may name, "module:Class" each; their code is run.
        max_windows: As for ``host_http``.
        decoders: As for ``host_http``.
        decoder_memory_mb: As for ``host_http``.
        decoder_seconds: As for ``host_http``.
        on_ready: Called with the URL once requests are accepted.

    Raises:
        ConfigError: An option or a key is wrong.
        BundleError: The model is missing or damaged.
        WeightsError: Pretrained weights could not be downloaded.
        StorageError: The folder of trained models cannot be written.
        MissingExtraError: The packages of the host are not installed.
    """
    from adapters.errors import ConfigError
    from adapters.hosts.http_host import HttpOptions, open_models
    from adapters.hosts.http_server.options import read_token
    from adapters.hosts.label_studio_host import LabelStudioClient, Trainer, VideoFetcher, serve

    token = read_token(token_file, os.environ.get("CLIPLAB_TOKEN"))
    folder = None if root is None else Path(root)
    options = HttpOptions(
        host=host,
        port=port,
        token=token,
        root=folder,
        max_body_mb=max_video_mb,
        timeout_seconds=timeout_seconds,
        max_windows=max_windows,
        decoders=decoders,
        decoder_memory_mb=decoder_memory_mb,
        decoder_seconds=decoder_seconds,
    )
    key = read_token(label_studio_token_file, os.environ.get("LABEL_STUDIO_API_KEY"))
    if label_studio_url is not None and key is None:
        raise ConfigError(
            f"label_studio_url is {label_studio_url}, and its access token is missing. Give --label-studio-token-file "
            "or LABEL_STUDIO_API_KEY"
        )
    if (train_config is None) != (train_output is None):
        raise ConfigError("training needs both train_config and train_output. Give both, or neither for no training")
    client = None if label_studio_url is None or key is None else LabelStudioClient(label_studio_url, key)
    fetcher = VideoFetcher(folder, client, options.body_bytes)
    trainer = None
    if train_config is not None and train_output is not None:
        trainer = Trainer(
            train_config, Path(train_output), fetcher, trust_adapters=tuple(trust_adapters), options=options
        )
    (served,) = open_models([model], overrides, trust_adapters).values()
    serve(served, options, fetcher, trainer, on_ready)
