"""Many clients at a time for one HTTP host: keep-alive connections that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Load:
    """What came of it. codes: answers by status, "error" for a connection that failed. seconds: of each 200.

    resident_mb: of the server, at each fifth of the time.
    """

    codes: Counter[object] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    bodies: set[bytes] = field(default_factory=set)
    resident_mb: list[float] = field(default_factory=list)


def tensor_request(model: str, frames: np.ndarray) -> bytes:
    """An infer request in binary form, head and body. frames: uint8 [N, T, H, W, 3]."""
    tensor = {"name": "frames", "shape": list(frames.shape), "datatype": "UINT8"}
    tensor["parameters"] = {"binary_data_size": frames.nbytes}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "scores", "parameters": {"binary_data": True}}]})
    return (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(head) + frames.nbytes}\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\n\r\n{head}"
    ).encode() + frames.tobytes()


def run_load(port: int, requests: list[bytes], clients: int, seconds: float, pid: int) -> Load:
    """``clients`` connections for so long; each goes through the requests in turn. A 429 is waited out for 0.1 s."""
    load = Load()
    asyncio.run(_run(port, requests, clients, seconds, pid, load))
    return load


async def _run(port: int, requests: list[bytes], clients: int, seconds: float, pid: int, load: Load) -> None:
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            start = time.monotonic()
            writer.write(requests[number % len(requests)])
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            code = int(head.split(b" ", 2)[1])
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields[b"content-length"]))
            load.codes[code] += 1
            number += 1
            if code == 200:
                load.seconds.append(time.monotonic() - start)
                load.bodies.add(body)
            elif code == 429:
                await asyncio.sleep(0.1)
        writer.close()

    async def kept(number: int) -> None:
        try:
            await client(number)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            load.codes["error"] += 1
            print(f"client {number}: {error!r}")

    async def watch() -> None:
        for _ in range(5):
            await asyncio.sleep(seconds / 5)
            load.resident_mb.append(resident_mb(pid))

    await asyncio.gather(watch(), *(kept(number) for number in range(clients)))


def resident_mb(pid: int) -> float:
    """What a process holds in memory now; Linux."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1e3
