"""The Label page: frames and clips, one key a label; and the first screen of a folder that has nothing to label yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.hosts.http_server.errors import RequestError, json_response
from adapters.hosts.http_server.options import is_loopback
from cliplab.studio.context import Studio, shown
from cliplab.studio.item_index import first_to_label
from cliplab.studio.items import fill_items
from cliplab.studio.pages import Page, json_body, render, studio_of
from cliplab.studio.security import audit, inside
from cliplab.studio.store import SEVERAL_LABELS

PAGE = Page(path="/label", title="Label", order=10)
MOST_CLASSES = 1000


def label(request: Request) -> Response:
    """Answer ``GET /label``: the page, or the first screen."""
    studio = studio_of(request)
    classes, progress = studio.store.classes(), studio.store.progress()
    if not classes or not progress["items"]:
        context: dict[str, Any] = {"classes": [one.name for one in classes], "scanning": studio.scanning}
        context |= {"items": progress["items"], "missing": progress["missing"]}
        context["folder"] = str(studio.options.data_dir) if is_loopback(studio.options.host) else "."
        return render(request, "setup.html", context)
    listed = [{"name": one.name, "key": one.key, "index": one.position} for one in classes]
    context = {"classes": listed, "progress": progress, "notes": studio.store.notes}
    context["first"] = first_to_label(studio.store, studio.options.annotator or "")
    context["several"] = studio.store.setting(SEVERAL_LABELS) == "1"
    return render(request, "label.html", context)


async def setup(request: Request) -> Response:
    """Answer ``POST /setup``: take in the media of a folder, and set the classes."""
    body = await json_body(request, ["media", "classes"])
    names = body["classes"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > MOST_CLASSES:
        raise RequestError(400, f"classes must be a list of at most {MOST_CLASSES} names")
    if not isinstance(body["media"], str):
        raise RequestError(400, "media must be the path of a folder")
    return json_response(await run_in_threadpool(set_up, studio_of(request), body["media"], names))


def set_up(studio: Studio, media: str, names: list[str]) -> dict[str, Any]:
    """Set the classes, and take in what there is to label.

    Args:
        studio: The studio.
        media: Folder of the media: below the data folder; on loopback any folder of this machine; "" for the data
            folder.
        names: The classes in their order.

    Returns:
        How many items there are, and sentences about what was left out.

    Raises:
        RequestError: 400 or 403, the folder cannot be used, or a name is not allowed.
        StorageError: The store cannot be written.
    """
    folder = _media_folder(studio, media.strip())
    if names:
        studio.store.set_classes(names)
    report = fill_items(studio.store, [] if folder == studio.options.data_dir else [folder])
    audit(studio, "set up", {"media": str(folder), "classes": names, "items": report.items})
    if not report.items:
        raise RequestError(
            400,
            f"there is no picture or video in {shown(folder)}. Nothing was added. Give the folder that contains them",
        )
    return {"items": report.items, "added": report.added, "left_out": [shown(text) for text in report.unreadable[:20]]}


def _media_folder(studio: Studio, media: str) -> Path:
    """The folder that a person named. From other machines only what is below the data folder can be."""
    if not media:
        return studio.options.data_dir
    folder = Path(os.path.expanduser(media))  # of Path it raises for a user who does not exist
    if not is_loopback(studio.options.host) or not folder.is_absolute():
        folder = inside(studio, folder)
    if not os.path.isdir(folder):  # False for what cannot be a path, too
        raise RequestError(400, f"{shown(media[:200])} is not a folder on this machine. Give the folder of your media")
    return folder


ROUTES = [Route("/label", label), Route("/setup", setup, methods=["POST"])]
