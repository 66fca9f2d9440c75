"""MoViNet a0 to a5, base and stream, float32 on one thread at the published sizes: what each is and takes.

    python benchmarks/bench_movinet_sizes.py [MODEL_ID...]

prints Markdown tables, of all sizes or of some. Base is timed on a clip of all the published frames, stream on one
frame with its states copied.
Weights are random: speed does not depend on them. GMAC are counted from the program's own convolutions and dense
layers, a multiplication with its addition as one; published "GFLOPs" count so too. Programs are converted first, a base
and a stream one at a time; then each is timed alone. Every step has a process of its own: one that dies, as where
memory runs out (converting a5 base takes 7 GB), costs its row alone, which says so. The fastest of as many runs as fit
some seconds (two at least) counts, in milliseconds of processor time: on one thread that is what the clock shows on a
machine that does nothing else, and other work disturbs it less. Memory is the most that the predicting process held.

Published figures: https://github.com/tensorflow/models/tree/master/official/projects/movinet (GFLOPs, top-1, megabytes
of the checkpoint; milliseconds of a stream frame in TF Lite, float32, on one core of a Xeon W-2135).
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 3.0
TIMEOUT_SECONDS = 400
STEPS = ("make", "describe", "measure")  # functions of this file that run in processes of their own
CLASSES = 600


class Published(NamedTuple):
    size: int
    frames: int
    gflops: float
    base_top1: float
    stream_top1: float
    checkpoint_mb: int
    frame_ms: int


PUBLISHED = {
    "a0": Published(172, 50, 2.7, 72.28, 72.05, 12, 16),
    "a1": Published(172, 50, 6.0, 76.69, 76.45, 18, 33),
    "a2": Published(224, 50, 10, 78.62, 78.40, 20, 66),
    "a3": Published(256, 120, 57, 81.79, 80.09, 29, 120),
    "a4": Published(290, 80, 110, 83.48, 81.49, 44, 300),
    "a5": Published(320, 120, 280, 84.27, 82.37, 72, 450),
}


def gmac(model: bytes) -> float:
    """Multiplications of the first graph's convolutions and dense layers, in thousands of millions."""
    from ai_edge_litert import schema_py_generated as schema

    program, total = schema.ModelT.InitFromPackedBuf(model, 0), 0
    graph, builtin = program.subgraphs[0], schema.BuiltinOperator
    for operator in graph.operators:
        code = program.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind in (builtin.CONV_2D, builtin.DEPTHWISE_CONV_2D, builtin.FULLY_CONNECTED):
            # [out, h, w, in], [1, h, w, out] or [out, in]
            kernel = graph.tensors[operator.inputs[1]].shape.tolist()
            each = math.prod(kernel[1:3]) if kind == builtin.DEPTHWISE_CONV_2D else math.prod(kernel[1:])
            total += math.prod(graph.tensors[operator.outputs[0]].shape.tolist()) * each
    return total / 1e9


def make(path: Path, model_id: str, mode: str) -> dict[str, Any]:
    """Write the float32 program with its published classifier."""
    from adapters.litert import to_litert
    from movinet_adapter.network import build_movinet, freeze
    from movinet_adapter.streaming.conversion import stream_program_bytes

    size, frames = PUBLISHED[model_id].size, PUBLISHED[model_id].frames
    network = build_movinet(model_id, mode, height=size, width=size, n_frames=frames, num_classes=CLASSES)
    if mode == "stream":
        path.write_bytes(stream_program_bytes(network, None))
    else:
        path.write_bytes(to_litert(freeze(network), (1, frames, size, size, 3)))
    return {}


def measure(path: Path, model_id: str, mode: str) -> dict[str, Any]:
    """Time a program; no TensorFlow is imported."""
    import resource

    import numpy as np

    from adapters.litert import Program, StreamProgram

    size, frames = PUBLISHED[model_id].size, PUBLISHED[model_id].frames
    if mode == "stream":
        program = StreamProgram(path, num_threads=1)
        stream, image = program.open(), np.full((1, size, size, 3), 0.5, np.float32)
        run, state_mb = (lambda: stream.advance(image)), program.state_bytes / 1e6
    else:
        whole, clip = Program(path, num_threads=1), np.full((1, frames, size, size, 3), 0.5, np.float32)
        run, state_mb = (lambda: whole.run(clip)), 0.0
    run()
    took, end = [], time.perf_counter() + SECONDS
    while len(took) < 2 or time.perf_counter() < end:
        began = time.process_time()
        run()
        took.append(time.process_time() - began)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": min(took) * 1e3, "state_mb": state_mb, "memory_mb": memory_mb}


