"""Many people rate over HTTP while a model is trained again and again, and while the server is killed.

    python benchmarks/bench_raters.py [--seconds 60] [--raters 50] [--kills 0] [--clips 2000] [--postgres]

prints a JSON line. Each rater is a page: it numbers its ratings, keeps what is not acknowledged, and sends it again
until it is. Counted are acknowledged ratings that are not stored, or stored twice (promised: 0 and 0), ratings other
than what a rater gave last ("wrong"), how many trainings ended meanwhile, and the ms from sending to the durable
answer. With --kills N the server gets SIGKILL at N random moments and is started again. Ratings follow a taste, so
that models also come to serve; the last one must be whole. Clients and server share the machine's cores; the line has
the load average.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from bench_studio_page import Server, percentiles, write_line

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "support")]

LONGEST_WAIT_SECONDS = 1.5  # a rater looks at a clip for up to that
FEATURES = 12


class Rater(threading.Thread):
    """One person at one Rate page: rates, keeps in the outbox, sends, sends again."""

    def __init__(self, number: int, server: Server, liked: np.ndarray, end: float) -> None:
        super().__init__()
        self.person, self.server, self.liked, self.end = f"rater {number}", server, liked, end
        self.random = random.Random(number)
        self.outbox: list[dict[str, Any]] = []
        self.given: dict[int, int] = {}
        self.acknowledged: set[int] = set()
        self.made, self.failed, self.csrf = 0, 0, ""
        self.answered: list[float] = []
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while time.monotonic() < self.end:
            time.sleep(self.random.random() * LONGEST_WAIT_SECONDS)
            self.rate()
            self.send()
        while self.outbox:
            self.send()
            time.sleep(0.02)

    def rate(self) -> None:
        """Stars for some clip, also for one that was rated before."""
        clip = self.random.randrange(1, len(self.liked) + 1)
        stars = min(max(round(3 + float(self.liked[clip - 1]) + self.random.gauss(0, 0.7)), 1), 5)
        self.given[clip] = stars
        body = {"clip": clip, "stars": stars, "rater": self.person, "client": self.person, "sequence": self.made}
        self.outbox.append(body)
        self.made += 1

    def send(self) -> None:
        """The oldest rating that is not acknowledged."""
        began = time.monotonic()
        try:
            if not self.csrf:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                self.csrf = self.ask("GET", "/session")["csrf"]
            answer = self.ask("POST", "/rate", self.outbox[0])
        except (OSError, ValueError, http.client.HTTPException):  # the server is gone, or went during its answer
            self.failed += 1
            self.csrf = ""  # another server has another one
            return
        assert "stored" in answer, answer
        self.answered.append((time.monotonic() - began) * 1000)
        self.acknowledged.add(self.outbox.pop(0)["sequence"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request over the rater's own connection."""
        headers = {"X-CSRF-Token": self.csrf, "Content-Type": "application/json"}
        assert self.connection is not None
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 500:
            raise ValueError(f"{answer.status}: {content[:200]!r}")
        return json.loads(content)


class StudioServer(Server):
    """A studio with a clip database, which may be on a server of its own."""

    def __init__(self, folder: Path, database: str) -> None:
        self.database = database
        super().__init__(folder)

    def command(self) -> list[str]:
        """The command that starts it."""
        return [*super().command(), "--database", self.database]


def fill(database: str, clips: int) -> np.ndarray:
    """Clips of 40 sources; returns how much each is liked, which the first features say."""
    from cliplab.clips import ClipManager

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(clips, FEATURES))
    with ClipManager(database) as manager:
        for number, row in enumerate(rows):
            features = {f"feature_{place}": round(float(value), 5) for place, value in enumerate(row)}
            kind, source = "audio" if number % 3 else "video", f"https://example.org/stream_{number % 40}"
            manager.register_clip(f"output_clips/{number}.mp4", number, number + 30.0, 0.5, kind, features, source)
    return np.asarray(rows[:, 0] + 0.6 * rows[:, 1])


def compare(database: str, people: list[Rater]) -> dict[str, int]:
    """Acknowledged ratings that are lost or stored twice, and clips whose rating is not the last one given."""
    import sqlalchemy as sa

    from cliplab.clips import ClipManager
    from cliplab.clips.rating_rows import rating_rows
    from cliplab.clips.schema import RATINGS

    with ClipManager(database) as manager, manager.database.reading() as connection:
        keys = sa.select(RATINGS.c.client, RATINGS.c.sequence, sa.func.count()).group_by(
            RATINGS.c.client, RATINGS.c.sequence
        )
        stored = {(client, sequence): count for client, sequence, count in connection.execute(keys)}
        latest = {(row.rater, row.clip_id): row.stars for row in rating_rows(connection)}
    counts = [stored.get((one.person, number), 0) for one in people for number in one.acknowledged]
    return {
        "acknowledged": len(counts),
        "lost": counts.count(0),
        "twice": sum(count > 1 for count in counts),
        "wrong": sum(latest.get((one.person, clip)) != stars for one in people for clip, stars in one.given.items()),
    }


def trainings(database: str, models: Path) -> dict[str, Any]:
    """What training left: how often it ended, and the models that serve."""
    from cliplab.clips import ClipManager, read_models
    from cliplab.clips.training_state import read_history

    with ClipManager(database) as manager:
        ended = {point["at"] for point in read_history(manager)}
    serving = read_models(models) if models.exists() else {}
    return {"trainings": len(ended), "serving": {kind: model.version for kind, model in serving.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = str(folder / "clips.db")
        if given.postgres:
            from postgres_server import postgres

            database = stack.enter_context(postgres())
        liked = fill(database, given.clips)
        server, moments = StudioServer(folder, database), np.random.default_rng(1)
        people = [Rater(number, server, liked, time.monotonic() + given.seconds) for number in range(given.raters)]
        for one in people:
            one.start()
        for _ in range(given.kills):
            time.sleep(moments.uniform(0, 2 * given.seconds / max(given.kills, 1)))
            server.kill()
            server.start()
        for one in people:
            one.join()
        server.kill()
        models = folder / "models" / "highlight_model.skops"
        write_line(
            database="PostgreSQL" if given.postgres else "SQLite",
            seconds=given.seconds,
            raters=given.raters,
            kills=given.kills,
            **compare(database, people),
            failed_requests=sum(one.failed for one in people),
            answer_ms=percentiles([value for one in people for value in one.answered]),
            **trainings(database, models),
        )


if __name__ == "__main__":
    main()
