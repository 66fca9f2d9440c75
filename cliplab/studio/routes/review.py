"""The Review page: what a model scored, what people disagree about, and labels that are likely wrong."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.base import OnProgress
from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio.context import Page, Studio, shown, shown_place, without_folders
from cliplab.studio.jobs import Job
from cliplab.studio.pages import json_body, render, studio_of
from cliplab.studio.queries import ItemRow
from cliplab.studio.retrain import count_labels, retrain, why_not
from cliplab.studio.review import KINDS, MOST_ITEMS, ReviewFilter, review_counts, review_queue, why_empty
from cliplab.studio.store import SEVERAL_LABELS

_DEFAULT_MODEL = "efficientnet_lite0"
_SETTING = "last_retrain"
_SHOWN_SCORES = 5
_JOBS = ("retrain", "prelabel")


def _available(studio: Studio) -> str | None:
    if studio.store.progress()["items"]:
        return None
    return "There is nothing to review yet: add media to the folder, and label a few items or score them with a model."


PAGE = Page(path="/review", title="Review", order=20, available=_available)


def model_choices(studio: Studio) -> list[str]:
    """Names of models that may score the items: those of the models folder, and ready configs."""
    from adapters.inference import ready_configs

    folder = studio.options.models_folder
    own: list[str] = []
    if folder.is_dir():
        own = sorted(
            path.name
            for path in folder.iterdir()
            if (path / "bundle.json").is_file() or path.suffix.lower() == ".tflite"
        )
    return [*own, *(name for name in ready_configs() if name not in own)]


def chosen_model(studio: Studio, name: str) -> str | Path:
    """The model of a name that the page offers; nothing else can be opened over the network.

    Args:
        studio: The studio.
        name: The name.

    Raises:
        ConfigError: It is not offered.
    """
    choices = model_choices(studio)
    if name not in choices:
        raise ConfigError(f"there is no model {name!r:.80}; available models: {', '.join(choices[:20])}")
    own = studio.options.models_folder / name
    return own if own.exists() else name


def page(request: Request) -> Response:
    """Answer ``GET /review``: the page."""
    studio = studio_of(request)
    classes = [{"name": one.name, "key": one.key, "index": number} for number, one in enumerate(studio.store.classes())]
    context = {
        "classes": classes,
        "kinds": _KIND_NAMES,
        "models": model_choices(studio),
        "chosen": _DEFAULT_MODEL,
        "data": {"classes": classes},
        "several": studio.store.setting(SEVERAL_LABELS) == "1",
    }
    return render(request, "review.html", context)


_KIND_NAMES = {
    "uncertain": "Uncertain",
    "sure": "Certain, to confirm",
    "disagree": "People disagree",
    "model": "Model disagrees",
    "mislabels": "Likely wrong",
    "flagged": "Flagged",
}


def queue(request: Request) -> Response:
    """Answer ``GET /review/queue?kind=&label=&low=&high=&text=``: numbers of items, counts, and a sentence if empty."""
    store, query = studio_of(request).store, request.query_params
    kind = query.get("kind", KINDS[0])
    try:
        filters = ReviewFilter(
            query.get("label") or None, _score(query, "low", 0.0), _score(query, "high", 1.0), query.get("text", "")
        )
        numbers = review_queue(store, kind, filters, MOST_ITEMS)  # type: ignore[arg-type]
    except ConfigError as error:
        raise RequestError(400, str(error)) from None
    counts = review_counts(store, filters)
    narrowed = filters != ReviewFilter()
    empty = "" if numbers else ("No item fits these filters." if narrowed else why_empty(store, kind))
    return json_response({"items": numbers, "counts": counts, "empty": empty, "model": _latest(studio_of(request))})


def _score(query: Any, name: str, default: float) -> float:
    try:
        value = float(query.get(name) or default)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise RequestError(400, f"{name} must be a number from 0 to 1, got {query.get(name, '')[:40]!r}")
    return value


def _latest(studio: Studio) -> str | None:
    from cliplab.studio.queries import latest_model

    with studio.store.reading() as connection:
        return latest_model(connection)


def item(request: Request) -> Response:
    """Answer ``GET /review/items/{item}``: an item with the model's scores, each person's label and the notes."""
    studio = studio_of(request)
    found: ItemRow = studio.store.item(request.path_params["item"])
    scores = list(studio.store.scores(found.id).items())[:_SHOWN_SCORES]
    return json_response(
        {
            "id": found.id,
            "kind": found.kind,
            "name": shown_place(found.path),
            "source": shown_place(found.source),
            "start_seconds": found.start_seconds,
            "end_seconds": found.end_seconds,
            "labels": found.labels,
            "review": found.review,
            "disagree": found.disagree,
            "flagged": found.flagged,
            "predicted": found.predicted,
            "scores": [{"label": label, "score": round(score, 4)} for label, score in scores],
            "notes": {name: shown(text) for name, text in studio.store.notes_of(found.id).items()},
        }
    )


def state(request: Request) -> Response:
    """Answer ``GET /review/state``: progress, what the last retraining found, and whether one can start."""
    studio = studio_of(request)
    last = studio.store.setting(_SETTING)
    running = next((job for job in studio.jobs.all() if job.kind in _JOBS and job.state == "running"), None)
    return json_response(
        {
            "progress": studio.store.progress(),
            "last": json.loads(last) if last else None,
            "not_yet": why_not(_counts(studio)),
            "job": None if running is None else running.to_json(),
        }
    )


def _counts(studio: Studio) -> Counter[str]:
    return count_labels(str(one.label) for one in studio.store.labels())


async def start_retrain(request: Request) -> Response:
    """Answer ``POST /review/retrain``: starts the job, or says in a sentence what is missing."""
    studio, body = studio_of(request), await json_body(request)
    if (reason := why_not(_counts(studio))) is not None:
        raise RequestError(409, reason)
    model = _model_of(studio, body)

    def work(job: Job) -> dict[str, Any]:
        report = retrain(studio.store, model, on_progress=_progress(job)).to_json()
        studio.store.set_setting(_SETTING, json.dumps(report))
        return report

    return json_response({"job": _start(studio, "retrain", "Retrain on your labels", work).id}, 202)


async def start_prelabel(request: Request) -> Response:
    """Answer ``POST /review/prelabel``: starts to score every item with a model."""
    from cliplab.studio.prelabel import prelabel

    studio, body = studio_of(request), await json_body(request, ["model"])
    threshold = body.get("threshold", 0.8)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise RequestError(400, f"threshold must be a number from 0 to 1, got {threshold!r:.40}")
    model = _model_of(studio, body)

    def work(job: Job) -> dict[str, Any]:
        report = prelabel(studio.store, model, float(threshold), on_progress=_progress(job))
        counts = {"pre_labels": len(report.pre_labels), "review": len(report.review), "failed": len(report.failed)}
        notes = [shown(without_folders(studio, note)) for note in report.notes]
        sentence = (
            f"{report.model}: {counts['pre_labels']} of score {threshold:g} and more, {counts['review']} to review, "
            f"{counts['failed']} could not be read"
        )
        return {**counts, "notes": notes, "sentence": sentence}

    return json_response({"job": _start(studio, "prelabel", f"Score with {body['model']}", work).id}, 202)


def _model_of(studio: Studio, body: dict[str, Any]) -> str | Path:
    name = body.get("model", _DEFAULT_MODEL)
    if not isinstance(name, str):
        raise RequestError(400, f"model must be a name, got {type(name).__name__}")
    try:
        return chosen_model(studio, name)
    except ConfigError as error:
        raise RequestError(400, str(error)) from None


def _start(studio: Studio, kind: str, title: str, work: Any) -> Job:
    busy = next((job for job in studio.jobs.all() if job.kind in _JOBS and job.state == "running"), None)
    if busy is not None:
        raise RequestError(409, f'"{busy.title}" is running. Wait until it finishes, or stop it')
    started: Job = studio.jobs.start(kind, title, work)
    return started


def _progress(job: Job) -> OnProgress:
    def report(stage: str, done: int, total: int) -> None:
        job.check()
        job.progress(stage, done, total)

    return report


ROUTES = [
    Route("/review", page),
    Route("/review/queue", queue),
    Route("/review/state", state),
    Route("/review/items/{item:number}", item),
    Route("/review/retrain", start_retrain, methods=["POST"]),
    Route("/review/prelabel", start_prelabel, methods=["POST"]),
]