def describe(path: Path, model_id: str, mode: str) -> dict[str, Any]:
    """What is read off a program and its architecture; XNNPACK's pieces take a second interpreter, so apart from
    the process whose memory is measured."""
    from adapters.litert import xnnpack_partitions
    from movinet_adapter.architecture import architecture, variable_specs

    model = path.read_bytes()
    specs = variable_specs(architecture(model_id, mode), CLASSES)  # type: ignore[arg-type] # from the tables above
    return {
        "parameters": sum(math.prod(spec.shape) for spec in specs if spec.trainable),
        "gmac": gmac(model),
        "mb": len(model) / 1e6,
        "pieces": xnnpack_partitions(model),
    }


def part(step: str, folder: Path, model_id: str, mode: str) -> dict[str, Any]:
    """A step in a process of its own; {"failed": why} where it died or took too long."""
    command = [sys.executable, __file__, step, str(folder / f"{model_id}_{mode}.tflite"), model_id, mode]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return {"failed": f"{step}: not done after {TIMEOUT_SECONDS} s"}
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return {"failed": f"{step}: ended by {name}{' (memory ran out?)' if name == 'SIGKILL' else ''}"}
    if done.returncode:
        return {"failed": f"{step}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def all_figures(model_ids: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """The figures of each size in both modes, or why there are none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def make_all(mode: str) -> dict[tuple[str, str], dict[str, Any]]:
            return {(model_id, mode): part("make", folder, model_id, mode) for model_id in model_ids}

        with ThreadPoolExecutor(2) as pool:
            base, stream = pool.map(make_all, ("base", "stream"))
        found = base | stream
        for key, figures in found.items():
            for step in STEPS[1:]:
                if "failed" not in figures:
                    figures |= part(step, folder, *key)
    return found


def cell(figures: Mapping[str, Any], key: str, form: str, factor: float = 1.0) -> str:
    return format(figures[key] * factor, form) if key in figures else "failed"


def base_row(name: str, known: Published, clip: Mapping[str, Any]) -> dict[str, object]:
    speed = {"speed": clip["gmac"] / clip["ms"] * 1e3} if "ms" in clip else {}
    return {
        "base": name,
        "clip": f"{known.frames}x{known.size}x{known.size}",
        "parameters, M": cell(clip, "parameters", ".2f", 1e-6),
        "GMAC a clip": cell(clip, "gmac", ".1f"),
        "published": f"{known.gflops:g}",
        "ms per clip": cell(clip, "ms", ".0f"),
        "GMAC/s": cell(speed, "speed", ".0f"),
        "memory, MB": cell(clip, "memory_mb", ".0f"),
        "MB": cell(clip, "mb", ".1f"),
        "published checkpoint, MB": known.checkpoint_mb,
        "XNNPACK pieces": cell(clip, "pieces", ".0f"),
        "published top-1": known.base_top1,
    }


def stream_row(name: str, known: Published, frame: Mapping[str, Any]) -> dict[str, object]:
    return {
        "stream": name,
        "frame": f"{known.size}x{known.size}",
        "parameters, M": cell(frame, "parameters", ".2f", 1e-6),
        "GMAC a clip's frames": cell(frame, "gmac", ".1f", known.frames),
        "published": f"{known.gflops:g}",
        "ms per frame": cell(frame, "ms", ".1f"),
        "published TF Lite, ms": known.frame_ms,
        "memory, MB": cell(frame, "memory_mb", ".0f"),
        "MB": cell(frame, "mb", ".1f"),
        "state, MB": cell(frame, "state_mb", ".1f"),
        "XNNPACK pieces": cell(frame, "pieces", ".0f"),
        "published top-1": known.stream_top1,
    }


def main(model_ids: Sequence[str]) -> None:
    found = all_figures(model_ids)
    base = [base_row(name, PUBLISHED[name], found[name, "base"]) for name in model_ids]
    stream = [stream_row(name, PUBLISHED[name], found[name, "stream"]) for name in model_ids]
    for rows in (base, stream):
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        print("".join("| " + " | ".join(map(str, row.values())) + " |\n" for row in rows))
    for (name, mode), figures in found.items():
        if "failed" in figures:
            print(f"{name} {mode} failed to {figures['failed']}.\n")
    print(f"Load average {os.getloadavg()[0]:.1f} at the end.")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in STEPS:
        print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
    else:
        main(sys.argv[1:] or list(PUBLISHED))
