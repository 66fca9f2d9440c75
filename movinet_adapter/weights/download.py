"""The published MoViNet weights over the network: the SavedModel of TF Hub, the checkpoint archive."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import WeightsError
from adapters.system import captured_stderr, import_tensorflow
from movinet_adapter.architecture import Architecture
from movinet_adapter.weights.checkpoint_graph import first_line

HUB_URL, HUB_VARIABLE = "https://tfhub.dev", "CLIPLAB_TFHUB_URL"
# The links of official/projects/movinet/README.md in tensorflow/models.
CHECKPOINTS_URL = "https://storage.googleapis.com/tf_model_garden/vision/movinet"
CHECKPOINTS_VARIABLE = "CLIPLAB_MOVINET_CHECKPOINTS_URL"
CHECKPOINTS_HUB_VERSION = 3  # the version of TF Hub that has the weights of today's checkpoints
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20


class FetchError(Exception):
    """A source that could not be downloaded; its text is the reason."""


def hub_handle(of: Architecture, version: int) -> str:
    """The handle on TF Hub, or on the mirror - a URL or a folder - that $CLIPLAB_TFHUB_URL names."""
    base = (os.environ.get(HUB_VARIABLE) or HUB_URL).rstrip("/")
    return f"{base}/tensorflow/movinet/{of.model_id}/{of.mode}/kinetics-600/classification/{version}"


def checkpoint_url(of: Architecture) -> str:
    """The checkpoint archive, or its copy on the mirror that $CLIPLAB_MOVINET_CHECKPOINTS_URL names."""
    base = (os.environ.get(CHECKPOINTS_VARIABLE) or CHECKPOINTS_URL).rstrip("/")
    return f"{base}/movinet_{of.model_id}_{of.mode}.tar.gz"


@contextmanager
def hub_saved_model(handle: str) -> Iterator[str]:
    """The folder of a SavedModel of TF Hub, by tensorflow_hub.

    It is downloaded into tensorflow_hub's own cache ($TFHUB_CACHE_DIR), found there, or, with
    TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED, left where it is served from. If the block ends in a WeightsError, what was
    downloaded for it is removed, so that the next try downloads it again.

    Args:
        handle: See ``hub_handle``.

    Yields:
        The folder.

    Raises:
        FetchError: It could not be downloaded, or tensorflow_hub is missing.
    """
    import_tensorflow()
    try:
        with captured_stderr():
            tensorflow_hub = importlib.import_module("tensorflow_hub")
    except ModuleNotFoundError as error:
        raise FetchError(f"{error.name} is not installed; pip install 'cliplab[train]' has it") from error
    own = _hub_folder(handle)
    had = own.exists()
    try:
        folder = tensorflow_hub.resolve(handle)
    except Exception as error:  # urllib's, tarfile's, TensorFlow's: by what is wrong
        raise FetchError(_reason(error)) from error
    try:
        yield folder
    except WeightsError as error:
        if had:
            raise WeightsError(f"{error} It lies in tensorflow_hub's cache: delete {own} to fetch it anew.") from error
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):
            Path(f"{own}.descriptor.txt").unlink()
        raise


@contextmanager
def downloaded(url: str) -> Iterator[Path]:
    """A file downloaded over HTTP, as a whole, to a temporary folder.

    Args:
        url: Where it is.

    Yields:
        Its path.

    Raises:
        FetchError: It could not be downloaded.
    """
    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        path = Path(folder) / url.rpartition("/")[2]
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, path.open("wb") as file:
                shutil.copyfileobj(response, file, _CHUNK_BYTES)
                expected = response.headers.get("Content-Length")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FetchError(_reason(error)) from error
        if expected is not None and path.stat().st_size != int(expected):
            raise FetchError(f"the download ended after {path.stat().st_size} of {expected} bytes")
        yield path


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The content of an archive in a temporary folder: files and folders only, none outside it.

    Args:
        archive: A .tar or .tar.gz.

    Yields:
        The folder.

    Raises:
        WeightsError: The archive is damaged, not whole, or holds anything else.
    """
    with tempfile.TemporaryDirectory(prefix="cliplab_") as folder:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    _unpack_member(tar, member, Path(folder), archive)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise WeightsError(
                f"{archive} is not a whole .tar or .tar.gz ({first_line(error)}). Fetch it again, or give the unpacked "
                "folder."
            ) from error
        yield Path(folder)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path) -> None:
    target = folder / member.name
    if not (member.isfile() or member.isdir()) or not target.resolve().is_relative_to(folder.resolve()):
        raise WeightsError(
            f"{archive} holds {member.name!r}, which is no file or folder inside it. Give an archive of a SavedModel "
            "or checkpoint."
        )
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)


def _hub_folder(handle: str) -> Path:
    """Where tensorflow_hub keeps the SavedModel of a handle (its compressed_module_resolver.py)."""
    base = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "tfhub_modules")
    return Path(base) / hashlib.sha1(handle.encode()).hexdigest()


def _reason(error: Exception) -> str:
    """Why a fetch failed, in a line that says more than the error's own text often does."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server could not be reached ({error.reason})"
    if isinstance(error, (EOFError, tarfile.TarError)) or "valid module" in str(error):
        return f"the download is damaged or was cut short ({first_line(error)})"
    return first_line(error)
