"""The HTTP host: models behind the Open Inference Protocol v2, a video endpoint, and a WebSocket for streams.

``cliplab host http`` calls ``open_models`` and ``serve``. A client then sends tensors to ``/v2/models/NAME/infer``,
videos to ``/v1/videos``, or frames to the WebSocket ``/v1/stream``; docs/hosts/http.md describes the requests.

Everything that a request can use is limited: the size of bodies and frames, the time that they may take, and the number
of concurrent requests and streams. A request names a model that was configured, and never a class, a URL, or a path
outside the root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from adapters.errors import MissingExtraError

try:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route, Router, WebSocketRoute

    from adapters.hosts.http_server import infer as http_infer
    from adapters.hosts.http_server import stream as http_stream
    from adapters.hosts.http_server import videos as http_videos
    from adapters.hosts.http_server.protocol import GuardedProtocol, GuardedWebSocket, max_connections
    from adapters.hosts.http_server.signal_server import SignalServer
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "starlette", "http") from error

from adapters.hosts.http_server.errors import RequestError, json_response
from adapters.hosts.http_server.listening import listening, shown_url
from adapters.hosts.http_server.openapi import describe, server_version
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.request_limits import RequestLimits
from adapters.hosts.http_server.state import HttpHost, ServedModel, open_models
from adapters.hosts.http_server.upload import body_size, read_body
from adapters.hosts.http_server.worker_pool import RequestJob
from adapters.system import descriptor_lock

_UPLOADS = "cliplab-http-"
MAX_CONNECTIONS = 1024
_STOP_SECONDS = 2.0  # for work that is asked to stop


def serve(
    models: Mapping[str, ServedModel],
    options: HttpOptions,
    on_ready: Callable[[str], object] | None = None,
    app_factory: Callable[[HttpHost], RequestLimits] | None = None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C.

    After the signal, requests in progress are finished and new ones are answered with 503; then this returns. What has
    not finished ``timeout_seconds`` later is stopped; if a model computes even then, the process exits with code 1. A
    second signal ends the process at once.

    Args:
        models: Models by name, as ``open_models`` returns them.
        options: Where to listen, who may send requests, and the limits.
        on_ready: Receives the server's URL as soon as requests are accepted.
        app_factory: Makes the ASGI app for the host's state; None for ``make_app``.

    Raises:
        ConfigError: The host's address or port cannot be listened on.
        StorageError: The decoder processes cannot be started.
    """
    with listening(options.host, options.port) as listener, uploads_folder() as folder:
        host = HttpHost(models, options, folder)
        host.start()
        url = shown_url(options.host, listener)
        try:
            _Server(host, (app_factory or make_app)(host), lambda: on_ready and on_ready(url)).run([listener])
        finally:
            host.close()
    if host.draining and host.worker_pool.unfinished:
        # A model that computes in native code cannot be interrupted, and would crash where Python ends around it.
        print("requests that were still running have been dropped", file=sys.stderr, flush=True)
        os._exit(1)


def make_app(host: HttpHost) -> RequestLimits:
    """Return the ASGI app: the routes behind the checks that every request passes.

    ``serve`` runs it with uvicorn; it also runs in any other ASGI server.

    Args:
        host: The models, options and limits that requests share.

    Returns:
        The ASGI app.
    """
    handlers: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/v2/health/live", live, "GET"),
        ("/v2/health/ready", ready, "GET"),
        ("/v2", server, "GET"),
        ("/v1/videos", http_videos.videos, "POST"),
        ("/metrics", metrics, "GET"),
        ("/openapi.json", openapi, "GET"),
    ]
    for version in ("", "/versions/{version}"):
        handlers += [
            (f"/v2/models/{{model}}{version}", model_metadata, "GET"),
            (f"/v2/models/{{model}}{version}/ready", model_ready, "GET"),
            (f"/v2/models/{{model}}{version}/infer", infer, "POST"),
        ]
    routes: list[BaseRoute] = [Route(path, handler, methods=[method]) for path, handler, method in handlers]
    routes = [*routes, WebSocketRoute("/v1/stream", http_stream.stream)]
    return RequestLimits(Router(routes, redirect_slashes=False), host)


# Requests -----------------------------------------------------------------------------------------------------------


async def live(request: Request) -> Response:
    """Answer ``GET /v2/health/live``: the process runs."""
    return json_response({"live": True})


async def ready(request: Request) -> Response:
    """Answer ``GET /v2/health/ready``: requests are accepted."""
    return json_response({"ready": True})  # during a shutdown the request is refused before it gets here


async def server(request: Request) -> Response:
    """Answer ``GET /v2``: the server's name, version and protocol extensions."""
    extensions = ["binary_tensor_data", "classification"]
    return json_response({"name": "cliplab", "version": server_version(), "extensions": extensions})


