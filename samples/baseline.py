"""The demo's yardstick: colour-and-sharpness histograms and a logistic regression, no network.

A model that is worth its weights must beat this on the same clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from adapters.media.video import open_video, read_clip
from adapters.records import Clip, InputSpec

Row = Mapping[str, Any]
Float32Array = npt.NDArray[np.float32]

HERE = Path(__file__).parent
POSITIVE = "ad"
# Features are those of small frames, so that a video's size does not matter.
SPEC = InputSpec(height=90, width=160, n_frames=8, aspect="stretch")
_SIZE = (SPEC.width, SPEC.height)


def frame_features(frames: npt.NDArray[np.uint8]) -> Float32Array:
    """uint8 [T, H, W, 3] RGB -> float32 [T, 34]: hue, saturation and value histograms, sharpness, edge density.

    Each histogram sums to 1 (16, 8 and 8 bins); sharpness is the logarithm of 1 + the variance of the Laplacian; edge
    density is the share of Canny edge pixels. Frames are brought to 160x90 first.
    """
    features = []
    for frame in frames:
        small = np.asarray(cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)
        hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
        histograms = [
            cv2.calcHist([hsv], [channel], None, [bins], [0, top]).ravel() / (small.size / 3)
            for channel, bins, top in ((0, 16, 180), (1, 8, 256), (2, 8, 256))
        ]
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        sharpness = np.log1p(cv2.Laplacian(grey, cv2.CV_64F).var())
        edges = np.mean(np.asarray(cv2.Canny(grey, 80, 160)) > 0)
        features.append(np.concatenate([*histograms, [sharpness, edges]]))
    return np.array(features, np.float32)


def fit(rows: Sequence[Row], folder: str | Path = HERE) -> Any:
    """Fit on rows of dataset.jsonl, whose paths are relative to folder; gives a scikit-learn pipeline.

    ValueError when the rows do not hold the label "ad" and another one; MediaError for a file that cannot be read.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([row["label"] == POSITIVE for row in rows])
    if len(set(labels.tolist())) != 2:
        found = sorted({str(row["label"]) for row in rows})
        raise ValueError(
            f"{len(rows)} rows with the labels {found}; the label {POSITIVE!r} and another one are needed. "
            'Give the rows of dataset.jsonl whose split is "train".'
        )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return model.fit(_rows_features(rows, Path(folder)), labels)


def score_clips(model: Any, rows: Sequence[Row], folder: str | Path = HERE) -> Float32Array:
    """Probability of an ad for each row, float32 [N] in 0..1. Errors as those of ``fit``."""
    if not rows:
        return np.zeros(0, np.float32)
    return np.asarray(model.predict_proba(_rows_features(rows, Path(folder)))[:, 1], np.float32)


def score_windows(
    model: Any, video: str | Path, window_seconds: float = 2.0, stride_seconds: float = 0.5
) -> list[tuple[float, float, float]]:
    """(start, end, probability of an ad) for each window of a video, in seconds; the windows are the library's.

    ValueError for a window or stride that is not above 0, MediaError for a file that cannot be read.
    """
    with open_video(video) as opened:
        clips = [
            (clip.start, clip.end, _clip_features(clip))
            for clip in opened.clips(SPEC.with_windows(window_seconds, stride_seconds))
        ]
    scores = model.predict_proba(np.array([features for _, _, features in clips]))[:, 1]
    return [(start, end, float(score)) for (start, end, _), score in zip(clips, scores, strict=True)]


def _rows_features(rows: Sequence[Row], folder: Path) -> Float32Array:
    """float32 [N, 34], the mean over each row's frames."""
    clips = (read_clip(folder / row["path"], SPEC, row["start_seconds"], row["end_seconds"]) for row in rows)
    return np.array([_clip_features(clip) for clip in clips], np.float32)


def _clip_features(clip: Clip) -> Float32Array:
    return np.asarray(frame_features(clip.frames).mean(axis=0), np.float32)
