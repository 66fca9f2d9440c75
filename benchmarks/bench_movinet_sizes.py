"""MoViNet a0 to a5, base and stream, float32 on one thread at the published sizes: what each is and takes.

    python benchmarks/bench_movinet_sizes.py [MODEL_ID MODE]

prints Markdown tables. Base is timed on a clip of all the published frames, stream on one frame with its states copied.
Weights are random: speed does not depend on them. GMAC are counted from the program's own convolutions and dense
layers, a multiplication with its addition as one; published "GFLOPs" count so too. Each program runs in a process of
its own; the fastest of as many runs as fit some seconds (three at least) counts, in milliseconds of processor time: on
one thread that is what the clock shows on a machine that does nothing else, and other work disturbs it less.

Published figures: https://github.com/tensorflow/models/tree/master/official/projects/movinet (GFLOPs, top-1, megabytes
of the checkpoint; milliseconds of a stream frame in TF Lite, float32, on one core of a Xeon W-2135).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

SECONDS = 4.0
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


def made(model_id: str, mode: str) -> bytes:
    """The float32 program with its published classifier."""
    from adapters.conversion import to_litert
    from movinet_adapter.network import build_network, freeze
    from movinet_adapter.stream_conversion import stream_program_bytes

    size, frames = PUBLISHED[model_id].size, PUBLISHED[model_id].frames
    network = build_network(model_id, mode, height=size, width=size, n_frames=frames, num_classes=CLASSES)
    if mode == "stream":
        return stream_program_bytes(network, None)
    return to_litert(freeze(network), (1, frames, size, size, 3))


def measure(model_id: str, mode: str) -> dict[str, Any]:
    import numpy as np

    from adapters.runtime import Program, xnnpack_partitions
    from adapters.stream_program import StreamProgram
    from movinet_adapter.architecture import architecture, variable_specs

    size, frames = PUBLISHED[model_id].size, PUBLISHED[model_id].frames
    model = made(model_id, mode)
    if mode == "stream":
        program = StreamProgram(model, num_threads=1)
        stream, image = program.open(), np.full((1, size, size, 3), 0.5, np.float32)
        run, state_mb = (lambda: stream.advance(image)), program.state_bytes / 1e6
    else:
        whole, clip = Program(model, num_threads=1), np.full((1, frames, size, size, 3), 0.5, np.float32)
        run, state_mb = (lambda: whole.run(clip)), 0.0
    run()
    took, end = [], time.perf_counter() + SECONDS
    while len(took) < 3 or time.perf_counter() < end:
        began = time.process_time()
        run()
        took.append(time.process_time() - began)
    specs = variable_specs(architecture(model_id, mode), CLASSES)  # type: ignore[arg-type] # from the tables above
    return {
        "parameters": sum(math.prod(spec.shape) for spec in specs if spec.trainable),
        "gmac": gmac(model),
        "ms": min(took) * 1e3,
        "mb": len(model) / 1e6,
        "state_mb": state_mb,
        "pieces": xnnpack_partitions(model),
    }


def of(model_id: str, mode: str) -> dict[str, Any]:
    """``measure`` in a process of its own."""
    command = [sys.executable, __file__, model_id, mode]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{model_id} {mode} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    base: list[dict[str, object]] = []
    stream: list[dict[str, object]] = []
    for name, known in PUBLISHED.items():
        clip, frame = of(name, "base"), of(name, "stream")
        base.append(
            {
                "base": name,
                "clip": f"{known.frames}x{known.size}x{known.size}",
                "parameters, M": f"{clip['parameters'] / 1e6:.2f}",
                "GMAC a clip": f"{clip['gmac']:.1f}",
                "published": f"{known.gflops:g}",
                "ms a clip": f"{clip['ms']:.0f}",
                "GMAC/s": f"{clip['gmac'] / clip['ms'] * 1e3:.0f}",
                "MB": f"{clip['mb']:.1f}",
                "published checkpoint, MB": known.checkpoint_mb,
                "XNNPACK pieces": clip["pieces"],
                "published top-1": known.base_top1,
            }
        )
        stream.append(
            {
                "stream": name,
                "frame": f"{known.size}x{known.size}",
                "parameters, M": f"{frame['parameters'] / 1e6:.2f}",
                "GMAC a clip's frames": f"{frame['gmac'] * known.frames:.1f}",
                "published": f"{known.gflops:g}",
                "ms a frame": f"{frame['ms']:.1f}",
                "published TF Lite, ms": known.frame_ms,
                "MB": f"{frame['mb']:.1f}",
                "state, MB": f"{frame['state_mb']:.1f}",
                "XNNPACK pieces": frame["pieces"],
                "published top-1": known.stream_top1,
            }
        )
    for rows in (base, stream):
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        print("".join("| " + " | ".join(map(str, row.values())) + " |\n" for row in rows))
    print(f"Load average {os.getloadavg()[0]:.1f} at the end.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(*sys.argv[1:3])))
    else:
        main()
