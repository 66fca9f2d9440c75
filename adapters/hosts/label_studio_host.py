"""The Label Studio host: an ML backend that predicts labels for tasks and trains on request.

``cliplab host label-studio`` calls ``serve``, which runs on the HTTP host's server with the same limits. Label Studio
then calls ``/setup`` when a project is connected, ``/predict`` with tasks, and ``/webhook`` when its training button is
pressed. The requests are those of Label Studio's own SDK, label-studio-ml-backend; docs/hosts/label_studio.md shows how
to connect it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, MissingExtraError, describe_failure

try:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, Router

    from adapters.hosts import http_host
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "starlette", "http") from error

from adapters.hosts.http_server.errors import RequestError, json_response, parse_json, to_request_error
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.request_limits import RequestLimits
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.hosts.http_server.upload import body_size, read_body
from adapters.hosts.http_server.worker_pool import RequestJob
from adapters.hosts.label_studio.labels import Control, for_labels, parse_label_config, to_regions
from adapters.hosts.label_studio.training import Trainer, TrainingInProgressError
from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher
from adapters.inference import predict_videos
from adapters.media import DecoderPool, MediaLimits
from adapters.records import VideoResult

# Events that Label Studio sends to a webhook. START_TRAINING is its button; the others are sent at every click.
ANNOTATION_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "ANNOTATIONS_CREATED")
START = "START_TRAINING"
# Parsed JSON uses many times its size in memory.
MAX_JSON_BYTES = 16_000_000


def serve(
    model: ServedModel,
    options: HttpOptions,
    fetcher: VideoFetcher,
    trainer: Trainer | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve one model to Label Studio until SIGTERM or Ctrl-C.

    A training in progress continues when the host ends.

    Args:
        model: The model.
        options: Where to listen, who may send requests, and the limits.
        fetcher: Finds or downloads the videos of tasks.
        trainer: Starts trainings; None refuses them.
        on_ready: Receives the server's URL as soon as requests are accepted.

    Raises:
        ConfigError: The host's address or port cannot be listened on.
    """
    backend = LabelStudioBackend(model, fetcher, trainer)
    http_host.serve({model.name: model}, options, on_ready, backend.make_app)


