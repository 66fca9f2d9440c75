"""Twenty annotators label over HTTP while the server is killed five times. Needs `cliplab[studio]`.

    python benchmarks/bench_studio.py [SECONDS] [ANNOTATORS] [KILLS]

prints a JSON line. Each annotator is a client with an outbox, as the page has one: it numbers its events, keeps what is
not acknowledged, and sends it again until it is. Counted are labels lost and labels stored twice (promised: 0 and 0),
and the ms from sending to the durable answer. Annotators share items, change labels and undo some; what each gave last
is compared with the store ("wrong"). Clients and server share the machine's cores; the line has the load average.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench_studio_page import Server, percentiles, render, write_line

from cliplab.studio import open_store

ITEMS = 200
WAIT_SECONDS = 0.25  # an annotator decides in that


class Annotator(threading.Thread):
    """One person at one page: decides, keeps in the outbox, sends, sends again."""

    def __init__(self, number: int, server: Server, end: float) -> None:
        super().__init__()
        self.person, self.server, self.end = f"person {number}", server, end
        self.random = random.Random(number)
        self.outbox: list[dict[str, Any]] = []
        self.given: dict[int, list[tuple[int, str]]] = {}
        self.made, self.undone, self.failed = 0, 0, 0
        self.answered: list[float] = []
        self.csrf = ""

    def run(self) -> None:
        while time.monotonic() < self.end:
            self.decide()
            self.send()
            time.sleep(WAIT_SECONDS)
        while self.outbox:
            self.send()
            time.sleep(0.05)

    def decide(self) -> None:
        """A label, or in one of ten times the undo of the last one of an item."""
        item = self.random.randrange(1, ITEMS + 1)
        earlier = self.given.setdefault(item, [])
        if earlier and self.random.random() < 0.1:
            number, _ = earlier.pop()
            self.keep(item, "undo", {"client": self.person, "sequence": number})
            self.undone += 1
        else:
            label = self.random.choice(("ad", "content"))
            earlier.append((self.keep(item, "label", {"label": label}), label))

    def keep(self, item: int, action: str, value: dict[str, Any]) -> int:
        number = self.made
        self.made += 1
        shared = {"client": self.person, "annotator": self.person, "at": time.time()}
        self.outbox.append({**shared, "sequence": number, "item": item, "action": action, "value": value})
        return number

    def send(self) -> None:
        batch = self.outbox[:100]
        began = time.monotonic()
        try:
            if not self.csrf:
                self.csrf = json.load(urllib.request.urlopen(f"{self.server.url}session", timeout=10))["csrf"]
            headers = {"X-CSRF-Token": self.csrf, "Content-Type": "application/json"}
            body = json.dumps({"events": batch}).encode()
            request = urllib.request.Request(f"{self.server.url}events", body, headers)
            answer = json.load(urllib.request.urlopen(request, timeout=30))
        except (OSError, ValueError):  # the server is gone, or went in the middle of its answer
            self.failed += 1
            self.csrf = ""  # another server has another one
            return
        assert not answer["refused"], answer["refused"][:1]
        self.answered.append((time.monotonic() - began) * 1000)
        durable = set(answer["durable"].get(self.person, ()))
        self.outbox = [event for event in self.outbox if event["sequence"] not in durable]


def compare(folder: Path, people: list[Annotator]) -> dict[str, int]:
    """Labels lost, stored twice, and other than what a person gave last."""
    lost = twice = wrong = 0
    with open_store(folder) as store:
        with store.reading() as connection:
            rows = connection.execute("SELECT client, sequence, count(*) FROM events GROUP BY client, sequence")
            stored = {(client, sequence): count for client, sequence, count in rows}
        present = {(item.id, who): label for item in store.items(limit=ITEMS) for who, label in item.labels.items()}
    for one in people:
        counts = [stored.get((one.person, number), 0) for number in range(one.made)]
        lost += counts.count(0)
        twice += sum(count > 1 for count in counts)
        for item, given in one.given.items():
            wrong += present.get((item, one.person)) != (given[-1][1] if given else None)
    return {"events": sum(one.made for one in people), "lost": lost, "twice": twice, "wrong": wrong}


def main() -> None:
    seconds, annotators, kills = map(int, [*sys.argv[1:], *("60", "20", "5")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render(folder, ITEMS)
        server = Server(folder)
        time.sleep(3)  # the folder is looked through
        people = [Annotator(number, server, time.monotonic() + seconds) for number in range(annotators)]
        for one in people:
            one.start()
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            server.kill()
            server.start()
        for one in people:
            one.join()
        server.kill()
        found = compare(folder, people)
        answered = [value for one in people for value in one.answered]
        write_line(
            part="annotators",
            seconds=seconds,
            annotators=annotators,
            kills=kills,
            **found,
            undone=sum(one.undone for one in people),
            failed_requests=sum(one.failed for one in people),
            answer_ms=percentiles(answered),
        )


if __name__ == "__main__":
    main()
