"""``POST /v1/videos``: predictions for an uploaded video or a file under the root, as ``cliplab predict --json``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from adapters.config import override_config
from adapters.errors import AdapterError, ConfigError
from adapters.hosts.http_server.errors import RequestError, check_query, json_response, parse_json, to_request_error
from adapters.hosts.http_server.messages import VideoFile, read_message
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.hosts.http_server.upload import body_size, read_body, uploaded
from adapters.hosts.http_server.worker_pool import RequestJob
from adapters.hosts.results import SHAPES, to_pipeline
from adapters.inference import input_spec, predict_videos
from adapters.records import VideoResult

MAX_JSON_BYTES = 100_000
QUERY = ("model", "window_seconds", "stride_seconds", "top_k", "shape")


async def videos(request: Request) -> Response:
    """Answer ``POST /v1/videos`` with one video's predictions.

    The body is a multipart form with the file, or JSON with a path under the server's root.

    Args:
        request: The request.

    Returns:
        The rows as JSON.

    Raises:
        RequestError: 422 if the file cannot be read as a video; 400, 403, 404, 413, 415 for a wrong request; 429, 503,
            504 if the server is busy or the work takes too long.
    """
    host: HttpHost = request.app.state.host
    query = _VideoQuery.parse(host, request.query_params)
    host.worker_pool.check_capacity()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        with host.disk.share(body_size(request)) as share:
            async with uploaded(request, host.uploads, host.options.body_bytes, share) as (path, name):
                return await query.answer(host, request, path, name)
    if kind == "application/json":
        fields = parse_json(await read_body(request, MAX_JSON_BYTES), "the request")
        path, name = resolve_under_root(host.options.root, fields)
        return await query.answer(host, request, path, name)
    raise RequestError(
        415, f"Content-Type is {kind!r}; send a form (curl -F file=@clip.mp4) or JSON, " + '{"path": "clip.mp4"}'
    )


def resolve_under_root(root: Path | None, fields: dict[str, Any]) -> tuple[Path, str]:
    """Find the file that a request names by a path relative to the root.

    Args:
        root: Folder whose files requests may name; None allows none.
        fields: The request's JSON, ``{"path": "folder/clip.mp4"}``.

    Returns:
        The file, and the path that the request named.

    Raises:
        RequestError: 400 if the path is not a relative path; 403 if no root is set or the path leads out of it,
            directly or by a link; 404 if the file does not exist.
    """
    name = read_message(fields, VideoFile, 'the request, {"path": "folder/clip.mp4"}').path
    if root is None:
        raise RequestError(403, "this server reads no local files: it was started without --root. Upload the video")
    if "://" in name or name.lower().startswith(("file:", "http:", "https:")):
        raise RequestError(400, f"{name!r} is a URL; give a path relative to the server's root, or upload the video")
    if "\\" in name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise RequestError(
            403,
            f"{name!r} is not a path inside the server's root. Give a path relative to it, without .. or a backslash",
        )
    base = root.resolve()
    try:
        path = (base / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # missing, no permission, a name too long, links in a circle
        raise RequestError(404, f"{name!r}: there is no such file under the server's root") from None
    if not path.is_relative_to(base):
        raise RequestError(403, f"{name!r} is a link that points outside the server's root")
    if not path.is_file():
        raise RequestError(404, f"{name!r}: is not a regular file")
    return path, name


class WindowOptions(TypedDict, total=False):
    """Window options of a query. The config's apply where a key is missing."""

    window_seconds: float
    stride_seconds: float


class _VideoQuery:
    """A query, checked: model, windows, number of labels and shape."""

    def __init__(self, model: ServedModel, windows: WindowOptions, top_k: int, shape: str) -> None:
        self.model, self.windows, self.top_k, self.shape = model, windows, top_k, shape

    @classmethod
    def parse(cls, host: HttpHost, query: QueryParams) -> _VideoQuery:
        check_query(query, QUERY)
        model = host.model(query.get("model"))
        windows = WindowOptions()
        if "window_seconds" in query:
            windows["window_seconds"] = _number(query, "window_seconds")
        if "stride_seconds" in query:
            windows["stride_seconds"] = _number(query, "stride_seconds")
        shape = query.get("shape", SHAPES[0])
        if shape not in SHAPES:
            raise RequestError(400, f"query: shape must be one of {', '.join(SHAPES)}, got {shape!r}")
        top_k = model.adapter.config["top_k"]
        try:
            input_spec(model.adapter, **windows)
            if "top_k" in query:
                top_k = int(_number(query, "top_k", whole=True))
                override_config(model.adapter.config, {"top_k": top_k}, "query")
        except ConfigError as error:
            raise RequestError(400, str(error)) from None
        return cls(model, windows, top_k, shape)

    async def answer(self, host: HttpHost, request: Request, path: Path, name: str) -> Response:
        """Predict on a file; answers and errors call it ``name``."""

        def work(job: RequestJob[VideoResult]) -> VideoResult:
            limits = host.media_limits(job.stop_reason)

            def check(*_: object) -> None:
                """Check the time between windows, of which a frame may have many; ``limits`` check between frames."""
                if reason := job.stop_reason():
                    raise RequestError(504, f"{name}: {reason}")

            with (
                host.metrics.model_seconds.labels(self.model.name, "videos").time(),
                closing(
                    predict_videos(
                        self.model.adapter,
                        [path],
                        **self.windows,
                        on_progress=check,
                        limits=limits,
                        decoders=host.decoders,
                    )
                ) as results,  # type: ignore[type-var] # a generator
            ):
                result = next(results)
            if result.error is not None:
                check()
            return result

        try:
            result = _with_client_name(await host.worker_pool.run(work, request.receive), path, name)
            if result.error is not None:
                raise RequestError(422, result.error)
            rows = to_pipeline(result, self.top_k) if self.shape == "hf" else [result.to_json(self.top_k)]
        except AdapterError as error:
            raise to_request_error(error) from None
        return json_response(rows)


def _number(query: QueryParams, key: str, whole: bool = False) -> float:
    try:
        return int(query[key]) if whole else float(query[key])
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise RequestError(400, f"query: {key} must be {kind}, got {query[key]!r}") from None


def _with_client_name(result: VideoResult, path: Path, name: str) -> VideoResult:
    """The result under the name that the client knows, so that no path of the server is shown."""

    def renamed(text: str) -> str:
        return text.replace(str(path), name)

    error = None if result.error is None else renamed(result.error)
    return replace(result, path=name, error=error, warnings=tuple(map(renamed, result.warnings)))
