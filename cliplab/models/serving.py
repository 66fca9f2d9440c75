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
    on_ready: Callable[[str, tuple[str, ...]], object] | None = None,
) -> None:
    """Serve models over HTTP until SIGTERM or Ctrl-C; see docs/hosts/http.md.

    models: SOURCE or NAME=SOURCE, a bundle, a self-describing .tflite or a config each. overrides: keys of the config
    of all. root: the folder of which requests may name files. token_file: holds what callers show; else CLIPLAB_TOKEN.
    The others are those of ``http_server.options.HttpOptions``. on_ready(url, names): called when requests are
    taken. Raises ConfigError, BundleError, WeightsError, MissingExtraError.
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
    )
    opened = open_models(models, overrides)
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
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve a model as Label Studio's ML backend until SIGTERM or Ctrl-C; see docs/hosts/label_studio.md.

    model: SOURCE or NAME=SOURCE, as for ``host_http``. root: the folder of local storage. label_studio_url: where
    Label Studio is, for uploads and annotations; its access token is in label_studio_token_file, else in the
    environment's LABEL_STUDIO_API_KEY. train_config, train_output: what trainings start from and where they go; without
    them they are refused. token_file: holds the password that Label Studio shows; else CLIPLAB_TOKEN. max_video_mb: of
    one upload. timeout_seconds: for a request, of which Label Studio itself waits for 100. on_ready(url): called when
    requests are taken. Raises ConfigError, BundleError, WeightsError, StorageError, MissingExtraError.
    """
    from adapters.errors import ConfigError
    from adapters.hosts.http_host import HttpOptions, open_models
    from adapters.hosts.http_server.options import read_token
    from adapters.hosts.label_studio_host import LabelStudioClient, Trainer, VideoFetcher, serve

    token = read_token(token_file, os.environ.get("CLIPLAB_TOKEN"))
    folder = None if root is None else Path(root)
    options = HttpOptions(
        host=host, port=port, token=token, root=folder, max_body_mb=max_video_mb, timeout_seconds=timeout_seconds
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
        trainer = Trainer(train_config, Path(train_output), fetcher)
    (served,) = open_models([model], overrides).values()
    serve(served, options, fetcher, trainer, on_ready)
