"""The Fleet page: devices, rollouts and history of a registry. It only reads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.errors import StorageError
from adapters.hosts.http_server.errors import RequestError
from cliplab.studio import fleet, fleet_rollouts
from cliplab.studio.pages import Page, render, studio_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cliplab.registry import Registry

PAGE = Page(path="/fleet", title="Fleet", order=80, available=fleet.why_no_fleet)


def page(request: Request) -> Response:
    """Answer ``GET /fleet?q=&kind=&after=``: up to 100 devices by name, with the rollouts and the history."""
    query = request.query_params
    words, kind, after = query.get("q", "").strip()[:200], query.get("kind") or "all", query.get("after", "")[:200]
    if kind not in fleet.KINDS:
        raise RequestError(400, f"kind is {kind[:40]!r} and must be one of {', '.join(fleet.KINDS)}")
    with _opened(request) as registry:
        rows, following = fleet.read_devices(registry, words, kind, after)
        context = fleet.read_summary(registry) | {"history": fleet_rollouts.read_history(registry)}
    kept = {"q": words, "kind": kind}
    context |= {"rows": rows, "kinds": fleet.KINDS, "words": words, "kind": kind, "after": after}
    context |= {"more": urlencode({**kept, "after": following}) if following else "", "first": urlencode(kept)}
    return render(request, "fleet.html", context)


def state(request: Request) -> Response:
    """Answer ``GET /fleet/state``: the upper part of the page, which is fetched again every 15 s."""
    with _opened(request) as registry:
        return render(request, "fleet_state.html", fleet.read_summary(registry))


@contextmanager
def _opened(request: Request) -> Iterator[Registry]:
    """The registry; 404 where there is none, as where the address was kept from another time."""
    studio = studio_of(request)
    try:
        with fleet.opened(studio) as registry:
            yield registry
    except StorageError as error:
        raise RequestError(404, fleet.why_no_fleet(studio) or str(error)) from None


ROUTES = [Route("/fleet", page), Route("/fleet/state", state)]
