"""MoViNet A0 on 16 frames of 172x172 beside tf-models-official's own: predict, train, start, memory, precisions.

    python benchmarks/bench_movinet.py

prints Markdown tables. Weights are random, and the same in both networks. Each part runs in a process of its own, with
the two that it compares taking turns, so that what else the machine does falls on both; the fastest turn of each
counts. Processor time is of all threads, which other work disturbs less than the clock. The project promises three
ratios: 120 in predicting under tf.function, 40 in a training step, 15 from process start to the first prediction; and
aims at half of the rate of one thread's sgemm. tf-models takes some minutes of this, most of them to compile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

FRAMES, SIZE, CLASSES = 16, 172, 600
GMAC = 0.84  # a clip: counted from the program's convolutions (bench_movinet_sizes.py)
BATCHES = (1, 2, 4, 8)
CONFIG = {"weights": "random", "imgz": SIZE, "n_frames": FRAMES}
Seconds = dict[str, tuple[float, float]]


def in_turns(work: Mapping[str, tuple[Callable[[], object], int]], turns: int) -> Seconds:
    """Each call's least (wall, processor) seconds, after one unmeasured; the number is how often a turn runs it."""
    found = dict.fromkeys(work, (float("inf"), float("inf")))
    for call, _ in work.values():
        call()
    for _ in range(turns):
        for name, (call, times) in work.items():
            for _ in range(times):
                began, processor = time.perf_counter(), time.process_time()
                call()
                taken = time.perf_counter() - began, time.process_time() - processor
                found[name] = min(found[name][0], taken[0]), min(found[name][1], taken[1])
    return found


def clips(count: int) -> Any:
    """float32 [count, 16, 172, 172, 3] in 0..1."""
    import numpy as np

    return np.random.default_rng(0).uniform(0, 1, (count, FRAMES, SIZE, SIZE, 3)).astype(np.float32)


def network() -> Any:
    from movinet_adapter.network import build_movinet

    return build_movinet("a0", "base", height=SIZE, width=SIZE, n_frames=FRAMES, num_classes=CLASSES)


def program(folder: Path, threads: int) -> Any:
    from adapters.litert import Program

    return Program(folder / "a0.tflite", num_threads=threads)


# Parts, each in a process of its own ----------------------------------------------------------------------------------


def rate(folder: Path) -> dict[str, float]:
    """How much of one thread's sgemm, and what the pool gains. Runs with OPENBLAS_NUM_THREADS=1."""
    import numpy as np

    a, b = (np.random.default_rng(seed).normal(size=(1024, 1024)).astype(np.float32) for seed in (0, 1))
    one, pool, batch = program(folder, 1), program(folder, 2), clips(4)
    work = {
        "sgemm": (lambda: a @ b, 4),
        "one": (lambda: one.run(batch[:1]), 2),
        "pool": (lambda: pool.run(batch), 1),
        "together": (lambda: pool.run(batch[:1]), 2),
    }
    found = in_turns(work, 40)
    # Of one thread, processor time is what the clock shows where nothing else runs.
    sgemm, ours = 1024**3 / found["sgemm"][1] / 1e9, GMAC / found["one"][1]
    return {
        "one thread, ms of processor time a clip": found["one"][1] * 1e3,
        "one thread, ms per clip": found["one"][0] * 1e3,
        "one thread, GMAC/s of processor time": ours,
        "sgemm of one thread (1024x1024, OpenBLAS), likewise": sgemm,
        "of the sgemm rate (aim: 0.5)": ours / sgemm,
        "one clip by two threads together, ms": found["together"][0] * 1e3,
        "one clip by two threads, of one thread's sgemm rate": GMAC / found["together"][0] / sgemm,
        "pool of two single-thread interpreters, ms per clip": found["pool"][0] / 4 * 1e3,
        "gain of the pool over one thread": found["one"][0] / (found["pool"][0] / 4),
    }


