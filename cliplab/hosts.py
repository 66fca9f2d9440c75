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
    The others are those of ``adapters.hosts.http_options.HttpOptions``. on_ready(url, names): called when requests are
    taken. Raises ConfigError, BundleError, WeightsError, MissingExtraError.
    """
    from adapters.hosts.http_host import HttpOptions, open_models, serve
    from adapters.hosts.http_options import read_token

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
