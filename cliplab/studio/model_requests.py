"""What requests about models share: which model they name, and the values of a form."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.requests import Request

from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError
from cliplab.studio.context import Studio
from cliplab.studio.model_list import ModelLibrary, ModelRef
from cliplab.studio.pages import studio_of

UPLOAD_BYTES = 2_000_000_000
MOST_FIELDS = 3000


@lru_cache(maxsize=32)
def _library(folder: Path) -> ModelLibrary:
    return ModelLibrary(folder)


def library_of(studio: Studio) -> ModelLibrary:
    """The models of a studio."""
    return _library(studio.options.models_folder)


def find_model(request: Request) -> ModelRef:
    """The model that the request's path names; only those that the list has can be named.

    Raises:
        RequestError: 404, there is none.
    """
    try:
        return library_of(studio_of(request)).find(request.path_params["id"])
    except ConfigError as error:
        raise RequestError(404, str(error)) from None


async def form_values(request: Request) -> dict[str, str]:
    """The fields of a posted form (application/x-www-form-urlencoded), of a field given twice the last.

    Raises:
        RequestError: 400, it has too many fields; 415, it is no such form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise RequestError(415, f"a form must be application/x-www-form-urlencoded, got {kind!r:.60}")
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise RequestError(400, f"the form has more than {MOST_FIELDS} fields, the maximum") from None
