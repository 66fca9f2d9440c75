"""The label store under attack: killed writers, full disks, damage, files that cannot be written."""

import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import threading
import time

import pytest
from test_studio_store import Client, add_items
from waiting import until

from adapters.errors import StorageError
from cliplab.studio import LabelEvent, open_store, recover_store


def write_forever(folder, client, said):
    """Store events one after another, each sent twice, and say the number of each that is durable."""
    with open_store(folder) as store:
        number = store.last_sequence(client)
        while True:
            number += 1
            label = ("ad", "content")[number % 2]
            event = LabelEvent(client, number, client, number % 50 + 1, "label", {"label": label}, 1.0)
            assert store.append([event, event]).durable[client] == [number, number]
            said.send(number)


def run_and_kill(folder, clients, seconds):
    """Start a writer for each client, kill all of them after a while, and return the last number that each said."""
    fork = multiprocessing.get_context("fork")  # a new interpreter takes seconds
    ends = {name: fork.Pipe(duplex=False) for name in clients}
    children = [fork.Process(target=write_forever, args=(folder, name, ends[name][1])) for name in clients]
    for child in children:
        child.start()
    said = {name: ends[name][0].recv() for name in clients}  # each has begun
    time.sleep(seconds)
    for child in children:
        child.kill()
        child.join()
    for name in clients:
        ends[name][1].close()
        with contextlib.suppress(EOFError):
            while True:
                said[name] = ends[name][0].recv()
    return said


def state(store):
    with store.reading() as connection:
        tables = ("current_labels", "current_intervals", "current_reviews", "current_notes", "current_flags", "undone")
        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
        items = connection.execute("SELECT id, wanted, done, disagree, flagged FROM items ORDER BY id").fetchall()
    return {**found, "items": items}


def test_killed_writers_lose_nothing_that_was_durable_and_store_nothing_twice(tmp_path):
    with open_store(tmp_path, ["ad", "content"]) as store:
        add_items(store, 50)
    clients = [f"client {number}" for number in range(3)]
    for round in range(2):
        said = run_and_kill(tmp_path, clients, random.Random(round).uniform(0.05, 0.2))
    with open_store(tmp_path) as store:
        with store.reading() as connection:
            rows = connection.execute("SELECT client, sequence FROM events ORDER BY client, sequence").fetchall()
            [(check,)] = connection.execute("PRAGMA integrity_check").fetchall()
        assert check == "ok"
        for name in clients:
            numbers = [number for client, number in rows if client == name]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) - 1 >= said[name] >= 0
        before = state(store)
        assert store.rebuild() == len(rows)
        assert state(store) == before


def test_twenty_threads_write_at_once_and_each_event_is_there_once(tmp_path):
    with open_store(tmp_path, ["ad", "content"]) as store:
        items = add_items(store, 5)

        def work(name):
            client = Client(store, name, name)
            for item in items:
                client.send(item, "label", label="ad")

        threads = [threading.Thread(target=work, args=(f"person {number}",)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.version() == 100
        assert store.progress()["by_annotator"] == {f"person {number}": 5 for number in range(20)}


def test_a_full_disk_changes_nothing_and_says_so(tmp_path):
    with open_store(tmp_path, ["ad"]) as store:
        add_items(store, 3)
        Client(store).send(1, "label", label="ad")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = os.path.getsize(f"{store.path}-wal")
        long = [LabelEvent("tab 2", n, "ann", 2, "note", {"text": "x" * 5000}, 1.0) for n in range(20)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
        try:
            with pytest.raises(StorageError, match="disk is full or failing"):
                store.append(long)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert store.version() == 1
        assert store.item(1).labels == {"ann": "ad"}
        assert store.append(long).durable == {"tab 2": list(range(20))}


def test_a_file_that_became_read_only_is_shown_and_keeps_what_it_has(tmp_path, monkeypatch):
    with open_store(tmp_path, ["ad"]) as store:
        add_items(store, 2)
        Client(store).send(1, "label", label="ad")
    # By the connection, since whoever runs as root may write any file.
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(path if options.get("uri") else f"file:{path}?mode=ro", **{**options, "uri": True})

    monkeypatch.setattr("sqlite3.connect", read_only)
    with open_store(tmp_path, ["ad", "more"]) as store:
        assert "read-only" in store.read_only
        assert store.item(1).labels == {"ann": "ad"}
        with pytest.raises(StorageError, match="read-only"):
            Client(store, client="tab 2").send(2, "label", label="ad")
    monkeypatch.undo()
    with open_store(tmp_path) as store:
        assert not store.read_only
        Client(store, client="tab 2").send(2, "label", label="ad")


def test_a_half_written_log_gives_the_state_before_it(tmp_path):
    with open_store(tmp_path / "studio", ["ad"]) as store:
        add_items(store, 5)
        client = Client(store)
        for item in range(1, 6):
            client.send(item, "label", label="ad")
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "studio", copy)  # as a power cut leaves it: the log is not yet in the file
    log = copy / "labels.db-wal"
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) - 5000])
    with open_store(copy) as store:
        labelled = [item.id for item in store.items() if item.labels]
        assert labelled == list(range(1, len(labelled) + 1))
        assert len(labelled) < 5
        # The browser still holds what was not durable, and sends it again.
        for number in range(1, 6):
            store.append([LabelEvent("tab 1", number, "ann", number, "label", {"label": "ad"}, 1000.0)])
        assert store.progress()["labelled"] == 5


