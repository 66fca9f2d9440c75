"""The published MoViNet weights over the network: the SavedModel of TF Hub, the checkpoint archive."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.errors import WeightsError, install_command
from adapters.models.weights import DownloadError, download, reason_of, require_first_use, trust_first_use
from adapters.system import cache_dir, captured_stderr, downloads_allowed, import_tensorflow, value_digest
from movinet_adapter.architecture import Architecture
from movinet_adapter.weights.archives import unpacked
from movinet_adapter.weights.cache import files_digest
from movinet_adapter.weights.checkpoint_graph import first_line

HUB_URL, HUB_VARIABLE = "https://tfhub.dev", "CLIPLAB_TFHUB_URL"
HUB_CACHE_VARIABLE = "TFHUB_CACHE_DIR"
# The links of official/projects/movinet/README.md in tensorflow/models.
CHECKPOINTS_URL = "https://storage.googleapis.com/tf_model_garden/vision/movinet"
CHECKPOINTS_VARIABLE = "CLIPLAB_MOVINET_CHECKPOINTS_URL"
CHECKPOINTS_HUB_VERSION = 3  # the version of TF Hub that has the weights of today's checkpoints
MAX_DOWNLOAD_BYTES = 1 << 30  # the largest model, a5, has about 130 MB of variables
_MODEL_FILE = "saved_model.pb"


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
    """The folder of a SavedModel of TF Hub.

    It is downloaded into tensorflow_hub's cache - $TFHUB_CACHE_DIR, otherwise a folder of the user's own cache that no
    other user may enter - or found there; with TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED, or a folder as the handle,
    tensorflow_hub says where it lies. The SHA-256 of the files is kept for each handle at the first use, and must be
    the same later. If the block ends in a WeightsError, what was downloaded for it is removed, so that the next try
    downloads it again.

    Args:
        handle: See ``hub_handle``.

    Yields:
        The folder.

    Raises:
        FetchError: It could not be downloaded, or tensorflow_hub is missing.
        WeightsError: It is not what was found at the first use.
    """
    remote = handle.startswith(("http://", "https://"))
    if remote and not downloads_allowed() and not (hub_folder(handle) / _MODEL_FILE).is_file():
        raise FetchError("downloads are not allowed here")
    import_tensorflow()
    try:
        with captured_stderr():
            tensorflow_hub = importlib.import_module("tensorflow_hub")
    except ModuleNotFoundError as error:
        raise FetchError(f"{error.name} is not installed. Install it with: {install_command('train')}") from error
    own = hub_folder(handle)
    had = own.exists()
    try:
        if _is_archive_of(handle):
            if not (own / _MODEL_FILE).is_file():
                _download_model(handle, own)
            folder = str(own)
        else:
            folder = tensorflow_hub.resolve(handle)
    except FetchError:
        raise
    except Exception as error:  # urllib's, tarfile's, TensorFlow's: by what is wrong
        raise FetchError(_reason(error)) from error
    try:
        digest = _files_digest(folder)
        if digest is not None:
            require_first_use(handle, digest)
        yield folder
    except WeightsError as error:
        if had:
            raise WeightsError(
                f"{error} It is in tensorflow_hub's cache: delete {own} to download it again."
            ) from error
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):
            Path(f"{own}.descriptor.txt").unlink()
        raise
    if digest is not None:
        trust_first_use(handle, digest)


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
        path = Path(folder) / (url.partition("?")[0].rpartition("/")[2] or "download")
        try:
            download(url, path, max_bytes=MAX_DOWNLOAD_BYTES, named=_is_named(url))
        except DownloadError as error:
            raise FetchError(str(error)) from error
        yield path


def hub_folder(handle: str) -> Path:
    """Where tensorflow_hub keeps the SavedModel of a handle (its compressed_module_resolver.py).

    Its own default is a folder in the system's temporary one, which other users of the machine may fill; ours is not.

    Args:
        handle: See ``hub_handle``.
    """
    base = os.environ.get(HUB_CACHE_VARIABLE)
    return (Path(base) if base else cache_dir() / "tfhub_modules") / hashlib.sha1(handle.encode()).hexdigest()


def _download_model(handle: str, own: Path) -> None:
    """Download and unpack a handle's archive into its folder, as a whole or not at all."""
    try:
        with downloaded(f"{handle}?tf-hub-format=compressed") as archive, unpacked(archive) as content:
            own.parent.mkdir(parents=True, exist_ok=True)
            if not os.environ.get(HUB_CACHE_VARIABLE):
                own.parent.chmod(0o700)
            temporary = Path(tempfile.mkdtemp(prefix=f".{own.name}.", dir=own.parent))  # of mode 0700
            try:
                shutil.copytree(content, temporary, dirs_exist_ok=True)
                shutil.rmtree(own, ignore_errors=True)
                temporary.replace(own)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except WeightsError as error:
        raise FetchError(f"the download is damaged or was cut short ({error})") from error


def _is_archive_of(handle: str) -> bool:
    """Whether tensorflow_hub would download the handle as an archive."""
    format_name = os.environ.get("TFHUB_MODEL_LOAD_FORMAT", "COMPRESSED").upper()
    return handle.startswith(("http://", "https://")) and format_name != "UNCOMPRESSED"


def _is_named(url: str) -> bool:
    """Whether a person named where a URL leads, and may so have chosen http."""
    named = (os.environ.get(HUB_VARIABLE), os.environ.get(CHECKPOINTS_VARIABLE))
    return any(base and url.startswith(base.rstrip("/") + "/") for base in named)


def _files_digest(folder: str) -> str | None:
    """The SHA-256 of a local SavedModel's graph and variables; None for one that lies elsewhere, or is not whole."""
    root = Path(folder)
    files = {_MODEL_FILE: root / _MODEL_FILE}
    files |= {file.name: file for file in (root / "variables").glob("variables.*")}
    if not all(file.is_file() for file in files.values()):
        return None
    return value_digest([files_digest(files)])


def _reason(error: Exception) -> str:
    """Why tensorflow_hub failed, in a line that says more than the error's own text often does."""
    if "valid module" in str(error):
        return f"the download is damaged or was cut short ({first_line(error)})"
    return reason_of(error)
