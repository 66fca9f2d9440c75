"""The label store: events once, undo, classes, leases, overlap, adjudication, and what its file may look like."""

import re
import sqlite3

import numpy as np
import pytest

from adapters.errors import DatasetError, StorageError
from cliplab.studio import ItemFilter, LabelEvent, LabelStore, database, event_from_json, open_store
from cliplab.studio.item_index import read_index


def add_items(store: LabelStore, count: int, kind: str = "frame") -> list[int]:
    """Items without files; the even ones are labelled by one person up to an overlap of 50 percent."""
    with store.writing() as connection:
        [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM items")
        connection.executemany(
            "INSERT INTO items (id, kind, fingerprint, path, overlap) VALUES (?, ?, ?, ?, ?)",
            [(n, kind, f"{n:040x}", f"{n:06d}.jpg".encode(), (n % 2) * 0.5) for n in range(last + 1, last + count + 1)],
        )
    return list(range(last + 1, last + count + 1))


class Client:
    """Sends events of one annotator, numbered."""

    def __init__(self, store: LabelStore, annotator: str = "ann", client: str = "tab 1") -> None:
        self.store, self.annotator, self.client, self.sequence = store, annotator, client, 0

    def send(self, item: int | None, action: str, **value: object) -> int:
        """Store an event, which must be durable; its number."""
        self.sequence += 1
        event = LabelEvent(self.client, self.sequence, self.annotator, item, action, value, 1000.0)
        result = self.store.append([event])
        assert result.durable == {self.client: [self.sequence]}, result.refused
        return self.sequence

    def refused(self, item: int | None, action: str, **value: object) -> str:
        """Send an event, which must be refused; why."""
        event = LabelEvent(self.client, 10**6 + self.sequence, self.annotator, item, action, value, 1000.0)
        result = self.store.append([event])
        assert not result.durable
        return result.refused[0].error


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, ["ad", "content", "promo"]) as opened:
        add_items(opened, 6)
        yield opened


def label_of(store: LabelStore, item: int) -> dict[str, str]:
    return store.item(item).labels


def test_a_label_is_stored_once_however_often_it_is_sent(store):
    event = LabelEvent("tab 1", 1, "ann", 1, "label", {"label": "ad"}, 5.0)
    assert store.append([event, event]).durable == {"tab 1": [1, 1]}
    assert store.append([event]).applied == []
    assert store.version() == 1
    assert label_of(store, 1) == {"ann": "ad"}


def test_a_number_that_comes_again_with_other_content_is_refused_and_named(store):
    client = Client(store)
    client.send(1, "label", label="ad")
    other = LabelEvent("tab 1", 1, "ann", 1, "label", {"label": "content"}, 5.0)
    new = LabelEvent("tab 1", 2, "ann", 2, "label", {"label": "content"}, 5.0)
    result = store.append([other, new])
    assert result.durable == {"tab 1": [2]}
    assert "'tab 1'" in result.refused[0].error
    assert label_of(store, 1) == {"ann": "ad"}


def test_undo_brings_back_what_was_before_and_redo_repeats(store):
    client = Client(store)
    client.send(1, "label", label="ad")
    second = client.send(1, "label", label="content")
    client.send(1, "undo", client="tab 1", sequence=second)
    assert label_of(store, 1) == {"ann": "ad"}
    client.send(1, "undo", client="tab 1", sequence=1)
    assert label_of(store, 1) == {}
    client.send(1, "redo", client="tab 1", sequence=second)
    assert label_of(store, 1) == {"ann": "content"}
    assert "only that person" in Client(store, "bob", "tab 2").refused(1, "undo", client="tab 1", sequence=1)
    assert "not stored" in client.refused(1, "undo", client="tab 9", sequence=1)


def test_intervals_are_added_moved_deleted_and_brought_back(store):
    client = Client(store)
    client.send(1, "interval", interval="a", label="ad", start=1.0, end=2.5)
    client.send(1, "interval", interval="b", label="content", start=2.5, end=4)
    moved = client.send(1, "move", interval="a", start=0.5, end=2.5)
    deleted = client.send(1, "delete", interval="b")
    assert [(one.id, one.start, one.end) for one in store.intervals(1)] == [("a", 0.5, 2.5)]
    client.send(1, "undo", client="tab 1", sequence=deleted)
    client.send(1, "undo", client="tab 1", sequence=moved)
    assert [(one.id, one.start, one.end) for one in store.intervals(1)] == [("a", 1.0, 2.5), ("b", 2.5, 4.0)]
    assert "after start" in client.refused(1, "interval", interval="c", label="ad", start=2, end=2)
    assert "no interval" in client.refused(1, "move", interval="z", start=1, end=2)
    assert "by 'ann'" in Client(store, "bob", "tab 2").refused(1, "delete", interval="a")
    assert "of item 1" in client.refused(2, "interval", interval="a", label="ad", start=1, end=2)


