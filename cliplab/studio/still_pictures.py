"""Pictures as files: recognised, scaled, and made into JPEGs for the browser."""

from __future__ import annotations

import numpy as np

from adapters.errors import MediaError
from adapters.media import jpeg_size
from adapters.records import UInt8Array
from adapters.system import read_regular_bytes
from cliplab.studio.media_files import FileGoneError, MediaFile

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_MOST_PICTURE_BYTES = 200_000_000
# A JPEG up to this size that is about as high as wanted is sent as it is: decoding it would only add time.
_SEND_BYTES, _SEND_SCALE = 500_000, 1.5
_QUALITY = 88


def is_picture(file: MediaFile) -> bool:
    """Whether a file is a still picture, by its name.

    Args:
        file: The file.
    """
    return file.path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(file: MediaFile) -> bytes:
    """The content of a picture.

    Args:
        file: The picture.

    Raises:
        MediaError: It is gone, or larger than 200 MB.
    """
    try:
        return read_regular_bytes(file.path, _MOST_PICTURE_BYTES, MediaError)
    except OSError as error:
        raise FileGoneError(f"{file.path}: cannot be read ({error.strerror}). Restore it, then reload.") from None


def jpeg_to_send(content: bytes, height: int) -> bytes | None:
    """A JPEG that may be sent as it is; None where it has to be decoded and made smaller.

    Args:
        content: Of the file.
        height: That is wanted, in pixels.
    """
    if len(content) > _SEND_BYTES or not content.startswith(b"\xff\xd8") or not content.endswith(b"\xff\xd9"):
        return None
    size = jpeg_size(content)
    return content if size is not None and max(size) <= height * 16 / 9 * _SEND_SCALE else None


def scaled(width: int, height: int, wanted: int) -> tuple[int, int]:
    """Width and height of a picture at another height, never larger than it is.

    Args:
        width: In pixels.
        height: In pixels.
        wanted: The height in pixels.
    """
    if wanted >= height:
        return width, height
    return max(1, round(width * wanted / height)), wanted


def jpeg_of(picture: UInt8Array, size: tuple[int, int] | None = None) -> bytes:
    """A picture as a JPEG.

    Args:
        picture: uint8 [H, W, 3] RGB.
        size: Width and height to scale it to; None: as it is.

    Raises:
        MediaError: It cannot be encoded.
    """
    import cv2

    shown = picture
    if size is not None and size != (shown.shape[1], shown.shape[0]):
        shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, encoded = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise MediaError(f"a picture of {shown.shape[1]}x{shown.shape[0]} cannot be made into a JPEG.")
    return bytes(encoded)
