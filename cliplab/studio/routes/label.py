"""The Label page: frames and clips, one key a label."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cliplab.studio.pages import Page, render

PAGE = Page(path="/label", title="Label", order=10)


async def label(request: Request) -> Response:
    """Answer ``GET /label``: the page."""
    return render(request, "label.html")


ROUTES = [Route("/label", label)]
