"""How long a clip database of many clips takes: a page of the gallery, a rating, what to rate next.

    python benchmarks/bench_clips.py [--clips 100000] [--times 200] [--postgres] [--ratings 500]

prints a Markdown table: milliseconds of processor time of this process, and of the server where there is one, and of
the clock; the median and the 95th percentile. The aims are 100 ms for a page, 20 ms for a rating and 100 ms for what
to rate next, each at the 95th percentile. --postgres starts a server of its own (apt-get install postgresql).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]

FEATURES = 40
TAGS = ("goal", "crowd", "slow", "night")


def fill(manager: Any, clips: int, ratings: int) -> None:
    """Clips with features as long as real ones; one in twenty has a tag, and some are rated."""
    import sqlalchemy as sa

    from cliplab.clips.schema import CLIPS
    from cliplab.clips.schema import TAGS as TABLE

    rng = np.random.default_rng(0)
    names = [f"feature_{number}" for number in range(FEATURES)]
    for first in range(0, clips, 5000):
        rows = []
        for number in range(first, min(first + 5000, clips)):
            values = dict(zip(names, np.round(rng.normal(size=FEATURES), 5).tolist(), strict=True))
            day, second = divmod(number, 86_400)
            clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
            rows.append(
                {
                    "filename": f"stream_{number // 40}_{number}.mp4",
                    "filepath": f"/data/output_clips/stream_{number // 40}_{number}.mp4",
                    "start_time": float(number % 40 * 90),
                    "end_time": float(number % 40 * 90 + 30),
                    "duration": 30.0,
                    "score": float(np.round(rng.random(), 4)),
                    "clip_type": "audio" if number % 3 else "video",
                    "features": json.dumps(values),
                    "created_at": f"2026-01-{1 + day:02d}T{clock}",
                    "source_url": f"https://example.org/stream_{number // 40}",
                }
            )
        with manager.database.writing() as connection:
            connection.execute(sa.insert(CLIPS), rows)
    ids = [clip.id for clip in manager.list_clips(clips)]
    with manager.database.writing() as connection:
        tagged = [{"clip_id": number, "tag": TAGS[number % len(TAGS)]} for number in ids[::20]]
        connection.execute(sa.insert(TABLE), tagged)
    for number in rng.permutation(ids)[:ratings]:
        manager.rate_clip(int(number), int(rng.integers(1, 6)))


class Clock:
    """Processor time of this process and of a server's processes."""

    def __init__(self, server: bool) -> None:
        self.servers = _postgres_processes() if server else []

    def now(self) -> tuple[float, float]:
        """Seconds of processor time, and of the clock."""
        theirs = sum(_cpu_seconds(pid) for pid in self.servers)
        return time.process_time() + theirs, time.perf_counter()


def _postgres_processes() -> list[int]:
    """The processes of PostgreSQL that serve a connection now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"postgres: cliplab"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _cpu_seconds(pid: int) -> float:
    """Of one process, from its schedstat: nanoseconds."""
    try:
        return int((Path("/proc") / str(pid) / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError):
        return 0.0


def measure(name: str, aim: int, work: Callable[[int], object], times: int, server: bool) -> None:
    """Print one row."""
    work(0)
    clock, rows = Clock(server), []
    for number in range(times):
        begin = clock.now()
        work(number)
        rows.append(np.subtract(clock.now(), begin) * 1000)
    middle, high = np.percentile(rows, [50, 95], axis=0)
    print(f"| {name} | {aim} | {middle[0]:.1f} | {high[0]:.1f} | {middle[1]:.1f} | {high[1]:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--ratings", type=int, default=500)
    parser.add_argument("--postgres", action="store_true")
    arguments = parser.parse_args()
    from cliplab.clips import ClipManager, RatingBasedTrainer, next_to_rate

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database: str = str(folder / "clips.db")
        if arguments.postgres:
            from postgres_server import postgres

            database = stack.enter_context(postgres())
        manager = stack.enter_context(ClipManager(database))
        fill(manager, arguments.clips, arguments.ratings)
        trainer = RatingBasedTrainer(manager, folder / "models" / "highlight_model.skops", automatic=False)
        trainer.train_from_ratings()
        pages: list[dict[str, Any]] = [
            {},
            {"rating": (">=", 4)},
            {"rating": ("=", 4)},
            {"tag": "goal"},
            {"clip_type": "video"},
            {"rated": False},
        ]
        deep = manager.list_clips(arguments.clips)[:: max(arguments.clips // 50, 1)]

        def page(number: int) -> None:
            before = deep[number // len(pages) % len(deep)] if number % 2 else None
            found = manager.list_clips(51, before=before, **pages[number % len(pages)])
            manager.tags([clip.id for clip in found])
            manager.get_statistics()

        def rate(number: int) -> None:
            manager.rate_clip(deep[number % len(deep)].id, 1 + number % 5, rater=f"rater {number % 7}")

        kind = "PostgreSQL" if arguments.postgres else "SQLite"
        print(f"{arguments.clips} clips, {kind}\n\n| what | aim p95 | processor p50 | p95 | clock p50 | p95 |")
        print("|---|---|---|---|---|---|")
        args = (arguments.times, arguments.postgres)
        measure("page of 50 with tags and statistics", 100, page, *args)
        measure("rating", 20, rate, *args)
        automatic = RatingBasedTrainer(manager, folder / "models" / "highlight_model.skops")
        automatic.start_training = lambda: None  # type: ignore[method-assign]
        automatic._begin = lambda: None  # type: ignore[method-assign]
        measure("rating, with what decides about training", 20, rate, *args)
        measure("what to rate next, 20 clips", 100, lambda _: next_to_rate(manager, trainer, 20), *args)
        measure("state of training and statistics", 100, lambda _: trainer.get_training_progress(), *args)


if __name__ == "__main__":
    main()
