"""The runtime against the bare LiteRT interpreter, on EfficientNet-Lite0 and the other frame models.

    python benchmarks/bench_runtime.py

prints Markdown tables: what ``Program`` adds to the interpreter's own time, what a pool of threads gains, which batch
size is fastest, and what each precision costs. Variants are measured in turns and each one's fastest round counts: what
else the machine does can only add to it. The project promises the two ratios: at most 1.10, at least 1.7 on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapters.inference import open_model
from adapters.litert import Program, available_cores, open_interpreter, to_litert, xnnpack_partitions
from adapters.models import ModelAdapter
from adapters.records import PRECISIONS, Float32Array
from adapters.system import import_keras
from adapters.training import assign, random_variables

SIZE = 224
FRAMES = 16
ROUNDS = 20


def measure() -> dict[str, float]:
    """The interpreter's own time, that of ``Program`` on one thread and on all cores, and the two ratios."""
    model, frames = to_litert(network(), (1, SIZE, SIZE, 3)), images(FRAMES)
    times = in_turns(
        {
            "interpreter": bare(model, frames),
            "one": runner(Program(model, num_threads=1), frames),
            "pool": runner(Program(model), frames),
        }
    )
    return {
        "interpreter, ms per frame": times["interpreter"] / FRAMES,
        "Program with 1 thread, ms per frame": times["one"] / FRAMES,
        f"Program with {available_cores()} threads, ms per frame": times["pool"] / FRAMES,
        "overhead over the interpreter (target: 1.10 or less)": times["one"] / times["interpreter"],
        "gain of the pool over 1 thread (target on 2 cores: 1.7 or more)": times["one"] / times["pool"],
    }


def frame_models() -> dict[str, tuple[float, float, int | None]]:
    """By ready config, with random weights: ms a frame of the interpreter and of ``Program`` with 1 thread, and the
    pieces that XNNPACK cuts the program into."""
    frames, found = images(FRAMES), {}
    for name in ("efficientnet_lite0", "resnet18", "mobilenet_v2", "mobilenet_v3"):
        adapter = open_model(name, {"weights": "random"})
        assert isinstance(adapter, ModelAdapter)
        model = adapter.program().model_bytes
        times = in_turns({"interpreter": bare(model, frames), "one": runner(Program(model, num_threads=1), frames)})
        found[name] = (times["interpreter"] / FRAMES, times["one"] / FRAMES, xnnpack_partitions(model))
    return found


def batch_sizes() -> dict[str, float]:
    """Milliseconds a frame with one thread, by the program's batch size."""
    frames = images(FRAMES)
    programs = {batch: Program(to_litert(network(), (batch, SIZE, SIZE, 3)), num_threads=1) for batch in (1, 2, 4, 8)}
    times = in_turns({str(batch): runner(program, frames) for batch, program in programs.items()})
    return {batch: milliseconds / FRAMES for batch, milliseconds in times.items()}


def precisions() -> dict[str, tuple[float, int, int | None]]:
    """By precision: milliseconds a frame with one thread, bytes of the file, pieces that XNNPACK cuts it into."""
    frames = images(FRAMES)
    models = {
        quantize: to_litert(network(), (1, SIZE, SIZE, 3), quantize, [images(1, seed) for seed in range(8)])
        for quantize in PRECISIONS
    }
    times = in_turns({quantize: runner(Program(model, 1), frames) for quantize, model in models.items()})
    return {key: (times[key] / FRAMES, len(model), xnnpack_partitions(model)) for key, model in models.items()}


def network() -> Any:
    """Lite0 with ImageNet's classifier and random weights: values do not change the time."""
    from adapters.models.efficientnet_lite.network import build_backbone

    keras = import_keras()
    backbone = build_backbone(SIZE, SIZE)
    scores = keras.layers.Dense(1000, activation="softmax", name="classifier")(backbone.output)
    model = keras.Model(backbone.input, {"scores": scores, "features": backbone.output})
    assign(model, random_variables(model, seed=0))
    return model


def images(count: int, seed: int = 0) -> Float32Array:
    """float32 [count, 224, 224, 3] in -1..1."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


def runner(program: Program, frames: Float32Array) -> Callable[[], object]:
    return lambda: program.run(frames)


def bare(model: bytes, frames: Float32Array) -> Callable[[], object]:
    """The same frames through one interpreter, one after the other, with nothing around it."""
    interpreter = open_interpreter(model, "the benchmark's program")
    index = interpreter.get_input_details()[0]["index"]
    outputs = [item["index"] for item in interpreter.get_output_details()]

    def run() -> list[list[Any]]:
        found = []
        for frame in frames:
            interpreter.set_tensor(index, frame[None])
            interpreter.invoke()
            found.append([interpreter.get_tensor(output) for output in outputs])
        return found

    return run


def in_turns(work: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The least milliseconds of each call over ROUNDS rounds of all of them, after one round unmeasured."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(ROUNDS + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: min(values) for name, values in times.items()}


def main() -> None:
    print("| runtime, Lite0 float32, batches of 16 frames | |\n|---|---|")
    for name, value in measure().items():
        print(f"| {name} | {value:.2f} |")
    print(
        "\n| config | interpreter, ms per frame | Program, 1 thread | ratio | XNNPACK pieces |\n|---|---|---|---|---|"
    )
    for name, (interpreter, program, pieces) in frame_models().items():
        print(f"| {name} | {interpreter:.2f} | {program:.2f} | {program / interpreter:.2f} | {pieces} |")
    print("\n| the program's batch size | ms per frame, 1 thread |\n|---|---|")
    for batch, milliseconds in batch_sizes().items():
        print(f"| {batch} | {milliseconds:.2f} |")
    print("\n| quantize | ms per frame, 1 thread | MB | XNNPACK pieces |\n|---|---|---|---|")
    for quantize, (milliseconds, size_bytes, pieces) in precisions().items():
        print(f"| {quantize} | {milliseconds:.2f} | {size_bytes / 1e6:.1f} | {pieces} |")


if __name__ == "__main__":
    main()
