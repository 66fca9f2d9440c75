"""What the handlers of all pages share."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from starlette.templating import Jinja2Templates

from adapters.errors import StorageError
from adapters.system import terminal_text
from cliplab.studio.frames import FrameService
from cliplab.studio.hub import EventHub
from cliplab.studio.jobs import Jobs
from cliplab.studio.options import StudioOptions
from cliplab.studio.store import LabelStore

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
TEMPLATES = _HERE / "templates"
BODY_BYTES = 1_000_000


def make_templates() -> Jinja2Templates:
    """Return the templates, which escape all that they show."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["shown"] = shown
    environment.filters["clock"] = _clock
    return Jinja2Templates(env=environment)


def _clock(seconds: float) -> str:
    """83.2 as 01:23.2, as the pages' scripts write it."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def shown(text: object) -> str:
    """Return text of a file or a person as one harmless line.

    Control characters, line breaks, marks that turn the direction of writing, and bytes that are not text become
    visible escapes.

    Args:
        text: A name, a path or a message.
    """
    return terminal_text(str(text), one_line=True)


def shown_place(path: str) -> str:
    """Where a file is, for a page: the names of folders above the data folder stay on this machine.

    Args:
        path: Relative to the data folder, or absolute where it is outside of it.

    Returns:
        The path as one harmless line; of an absolute one the last two names.
    """
    parts = PurePath(path).parts
    return shown(path if not os.path.isabs(path) or len(parts) < 4 else os.path.join("…", *parts[-2:]))


def without_folders(studio: Studio, text: str) -> str:
    """A sentence in which files are named as pages name them: below the studio's folders, not by their place.

    Args:
        studio: The studio.
        text: What an error or a note says.
    """
    data = (str(studio.options.data_dir), os.path.realpath(studio.options.data_dir))
    media: list[str] = []
    with contextlib.suppress(StorageError):  # the sentence may be about the store itself
        given = studio.store.setting("media") if studio.store else ""
        media = [os.fsdecode(bytes.fromhex(one)) for one in given.split()]
    named = {
        os.path.dirname(one) if os.path.isfile(one) else one for one in (*media, str(studio.options.models_folder))
    }
    for root in sorted({*data, *named} - {os.sep}, key=len, reverse=True):
        inner = "" if root in data else os.path.join("…", os.path.basename(root), "")
        text = text.replace(root + os.sep, inner).replace(root, inner or "the studio's folder")
    return text


@dataclass(frozen=True)
class Page:
    """A page of the bar. A module of ``routes/`` declares it as ``PAGE``, and its handlers as ``ROUTES``.

    Attributes:
        path: Where it is, such as "/models".
        title: What the bar says.
        order: Place in the bar, small numbers first.
        available: Returns None if the page has something to show, or one sentence that says how to get there.
        body_limits: Sizes of the largest bodies in bytes by path, where one is larger than ``BODY_BYTES``. A path
            that ends in "/" counts for all below it.
    """

    path: str
    title: str
    order: int
    available: Callable[[Studio], str | None] = lambda studio: None
    body_limits: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Studio:
    """One running studio. Handlers find it with ``studio_of(request)``.

    Attributes:
        options: As it was started.
        store: The labels.
        frames: Decodes frames, thumbnails and peaks.
        jobs: Long work, such as trainings.
        hub: Sends events to the open pages.
        templates: The pages.
        pages: The pages of the bar, in their order; ``make_app`` fills it.
        identity: What names its store for good.
        labels_changed: Called after labels were stored; keeps ``options.output`` in step.
        scanning: Whether the folder is looked through at this moment.
        csrf: What writes carry in the header X-CSRF-Token; new with each start.
    """

    options: StudioOptions
    store: LabelStore
    frames: FrameService
    jobs: Jobs
    hub: EventHub = field(default_factory=EventHub)
    templates: Jinja2Templates = field(default_factory=make_templates)
    pages: Sequence[Page] = ()
    identity: str = ""
    labels_changed: Callable[[], object] = lambda: None
    scanning: bool = False
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
