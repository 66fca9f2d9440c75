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

Row = Mapping[str, Any]
Float32Array = npt.NDArray[np.float32]
POSITIVE = "ad"
FRAMES = 8
_SIDE = (160, 90)


def frame_features(frames: npt.NDArray[np.uint8]) -> Float32Array:
    """uint8 [T, H, W, 3] RGB -> float32 [T, 34]: hue, saturation and value histograms, sharpness, edge density.

    Each histogram sums to 1; sharpness is the logarithm of the variance of the Laplacian; edge density is the
    share of Canny edge pixels. Frames are reduced to 160x90 first, so that their size does not matter.
    """
    features = []
    for frame in frames:
        small = cv2.resize(frame, _SIDE, interpolation=cv2.INTER_AREA)
        hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
        parts = [
            cv2.calcHist([hsv], [channel], None, [bins], [0, top]).ravel() / hsv[..., 0].size
            for channel, bins, top in ((0, 16, 180), (1, 8, 256), (2, 8, 256))
        ]
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        sharpness = np.log1p(cv2.Laplacian(grey, cv2.CV_64F).var())
        edges = (cv2.Canny(grey, 80, 160) > 0).mean()
        features.append(np.concatenate([*parts, [sharpness, edges]]))
    return np.array(features, np.float32)


def _clip_features(path: Path, windows: Sequence[tuple[float, float]]) -> Float32Array:
    """The mean of FRAMES frames' features for each window of a video, float32 [len(windows), 34]."""
    import av

    times, features = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(float(frame.time or 0.0))
            features.append(frame_features(frame.to_ndarray(format="rgb24")[None])[0])
    taken = np.array(times)
    rows = []
    for start, end in windows:
        moments = start + (np.arange(FRAMES) + 0.5) / FRAMES * (end - start)
        picks = np.clip(np.searchsorted(taken, moments + 1e-6, side="right") - 1, 0, len(taken) - 1)
        rows.append(np.mean([features[i] for i in picks], axis=0))
    return np.array(rows, np.float32)


def _rows_features(rows: Sequence[Row], folder: Path) -> Float32Array:
    if not rows:
        raise ValueError("rows are empty; give the rows of dataset.jsonl that belong to one split")
    return np.concatenate(
        [_clip_features(folder / row["path"], [(row["start_seconds"], row["end_seconds"])]) for row in rows]
    )


def fit(rows: Sequence[Row], folder: Path = Path(__file__).parent) -> Any:
    """Fit on rows of dataset.jsonl, whose paths are relative to folder; gives a scikit-learn pipeline.

    ValueError when the rows are empty or hold one label only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([row["label"] == POSITIVE for row in rows])
    if len(set(labels.tolist())) != 2:
        found = sorted({str(row["label"]) for row in rows})
        raise ValueError(f"rows need the label {POSITIVE!r} and another one, got {found}; give a split with both")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return model.fit(_rows_features(rows, folder), labels)


def score_clips(model: Any, rows: Sequence[Row], folder: Path = Path(__file__).parent) -> Float32Array:
    """Probability of an ad for each row, float32 [N] in 0..1."""
    return np.asarray(model.predict_proba(_rows_features(rows, folder))[:, 1], np.float32)


def score_windows(
    model: Any, video: str | Path, window_seconds: float = 2.0, stride_seconds: float = 0.5
) -> list[tuple[float, float, float]]:
    """(start, end, probability of an ad) for each whole window of a video, in seconds."""
    if window_seconds <= 0 or stride_seconds <= 0:
        raise ValueError(f"window and stride must be above 0 s, got {window_seconds} and {stride_seconds}")
    import av

    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    count = max(1, int((duration - window_seconds) / stride_seconds + 1e-6) + 1)
    windows = [(i * stride_seconds, min(i * stride_seconds + window_seconds, duration)) for i in range(count)]
    scores = model.predict_proba(_clip_features(Path(video), windows))[:, 1]
    return [(start, end, float(score)) for (start, end), score in zip(windows, scores, strict=True)]