async def model_metadata(request: Request) -> Response:
    """Answer ``GET /v2/models/MODEL``: the model's inputs, outputs and labels."""
    return json_response(http_infer.metadata(_model(request)))


async def model_ready(request: Request) -> Response:
    """Answer ``GET /v2/models/MODEL/ready``: the model is loaded."""
    _model(request)
    return json_response({"ready": True})


async def infer(request: Request) -> Response:
    """Answer ``POST /v2/models/MODEL/infer``: the scores of the clips in the body.

    A worker does everything but read the body; ``http_server/infer.py`` describes the formats.
    """
    host: HttpHost = request.app.state.host
    model, header_length = _model(request), request.headers.get(http_infer.HEADER_LENGTH)
    host.worker_pool.check_capacity()
    with host.memory.share(body_size(request)) as share:
        body = await read_body(request, host.options.tensor_bytes, share)

        def work(job: RequestJob[tuple[bytes, dict[str, str]]]) -> tuple[bytes, dict[str, str]]:
            with host.metrics.model_seconds.labels(model.name, "infer").time():
                return http_infer.infer(host, model, body, header_length, job.stop_reason)

        answer, headers = await host.worker_pool.run(work, request.receive)
    return Response(answer, headers=headers)


async def metrics(request: Request) -> Response:
    """Answer ``GET /metrics`` in Prometheus' text format."""
    host: HttpHost = request.app.state.host
    return Response(host.metrics.text(), media_type="text/plain; version=0.0.4")


async def openapi(request: Request) -> Response:
    """Answer ``GET /openapi.json``."""
    return json_response(describe(request.app.state.host))


def _model(request: Request) -> ServedModel:
    version = request.path_params.get("version", http_infer.VERSION)
    host: HttpHost = request.app.state.host
    model = host.model(request.path_params["model"])
    if version != http_infer.VERSION:
        raise RequestError(
            404, f"the model {model.name} has no version {version!r}; its version is {http_infer.VERSION}"
        )
    return model


# The server ---------------------------------------------------------------------------------------------------------


class _Server(SignalServer):
    """A uvicorn server that, at a signal, lets the app refuse new requests and finish those in progress."""

    def __init__(self, host: HttpHost, app: RequestLimits, on_started: Callable[[], object]) -> None:
        options = host.options
        protocol = type("Protocol", (GuardedProtocol,), {"max_connections": max_connections(MAX_CONNECTIONS)})
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws=GuardedWebSocket,
                ws_max_size=min(http_stream.MAX_MESSAGE_BYTES, 3 * options.frame_pixels),
                ws_per_message_deflate=False,  # a compressed message may unfold to any size
                lifespan="off",
                log_config=None,  # the program's own: what it shows is made fit for a terminal
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, int(options.timeout_seconds)),
            ),
            on_started,
        )
        self._host = host

    def stop(self) -> None:
        """Refuse new requests, and end when those in progress are done."""
        self._host.draining = True
        self._drained = asyncio.ensure_future(self._exit_when_done())

    async def _exit_when_done(self) -> None:
        """Wait for the requests in progress, but no longer than one may take; then stop their work."""
        if not await self._done_within(self._host.options.timeout_seconds + 1):
            self._host.worker_pool.abandon_all()
            await self._done_within(_STOP_SECONDS)
        await asyncio.sleep(0.1)  # the last answers are written
        self.config.timeout_graceful_shutdown = 1  # connections that are left have nothing to be answered
        self.should_exit = True

    async def _done_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._host.worker_pool.unfinished or self._host.disk.used_bytes or self._host.memory.used_bytes:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.02)
        return True


@contextmanager
def uploads_folder() -> Iterator[Path]:
    """Make a temporary folder for uploads, and remove it when the block ends.

    Folders that were left by killed servers are removed first.

    Yields:
        The folder.
    """
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_UPLOADS}*"):
        with (
            contextlib.suppress(OSError),
            open(left / "lock", "rb") as old_lock,
            descriptor_lock(old_lock.fileno(), wait=False) as held,
        ):
            if held:  # otherwise a running server holds it
                rmtree(left, ignore_errors=True)
    # Under another prefix until it is locked: a server that starts at this moment would take it for one left behind.
    hidden = Path(tempfile.mkdtemp(prefix=f".{_UPLOADS}"))
    with open(hidden / "lock", "wb") as lock, descriptor_lock(lock.fileno()):
        folder = hidden.rename(base / hidden.name.removeprefix("."))
        try:
            yield folder
        finally:
            rmtree(folder, ignore_errors=True)


__all__ = ["HttpHost", "HttpOptions", "ServedModel", "make_app", "open_models", "serve"]
