"""Predictions and features of Dataloop items. A failed item becomes a result with the reason."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.errors import MediaError, describe_failure
from adapters.hosts.dataloop.downloads import DownloadFolder, FetchedItem, download_folder, fetch, is_image
from adapters.inference import ClipFunction, FailedClip, predict_videos
from adapters.media import read_clip
from adapters.records import Clip, Float32Array, Prediction


@dataclass(frozen=True)
class ItemResult:
    """The result of one item.

    Attributes:
        item: The item.
        predictions: One prediction per window; empty if the item failed.
        error: Why the item failed; None if it did not.
        fps: Frames per second of a video; None if unknown.
        warnings: What the decoder noticed, a sentence each.
    """

    item: Any
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None
    fps: float | None = None
    warnings: tuple[str, ...] = ()


def predict_items(adapter: BaseModelAdapter, items: Sequence[Any]) -> Iterator[ItemResult]:
    """Predict items.

    Files are downloaded into a temporary folder, a few at a time, and removed as soon as their item is done.

    Args:
        adapter: The model.
        items: The items.

    Yields:
        The result of each item, in order. It has ``error`` if the item is of an unsupported type, or cannot be
        downloaded or decoded.

    Raises:
        Exception: Whatever the model raises.
    """
    for pictures, group in groupby(items, is_image):
        with download_folder() as downloads:
            predict = _predict_pictures if pictures else _predict_videos
            yield from predict(adapter, list(group), downloads)


def _predict_videos(adapter: BaseModelAdapter, items: Sequence[Any], downloads: DownloadFolder) -> Iterator[ItemResult]:
    order: deque[FetchedItem] = deque()

    def paths() -> Iterator[Path]:
        for fetched in fetch(adapter, items, downloads):
            order.append(fetched)  # before the path is yielded, since its result looks here
            if fetched.path is not None:
                yield fetched.path

    with closing(predict_videos(adapter, paths())) as results:  # type: ignore[type-var]
        try:
            for result in results:
                yield from _failed(order)
                fetched = order.popleft()
                shutil.rmtree(Path(result.path).parent, ignore_errors=True)
                error = _without_folder(result.error, fetched)
                yield ItemResult(fetched.item, result.predictions, error, fetched.fps, result.warnings)
        finally:
            downloads.closed.set()  # before the readers are joined: one of them may wait for a download
    yield from _failed(order)


def _predict_pictures(
    adapter: BaseModelAdapter, items: Sequence[Any], downloads: DownloadFolder
) -> Iterator[ItemResult]:
    for fetched, clip in _clips(adapter, items, downloads):
        if clip is None:
            yield ItemResult(fetched.item, error=fetched.error)
            continue
        [result] = ClipFunction(adapter.predict)([clip])
        if isinstance(result, FailedClip):
            yield ItemResult(fetched.item, error=_without_folder(result.error, fetched))
        else:
            yield ItemResult(fetched.item, (result,))


def embed_items(adapter: BaseModelAdapter, items: Sequence[Any]) -> Iterator[tuple[Any, Float32Array | None, str]]:
    """Compute the features of items, each as one clip.

    Args:
        adapter: The model.
        items: The items.

    Yields:
        Each item, in order, with its features float32 [D] and "", or with None and the reason.
    """
    with download_folder() as downloads:
        for fetched, clip in _clips(adapter, items, downloads):
            if clip is None:
                yield fetched.item, None, fetched.error or ""
                continue
            [vector] = ClipFunction[Float32Array](lambda clips: list(adapter.embed(clips)))([clip])
            if isinstance(vector, FailedClip):
                yield fetched.item, None, _without_folder(vector.error, fetched) or ""
            else:
                yield fetched.item, vector, ""


def _clips(
    adapter: BaseModelAdapter, items: Sequence[Any], downloads: DownloadFolder
) -> Iterator[tuple[FetchedItem, Clip | None]]:
    """Each item as one clip, or None with the reason in ``error``."""
    spec = replace(adapter.input_spec, window_seconds=None, stride_seconds=None)
    for fetched in fetch(adapter, items, downloads):
        clip = None
        if fetched.path is not None:
            try:
                clip = read_picture(fetched.path) if is_image(fetched.item) else read_clip(fetched.path, spec)
            except Exception as error:
                fetched.error = _without_folder(describe_failure(fetched.path, error), fetched)
            finally:
                shutil.rmtree(fetched.path.parent, ignore_errors=True)
        yield fetched, clip


def read_picture(path: Path) -> Clip:
    """Read a picture as a clip of one frame, rotated as its EXIF data says.

    Args:
        path: The picture.

    Returns:
        The clip.

    Raises:
        MediaError: The file cannot be read as a picture.
    """
    import numpy as np

    from adapters.media import decode_picture

    pixels = decode_picture(path.read_bytes(), str(path))
    if pixels is None:
        raise MediaError(f"{path}: is not a picture that can be read. Give a JPEG, PNG, WebP, BMP or TIFF")
    return Clip(pixels[None], np.zeros(1), str(path), 0.0, 0.0)


def _failed(order: deque[FetchedItem]) -> Iterator[ItemResult]:
    """Results of the items at the front that have no file."""
    while order and order[0].path is None:
        fetched = order.popleft()
        yield ItemResult(fetched.item, error=fetched.error)


def _without_folder(error: str | None, fetched: FetchedItem) -> str | None:
    """A decoder's message with the item's name in place of the temporary file's."""
    if error is None or fetched.path is None:
        return error
    return error.removeprefix(f"{fetched.path}: ").replace(str(fetched.path), str(fetched.item.filename))