def test_a_move_of_an_interval_that_another_tab_deleted_does_no_harm(store):
    client, other = Client(store), Client(store, client="tab 2")
    client.send(1, "interval", interval="a", label="ad", start=1, end=2)
    client.send(1, "delete", interval="a")
    other.send(1, "move", interval="a", start=1, end=3)
    assert store.intervals(1) == []


def test_flags_notes_and_reviews(store):
    client, other = Client(store), Client(store, "bob", "tab 2")
    client.send(1, "flag", on=True)
    client.send(1, "note", text="first line\nsecond")
    assert store.count(ItemFilter(state="flagged")) == 1
    assert store.notes_of(1) == {"ann": "first line\nsecond"}
    client.send(2, "label", label="ad")
    other.send(2, "label", label="content")
    assert store.item(2).disagree
    assert store.labels() == []
    assert store.labels(resolved=False)[0].by == "tie"
    review = client.send(2, "review", label="promo")
    assert not store.item(2).disagree
    assert (store.labels()[0].label, store.labels()[0].by) == ("promo", "review")
    client.send(2, "undo", client="tab 1", sequence=review)
    assert store.item(2).disagree


def test_each_class_has_a_key_of_its_name(store):
    assert {one.name: one.key for one in store.classes()} == {"ad": "a", "content": "c", "promo": "p"}
    store.set_classes(["ad", "advert", "adv", "123", "цветок", "fox"])
    assert [one.key for one in store.classes()] == ["a", "d", "v", "1", "2", "3"]


def test_labels_follow_a_renamed_class_also_those_typed_by_its_old_name(store):
    client = Client(store)
    client.send(1, "label", label="ad")
    store.rename_class("ad", "advert")
    client.send(2, "label", label="ad")
    assert label_of(store, 1) == label_of(store, 2) == {"ann": "advert"}
    with pytest.raises(DatasetError, match="renamed"):
        store.set_classes(["ad", "content"])
    store.rebuild()
    assert label_of(store, 2) == {"ann": "advert"}
    store.rename_class("advert", "ad")
    assert label_of(store, 1) == {"ann": "ad"}


def test_labels_of_a_removed_class_stay_and_are_named(store):
    client = Client(store)
    client.send(1, "label", label="promo")
    [note] = store.set_classes(["ad", "content"])
    assert "'promo'" in note
    assert "1 labels" in note
    assert label_of(store, 1) == {"ann": "promo"}
    client.send(2, "label", label="promo")  # was on its way
    assert "its classes" in client.refused(3, "label", label="promos")


def test_leases_give_two_people_different_items_and_end(store, monkeypatch):
    assert store.lease("ann", 3, 60) == [1, 2, 3]
    assert store.lease("bob", 9, 60) == [4, 5, 6]
    assert store.next_item("cid") is None
    assert store.next_item("ann").id == 1
    assert store.next_item("ann", after=2).id == 3
    monkeypatch.setattr("time.time", lambda: 9e9)
    assert store.next_item("cid").id == 1


def test_of_an_overlap_two_people_are_given_the_same_items_and_no_third(store):
    store.set_overlap(50)  # items 2, 4 and 6
    for person in ("ann", "bob"):
        client = Client(store, person, person)
        while (item := store.next_item(person)) is not None:
            client.send(item.id, "label", label="ad")
    assert [len(label_of(store, n)) for n in range(1, 7)] == [1, 2, 1, 2, 1, 2]
    assert store.next_item("cid") is None
    assert store.progress()["finished"] == 6


def test_a_video_with_intervals_of_a_person_is_offered_to_another_one_only(store):
    store.set_overlap(100)
    [video] = add_items(store, 1, "video")
    store.set_overlap(100)
    Client(store).send(video, "interval", interval="a", label="ad", start=1, end=2)
    assert store.next_item("ann", video - 1).id != video
    assert store.next_item("bob", video - 1).id == video


def test_uncertain_items_come_by_their_margin_or_by_the_queue(store):
    store.set_scores("m", [(n, "ad", 0.5 + n / 20) for n in range(1, 7)])
    assert store.next_item("ann", want="uncertain").id == 1
    assert store.item(6).predicted == ("ad", 0.8)
    assert store.count(ItemFilter(score_below=0.61)) == 2
    assert store.count(ItemFilter(predicted="ad", score_above=0.75)) == 2
    assert store.count(ItemFilter(model="other")) == 0
    store.set_queue("uncertain", [5, 3])
    assert store.next_item("ann", want="uncertain").id == 5
    assert store.next_item("ann", 5, want="uncertain").id == 3
    with pytest.raises(DatasetError, match="0 to 1"):
        store.set_scores("m", [(1, "ad", float("nan"))])
    assert store.item(6).predicted == ("ad", 0.8)


