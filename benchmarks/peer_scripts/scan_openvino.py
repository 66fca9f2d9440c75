"""Score frames of each video of a folder: ffmpeg decodes, scales and crops, OpenVINO computes in float32.

    python scan_openvino.py MODEL.tflite FOLDER [--keyframes]

prints JSON: {"scores": {FILE NAME: mean score of the model's second label}} of the frame shown at each second, or of
the key frames. Two videos are decoded at the same time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SIZE, MEAN, SCALE = 224, 127.0, 128.0
DECODERS = 2


def find_ffmpeg() -> str:
    """ffmpeg of the system, or else that of imageio-ffmpeg."""
    found = shutil.which("ffmpeg")
    if found is None:
        import imageio_ffmpeg

        found = imageio_ffmpeg.get_ffmpeg_exe()
    return found


def decode(path: Path, keyframes: bool) -> np.ndarray:
    """uint8 [N, 224, 224, 3] RGB."""
    fit = f"scale={SIZE}:{SIZE}:force_original_aspect_ratio=increase:flags=area+accurate_rnd+full_chroma_int"
    crop = f"format=rgb24,crop={SIZE}:{SIZE}:exact=1"
    # round=up gives the frame that is shown at each second; by default the filter gives the nearest one.
    chosen = [fit, crop] if keyframes else ["fps=1:round=up:start_time=0", fit, crop]
    command = [find_ffmpeg(), "-v", "error", "-threads", "1"]
    command += ["-skip_frame", "nokey"] if keyframes else []
    command += ["-i", str(path), "-an", "-vf", ",".join(chosen), "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, SIZE, SIZE, 3)


def main() -> None:
    import openvino

    keyframes = "--keyframes" in sys.argv
    core = openvino.Core()
    # float32, as LiteRT computes: on processors with bfloat16 OpenVINO would take that, faster and less exact.
    model = core.compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = model.create_infer_request()

    def score(frame: np.ndarray) -> float:
        picture = (frame.astype(np.float32) - MEAN) / SCALE
        return float(request.infer({0: picture[None]})[model.output(0)][0][1])

    paths = sorted(Path(sys.argv[2]).glob("*.mp4"))
    with ThreadPoolExecutor(DECODERS) as pool:
        decoded = pool.map(lambda path: decode(path, keyframes), paths)
        scores = {
            path.name: float(np.mean([score(f) for f in frames])) for path, frames in zip(paths, decoded, strict=True)
        }
    print(json.dumps({"scores": scores}))


if __name__ == "__main__":
    main()