def predict(folder: Path) -> dict[str, float]:
    """A batch of one clip through LiteRT and through tf-models under tf.function, each on all cores."""
    import numpy as np
    import tensorflow as tf

    from movinet_adapter.reference import build_reference

    ours, one, batch = program(folder, 2), program(folder, 1), clips(1)
    reference = build_reference(network())
    theirs = tf.function(lambda images: reference({"image": images}, training=False))
    images = tf.constant(batch)
    work = {
        "ours": (lambda: ours.run(batch), 20),
        "one": (lambda: one.run(batch), 10),
        "theirs": (lambda: theirs(images).numpy(), 1),
    }
    found = in_turns(work, 4)
    logits = theirs(images).numpy()
    difference = np.abs(logits - ours.run(batch)["logits"]).max() / np.abs(logits).max()
    return {
        "tf-models under tf.function, ms": found["theirs"][0] * 1e3,
        "Program of two threads, ms": found["ours"][0] * 1e3,
        "times faster (target: 120)": found["theirs"][0] / found["ours"][0],
        "Program of one thread, ms": found["one"][0] * 1e3,
        "times less processor time, one thread": found["theirs"][1] / found["one"][1],
        "largest difference of the logits, of the largest": float(difference),
    }


def trainer(model: Callable[[Any], Any], variables: list[Any], count: int) -> Callable[[], object]:
    """A call that does a training step on ``count`` clips."""
    import tensorflow as tf
    import tf_keras

    images, labels, optimizer = tf.constant(clips(count)), tf.zeros([count], tf.int32), tf_keras.optimizers.Adam(1e-4)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images))
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    optimizer.build(variables)
    return lambda: float(step())


def train(_: Path) -> dict[str, float]:
    """A step of training all of the network on one clip: forward, backward and Adam's update."""
    from movinet_adapter.reference import build_reference

    own = network()
    reference = build_reference(own)
    work = {
        "ours": (trainer(lambda images: own(images)["logits"], own.trainable_variables, 1), 5),
        "theirs": (
            trainer(lambda images: reference({"image": images}, training=True), reference.trainable_variables, 1),
            1,
        ),
    }
    found = in_turns(work, 2)
    return {
        "tf-models, ms per step": found["theirs"][0] * 1e3,
        "ours, ms per step": found["ours"][0] * 1e3,
        "times faster (target: 40)": found["theirs"][0] / found["ours"][0],
        "times less processor time": found["theirs"][1] / found["ours"][1],
    }


