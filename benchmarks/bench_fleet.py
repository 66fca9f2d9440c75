"""A fleet of devices with the real client, one registry process: how long until all have a new version.

    python benchmarks/bench_fleet.py --devices 1000 --processes 4 --poll-seconds 10

Each device is a task (a thread) with its own folder, state, connection and TUF metadata. The golden check runs in one
of fifty devices of a process and is shared by digest in the others, since a thousand interpreters do not fit on one
machine. ``--single`` measures one device by itself: the memory of ``cliplab device run``, and what it computes idle.
``--cost`` measures processor time of a round and of an update, on the device's side and on the registry's, which holds
on a busy machine too. ``--flood 10000`` sends this number of reports at once, each over a connection of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cliplab.registry import open_registry, publish, registry_init, registry_promote, registry_upload
from cliplab.rollout.device import CheckResult, DeviceClient, DeviceOptions
from cliplab.rollout.device.golden_check import check_model

NAME = "base-fleet"
CHECKED_EVERY = 50


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs=2, type=Path, help="two .tflite of one interface: the version before and the new one"
    )
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--poll-seconds", type=float, default=10.0)
    parser.add_argument("--intervals", type=int, default=6, help="how long devices poll, in intervals")
    parser.add_argument("--single", action="store_true", help="one device: memory and idle processor time")
    parser.add_argument("--cost", action="store_true", help="processor time of a round and of an update")
    parser.add_argument("--flood", type=int, default=0, metavar="N", help="N reports at once")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        url, first, count = arguments.worker
        worker(url, int(first), int(count), arguments.poll_seconds, arguments.intervals)
        return
    with tempfile.TemporaryDirectory(prefix="cliplab_fleet_") as folder:
        place = Path(folder) / "registry"
        registry_init(place)
        registry_upload(arguments.models[0], NAME, "1.0.0", registry=place)
        registry_upload(arguments.models[1], NAME, "1.1.0", registry=place)
        promote(place, "1.0.0")
        with serving(place) as (url, process):
            if arguments.single:
                found = single(url, Path(folder), arguments)
            elif arguments.cost:
                found = cost(url, place, Path(folder), process, arguments)
            elif arguments.flood:
                found = flood(url, place, process, arguments.flood)
            else:
                found = fleet(url, place, process, arguments)
    print(json.dumps(found, indent=2))


def promote(place: Path, version: str) -> None:
    """Make a version the one of production, and publish it."""
    registry_promote(NAME, version, "production", registry=place, force=True, reason="a benchmark")
    with open_registry(place) as registry:
        publish(registry)


@contextmanager
def serving(place: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``cliplab registry serve`` in a process of its own."""
    command = [sys.executable, "-m", "cliplab", "registry", "serve", "--registry", str(place), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.terminate()


def fleet(url: str, place: Path, server: subprocess.Popen[str], arguments: Any) -> dict[str, Any]:
    """Start the devices, let them settle, promote, and see when each has the new version."""
    share = -(-arguments.devices // arguments.processes)
    models = [str(path) for path in arguments.models]
    common = [sys.executable, __file__, *models, "--poll-seconds", str(arguments.poll_seconds)]
    common += ["--intervals", str(arguments.intervals)]
    starts = range(0, arguments.devices, share)
    counts = [min(share, arguments.devices - first) for first in starts]
    workers = [
        subprocess.Popen([*common, "--worker", url, str(first), str(count)], stdout=subprocess.PIPE, text=True)
        for first, count in zip(starts, counts, strict=True)
    ]
    # Each worker says when all of its devices have the first version.
    for process in workers:
        assert process.stdout is not None
        process.stdout.readline()
    cpu = processor_seconds(server.pid)
    promote(place, "1.1.0")
    promoted, began = time.time(), time.monotonic()
    results = [json.loads(process.communicate()[0].splitlines()[-1]) for process in workers]
    seconds = time.monotonic() - began
    times = sorted(at - promoted for result in results for at in result["updated"])
    return {
        "devices": arguments.devices,
        "updated": len(times),
        "poll_seconds": arguments.poll_seconds,
        "seconds_until_updated": {
            "median": round(times[len(times) // 2], 2) if times else None,
            "p95": round(times[int(0.95 * (len(times) - 1))], 2) if times else None,
            "all": round(times[-1], 2) if len(times) == arguments.devices else None,
        },
        "within_two_intervals": sum(at <= 2 * arguments.poll_seconds for at in times),
        "rounds": sum(result["rounds"] for result in results),
        "rounds_failed": sum(result["failed"] for result in results),
        "golden_checks_run": sum(result["checks"] for result in results),
        "model_bytes": arguments.models[1].stat().st_size,
        "registry_processor_share": round((processor_seconds(server.pid) - cpu) / seconds, 3),
        "devices_processor_share": round(sum(result["processor_seconds"] for result in results) / seconds, 3),
    }


def cost(url: str, place: Path, folder: Path, server: subprocess.Popen[str], arguments: Any) -> dict[str, float | int]:
    """Processor milliseconds of idle rounds and of updates, with the checks shared as in the fleet."""
    count, rounds = 50, 10
    checks = Checks()
    clients = [
        DeviceClient(DeviceOptions(f"cost-{i}", url, folder / f"cost-{i}"), check=checks.of(1), machine=str(i))
        for i in range(count)
    ]
    pool = ThreadPoolExecutor(10)  # as in the fleet, so that reports come together
    children = os.times()
    checks.of(1)(arguments.models[0], None)  # in a process of its own, once
    after = os.times()
    golden = 1000 * (after.children_user + after.children_system - children.children_user - children.children_system)

    def one(client: DeviceClient) -> None:
        client._last_report = float("-inf")
        done = client.round()
        assert not done.problems, done.problems

    def each() -> None:
        list(pool.map(one, clients))

    def measured(times: int) -> tuple[float, float]:
        own, other = time.process_time(), processor_seconds(server.pid)
        for _ in range(times):
            each()
        share = times * count / 1000
        return (time.process_time() - own) / share, (processor_seconds(server.pid) - other) / share

    first = measured(1)
    each()
    idle = measured(rounds)
    promote(place, "1.1.0")
    update = measured(1)
    for client in clients:
        client.close()
    whole = 2 * sum(idle) + sum(update) + golden / CHECKED_EVERY
    return {
        "first_contact_device_ms": round(first[0], 2),
        "round_device_ms": round(idle[0], 2),
        "round_registry_ms": round(idle[1], 2),
        "update_device_ms": round(update[0], 2),
        "update_registry_ms": round(update[1], 2),
        "rounds": rounds * count,
        "updates": count,
        "model_bytes": arguments.models[1].stat().st_size,
        "golden_check_ms": round(golden, 2),
        # 1,000 devices, two rounds each and one update, on two cores, with one golden check for fifty devices.
        "seconds_for_1000_devices_on_two_cores": round(1000 * whole / 1000 / 2, 1),
    }


def flood(url: str, place: Path, server: subprocess.Popen[str], count: int) -> dict[str, Any]:
    """Reports that all come in one moment, each until it is taken; and what the registry then has."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    answers: Counter[str] = Counter()
    waits: list[float] = []

    async def post(number: int) -> tuple[str, float]:
        body = json.dumps({"sequence": 1, "client": "c", "versions": {NAME: "1.0.0"}, "predictions": 9}).encode()
        head = f"POST /devices/flood-{number}/reports HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(head.encode() + body)
                answer = (await reader.read()).decode("latin-1")
            finally:
                writer.close()
        except OSError as error:
            return type(error).__name__, 1.0
        if not answer:
            return "no answer", 1.0
        lines = answer.partition("\r\n\r\n")[0].lower().splitlines()
        retry = next((line.partition(":")[2] for line in lines if line.startswith("retry-after:")), "1")
        return lines[0].split()[1], float(retry)

    async def device(number: int) -> None:
        began = time.monotonic()
        while True:
            status, retry = await post(number)
            answers[status] += 1
            if status == "200":
                waits.append(time.monotonic() - began)
                return
            await asyncio.sleep(retry * (1 + random.random()))

    async def all_of_them() -> None:
        await asyncio.gather(*(device(number) for number in range(count)))

    from adapters.hosts.http_server.protocol import raise_file_limit

    raise_file_limit(count)
    before, began = memory_peak(server.pid), time.monotonic()
    cpu = processor_seconds(server.pid)
    asyncio.run(all_of_them())
    seconds = time.monotonic() - began
    with open_registry(place) as registry, registry.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM rollout_reports").scalar()
    waits.sort()
    return {
        "reports": count,
        "stored": rows,
        "answers": dict(answers),
        "seconds": round(seconds, 2),
        "seconds_until_taken": {"median": round(waits[len(waits) // 2], 2), "all": round(waits[-1], 2)},
        "registry_peak_mb": {"before": round(before / 1e6, 1), "after": round(memory_peak(server.pid) / 1e6, 1)},
        "registry_ms_per_report": round(1000 * (processor_seconds(server.pid) - cpu) / count, 2),
    }


def memory_peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def worker(url: str, first: int, count: int, poll_seconds: float, intervals: int) -> None:
    """Some of the devices, each in a thread."""
    checks, lock = Checks(), threading.Lock()
    seen: dict[str, list[float]] = {"1.0.0": [], "1.1.0": []}
    totals = {"rounds": 0, "failed": 0}
    stop = threading.Event()

    def device(number: int, folder: Path) -> None:
        options = DeviceOptions(f"device-{number:05d}", url, folder / str(number), poll_seconds=poll_seconds)
        client = DeviceClient(options, check=checks.of(number), machine=str(number))
        had = set()

        def on_round(done: Any) -> None:
            version = done.models[NAME].version if NAME in done.models else None
            with lock:
                totals["rounds"] += 1
                totals["failed"] += bool(done.problems)
                if version in seen and version not in had:
                    had.add(version)
                    seen[version].append(time.time())

        time.sleep(random.random() * poll_seconds)  # a fleet does not start at one moment
        client.run(stop, on_round)

    with tempfile.TemporaryDirectory(prefix="cliplab_devices_") as folder:
        threads = [threading.Thread(target=device, args=(first + i, Path(folder)), daemon=True) for i in range(count)]
        for thread in threads:
            thread.start()
        while len(seen["1.0.0"]) < count:
            time.sleep(0.1)
        print("ready", flush=True)
        cpu = time.process_time()
        end = time.monotonic() + intervals * poll_seconds
        while time.monotonic() < end and len(seen["1.1.0"]) < count:
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join(60)
        used = time.process_time() - cpu
    found = {"updated": seen["1.1.0"], "checks": checks.run, "processor_seconds": used}
    print(json.dumps({**found, **totals}), flush=True)


class Checks:
    """The golden check of one of fifty devices; the others use its result for the same bytes."""

    def __init__(self) -> None:
        self._results: dict[str, CheckResult] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.run = 0

    def of(self, number: int) -> Any:
        """The check of a device."""

        def check(path: Path, golden: Mapping[str, Any] | None) -> CheckResult:
            key = path.stem
            with self._lock:
                one = self._locks.setdefault(key, threading.Lock())
            with one:
                if key not in self._results or number % CHECKED_EVERY == 0:
                    self._results[key] = check_model(path, golden)
                    self.run += 1
            return self._results[key]

        return check


def single(url: str, folder: Path, arguments: Any) -> dict[str, Any]:
    """One device as a process: its memory with that of its children, and its processor time while nothing changes."""
    words = ["--name", "single", "--registry", url, "--models", str(folder / "single"), "--json"]
    command = [sys.executable, "-m", "cliplab", "device", "run", *words, "--poll-seconds", str(arguments.poll_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        peak, done = [0], threading.Event()
        watcher = threading.Thread(target=watch_memory, args=(process.pid, peak, done))
        watcher.start()
        try:
            first = json.loads(process.stdout.readline())
            idle_from, cpu = time.monotonic(), processor_seconds(process.pid)
            for _ in range(arguments.intervals):
                process.stdout.readline()
            seconds, used = time.monotonic() - idle_from, processor_seconds(process.pid) - cpu
            idle_memory = tree_memory(process.pid)
        finally:
            done.set()
            watcher.join()
            process.terminate()
    return {
        "version": first["models"][NAME]["version"],
        "model_bytes": arguments.models[0].stat().st_size,
        "peak_mb_with_children": round(peak[0] / 1e6, 1),
        "idle_mb": round(idle_memory / 1e6, 1),
        "poll_seconds": arguments.poll_seconds,
        "idle_processor_share": round(used / seconds, 5),
        "processor_seconds_per_round": round(used / arguments.intervals, 4),
    }


def watch_memory(pid: int, peak: list[int], done: threading.Event) -> None:
    """The most memory of a process and its children, every 10 ms."""
    while not done.wait(0.01):
        peak[0] = max(peak[0], tree_memory(pid))


def tree_memory(pid: int) -> int:
    """Proportional memory (PSS: a page that n processes share counts 1/n for each) of a process and its children."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            total += sum(tree_memory(int(child)) for child in path.read_text().split())
        except OSError:
            continue
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return total + 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return total


def processor_seconds(pid: int) -> float:
    """Processor time of a process, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
