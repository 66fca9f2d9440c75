"""A0 stream, float32, 172x172: the cost of a step beside LiteRT's own, eighty live streams on two cores, memory.

    python benchmarks/bench_stream.py

prints a JSON line. step_to_invoke: one stream's step, states carried, over a raw invoke in the same loop (promised:
1.15 at most). taking_turns: the same with two streams on one interpreter, whose states are moved in and out each time.
signature_runner: LiteRT's own runner with named arrays. Eighty streams of 5 frames per second are simulated on two
workers: each frame is scaled and predicted for real, the worker's clock goes on by the processor time that it took, and
latest_ms is by how much the latest frame of all missed its time (promised: one period, 200 ms, at most).
"""

from __future__ import annotations

import heapq
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

STREAMS, FPS, SECONDS, WORKERS = 80, 5.0, 15, 2
VIDEO = Path(__file__).parent.parent / "samples" / "broadcast.mp4"


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = 300) -> dict[str, float]:
    """The lower decile of each function's processor milliseconds, all in one loop: other work disturbs all alike."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken[name].append((time.process_time() - start) * 1e3)
    return {name: float(np.quantile(values, 0.1)) for name, values in taken.items()}


def resident_mb() -> float:
    """What the process holds in memory now; Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    from adapters.inference.stream_session import StreamSession
    from adapters.litert import StreamProgram, open_interpreter
    from adapters.media import open_video
    from adapters.records import InputSpec
    from movinet_adapter.network import build_movinet
    from movinet_adapter.streaming.conversion import stream_program_bytes

    network = build_movinet("a0", "stream", height=172, width=172, n_frames=1, num_classes=600)
    program = StreamProgram(stream_program_bytes(network, None), num_threads=1)
    with open_video(VIDEO) as video:
        frames = [frame for _, frame in video.frames(fps=FPS, end_seconds=4)]
    image = np.random.default_rng(0).uniform(0, 1, (1, 172, 172, 3)).astype(np.float32)
    interpreter = program._slots[0].interpreter  # what is behind it, to compare with
    # One of its own: while a runner exists LiteRT lets nobody invoke its interpreter.
    runner = open_interpreter(program.model_bytes, "the runner's").get_signature_runner("serving_default")
    states = program.initial_states()
    first, second, single = program.open(), program.open(), program.open()

    def take_turns() -> None:
        first.advance(image)
        second.advance(image)

    # Streams that take turns go last: the single one then keeps the interpreter to itself.
    alone = interleaved({"invoke": interpreter.invoke, "step": lambda: single.advance(image)})
    shared = interleaved({"turns": take_turns, "invoke": interpreter.invoke}, 150)
    named = interleaved({"runner": lambda: runner(image=image[None], **states), "invoke": interpreter.invoke}, 150)

    spec = InputSpec(172, 172, 1, aspect="crop")
    labels = [str(number) for number in range(600)]
    sessions = [StreamSession(program, labels, spec, FPS, memory_seconds=4) for _ in range(STREAMS)]
    workers, late, cost = [0.0] * WORKERS, [], []
    due = [(number / STREAMS / FPS, number) for number in range(STREAMS)]
    before = 0.0
    while due[0][0] < SECONDS:
        moment, number = heapq.heappop(due)
        start = time.process_time()
        sessions[number].push(frames[int(moment * FPS) % len(frames)], moment)
        cost.append(time.process_time() - start)
        finished = max(heapq.heappop(workers), moment) + cost[-1]
        heapq.heappush(workers, finished)
        late.append(finished - moment)
        heapq.heappush(due, (moment + 1 / FPS, number))
        if not before and moment > SECONDS / 3:
            before = resident_mb()
    grown = resident_mb() - before

    one = StreamSession(program, labels, spec, FPS, memory_seconds=12)
    for number in range(3000):  # ten minutes, the first of them to warm up
        one.push(frames[number % len(frames)], number / FPS)
        if number == 300:
            before = resident_mb()
    row = {
        "invoke_ms": round(alone["invoke"], 2),
        "step_to_invoke": round(alone["step"] / alone["invoke"], 3),
        "taking_turns": round(shared["turns"] / 2 / shared["invoke"], 3),
        "signature_runner": round(named["runner"] / named["invoke"], 3),
        "state_mb": round(program.state_bytes / 1e6, 1),
        "streams": STREAMS,
        "frame_ms_median": round(float(np.median(cost)) * 1e3, 2),
        "latest_ms": round(max(late) * 1e3, 1),
        "late_frames": sum(value > 1 / FPS for value in late),
        "memory_growth_mb_of_all": round(grown, 1),
        "memory_growth_mb_in_ten_minutes": round(resident_mb() - before, 1),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