def memory(_: Path, count: int) -> dict[str, float]:
    """The most memory that a process needed which trained on batches of this size."""
    import resource

    own = network()
    step = trainer(lambda images: own(images)["logits"], own.trainable_variables, count)
    seconds = in_turns({"step": (step, 1)}, 2)["step"][0]
    return {"ms": seconds * 1e3, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def precision(_: Path, mode: str, quantize: str) -> dict[str, float]:
    """What a precision costs and saves: one thread's milliseconds of processor time a clip or a frame, megabytes,
    XNNPACK's pieces."""
    from typing import cast

    from adapters.litert import Program, StreamProgram, to_litert, xnnpack_partitions
    from adapters.records import RequestedPrecision
    from movinet_adapter.lowering.quantization import computes_in_8_bits
    from movinet_adapter.network import build_movinet, freeze
    from movinet_adapter.streaming.conversion import stream_program_bytes

    own = build_movinet("a0", mode, height=SIZE, width=SIZE, n_frames=FRAMES, num_classes=CLASSES)
    kind, clip = cast(RequestedPrecision, quantize), clips(1)
    if mode == "base":
        in_8_bits = partial(computes_in_8_bits, own.architecture)
        model = to_litert(freeze(own), clip.shape, kind, [clip] if kind == "int8" else None, in_8_bits=in_8_bits)
        whole = Program(model, num_threads=1)
        found = in_turns({"run": (lambda: whole.run(clip), 1)}, 25)
    else:
        model = stream_program_bytes(own, None, kind, [clip[0]] if kind == "int8" else None)
        stream = StreamProgram(model, num_threads=1).open()
        found = in_turns({"run": (lambda: stream.advance(clip[0, :1]), 1)}, 200)
    return {"ms": found["run"][1] * 1e3, "mb": len(model) / 1e6, "pieces": xnnpack_partitions(model) or 0}


OURS = """
import sys
from adapters.inference.loading import open_model
from adapters.bundle.rendered_clip import render_clip
model = open_model(sys.argv[1])
assert model.predict([render_clip(model.input_spec)])[0].scores.shape == (600,)
assert "tensorflow" not in sys.modules
"""
THEIRS = """
import numpy as np
from official.projects.movinet.modeling import movinet, movinet_model
model = movinet_model.MovinetClassifier(movinet.Movinet("a0"), num_classes=600)
assert model({"image": np.zeros((1, 16, 172, 172, 3), np.float32)}).shape == (1, 600)
"""


def start(folder: Path) -> dict[str, float]:
    """From process start to the end of the first prediction: a bundle, and tf-models' import, build and first call."""
    (folder / "ours.py").write_text(OURS)
    (folder / "theirs.py").write_text(THEIRS)
    run = {name: [sys.executable, str(folder / f"{name}.py"), str(folder / "bundle")] for name in ("ours", "theirs")}
    wall = dict.fromkeys(run, float("inf"))
    for _ in range(2):
        for name, times in (("ours", 4), ("theirs", 1)):
            for _ in range(times):
                began = time.perf_counter()
                subprocess.run(run[name], check=True, capture_output=True)
                wall[name] = min(wall[name], time.perf_counter() - began)
    return {
        "tf-models: import, build, first call, s": wall["theirs"],
        "a bundle: open, verify, predict, s": wall["ours"],
        "times faster (target: 15)": wall["theirs"] / wall["ours"],
    }


def make(folder: Path) -> dict[str, float]:
    """What the other parts run: the program of the network alone, and a bundle."""
    from adapters.inference import open_model
    from adapters.litert import to_litert
    from movinet_adapter.network import freeze

    (folder / "a0.tflite").write_bytes(to_litert(freeze(network()), (1, FRAMES, SIZE, SIZE, 3)))
    open_model("movinet_a0_base", CONFIG).save(folder / "bundle")
    return {}


class Died(Exception):
    """A part's process came to no figures; says how."""


# All of them ----------------------------------------------------------------------------------------------------------


def part(name: str, folder: Path, *arguments: object) -> dict[str, float]:
    """One part's figures, from a process of its own."""
    environment = {**os.environ, "CLIPLAB_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if name == "rate":
        environment["OPENBLAS_NUM_THREADS"] = "1"
    command = [sys.executable, __file__, name, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise Died(f"{name} {' '.join(map(str, arguments))} {how}: {done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part("make", folder)
        titles = {
            "rate": "A0 base, 16 frames of 172x172",
            "predict": "a clip, batch of 1, beside tf-models",
            "train": "a training step on one clip, beside tf-models",
            "start": "process start to first prediction",
        }
        for key, title in titles.items():
            load = os.getloadavg()[0]
            print(f"| {title} (load average {load:.1f}) | |\n|---|---|")
            for row, value in part(key, folder).items():
                print(f"| {row} | {value:.1e} |" if value < 0.01 else f"| {row} | {value:.2f} |")
            print()
        print("| clips a training step | ms per step | peak memory of the process, MB |\n|---|---|---|")
        for count in BATCHES:
            figures = part("memory", folder, count)
            print(f"| {count} | {figures['ms']:.0f} | {figures['mb']:.0f} |")
        print("\n| mode | quantize | processor ms per clip or frame, one thread | MB | XNNPACK pieces |")
        print("|---|---|---|---|---|")
        for mode in ("base", "stream"):
            for quantize in ("float32", "float16", "dynamic", "int8"):
                try:
                    row = part("precision", folder, mode, quantize)
                except Died as died:  # the other rows stand all the same
                    print(f"| {mode} | {quantize} | {' '.join(str(died).split())[:200]} | | |")
                    continue
                print(f"| {mode} | {quantize} | {row['ms']:.1f} | {row['mb']:.1f} | {row['pieces']:.0f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chosen, where, *rest = sys.argv[1:]
        print(json.dumps(globals()[chosen](Path(where), *(int(word) if word.isdigit() else word for word in rest))))
    else:
        main()
