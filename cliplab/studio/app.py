"""The studio as an ASGI app: the pages behind the checks that every request passes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router

from cliplab.studio.assets import assets_route
from cliplab.studio.context import STATIC, Studio
from cliplab.studio.pages import Page, render, studio_of
from cliplab.studio.routes import page_modules
from cliplab.studio.security import Guard


def make_app(studio: Studio) -> Guard:
    """Return the ASGI app of a studio.

    Args:
        studio: What the pages share. Its ``pages`` are filled.
    """
    pages: list[Page] = []
    routes: list[BaseRoute] = []
    for module in page_modules():
        page: Page | None = vars(module).get("PAGE")
        if page is not None:
            pages.append(page)
        routes += [_or_absent(route, page) for route in vars(module)["ROUTES"]]
    studio.pages = tuple(sorted(pages, key=lambda page: page.order))
    routes.append(assets_route(STATIC))
    return Guard(Router(routes, redirect_slashes=False), studio)


def _or_absent(route: BaseRoute, page: Page | None) -> BaseRoute:
    """The route of a page itself, which says how to get there while the page has nothing to show."""
    if page is None or not isinstance(route, Route) or route.path != page.path or "GET" not in (route.methods or ()):
        return route
    handler: Callable[[Request], Any] = route.endpoint

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        absent = await run_in_threadpool(page.available, studio_of(request))
        if absent is not None:
            return render(request, "absent.html", {"page": page, "sentence": absent})
        found = await handler(request) if inspect.iscoroutinefunction(handler) else run_in_threadpool(handler, request)
        response: Response = await found if inspect.isawaitable(found) else found
        return response

    return Route(route.path, answer, methods=sorted(route.methods or ("GET",)), name=route.name)


__all__ = ["Studio", "make_app"]
