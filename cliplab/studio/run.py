"""The command ``cliplab studio``."""

from __future__ import annotations

import logging
import os
import secrets
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.errors import ConfigError, MissingExtraError
from adapters.system import storage_error

_log = logging.getLogger(__name__)


def studio(
    data_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    labels: Sequence[str] | None = None,
    output: str | Path | None = None,
    token_file: str | Path | None = None,
    models: str | Path | None = None,
    database: str | Path | None = None,
    annotator: str | None = None,
    registry: str | Path | None = None,
    several_labels: bool | None = None,
    open_browser: bool = False,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Label frames, clips and videos in the browser until SIGTERM or Ctrl-C; see docs/guides/labelling.md.

    Args:
        data_dir: Folder of the media, which also holds ``labels.db``. It is made if it does not exist.
        host: Address to listen on. Others than this machine's need a token.
        port: Port to listen on; 0 lets the system choose.
        labels: Classes in their order; None takes those of the store, or asks in the browser.
        output: File that is kept in step with the labels: labels.json or dataset.jsonl.
        token_file: File with the token that opens the studio from other machines; None reads it from CLIPLAB_TOKEN, or
            makes one where it is needed.
        models: Folder of bundles; None for ``data_dir/models``.
        database: The clip database, a path or ``postgresql://...``; None for ``data_dir/clips.db``.
        annotator: Name that labels are stored under; None asks for it in the browser.
        registry: Folder or database URL of the registry that the Fleet page shows; None for CLIPLAB_REGISTRY, or the
            user's own.
        several_labels: Whether an item may have several labels; None: as it was set before, at first one.
        open_browser: Open the first page in this machine's browser.
        on_ready: Called with the URL once requests are accepted; it has the token in its fragment.

    Raises:
        ConfigError: An option is wrong, or the port is in use.
        DatasetError: The label store is damaged or of a newer version.
        StorageError: The folder cannot be made.
        MissingExtraError: The packages of the studio are not installed.
    """
    try:
        import jinja2  # noqa: F401

        from adapters.hosts.http_server.options import is_loopback, read_token
        from cliplab.studio.options import StudioOptions
        from cliplab.studio.server import serve
        from cliplab.studio.services import open_studio
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "starlette", "studio", "the studio") from error
    folder = Path(data_dir)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder. Give the folder of your media, or a new one")
    if not folder.exists():
        _log.warning("%s: there was no such folder; a new one was made (in %s)", folder, folder.absolute().parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from None
    token = read_token(token_file, os.environ.get("CLIPLAB_TOKEN"))
    options = StudioOptions(
        data_dir=folder.resolve(),
        host=host,
        port=port,
        labels=None if labels is None else tuple(labels),
        output=None if output is None else Path(output),
        token=secrets.token_urlsafe(24) if token is None and not is_loopback(host) else token,
        models_dir=None if models is None else Path(models),
        database=None if database is None else str(database),
        annotator=annotator,
        registry=registry,
        several_labels=several_labels,
    )

    def ready(url: str) -> None:
        if on_ready is not None:
            on_ready(url)
        if open_browser:
            webbrowser.open(url)

    with open_studio(options) as opened:
        serve(opened, ready)


def label_launch(
    data_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    labels: Sequence[str] | None = None,
    output: str | Path | None = None,
    token_file: str | Path | None = None,
    annotator: str | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Start the studio and open it in the browser; the same as ``studio`` with ``open_browser``.

    Args:
        data_dir: As for ``studio``.
        host: As for ``studio``.
        port: As for ``studio``.
        labels: As for ``studio``.
        output: As for ``studio``.
        token_file: As for ``studio``.
        annotator: As for ``studio``.
        on_ready: As for ``studio``.
    """
    studio(
        data_dir,
        host=host,
        port=port,
        labels=labels,
        output=output,
        token_file=token_file,
        annotator=annotator,
        open_browser=True,
        on_ready=on_ready,
    )


def label_server(
    data_dir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    labels: Sequence[str] | None = None,
    output: str | Path | None = None,
    token_file: str | Path | None = None,
    annotator: str | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Start the studio; the same as ``studio``.

    Args:
        data_dir: As for ``studio``.
        host: As for ``studio``.
        port: As for ``studio``.
        labels: As for ``studio``.
        output: As for ``studio``.
        token_file: As for ``studio``.
        annotator: As for ``studio``.
        on_ready: As for ``studio``.
    """
    studio(
        data_dir,
        host=host,
        port=port,
        labels=labels,
        output=output,
        token_file=token_file,
        annotator=annotator,
        on_ready=on_ready,
    )