@pytest.mark.parametrize(
    "content, word",
    [
        ({"client": "c\n"}, "line"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"item": 10**30}, "item"),
        ({"at": float("nan")}, "at must"),
        ({"action": "lable"}, "label"),
        ({"value": {"label": ""}}, "label"),
        ({"value": {"label": "\ud800"}}, "UTF-8"),
        ({"value": {"label": "ad", "x": 1}}, "'x'"),
        ({"action": "interval", "value": {"interval": "i", "label": "ad", "start": 1, "end": float("inf")}}, "seconds"),
        ({"annotator": "a" * 300}, "annotator"),
    ],
)
def test_an_event_that_is_not_allowed_says_why(store, content, word):
    base = {"client": "c", "sequence": 1, "annotator": "a", "item": 1, "action": "label", "at": 1.0}
    base["value"] = {"label": "ad"}
    with pytest.raises(DatasetError, match=word):
        event_from_json({**base, **content})
    good = event_from_json({**base, "sequence": 2})
    # Events that are made in Python are checked too, and those beside them are stored.
    found = store.append([LabelEvent(**{**base, **content}), good])
    assert re.search(word, found.refused[0].error)
    assert found.durable == {"c": [2]}


@pytest.mark.parametrize("content, word", [([], "JSON object"), ({"client": "c"}, "needs"), ({"who": 1}, "'who'")])
def test_what_is_no_event_says_so(content, word):
    with pytest.raises(DatasetError, match=word):
        event_from_json(content)


def test_hostile_names_come_back_as_they_were(tmp_path):
    names = ["<script>alert(1)</script>", "d\u202ea", "'; DROP TABLE events; --", "a" * 200]
    with open_store(tmp_path, names) as store:
        add_items(store, 4)
        client = Client(store, "Ann <b>", 'tab "1"')
        for number, name in enumerate(names, 1):
            client.send(number, "label", label=name)
        assert [one.label for one in store.labels()] == names
    for name in ("a\nb", "a\0", "", "\ud800"):
        with pytest.raises(DatasetError), open_store(tmp_path, [name]):
            pass


def test_events_cannot_be_changed(store):
    Client(store).send(1, "label", label="ad")
    for statement in ("DELETE FROM events", "UPDATE events SET value = '{}'"):
        with pytest.raises(StorageError, match="only ever added"), store.writing() as connection:
            connection.execute(statement)


def test_files_that_are_no_store_of_this_version_are_refused(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text/labels.db").write_text("no database at all, " * 100)
    with pytest.raises(StorageError, match="damaged"):
        open_store(tmp_path / "text")
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other/labels.db") as other:
        other.execute("CREATE TABLE items (id)")
    other.close()
    with pytest.raises(StorageError, match="another program"):
        open_store(tmp_path / "other")
    open_store(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer/labels.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageError, match="newer cliplab"):
        open_store(tmp_path / "newer")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        open_store(tmp_path / "file")


def test_tables_that_cannot_be_made_are_an_error_and_no_empty_store(tmp_path, monkeypatch):
    (tmp_path / "later.sql").write_text("CREATE TABLE later (")
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, tmp_path / "later.sql"))
    with pytest.raises(StorageError):
        open_store(tmp_path)
    monkeypatch.undo()
    with open_store(tmp_path, ["ad"]) as store:
        assert [one.name for one in store.classes()] == ["ad"]


def test_what_is_read_again_is_as_new_as_the_store_whoever_stored(tmp_path):
    def labels(annotator: str, of: LabelStore) -> list[int]:
        return list(np.frombuffer(read_index(of, ItemFilter(), annotator)[12:18], "<u2"))

    with open_store(tmp_path, ["ad", "content"]) as store, open_store(tmp_path) as other:
        add_items(store, 3)
        assert (store.progress()["labelled"], store.progress()["items"]) == (0, 3)
        assert labels("ann", store) == labels("ann", store) == [0, 0, 0]
        Client(store, "ann").send(1, "label", label="ad")
        Client(other, "bob", "tab 2").send(2, "label", label="content")
        assert store.progress() == other.progress()
        assert store.progress()["labelled"] == 2
        assert (labels("ann", store), labels("bob", store)) == ([1, 0, 0], [0, 2, 0])
        store.set_classes(["content", "ad"])
        assert (labels("ann", other), labels("bob", other)) == ([2, 0, 0], [0, 1, 0])
        store.progress()["labelled"] = 99
        assert store.progress()["labelled"] == 2
    with pytest.raises(StorageError, match="closed"):
        store.progress()
