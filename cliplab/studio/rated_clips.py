"""The clip database of a studio's folder, opened once, with what learns from its ratings."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import MissingExtraError, StorageError
from adapters.hosts.http_server.errors import RequestError
from cliplab.sql import is_postgres
from cliplab.studio.context import Studio, shown
from cliplab.studio.security import inside

if TYPE_CHECKING:
    from cliplab.clips import Clip, ClipManager, RatingBasedTrainer

_HOW = "create some on the Generate page, or register clips in {name} (docs/guides/clips.md shows how)"
# With what tells a file from another one that has come into its place.
_open: dict[str, tuple[tuple[int, int] | None, ClipManager, RatingBasedTrainer]] = {}
_guard = threading.Lock()


def clips_of(studio: Studio) -> tuple[ClipManager, RatingBasedTrainer]:
    """The database and the trainer of a studio, which trains in the background after every five new ratings.

    Args:
        studio: The studio.

    Raises:
        RequestError: 404, the file of the database does not exist; a request does not make one.
        StorageError: The database cannot be opened.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    from cliplab.clips import ClipManager, RatingBasedTrainer

    database = studio.options.clip_database
    if not _exists(database):
        raise RequestError(404, f"There are no clips to rate yet: {_HOW.format(name=_shown(database))}.")
    with _guard:
        identity = _identity(database)
        if database not in _open or _open[database][0] != identity:
            manager = ClipManager(database)
            folder = studio.options.data_dir if is_postgres(database) else Path(database).resolve().parent
            trainer = RatingBasedTrainer(manager, folder / "models" / "highlight_model.skops")
            _open[database] = identity, manager, trainer
        return _open[database][1:]


def clips_to_write(studio: Studio) -> tuple[ClipManager, RatingBasedTrainer]:
    """As ``clips_of``, for what a person said: while the file is missing, it is to be sent again, not given up.

    Args:
        studio: The studio.

    Raises:
        RequestError: 503, the file of the database does not exist.
        StorageError: The database cannot be opened.
        MissingExtraError: The ``clips`` extra is not installed.
    """
    database = studio.options.clip_database
    if not _exists(database):
        raise RequestError(
            503, f"{_shown(database)} is missing. Put it back: what you say is kept in this browser until then"
        )
    return clips_of(studio)


def _identity(database: str) -> tuple[int, int] | None:
    if is_postgres(database):
        return None
    found = Path(database).stat()
    return found.st_dev, found.st_ino


def _exists(database: str) -> bool:
    return is_postgres(database) or Path(database).is_file()


def _shown(database: str) -> str:
    return "the database" if is_postgres(database) else Path(database).name


def why_no_clips(studio: Studio) -> str | None:
    """One sentence that says how to get clips to rate; None where there are some.

    Args:
        studio: The studio.
    """
    database = studio.options.clip_database
    if not _exists(database):
        return f"There are no clips to rate yet: {_HOW.format(name=_shown(database))}."
    try:
        manager, _ = clips_of(studio)
    except (MissingExtraError, StorageError) as error:
        return str(error)
    if not manager.list_clips(1):
        return f"The database has no clips yet: {_HOW.format(name=_shown(database))}."
    return None


@contextmanager
def refusing() -> Iterator[None]:
    """Answer what is wrong with a request with 400, and a clip that does not exist with 404."""
    from cliplab.clips import ClipError, UnknownClipError

    try:
        yield
    except UnknownClipError as error:
        raise RequestError(404, str(error)) from None
    except ClipError as error:
        raise RequestError(400, str(error)) from None


def request_key(body: Mapping[str, Any]) -> tuple[str, int]:
    """What names a request, so that it is stored once.

    Args:
        body: Of the request.

    Raises:
        RequestError: 400, the client or the sequence is not allowed.
    """
    client, sequence = body["client"], body["sequence"]
    if not isinstance(client, str) or not 0 < len(client) <= 100 or not client.isprintable():
        raise RequestError(400, "client must be text of 1 to 100 printable characters")
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < 2**31:
        raise RequestError(400, "sequence must be a whole number of at least 0")
    return client, sequence


def seen_at(body: Mapping[str, Any], name: str) -> str | None:
    """When the clip of a request was created, as its page knows it; None where the page did not say.

    Args:
        body: Of the request.
        name: The key.

    Raises:
        RequestError: 400, the value is not text.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestError(400, f"{name} must be the clip's created_at, got {value!r:.40}")
    return value


def clip_file(studio: Studio, clip_id: int) -> tuple[Path, str]:
    """The file of a clip and its name; files outside the studio's folder are refused.

    Args:
        studio: The studio.
        clip_id: The clip's id.

    Raises:
        RequestError: 403 outside, 404 gone, or there is no such clip.
    """
    manager, _ = clips_of(studio)
    with refusing():
        clip = manager.get_clip(clip_id)
    return _file_of(studio, clip)


def why_not_shown(studio: Studio, clip: Clip) -> str | None:
    """Why nobody can see a clip: its file is missing, or outside the studio's folder; None where it can be seen.

    Args:
        studio: The studio.
        clip: The clip.
    """
    try:
        _file_of(studio, clip)
    except RequestError as error:
        return str(error)
    return None


def picture_file(studio: Studio, clip: Clip) -> Path | None:
    """The thumbnail that ``generate`` wrote beside a clip, if it lies in the studio's folder.

    Args:
        studio: The studio.
        clip: The clip.
    """
    try:
        path = inside(studio, Path(clip.filepath).with_suffix(".jpg"))
    except (RequestError, ValueError):
        return None
    return path if path.is_file() else None


def _file_of(studio: Studio, clip: Clip) -> tuple[Path, str]:
    path = inside(studio, clip.filepath)
    if not path.is_file():
        raise RequestError(
            404, f"{shown(clip.filename)}: the file is missing. Remove its entry with cliplab clips cleanup"
        )
    return path, path.name
