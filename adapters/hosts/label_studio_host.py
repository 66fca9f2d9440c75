"""Label Studio's ML backend: pre-labels with scores, and training when it asks for one.

``serve`` runs it, on the HTTP host's server and behind its gate; docs/hosts/label_studio.md tells how to connect it.
The contract is that of Label Studio's own SDK, label-studio-ml-backend: /health, /setup, /predict and /webhook.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, MissingExtraError

try:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, Router

    from adapters.hosts import http_host
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "starlette", "http") from error

from adapters.hosts.http_server.errors import RequestError, json_response, parse_json, to_request_error
from adapters.hosts.http_server.gate import Gate
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.http_server.state import HttpHost, ServedModel
from adapters.hosts.http_server.upload import body_size, read_body
from adapters.hosts.http_server.worker_pool import RequestJob
from adapters.hosts.label_studio.labels import Control, for_labels, parse_label_config, to_regions
from adapters.hosts.label_studio.training import Trainer, TrainingInProgressError
from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher
from adapters.inference import predict_videos
from adapters.media import MediaLimits
from adapters.records import VideoResult

# What Label Studio tells a webhook of; START_TRAINING is its button, the others happen at every click.
ANNOTATION_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "ANNOTATIONS_CREATED")
START = "START_TRAINING"


def serve(
    model: ServedModel,
    options: HttpOptions,
    fetcher: VideoFetcher,
    trainer: Trainer | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve one model to Label Studio until SIGTERM or Ctrl-C. trainer: None refuses trainings.

    The rest is as for ``http_host.serve``. A training that runs goes on when the host ends.
    """
    backend = LabelStudioBackend(model, fetcher, trainer)
    http_host.serve({model.name: model}, options, on_ready, backend.make_app)


class LabelStudioBackend:
    """What the requests share. version: as predictions carry it; another model or config gives another."""

    def __init__(self, model: ServedModel, fetcher: VideoFetcher, trainer: Trainer | None = None) -> None:
        self.model, self.fetcher, self.trainer = model, fetcher, trainer
        self.version = f"{model.name}-{_fingerprint(model)}"

    def make_app(self, host: HttpHost) -> Gate:
        routes = [
            Route("/", self.health, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/setup", self.setup, methods=["POST"]),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/webhook", self.webhook, methods=["POST"]),
            Route("/metrics", http_host.metrics, methods=["GET"]),
        ]
        return Gate(Router(routes, redirect_slashes=False), host)

    async def health(self, request: Request) -> Response:
        state = {"status": "UP", "model_class": type(self.model.adapter).__name__, "model_version": self.version}
        return json_response({**state, "training": self._training()})

    async def setup(self, request: Request) -> Response:
        """Asked when a project is connected and before predictions: does the labelling config fit the model?"""
        body = await _body(request)
        self._controls(body.get("schema"))
        return json_response({"model_version": self.version, "training": self._training()})

    async def predict(self, request: Request) -> Response:
        """A prediction a task, in order. A task that failed has ``error``; where all did, the answer is a 422."""
        host: HttpHost = request.app.state.host
        body = await _body(request)
        tasks, controls = body.get("tasks"), self._controls(body.get("label_config"))
        if not isinstance(tasks, list) or not all(
            isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks
        ):
            raise RequestError(400, '"tasks" must be a list of {"id": ..., "data": {...}}')

        def work(job: RequestJob[list[dict[str, Any]]]) -> list[dict[str, Any]]:
            limits = MediaLimits(host.options.frame_pixels, job.stop_reason)
            with tempfile.TemporaryDirectory(dir=host.uploads) as folder:
                return self._predictions(tasks, controls, limits, Path(folder))

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
        self, tasks: list[dict[str, Any]], controls: tuple[Control, ...], limits: MediaLimits, folder: Path
    ) -> list[dict[str, Any]]:
        """One prediction a task; of a task whose controls name several videos, one in which all stand."""
        keys = sorted({control.video_key for control in controls})
        asked = [(number, key) for number in range(len(tasks)) for key in keys]
        files: dict[tuple[int, str], Path] = {}
        failed: dict[int, str] = {}
        for number, key in asked:
            try:
                files[number, key] = self.fetcher.fetch(
                    tasks[number]["data"].get(key), folder, f"{number}-{keys.index(key)}", limits.stop
                )
            except (AdapterError, OSError) as error:
                failed[number] = str(error)
        results = dict(zip(files, predict_videos(self.model.adapter, list(files.values()), limits=limits), strict=True))
        return [
            self._failed_prediction(failed[number])
            if number in failed
            else self._prediction(number, task["data"], controls, results)
            for number, task in enumerate(tasks)
        ]

    def _prediction(
        self,
        number: int,
        data: Mapping[str, Any],
        controls: tuple[Control, ...],
        results: Mapping[tuple[int, str], VideoResult],
    ) -> dict[str, Any]:
        regions: list[dict[str, Any]] = []
        for control in controls:
            result = results[number, control.video_key]
            try:
                regions += to_regions(result, control, self.model.adapter.config, data)
            except AdapterError as error:
                return self._failed_prediction(str(error).replace(result.path, str(data[control.video_key])))
        score = sum(region["score"] for region in regions) / len(regions) if regions else 0.0
        return {"result": regions, "score": score, "model_version": self.version}

    def _failed_prediction(self, error: str) -> dict[str, Any]:
        # Label Studio drops a whole batch where one answer has no result, and asks again only for tasks that have
        # nothing of the present version: so an empty one, of another version.
        return {"result": [], "score": 0.0, "model_version": f"{self.version} (failed)", "error": error}


async def _body(request: Request) -> dict[str, Any]:
    host: HttpHost = request.app.state.host
    with host.memory.reserve(body_size(request)):
        return parse_json(await read_body(request, host.options.tensor_bytes), "the request")


def _fingerprint(model: ServedModel) -> str:
    """Eight hexadecimal digits of what the model says of its golden clip and of its config."""
    from adapters.bundle import render_clip

    adapter = model.adapter
    scores = adapter.predict([render_clip(adapter.input_spec)])[0].scores
    # Without the forms that the config and the adapter's name are written in, which may change for the same model.
    config = {key: value for key, value in adapter.config.items() if key not in ("schema_version", "adapter")}
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode() + scores.round(3).tobytes()).hexdigest()[:8]


__all__ = ["LabelStudioBackend", "LabelStudioClient", "Trainer", "VideoFetcher", "serve"]
