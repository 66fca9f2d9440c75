"""The config of a model as a form: checked while one types, and saved as a new version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.errors import AdapterError, ConfigError
from adapters.hosts.http_server.errors import RequestError
from cliplab.studio.config_changes import Change
from cliplab.studio.context import Studio
from cliplab.studio.model_form import PREFIX, Form, config_form, posted_form
from cliplab.studio.model_list import ModelLibrary, ModelRef
from cliplab.studio.model_pages import ModelDetail, read_detail
from cliplab.studio.model_requests import find_model, form_values, library_of
from cliplab.studio.model_versions import (
    VersionTakenError,
    changes_of,
    check_version_name,
    next_version_name,
    save_bundle_copy,
    save_config,
    worst_effect,
)
from cliplab.studio.pages import render, studio_of
from cliplab.studio.security import audit


@dataclass(frozen=True)
class _Edit:
    """A form with what its values change.

    Attributes:
        detail: The model.
        form: The form.
        changes: The keys that differ from the model's; empty where the form is wrong.
    """

    detail: ModelDetail
    form: Form
    changes: list[Change]

    def context(self, library: ModelLibrary, version: str = "", problem: str = "") -> dict[str, Any]:
        ref, effect = self.detail.ref, worst_effect(self.changes)
        return {
            "ref": ref,
            "form": self.form,
            "fields": _all_fields(self.form),
            "wrong": sum(bool(item.error) for item in _all_fields(self.form)),
            "changes": self.changes,
            "effect": effect,
            "advice": _advice(ref, effect),
            "base": self.detail.digest,
            "version": version or next_version_name(library, ref),
            "problem": problem,
        }


def _all_fields(form: Form) -> list[Any]:
    """Every field that can have an error, groups too."""
    found, pending = [], [item for section in form.sections for item in section.fields]
    while pending:
        item = pending.pop(0)
        if item.control != "fixed":
            found.append(item)
        pending[:0] = item.fields
    return found


def _advice(ref: ModelRef, effect: str) -> str:
    if ref.kind == "config":
        return (
            "A config becomes a model by training: save it, then choose Train on its page."
            if effect == "retrain"
            else "Saved as a new config file; the one that you opened is unchanged."
        )
    if effect == "retrain":
        return (
            "A changed key does not fit the trained weights. Choose “Save as a config to train”, "
            "then Train on its page."
        )
    if effect == "program":
        return (
            "Saving converts the weights to a new program, which takes seconds to minutes (on the command "
            "line: cliplab convert)."
        )
    return "Takes effect immediately in the new version; the weights and programs are copied."


def _edit(detail: ModelDetail, form: Form) -> _Edit:
    if not form.valid or not detail.complete:
        return _Edit(detail, form, [])
    return _Edit(detail, form, changes_of(detail, form.config))


def _opened(detail: ModelDetail) -> _Edit:
    """The form of a model. Of a saved one, whose config is complete, only what is not a default is filled in."""
    config = detail.config
    if detail.ref.kind != "config" and detail.complete:
        form = config_form(detail.complete)
        defaults = {item.name: item.default for item in form.fields()}
        values = {item.name: "" if item.value == defaults[item.name] else item.value for item in form.fields()}
        return _edit(detail, posted_form(detail.complete, values))
    return _edit(detail, config_form(config))


async def edit(request: Request) -> Response:
    """Answer ``GET /models/m/ID/edit``: the form."""
    ref, library = await run_in_threadpool(find_model, request), library_of(studio_of(request))

    def work() -> dict[str, Any]:
        return _opened(read_detail(ref)).context(library)

    try:
        return render(request, "model_edit.html", await run_in_threadpool(work))
    except AdapterError as error:
        return render(request, "model_damaged.html", {"ref": ref, "error": str(error)})


async def check(request: Request) -> Response:
    """Answer ``POST /models/m/ID/check``: errors and changes of the values, as fragments that htmx puts in place."""
    values, library = await form_values(request), library_of(studio_of(request))
    ref = await run_in_threadpool(find_model, request)

    def work() -> dict[str, Any]:
        detail = read_detail(ref)
        return _edit(detail, posted_form(detail.config, values)).context(library, values.get("version", ""))

    return render(request, "model_check.html", await run_in_threadpool(work))


async def save(request: Request) -> Response:
    """Answer ``POST /models/m/ID/save``: a new version, or the form again with what is wrong."""
    values = await form_values(request)
    try:
        ref = await run_in_threadpool(find_model, request)
    except RequestError as error:
        return _gone(request, values, error.message)
    try:
        return await run_in_threadpool(_save, request, ref, values)
    except (ConfigError, OSError) as error:
        return _gone(request, values, str(error))


def _gone(request: Request, values: Mapping[str, str], sentence: str) -> Response:
    """The model was removed or damaged while it was edited: what the person typed is given back."""
    kept = {name.removeprefix(PREFIX): text for name, text in values.items() if name.startswith(PREFIX) and text}
    context = {"sentence": sentence, "kept": json.dumps(kept, indent=2, ensure_ascii=False)}
    return render(request, "model_gone.html", context, 409)


def _save(request: Request, ref: ModelRef, values: Mapping[str, str]) -> Response:
    studio = studio_of(request)
    library, detail = library_of(studio), read_detail(ref)
    edited = _edit(detail, posted_form(detail.config, values))
    name, as_config = values.get("version", "").strip(), values.get("as") == "config" or ref.kind == "config"

    def again(problem: str, status: int, version: str = "") -> Response:
        return render(request, "model_edit.html", edited.context(library, version or name, problem), status)

    if values.get("base", detail.digest) != detail.digest:
        return again("Another program changed it after you opened it. Check the changes, then save again", 409)
    if not edited.form.valid:
        return again("Nothing was saved: correct the fields that are marked", 422)
    try:
        check_version_name(name)
        if not edited.changes and not as_config:
            return again("Nothing was changed, so there is nothing to save", 422)
        effect = worst_effect(edited.changes)
        if as_config:
            path = save_config(library, name, edited.form.config)
        elif effect == "retrain":
            return again(_advice(ref, effect), 422)
        elif effect == "program":
            return _save_in_job(request, studio, detail, edited, name)
        else:
            path = save_bundle_copy(library, name, detail, edited.form.config)
    except VersionTakenError as error:
        return again(f"{error}: {next_version_name(library, ref)}", 409, next_version_name(library, ref))
    except AdapterError as error:
        return again(str(error), 422)
    audit(studio, "model version saved", {"from": ref.name, "to": path.name, "keys": [c.key for c in edited.changes]})
    new = next((found for found in library.refs() if found.path == path), None)
    return RedirectResponse(f"/models/m/{new.id}" if new else "/models", 303)


def _save_in_job(request: Request, studio: Studio, detail: ModelDetail, edited: _Edit, name: str) -> Response:
    from cliplab.studio.child_job import run_child

    arguments = {
        "folder": str(library_of(studio).folder),
        "model": detail.ref.id,
        "name": name,
        "config": edited.form.config,
    }
    job = studio.jobs.start(
        "convert",
        f"Make {name} from {detail.ref.name}",
        lambda job: run_child(job, "cliplab.studio.model_work:save_version", arguments),
    )
    audit(studio, "model version started", {"from": detail.ref.name, "to": name, "job": job.id})
    return RedirectResponse(f"/models/jobs/{job.id}", 303)


ROUTES = [
    Route("/models/m/{id}/edit", edit),
    Route("/models/m/{id}/check", check, methods=["POST"]),
    Route("/models/m/{id}/save", save, methods=["POST"]),
]
