"""Trainings, and the page of any job: its progress, epochs, log, result, and the button that stops it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.bundle import is_bundle
from adapters.errors import AdapterError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.child_job import run_child
from cliplab.studio.context import Studio
from cliplab.studio.jobs import Job
from cliplab.studio.model_list import ModelRef
from cliplab.studio.model_pages import read_detail, size_words
from cliplab.studio.model_requests import find_model, form_values, library_of
from cliplab.studio.model_versions import VersionTakenError, check_version_name, next_version_name
from cliplab.studio.pages import render, studio_of
from cliplab.studio.security import audit, inside

MOST_DATASETS = 100
_DATASET_FILES = ("dataset.jsonl", "labels.json", "labels.csv", "dataset.csv", "dataset.json")


def datasets(studio: Studio) -> list[str]:
    """What may be trained on, relative to the data folder: the labels of the studio, folders, and files of labels."""
    root, found = studio.options.data_dir, ["."]
    models = os.path.realpath(studio.options.models_folder)
    for folder in _folders(root, 2):
        if os.path.realpath(folder) == models or len(found) >= MOST_DATASETS:
            continue
        files = [name for name in _DATASET_FILES if (folder / name).is_file()]
        found += [str((folder / name).relative_to(root)) for name in files]
        if folder != root and not files:
            found.append(str(folder.relative_to(root)))
    return found[:MOST_DATASETS]


def _folders(folder: Path, depth: int) -> list[Path]:
    """The folder and those below it, without hidden ones and links."""
    found = [folder]
    try:
        inner = sorted(Path(item.path) for item in os.scandir(folder) if item.is_dir(follow_symlinks=False))
    except OSError:
        return found
    for path in inner[:MOST_DATASETS]:
        if not path.name.startswith(".") and depth and not (path / "bundle.json").exists():
            found += _folders(path, depth - 1)
    return found


async def train_form(request: Request) -> Response:
    """Answer ``GET /models/m/ID/train``: what to train on, and the name of the new model."""
    return await run_in_threadpool(_train_page, request, dict(request.query_params), "")


def _train_page(request: Request, values: dict[str, str], problem: str, status: int = 200) -> Response:
    studio = studio_of(request)
    ref, library = find_model(request), library_of(studio)
    try:
        detail = read_detail(ref)
    except (AdapterError, OSError) as error:
        return render(request, "model_damaged.html", {"ref": ref, "error": str(error)})
    reason = _why_not(ref, detail.trainable, detail.problem)
    running = [job for job in studio.jobs.all("train") if job.state == "running"]
    context = {
        "ref": ref,
        "detail": detail,
        "datasets": datasets(studio),
        "data": values.get("data", "."),
        "version": values.get("version") or next_version_name(library, ref),
        "problem": problem or reason,
        "allowed": not reason,
        "running": running[0] if running else None,
    }
    return render(request, "model_train.html", context, status)


def _why_not(ref: ModelRef, trainable: bool, problem: str | None) -> str:
    if problem:
        return f"The config is not valid, so it cannot be trained. Correct it with Edit: {problem}"
    if ref.kind == "tflite":
        return "A .tflite has no weights to train. Train the bundle or the config that it was made from."
    if ref.kind == "bundle" and not trainable:
        return "This bundle has no weights, so it can only predict. Train the bundle that it was made from."
    return ""


async def train(request: Request) -> Response:
    """Answer ``POST /models/m/ID/train``: start the training in a child process."""
    return await run_in_threadpool(_train, request, await form_values(request))


def _train(request: Request, values: dict[str, str]) -> Response:
    studio, ref = studio_of(request), find_model(request)
    name = values.get("version", "").strip()
    try:
        data = inside(studio, values.get("data", ".") or ".")
        if not data.exists():
            return _train_page(request, values, f"{values.get('data')}: there is no such folder or file", 422)
        library = library_of(studio)
        output = library.folder / check_version_name(name)
        if is_bundle(output) or output.is_file():  # one that was interrupted is resumed
            raise VersionTakenError(f"{name} already exists, and a model is never replaced. Choose another name")
        library.folder.mkdir(parents=True, exist_ok=True)
        arguments = {"folder": str(library.folder), "model": ref.id, "data": str(data), "output": str(output)}
        title = f"Train {name} from {ref.name} on {values.get('data') or '.'}"
        again = f"/models/m/{ref.id}/train?{urlencode({'data': values.get('data', '.'), 'version': name})}"
        job = studio.jobs.start("train", title, lambda job: _child(job, "train_model", arguments), again)
    except (AdapterError, RequestError) as error:
        return _train_page(request, values, str(getattr(error, "message", error)), 422)
    except OSError as error:
        return _train_page(request, values, f"the folder of models cannot be created ({error})", 507)
    audit(studio, "training started", {"from": ref.name, "to": name, "data": values.get("data"), "job": job.id})
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


def _child(job: Job, function: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    return run_child(job, f"cliplab.studio.model_work:{function}", arguments)


def _job_of(request: Request) -> Job:
    found: Job | None = studio_of(request).jobs.get(request.path_params["job"])
    if found is None:
        raise RequestError(404, "there is no such job. The studio remembers the last hundred")
    return found


async def job_page(request: Request) -> Response:
    """Answer ``GET /models/jobs/JOB``: a job."""
    job = _job_of(request)
    result = job.result or {}
    template = "model_try_result.html" if job.kind == "try" and job.result else "model_job.html"
    return render(request, template, {"job": job, "result": result, "size_words": size_words})


async def job_state(request: Request) -> Response:
    """Answer ``GET /models/jobs/JOB/state``: all of a job as JSON."""
    return json_response(_job_of(request).to_json())


async def stop(request: Request) -> Response:
    """Answer ``POST /models/jobs/JOB/stop``: ask the job to stop, and show it."""
    job = _job_of(request)
    if studio_of(request).jobs.stop(job.id):
        await run_in_threadpool(audit, studio_of(request), "job stopped", {"job": job.id, "title": job.title})
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


ROUTES = [
    Route("/models/m/{id}/train", train_form),
    Route("/models/m/{id}/train", train, methods=["POST"]),
    Route("/models/jobs/{job}", job_page),
    Route("/models/jobs/{job}/state", job_state),
    Route("/models/jobs/{job}/stop", stop, methods=["POST"]),
]
