"""Any interleaving of events, repeats, undo, redo, renames and crashes against a simple model of the store."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from test_studio_store import add_items

from cliplab.studio import LabelEvent, open_store

# In memory where there is such a place: each event waits for its disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PEOPLE = ("ann", "bob")
ITEMS = st.integers(1, 3)
LABELS = st.sampled_from(("ad", "content"))
PERSON = st.sampled_from(PEOPLE)


class StoreMachine(RuleBasedStateMachine):
    """The model: all events in a list, and which of them are undone. The present state is computed from its start."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.store = open_store(self.folder, ["ad", "content"])
        add_items(self.store, 3)
        self.events, self.undone, self.next = [], set(), 0

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    def send(self, who, item, action, **value):
        event = LabelEvent(f"tab of {who}", self.next, who, item, action, value, float(self.next))
        self.next += 1
        result = self.store.append([event])
        assert result.durable == {event.client: [event.sequence]}, result.refused
        self.events.append(event)

    @rule(who=PERSON, item=ITEMS, label=LABELS)
    def label(self, who, item, label):
        self.send(who, item, "label", label=label)

    @rule(who=PERSON, item=ITEMS)
    def clear(self, who, item):
        self.send(who, item, "clear")

    @rule(who=PERSON, item=ITEMS, label=LABELS)
    def review(self, who, item, label):
        self.send(who, item, "review", label=label)

    @rule(who=PERSON, item=ITEMS, on=st.booleans())
    def flag(self, who, item, on):
        self.send(who, item, "flag", on=on)

    @rule(who=PERSON, item=ITEMS, label=LABELS, name=st.integers(0, 1), start=st.integers(0, 5))
    def interval(self, who, item, label, name, start):
        name = f"{who} {item} {name}"
        self.send(who, item, "interval", interval=name, label=label, start=start, end=start + 2)

    @precondition(lambda self: any(event.action == "interval" for event in self.events))
    @rule(data=st.data(), action=st.sampled_from(("move", "delete")))
    def change_interval(self, data, action):
        made = data.draw(st.sampled_from([event for event in self.events if event.action == "interval"]))
        value = {"interval": made.value["interval"]}
        if action == "move":
            value |= {"start": 7, "end": 8.5}
        self.send(made.annotator, made.item, action, **value)

    @precondition(lambda self: any(event.action not in ("undo", "redo") for event in self.events))
    @rule(data=st.data(), action=st.sampled_from(("undo", "redo")))
    def undo_or_redo(self, data, action):
        target = data.draw(st.sampled_from([e for e in self.events if e.action not in ("undo", "redo")]))
        self.send(target.annotator, target.item, action, client=target.client, sequence=target.sequence)
        key = (target.client, target.sequence)
        self.undone.add(key) if action == "undo" else self.undone.discard(key)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def send_again(self, data):
        event = data.draw(st.sampled_from(self.events))
        result = self.store.append([event])
        assert result.durable == {event.client: [event.sequence]}
        assert result.applied == []

    @rule()
    def crash_and_open_again(self):
        copy = Path(tempfile.mkdtemp(dir=MEMORY))
        for file in self.folder.iterdir():
            shutil.copy(file, copy / file.name)  # the log and the file as a kill leaves them
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder, self.store = copy, open_store(copy)

    @rule()
    def rebuild(self):
        assert self.store.rebuild() == len(self.events)

    def expected(self):
        labels, flags, reviews, intervals = {}, set(), {}, {}
        for event in self.events:
            if (event.client, event.sequence) in self.undone:
                continue
            who, item, value = event.annotator, event.item, event.value
            if event.action == "label":
                labels[item, who] = value["label"]
            elif event.action == "clear":
                labels.pop((item, who), None)
            elif event.action == "review":
                reviews[item] = value["label"]
            elif event.action == "flag":
                flags.add((item, who)) if value["on"] else flags.discard((item, who))
            elif event.action == "interval":
                intervals[value["interval"]] = (item, value["label"], value["start"], value["end"])
            elif event.action == "delete":
                intervals.pop(value["interval"], None)
            elif event.action == "move" and value["interval"] in intervals:
                label = intervals[value["interval"]][1]
                intervals[value["interval"]] = (item, label, value["start"], value["end"])
        return labels, flags, reviews, intervals

    @invariant()
    def is_as_the_model_says(self):
        labels, flags, reviews, intervals = self.expected()
        items = self.store.items()
        assert {(item.id, who): label for item in items for who, label in item.labels.items()} == labels
        assert {item.id: item.review for item in items if item.review} == reviews
        assert {item.id for item in items if item.flagged} == {item for item, _ in flags}
        found = [one for item in items for one in self.store.intervals(item.id)]
        assert {one.id: (one.item, one.label, one.start, one.end) for one in found} == intervals
        for item in items:
            people = {who for number, who in labels if number == item.id}
            people |= {one.annotator for one in found if one.item == item.id}
            assert item.done == (1 if item.id in reviews else len(people))
            given = {label for (number, _), label in labels.items() if number == item.id}
            assert item.disagree == (len(given) > 1 and item.id not in reviews)


StoreMachine.TestCase.settings = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreIsAsASimpleModel = StoreMachine.TestCase