@pytest.mark.parametrize("seed", range(3))
def test_of_a_damaged_file_what_can_be_read_is_recovered(tmp_path, seed):
    with open_store(tmp_path, ["ad", "content"]) as store:
        add_items(store, 300)
        store.append([LabelEvent("tab", n, "ann", n, "label", {"label": "ad"}, 1.0) for n in range(1, 201)])
    data = bytearray(store.path.read_bytes())
    pages = len(data) // 4096
    chosen = random.Random(seed)
    for page in chosen.sample(range(pages // 2, pages), 3):
        data[page * 4096 : (page + 1) * 4096] = chosen.randbytes(4096)
    store.path.write_bytes(data)
    with contextlib.suppress(StorageError):  # where the damage is of rows only, it opens
        open_store(tmp_path).close()
    report = recover_store(tmp_path)
    assert os.path.exists(report.aside)
    with open_store(tmp_path) as store:
        # What was restored is what was stored: no label that nobody gave.
        assert all(item.labels in ({}, {"ann": "ad"}) for item in store.items(limit=1000))
        assert 20 < report.events <= store.version() <= 200
        before = state(store)
        store.rebuild()
        assert state(store) == before


def test_a_store_that_another_program_holds_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("cliplab.studio.database.BUSY_SECONDS", 0.1)
    with open_store(tmp_path, ["ad"]) as store:
        add_items(store, 1)
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            Client(store).send(1, "label", label="ad")
        other.execute("ROLLBACK")
        other.close()
        Client(store).send(1, "label", label="ad")


def test_reading_goes_on_while_somebody_writes(tmp_path):
    with open_store(tmp_path, ["ad"]) as store:
        add_items(store, 1)
        done = threading.Event()

        def read():
            assert store.count() == 1
            done.set()

        with store.writing():
            threading.Thread(target=read).start()
            until(done.is_set)


def test_a_folder_on_a_disk_that_is_mounted_read_only_is_shown(tmp_path, monkeypatch):
    with open_store(tmp_path, ["ad"]) as store:
        add_items(store, 2)
        Client(store).send(1, "label", label="ad")
    real, opened = sqlite3.connect, []

    def connect(name, **options):
        opened.append(name)
        if "mode=ro" not in str(name):  # SQLite cannot make the files beside it
            raise sqlite3.OperationalError("unable to open database file")
        return real(name, **options)

    monkeypatch.setattr("cliplab.studio.database.sqlite3.connect", connect)
    with open_store(tmp_path) as store:
        assert "its folder cannot be written" in store.read_only
        assert store.item(1).labels == {"ann": "ad"}
        with pytest.raises(StorageError, match="start the studio again"):
            store.append([LabelEvent("tab", 1, "ann", 2, "label", {"label": "ad"}, 1.0)])
    assert "immutable=1" in opened[-1]
    with pytest.raises(StorageError, match="unable to open"):
        open_store(tmp_path / "missing")
