"""The Models page: what models there are, one of them, and two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.errors import AdapterError, ConfigError
from adapters.hosts.http_server.errors import RequestError, json_response
from cliplab.studio import model_comparison as comparison
from cliplab.studio import model_pages as shown
from cliplab.studio.context import Studio, shown_place, without_folders
from cliplab.studio.model_list import ModelEntry, ModelLibrary, ModelRef
from cliplab.studio.model_requests import UPLOAD_BYTES, find_model, library_of
from cliplab.studio.pages import Page, render, studio_of
from cliplab.studio.registry_versions import read_registry_versions

PAGE = Page(path="/models", title="Models", order=30, body_limits={"/models/upload/": UPLOAD_BYTES})
ROWS = 50  # models on one page of the list


async def models(request: Request) -> Response:
    """Answer ``GET /models``: the list, filtered by ``q``, ``page`` from 1."""
    return render(request, "models.html", await run_in_threadpool(_list, request))


def _list(request: Request) -> dict[str, Any]:
    library = library_of(studio_of(request))
    words = request.query_params.get("q", "")[:200]
    refs = [ref for ref in library.refs() if words.casefold() in ref.name.casefold()]
    own = [ref for ref in refs if not ref.ready]
    last = max(1, -(-len(refs) // ROWS))
    page = min(max(1, _number(request.query_params.get("page", "1"))), last)
    current, problem = library.current_names()
    rows = [_row(library, ref, current) for ref in refs[(page - 1) * ROWS : page * ROWS]]
    for row in rows:
        row["error"] = row["entry"].error and without_folders(studio_of(request), row["entry"].error)
    jobs = studio_of(request).jobs
    stored, registry_problem = read_registry_versions(studio_of(request), words, ROWS)
    return {
        "rows": rows,
        "words": words,
        "page_number": page,
        "last_page": last,
        "own": len(own),
        "ready": len(refs) - len(own),
        "folder": _short(studio_of(request), library.folder),
        "manifest_problem": problem,
        "versions": [] if words else _versions(library),
        "stored": [
            {"one": one, "figures": _figures(one.metrics), "size": shown.size_words(one.size_bytes)} for one in stored
        ],
        "registry_problem": registry_problem,
        "jobs": jobs.all()[:5] if jobs is not None else [],
    }


def _versions(library: ModelLibrary) -> list[dict[str, Any]]:
    """Rows of the versions that the manifest lists, with up to three of the figures that it keeps of each."""
    return [{"version": one, "figures": _figures(one.metrics)} for one in library.versions()[:ROWS]]


def _figures(metrics: Mapping[str, Any]) -> str:
    """Up to three figures in words."""
    return ", ".join([f"{name} {value:.3g}" for name, value in metrics.items() if shown.is_number(value)][:3])


def _short(studio: Studio, folder: Path) -> str:
    """A folder as people know it: relative to the data folder where it is in it."""
    try:
        return str(folder.relative_to(studio.options.data_dir))
    except ValueError:
        return shown_place(str(folder))


def _row(library: ModelLibrary, ref: ModelRef, current: set[str]) -> dict[str, Any]:
    entry: ModelEntry = library.entry(ref)
    found = shown.headline(entry.metrics) if entry.error is None else None
    return {
        "entry": entry,
        "ref": ref,
        "figure": found[0] if found else None,
        "clips": found[1] if found else None,
        "size": shown.size_words(entry.size_bytes) if ref.kind != "config" else "-",
        "current": ref.name in current,
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1


async def model(request: Request) -> Response:
    """Answer ``GET /models/m/ID``: one model."""
    ref = await run_in_threadpool(find_model, request)
    try:
        detail = await run_in_threadpool(shown.read_detail, ref)
    except (AdapterError, OSError) as error:
        return render(request, "model_damaged.html", {"ref": ref, "error": str(error)}, 200)
    config, validation = detail.complete or detail.config, detail.validation
    classes = shown.class_rows(validation)
    notes = validation.get("notes")
    context = {
        "ref": ref,
        "detail": detail,
        "figures": shown.figures_of(validation),
        "classes": classes[: shown.MOST_CLASSES],
        "classes_left_out": max(0, len(classes) - shown.MOST_CLASSES),
        "matrix": shown.confusion(detail),
        "gates": shown.gate_rows(config, validation, detail.size_bytes),
        "thresholds": config.get("best_thresholds") or {},
        "notes": [str(note) for note in notes] if isinstance(notes, list) else [],
        "size": shown.size_words(detail.size_bytes),
        "files": [(name, shown.size_words(size)) for name, size in detail.files],
    }
    return render(request, "model.html", context)


async def charts(request: Request) -> Response:
    """Answer ``GET /models/m/ID/charts``: the points of its charts as JSON."""
    ref = await run_in_threadpool(find_model, request)
    return json_response(shown.chart_data(await run_in_threadpool(shown.read_detail, ref)))


async def compare(request: Request) -> Response:
    """Answer ``GET /models/compare?m=ID&m=ID``: two models side by side."""
    ids = request.query_params.getlist("m")
    if len(ids) != 2 or ids[0] == ids[1]:
        raise RequestError(400, f"a comparison needs two different models, got {len(set(ids))}. Choose two in the list")
    return render(request, "model_compare.html", await run_in_threadpool(_compare, library_of(studio_of(request)), ids))


def _compare(library: ModelLibrary, ids: list[str]) -> dict[str, Any]:
    first, second = (shown.read_detail(library.find(one)) for one in ids)
    try:
        changes, problem = comparison.changes_between(first, second), None
    except ConfigError as error:
        changes, problem = [], str(error)
    return {
        "first": first,
        "second": second,
        "differences": comparison.figure_differences(first, second),
        "notes": comparison.comparison_notes(first, second),
        "changes": changes,
        "problem": problem,
    }


ROUTES = [
    Route("/models", models),
    Route("/models/compare", compare),
    Route("/models/m/{id}", model),
    Route("/models/m/{id}/charts", charts),
]
