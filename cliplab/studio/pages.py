"""What the handlers of pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from adapters.hosts.http_server.errors import RequestError
from adapters.system import MAX_DEPTH, parse_json
from cliplab.studio.context import BODY_BYTES, Page, Studio, without_folders

# What a page is given under these names says what went wrong, and may name files by where they are on this machine.
_SENTENCES = ("problem", "error", "sentence", "manifest_problem", "registry_problem")


def studio_of(request: Request) -> Studio:
    """Return the studio that a request is for."""
    studio: Studio = request.app.state.studio
    return studio


def render(request: Request, template: str, context: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    """Return a page or a fragment from a template.

    Args:
        request: The request. The template finds it as ``request``.
        template: Name of a file in ``templates/``.
        context: What the template shows. Text from files goes through the filter ``shown``. Sentences about what went
            wrong lose the folders above the studio's own.
        status: HTTP status.
    """
    studio = studio_of(request)
    shared = {
        "studio": studio,
        "pages": studio.pages,
        "here": request.url.path,
        "csrf": studio.csrf,
        "annotator": studio.options.annotator or "",
        "read_only": without_folders(studio, studio.store.read_only) if studio.store and studio.store.read_only else "",
    }
    given = dict(context or {})
    given |= {name: without_folders(studio, given[name]) for name in _SENTENCES if isinstance(given.get(name), str)}
    return studio.templates.TemplateResponse(request, template, {**shared, **given}, status_code=status)


async def json_body(request: Request, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read a body that is one JSON object.

    Args:
        request: The request; the size of its body has been checked.
        keys: Keys that it must have.

    Raises:
        RequestError: 400, it is not JSON, not an object, or a key is missing.
    """
    body = await request.body()
    try:
        value = parse_json(body, MAX_DEPTH)
    except ValueError as error:
        raise RequestError(
            400, f"the body must be JSON of at most {MAX_DEPTH} levels in UTF-8 ({error}). Send an object"
        ) from None
    if not isinstance(value, dict):
        raise RequestError(400, f"the body must be a JSON object, got {type(value).__name__}")
    missing = [key for key in keys if key not in value]
    if missing:
        raise RequestError(400, f"the body has no key {missing[0]!r}; it needs {', '.join(keys)}")
    return value


__all__ = ["BODY_BYTES", "Page", "json_body", "render", "studio_of"]
