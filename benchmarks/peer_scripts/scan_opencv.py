"""Score one frame per second of each video of a folder: OpenCV decodes, LiteRT computes.

    python scan_opencv.py MODEL.tflite FOLDER [PROCESSES]

prints JSON: {"scores": {FILE NAME: mean score of the model's second label}}. Frames that are not scored are only
grabbed, which spares their conversion to RGB.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE, MEAN, SCALE, BATCH = 224, 127.0, 128.0, 8


def frames_each_second(path: Path) -> Iterator[np.ndarray]:
    """The frame that is shown at 0 s, 1 s, ..."""
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    number, second = 0, 0
    while video.grab():
        if number == int(second * fps + 1e-6):
            yield video.retrieve()[1]
            second += 1
        number += 1
    video.release()


def prepared(frame: np.ndarray) -> np.ndarray:
    """The middle of a frame as the model needs it, float32 [224, 224, 3]."""
    height, width = frame.shape[:2]
    factor = SIZE / min(height, width)
    wide, high = round(width * factor), round(height * factor)
    frame = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA)
    left, top = (wide - SIZE) // 2, (high - SIZE) // 2
    frame = cv2.cvtColor(frame[top : top + SIZE, left : left + SIZE], cv2.COLOR_BGR2RGB)
    return (frame.astype(np.float32) - MEAN) / SCALE


class Model:
    """A LiteRT program for one frame at a time; int8 inputs and outputs are converted."""

    def __init__(self, path: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter: Any = Interpreter(path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input, self.output = self.interpreter.get_input_details()[0], self.interpreter.get_output_details()[0]

    def score(self, frame: np.ndarray) -> float:
        """The score of the second label."""
        if self.input["dtype"] != np.float32:
            scale, zero = self.input["quantization"]
            limits = np.iinfo(self.input["dtype"])
            frame = np.clip(np.rint(frame / scale + zero), limits.min, limits.max).astype(self.input["dtype"])
        self.interpreter.set_tensor(self.input["index"], frame[None])
        self.interpreter.invoke()
        values = self.interpreter.get_tensor(self.output["index"])[0]
        if self.output["dtype"] != np.float32:
            scale, zero = self.output["quantization"]
            values = (values.astype(np.float32) - zero) * scale
        return float(values[1])


def scan(model_path: str, paths: list[Path], threads: int) -> dict[str, float]:
    model = Model(model_path, threads)
    return {path.name: float(np.mean([model.score(prepared(f)) for f in frames_each_second(path)])) for path in paths}


def scan_part(arguments: tuple[str, list[Path]]) -> dict[str, float]:
    cv2.setNumThreads(1)
    return scan(*arguments, threads=1)


def main() -> None:
    model_path, folder = sys.argv[1], Path(sys.argv[2])
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    paths = sorted(folder.glob("*.mp4"))
    if processes == 1:
        scores = scan(model_path, paths, threads=multiprocessing.cpu_count())
    else:
        scores = {}
        with multiprocessing.Pool(processes) as pool:
            for part in pool.map(scan_part, [(model_path, paths[n::processes]) for n in range(processes)]):
                scores |= part
    print(json.dumps({"scores": scores}))


if __name__ == "__main__":
    main()
