"""Videos that were dropped on a page: a few, for a while, and gone when the studio starts or ends."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from pathlib import Path

from adapters.errors import ConfigError
from adapters.system import storage_error

MOST_UPLOADS = 3
KEPT_SECONDS = 3600.0
_ID = re.compile(r"[0-9a-f]{24}")


def uploads_folder(data_dir: Path) -> Path:
    """The folder of uploads, made where it is absent.

    Args:
        data_dir: The studio's data folder.

    Raises:
        StorageError: It cannot be made.
    """
    folder = data_dir / ".studio" / "uploads"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise storage_error(folder, error) from None
    return folder


def clear_uploads(data_dir: Path) -> None:
    """Remove every upload.

    Args:
        data_dir: The studio's data folder.
    """
    shutil.rmtree(data_dir / ".studio" / "uploads", ignore_errors=True)


def keep_upload(data_dir: Path, path: Path) -> str:
    """Give an upload its own name, and remove old ones.

    Args:
        data_dir: The studio's data folder.
        path: The file, in ``uploads_folder``.

    Returns:
        The upload's id: 24 characters of 0..9 and a..f.
    """
    upload_id = secrets.token_hex(12)
    path.rename(path.with_name(f"{upload_id}{path.suffix}"))
    others = sorted(_uploads(data_dir), key=lambda item: item[0], reverse=True)
    for number, (seconds, other) in enumerate(others):
        if not other.name.startswith(upload_id) and (number >= MOST_UPLOADS or time.time() - seconds > KEPT_SECONDS):
            other.unlink(missing_ok=True)
    return upload_id


def _uploads(data_dir: Path) -> list[tuple[float, Path]]:
    found = []
    for path in uploads_folder(data_dir).iterdir():
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return found


def find_upload(data_dir: Path, upload_id: str) -> Path:
    """The file of an upload.

    Args:
        data_dir: The studio's data folder.
        upload_id: As ``keep_upload`` returned it.

    Raises:
        ConfigError: There is none any more.
    """
    found = sorted(uploads_folder(data_dir).glob(f"{upload_id}.*")) if _ID.fullmatch(upload_id) else []
    plain = uploads_folder(data_dir) / upload_id
    if not found and _ID.fullmatch(upload_id) and plain.is_file():
        found = [plain]
    if not found:
        raise ConfigError(
            f"this upload was deleted: only the last {MOST_UPLOADS} are kept, for an hour. Upload the video again"
        )
    return found[0]
