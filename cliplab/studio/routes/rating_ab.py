"""The A/B page: two versions of a rating model, and how people like the clips of each."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cliplab.studio.context import Page, Studio
from cliplab.studio.pages import render, studio_of
from cliplab.studio.rated_clips import clips_of, why_no_clips


def _available(studio: Studio) -> str | None:
    from cliplab.clips import read_ab

    missing = why_no_clips(studio)
    if missing is not None:
        return missing
    _, trainer = clips_of(studio)
    if read_ab(trainer.model_path) is None:
        return "No comparison is running. Start one in the studio's folder: cliplab clips ab-start B.skops"
    return None


PAGE = Page(path="/rating-ab", title="A/B", order=80, available=_available)


def page(request: Request) -> Response:
    """Answer ``GET /rating-ab``: the figures, which ask for themselves again."""
    return _render(request, "rating_ab.html")


def figures(request: Request) -> Response:
    """Answer ``GET /rating-ab/figures``: the figures as they are now, a piece of the page."""
    return _render(request, "rating_ab_figures.html")


def _render(request: Request, template: str) -> Response:
    from cliplab.clips import measure_ab, read_ab

    manager, trainer = clips_of(studio_of(request))
    test = read_ab(trainer.model_path)
    return render(request, template, {"report": None if test is None else measure_ab(manager, test)})


ROUTES = [Route("/rating-ab", page), Route("/rating-ab/figures", figures)]
