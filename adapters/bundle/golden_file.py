"""golden.npz: a golden clip as the bytes of one file. A rendered clip is kept as its parameters and a digest."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from adapters.bundle.golden import Golden
from adapters.bundle.npz_file import read_arrays
from adapters.bundle.rendered_clip import RENDERER, even_times, render_clip
from adapters.errors import BundleError
from adapters.records import Clip, InputSpec, UInt8Array
from adapters.system import MAX_DEPTH, parse_json

# Of the arrays of a golden clip together: a clip of 64 frames of 1280x720 has 177 MB.
MAX_GOLDEN_BYTES = 256_000_000


def golden_to_bytes(golden: Golden) -> bytes:
    """Write a golden clip as the content of golden.npz.

    Its arrays are ``about`` (JSON as uint8), ``scores`` float32 [C], and for a given clip ``frames`` and ``times``.

    Args:
        golden: The golden clip.
    """
    clip = golden.clip
    about = {
        "renderer": None if golden.variant is None else RENDERER,
        "variant": golden.variant,
        "shape": list(clip.frames.shape),
        "seconds": [clip.start, clip.end],
        "source": PureWindowsPath(clip.source).name,  # not where the clip lies on this machine
        "frames_sha256": _frames_sha256(clip.frames),
        "labels": list(golden.labels),
        "tolerances": dict(golden.tolerances),
        "sensitivity": dict(golden.sensitivity),
    }
    text = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
    arrays: dict[str, Any] = {"about": np.frombuffer(text, dtype=np.uint8), "scores": golden.scores}
    if golden.variant is None:
        arrays.update(frames=clip.frames, times=clip.times)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def golden_from_bytes(data: bytes, name: str = "golden.npz") -> Golden:
    """Read what ``golden_to_bytes`` wrote. No pickle is read.

    Args:
        data: The content of golden.npz.
        name: What messages call it.

    Raises:
        BundleError: It is not a golden clip, another version rendered it, or its pixels changed.
    """
    try:
        arrays = read_arrays(data, ("about", "scores", "frames", "times"), MAX_GOLDEN_BYTES)
        about = parse_json(arrays["about"].tobytes(), MAX_DEPTH)
        if about["renderer"] not in (None, RENDERER):
            raise BundleError(
                f"{name}: its clip was rendered by renderer {about['renderer']!r}, this version has {RENDERER}. "
                "Install the cliplab version that wrote the bundle, or a newer one."
            )
        clip = _stored_clip(about, arrays)
        golden = Golden(
            clip=clip,
            scores=arrays["scores"],
            labels=tuple(about["labels"]),
            tolerances=about["tolerances"],
            variant=about["variant"],
            sensitivity=about["sensitivity"],
        )
    except BundleError:
        raise
    except Exception as error:  # zipfile, numpy and json raise a dozen kinds for damaged input
        raise BundleError(f"{name}: is not a golden clip ({error}). Save the model again.") from error
    if _frames_sha256(clip.frames) != about["frames_sha256"]:
        raise BundleError(f"{name}: the golden clip's pixels do not match its scores. Save the model again.")
    return golden


def _stored_clip(about: dict[str, Any], arrays: Mapping[str, Any]) -> Clip:
    start, end = about["seconds"]
    if about["variant"] is None:
        return Clip(arrays["frames"], arrays["times"], about["source"], start, end)
    n_frames, height, width, _ = about["shape"]
    if not 0 < n_frames * height * width * 3 <= MAX_GOLDEN_BYTES:
        raise ValueError(f"its clip has {n_frames} frames of {width}x{height}, more than {MAX_GOLDEN_BYTES:,} bytes")
    spec = InputSpec(height=height, width=width, n_frames=n_frames)
    return replace(render_clip(spec, about["variant"]), times=even_times(n_frames, end), end=end)


def _frames_sha256(frames: UInt8Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()
