"""Follow a video with a MoViNet stream program: OpenCV decodes, LiteRT's signature runner carries the states.

    python stream_signature.py MODEL.tflite VIDEO FPS

prints JSON: {"frames": how many were scored, "top": {SECONDS: [index, score] of the best of the last frame's labels}}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import cv2
import numpy as np

SIZE = 172


def frames_at(path: str, fps: float) -> Iterator[np.ndarray]:
    """The frame that is shown at each 1 / fps seconds."""
    video = cv2.VideoCapture(path)
    own, number, taken = video.get(cv2.CAP_PROP_FPS), 0, 0
    while video.grab():
        if number == int(taken / fps * own + 1e-6):
            yield video.retrieve()[1]
            taken += 1
        number += 1
    video.release()


def prepared(frame: np.ndarray) -> np.ndarray:
    """The middle of a frame as the model needs it, float32 [1, 1, 172, 172, 3] in 0..1."""
    height, width = frame.shape[:2]
    factor = SIZE / min(height, width)
    wide, high = round(width * factor), round(height * factor)
    frame = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA)
    left, top = (wide - SIZE) // 2, (high - SIZE) // 2
    frame = cv2.cvtColor(frame[top : top + SIZE, left : left + SIZE], cv2.COLOR_BGR2RGB)
    return (frame.astype(np.float32) / 255)[None, None]


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(sys.argv[1], num_threads=2).get_signature_runner("serving_default")
    states = {
        name: np.zeros(details["shape"], details["dtype"])
        for name, details in runner.get_input_details().items()
        if name != "image"
    }
    count, logits = 0, np.zeros(1)
    for frame in frames_at(sys.argv[2], float(sys.argv[3])):
        outputs = runner(image=prepared(frame), **states)
        logits = outputs.pop("logits")[0]
        states = outputs
        count += 1
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    print(json.dumps({"frames": count, "scores": {"best label, last frame": float(scores.max())}}))


if __name__ == "__main__":
    main()