class LabelStudioBackend:
    """Answers Label Studio's requests.

    Args:
        model: The model.
        fetcher: Finds or downloads the videos of tasks.
        trainer: Starts trainings; None refuses them.

    Attributes:
        version: Version of the model that predictions carry. It changes with the model and its config.
    """

    def __init__(self, model: ServedModel, fetcher: VideoFetcher, trainer: Trainer | None = None) -> None:
        self.model, self.fetcher, self.trainer = model, fetcher, trainer
        self.version = f"{model.name}-{_fingerprint(model)}"

    def make_app(self, host: HttpHost) -> RequestLimits:
        """Return the ASGI app, for ``http_host.serve``."""
        routes = [
            Route("/", self.health, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/setup", self.setup, methods=["POST"]),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/webhook", self.webhook, methods=["POST"]),
            Route("/metrics", http_host.metrics, methods=["GET"]),
        ]
        return RequestLimits(Router(routes, redirect_slashes=False), host)

    async def health(self, request: Request) -> Response:
        """Answer ``GET /health``: the model's version and the state of a training."""
        state = {"status": "UP", "model_class": type(self.model.adapter).__name__, "model_version": self.version}
        return json_response({**state, "training": self._training()})

    async def setup(self, request: Request) -> Response:
        """Answer ``POST /setup``, which Label Studio sends when a project is connected and before predictions.

        Args:
            request: The request, with the project's labelling config.

        Returns:
            The model's version, and the state of a training.

        Raises:
            RequestError: 400 if the labelling config does not fit the model.
        """
        body = await _body(request)
        self._controls(body.get("schema"))
        return json_response({"model_version": self.version, "training": self._training()})

    async def predict(self, request: Request) -> Response:
        """Answer ``POST /predict`` with one prediction per task, in order. A failed task has ``error``.

        Args:
            request: The request, with tasks and the labelling config.

        Returns:
            The predictions and the model's version.

        Raises:
            RequestError: 400 for a wrong request, 422 if all tasks failed; 429, 503, 504 if the server is busy or the
                work takes too long.
        """
        host: HttpHost = request.app.state.host
        body = await _body(request)
        tasks, controls = body.get("tasks"), self._controls(body.get("label_config"))
        if not isinstance(tasks, list) or not all(
            isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks
        ):
            raise RequestError(400, '"tasks" must be a list of {"id": ..., "data": {...}}')

        def work(job: RequestJob[list[dict[str, Any]]]) -> list[dict[str, Any]]:
            limits = host.media_limits(job.stop_reason)
            with tempfile.TemporaryDirectory(dir=host.uploads) as folder:
                return self._predictions(tasks, controls, limits, Path(folder), host.decoders)

        results = await host.worker_pool.run(work, request.receive)
        errors = [
            f"task {task.get('id')}: {item['error']}"
            for task, item in zip(tasks, results, strict=True)
            if "error" in item
        ]
        if errors and len(errors) == len(tasks):
            raise RequestError(422, "; ".join(errors))
        return json_response({"results": results, "model_version": self.version})

    async def webhook(self, request: Request) -> Response:
        """Answer ``POST /webhook``: start a training if Label Studio asks for one, and ignore other events.

        Args:
            request: The request, with the event and the project.

        Returns:
            The state of the training.

        Raises:
            RequestError: 400 for a wrong request, 409 if a training is in progress or the host does not train, 507 if
                the training's folder cannot be written.
        """
        body = await _body(request)
        action = body.get("action")
        if action != START:
            known = action in ANNOTATION_EVENTS
            return json_response({"status": "ok" if known else "Unknown event", "training": self._training()})
        if self.trainer is None:
            raise RequestError(
                409, "this host does not train: it was started without --train-config and --train-output"
            )
        project = body.get("project")
        if not isinstance(project, dict) or type(project.get("id")) is not int:
            raise RequestError(400, '"project" must be an object with "id" and "label_config"')
        try:
            state = self.trainer.start(project["id"], project.get("label_config"))
        except TrainingInProgressError as error:
            raise RequestError(409, str(error)) from None
        except AdapterError as error:
            raise to_request_error(error) from None
        except OSError as error:
            raise RequestError(507, f"the training could not be started: {error}") from None
        return json_response({"status": "ok", "training": state}, 201)

    # Parts ------------------------------------------------------------------------------------------------------------

    def _controls(self, label_config: object) -> tuple[Control, ...]:
        try:
            return for_labels(parse_label_config(label_config), self.model.labels)
        except ConfigError as error:
            raise to_request_error(error) from None

    def _training(self) -> dict[str, Any]:
        return {"status": "none"} if self.trainer is None else self.trainer.state()

    def _predictions(
        self,
        tasks: list[dict[str, Any]],
        controls: tuple[Control, ...],
        limits: MediaLimits,
        folder: Path,
        decoders: DecoderPool | None,
    ) -> list[dict[str, Any]]:
        """One prediction per task. Regions of all videos of a task are in the same prediction."""
        keys = sorted({control.video_key for control in controls})
        asked = [(number, key) for number in range(len(tasks)) for key in keys]
        files: dict[tuple[int, str], Path] = {}
        failed: dict[int, str] = {}
        for number, key in asked:
            try:
                files[number, key] = self.fetcher.fetch(
                    tasks[number]["data"].get(key), folder, f"{number}-{keys.index(key)}", limits.stop
                )
            except Exception as error:
                failed[number] = describe_failure(f"task {tasks[number].get('id')}", error)
        check = partial(_check_stop, limits)
        predicted = predict_videos(
            self.model.adapter, list(files.values()), on_progress=check, limits=limits, decoders=decoders
        )
        with closing(predicted):  # type: ignore[type-var] # a generator
            results = dict(zip(files, predicted, strict=True))
        return [
            self._failed_prediction(failed[number])
            if number in failed
            else self._prediction(number, task["data"], controls, results, check)
            for number, task in enumerate(tasks)
        ]

    def _prediction(
        self,
        number: int,
        data: Mapping[str, Any],
        controls: tuple[Control, ...],
        results: Mapping[tuple[int, str], VideoResult],
        check: Callable[[], None],
    ) -> dict[str, Any]:
        regions: list[dict[str, Any]] = []
        for control in controls:
            result = results[number, control.video_key]
            try:
                regions += to_regions(result, control, self.model.adapter.config, data, check)
            except Exception as error:  # of this task alone
                text = describe_failure(result.path, error)
                return self._failed_prediction(text.replace(result.path, str(data[control.video_key])))
        score = sum(region["score"] for region in regions) / len(regions) if regions else 0.0
        return {"result": regions, "score": score, "model_version": self.version}

    def _failed_prediction(self, error: str) -> dict[str, Any]:
        # Label Studio drops a whole batch if one answer has no result, and requests only tasks again that lack a
        # prediction of the current version. An empty result of another version avoids both.
        return {"result": [], "score": 0.0, "model_version": f"{self.version} (failed)", "error": error}


def _check_stop(limits: MediaLimits, *_: object) -> None:
    """End a request's work, between windows and labels, if it has to end. RequestError: 504."""
    if reason := limits.stop():
        raise RequestError(504, reason)


async def _body(request: Request) -> dict[str, Any]:
    host: HttpHost = request.app.state.host
    limit = min(MAX_JSON_BYTES, host.options.tensor_bytes)
    with host.memory.share(body_size(request)) as share:
        return parse_json(await read_body(request, limit, share), "the request")


def _fingerprint(model: ServedModel) -> str:
    """Eight hexadecimal digits of a hash of the model's scores for its golden clip and of its config."""
    from adapters.bundle import render_clip

    adapter = model.adapter
    scores = adapter.predict([render_clip(adapter.input_spec)])[0].scores
    # Without the schema version and the adapter's name, which may change for the same model.
    config = {key: value for key, value in adapter.config.items() if key not in ("schema_version", "adapter")}
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode() + scores.round(3).tobytes()).hexdigest()[:8]


__all__ = ["LabelStudioBackend", "LabelStudioClient", "Trainer", "VideoFetcher", "serve"]
