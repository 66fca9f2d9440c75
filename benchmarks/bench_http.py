"""The HTTP host: what it adds to a direct predict, and 64 clients at a time for a minute. MoViNet A0 base, 16x172x172.

    python benchmarks/bench_http.py [SECONDS]

prints two JSON lines. In the first, direct_ms and http_ms are the median of each in one loop, by turns; a tensor in
binary form, sent by the real tritonclient (promised: at most 5 ms more). added_processor_ms: the same in processor time
of client and host, which other work on the machine disturbs less. Then 64 connections ask as fast as they are answered
(promised: no error but 429, memory flat). rate_to_direct: clips per second beside what as many threads predict without
HTTP, measured before and after.

The second line is about videos: the same clients ask two hosts by turns for a clip below their root, one that decodes
in processes of its own and one that decodes itself (``--decoders 0``). rate_percent: answers beside those of the latter
(promised: at most 10 % fewer). added_processor_percent: the processor time for an answer, decoders included, likewise.

Weights are random: speed does not depend on them. Clients, host and model share the machine's cores.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests/support"))

CLIENTS, ROUNDS = 64, 60


def rate(predict: object, workers: int, seconds: float = 4) -> float:
    """Calls a second, in as many threads as the host has workers."""
    end = time.monotonic() + seconds

    def calls() -> int:
        done = 0
        while time.monotonic() < end:
            predict()  # type: ignore[operator]
            done += 1
        return done

    with ThreadPoolExecutor(workers) as pool:
        return sum(future.result() for future in [pool.submit(calls) for _ in range(workers)]) / seconds


def processor_seconds(pid: int) -> float:
    """What a process has used so far; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_children(pid: int) -> float:
    """What a process and its children have used so far; Linux."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return sum(processor_seconds(each) for each in [pid, *children])


def video_cost(bundle: str, clip: Path, seconds: float, turns: int = 6) -> dict[str, object]:
    """What decoding in other processes costs at this load; hosts take turns, as the machine's speed changes."""
    from http_load import run_load
    from http_server import http_host

    body = json.dumps({"path": clip.name})
    head = "POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    request = f"{head}{len(body)}\r\n\r\n{body}".encode()
    with (
        http_host([f"a0={bundle}"], "--root", clip.parent) as apart,
        http_host([f"a0={bundle}"], "--root", clip.parent, "--decoders", 0) as inside,
    ):
        answers: dict[str, list[float]] = {"apart": [], "inside": []}
        used: dict[str, list[float]] = {"apart": [], "inside": []}
        for host in (apart, inside):
            run_load(host.port, [request], CLIENTS, 2, host.process.pid)  # warm
        for _ in range(turns):
            for name, host in (("apart", apart), ("inside", inside)):
                before = with_children(host.process.pid)
                load = run_load(host.port, [request], CLIENTS, seconds / turns / 2, host.process.pid)
                answers[name].append(load.codes[200])
                used[name].append(with_children(host.process.pid) - before)
    per_answer = {name: sum(used[name]) / sum(answers[name]) for name in answers}
    return {
        "videos": "one clip of 2.4 s",
        "clients": CLIENTS,
        "answers": {name: int(sum(counts)) for name, counts in answers.items()},
        "processor_ms": {name: round(value * 1e3, 1) for name, value in per_answer.items()},
        "added_processor_percent": round((per_answer["apart"] / per_answer["inside"] - 1) * 100, 1),
        "rate_percent": round((sum(answers["apart"]) / sum(answers["inside"]) - 1) * 100, 1),
    }


def main() -> None:
    import tritonclient.http as client
    from http_load import run_load, tensor_request
    from http_server import http_host

    from adapters.inference import open_model
    from adapters.litert import available_cores
    from adapters.records import Clip

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name:
        os.environ["CLIPLAB_CACHE"] = f"{name}/cache"
        open_model("movinet_a0_base", {"weights": "random", "n_frames": 16}).save(f"{name}/a0.bundle")
        model = open_model(f"{name}/a0.bundle")
        frames = np.random.default_rng(0).integers(0, 256, (1, 16, 172, 172, 3), np.uint8)
        clip = Clip(frames[0], np.arange(16) / 5, "clip", 0.0, 3.2)
        with http_host([f"a0={name}/a0.bundle"]) as host:
            triton = client.InferenceServerClient(host.url.removeprefix("http://"))
            tensor = client.InferInput("frames", list(frames.shape), "UINT8")
            tensor.set_data_from_numpy(frames)
            for _ in range(3):
                triton.infer("a0", [tensor])  # warm
            direct, http, processor = [], [], -processor_seconds(host.process.pid)
            for _ in range(ROUNDS):
                start, used = time.perf_counter(), time.process_time()
                expected = model.predict([clip])[0].scores
                direct.append(time.perf_counter() - start)
                processor -= time.process_time() - used
                start, used = time.perf_counter(), time.process_time()
                result = triton.infer("a0", [tensor])
                http.append(time.perf_counter() - start)
                processor += time.process_time() - used
            processor += processor_seconds(host.process.pid)
            assert np.array_equal(result.as_numpy("scores")[0], expected)
            before = rate(lambda: model.predict([clip]), available_cores())
            load = run_load(host.port, [tensor_request("a0", frames)], CLIENTS, seconds, host.process.pid)
            after = rate(lambda: model.predict([clip]), available_cores())
        clips = Path(__file__).resolve().parent.parent / "samples/clips"
        videos = video_cost(f"{name}/a0.bundle", clips / "test_content_01.mp4", seconds)
        taken = sorted(load.seconds)
        row = {
            "direct_ms": round(float(np.median(direct)) * 1e3, 2),
            "http_ms": round(float(np.median(http)) * 1e3, 2),
            "added_ms": round(float(np.median(http) - np.median(direct)) * 1e3, 2),
            "added_processor_ms": round(processor / ROUNDS * 1e3, 2),
            "clients": CLIENTS,
            "seconds": seconds,
            "answers": load.codes[200],
            "told_to_wait_429": load.codes[429],
            "errors": sum(load.codes.values()) - load.codes[200] - load.codes[429],
            "p50_ms": round(taken[len(taken) // 2] * 1e3),
            "p99_ms": round(taken[len(taken) * 99 // 100] * 1e3),
            "clips_a_second": round(load.codes[200] / seconds, 1),
            "rate_to_direct": round(load.codes[200] / seconds / ((before + after) / 2), 2),
            "memory_mb_by_fifths": [round(value) for value in load.resident_mb],
        }
        print(json.dumps(row))
        print(json.dumps(videos))


if __name__ == "__main__":
    main()
