"""Rollouts from start to end: what widens them, what halts them, and what people may do."""

import threading

import pytest
from fleets import MODEL, NEW, OLD, Fleet

from adapters.errors import ConfigError, StorageError
from cliplab.rollout import (
    RolloutError,
    RolloutSettings,
    assigned,
    change,
    decide,
    for_devices,
    load_history,
    look,
    parse_stages,
    read_report,
    start_rollout,
    store_report,
)

QUICK = RolloutSettings(stages=(5, 25, 100), stage_minutes=15, silent_minutes=30)


@pytest.fixture
def fleet(engine):
    fleet = Fleet(engine)
    fleet.report()
    return fleet


def start(fleet, **given):
    rules = given.pop("settings", QUICK)
    return start_rollout(fleet.engine, MODEL, OLD, NEW, settings=rules, now=fleet.now, **given)


def history(engine, rollout):
    with engine.connect() as connection:
        return load_history(connection, rollout.id)


def test_a_healthy_candidate_reaches_the_whole_fleet(fleet):
    promoted = []
    rollout = start(fleet)
    fleet.rollout = rollout
    for _ in range(20):
        fleet.report()
        watched = decide(fleet.engine, now=fleet.now, on_promote=promoted.append)
        if not watched:
            break
        fleet.rollout = watched[0].rollout
    assert [item.candidate for item in promoted] == [NEW]
    decisions = history(fleet.engine, rollout)
    assert [item.action for item in decisions] == ["start", "widen", "widen", "promote"]
    percents = [item.percent for item in decisions]
    assert percents == sorted(percents)
    assert all(item.numbers["tests"] for item in decisions[1:])
    assert for_devices(fleet.engine) == []


@pytest.mark.parametrize(
    "what, word",
    [
        ({"errors": 0.06}, "failed predictions"),
        ({"slower": 1.5}, "slow predictions"),
        ({"drift": 0.3}, "scores"),
        ({"own": lambda name, has: {"golden_failures": int(has)}}, "golden clip"),
        ({"own": lambda name, has: {"restarts": 3 * has}}, "crashes"),
        ({"own": lambda name, has: {"labelled": 20, "correct": 8 if has else 18}}, "labels"),
        ({"silent": lambda name, has: has}, "silent"),
        # A device whose candidate failed goes back by itself; it still is the candidate's failure.
        ({"own": lambda name, has: {"versions": {MODEL: OLD}, "golden_failures": int(has)}}, "golden clip"),
    ],
)
def test_a_worse_candidate_is_halted(fleet, what, word):
    rollout = fleet.run(start(fleet), 14, **what)
    last = history(fleet.engine, rollout)[-1]
    assert (rollout.state, last.action) == ("halted", "halt")
    assert word in last.reason
    assert last.percent == 0.0
    assert for_devices(fleet.engine)[0]["percent"] == 0.0


def test_one_broken_device_halts_nothing(fleet):
    rollout = start(fleet)
    broken = next(name for name in fleet.names if assigned(name, rollout.id, rollout.percent))

    def own(name, has):
        return {"errors": 100, "restarts": 50, "golden_failures": 9} if name == broken else {}

    assert fleet.run(rollout, 4, own=own).state == "running"


def test_a_slow_device_is_compared_with_itself(engine):
    fleet = Fleet(engine, 60)
    slow = set(fleet.names[::3])
    silent_slow = {"latency_ms": {"edges": [10, 1000], "counts": [0, 0, 100]}}
    own = {"own": lambda name, has: silent_slow if name in slow else {}}
    for _ in range(2):
        fleet.report(**own)
    assert fleet.run(start(fleet), 5, **own).state in ("running", "done")


def test_a_halted_version_does_not_come_back_by_itself(fleet):
    rollout = fleet.run(start(fleet), 14, errors=0.1)
    assert rollout.state == "halted"
    assert decide(fleet.engine, now=fleet.now + 1e6) == []
    for action in ("resume", "widen", "promote", "pause"):
        with pytest.raises(RolloutError, match="halted"):
            change(fleet.engine, rollout.id, action, reason="because")
    with pytest.raises(RolloutError, match="halted before"):
        start(fleet)
    with pytest.raises(ConfigError, match="reason"):
        start(fleet, force=True)
    # What it did before is not held against it: the same hour's counts are history.
    again = fleet.run(start(fleet, force=True, reason="the cable was loose"), 2)
    assert again.state == "running"
    with pytest.raises(RolloutError, match="End it first"):
        start(fleet, force=True, reason="twice")


def test_people_decide_too(fleet):
    rollout = start(fleet)
    with pytest.raises(RolloutError, match="running"):
        change(fleet.engine, MODEL, "resume")
    with pytest.raises(ConfigError, match="reason"):
        change(fleet.engine, MODEL, "halt")
    assert change(fleet.engine, MODEL, "widen", who="anna", now=fleet.now).stage == 1
    assert change(fleet.engine, MODEL, "pause", who="anna").state == "paused"
    assert decide(fleet.engine, now=fleet.now + 1e6) == []
    assert change(fleet.engine, MODEL, "resume", reason="looked at it", now=fleet.now).state == "running"
    assert change(fleet.engine, MODEL, "promote", reason="urgent", who="anna").state == "done"
    assert [item.action for item in history(fleet.engine, rollout)] == ["start", "widen", "pause", "resume", "promote"]
    with pytest.raises(RolloutError, match="no rollout"):
        look(fleet.engine, "base-adz")


def test_different_scores_may_pause_for_a_person(fleet):
    rules = RolloutSettings(stages=(5, 25, 100), stage_minutes=15, on_drift="pause")
    rollout = fleet.run(start(fleet, settings=rules), 8, drift=0.3)
    assert rollout.state == "paused"
    resumed = change(fleet.engine, rollout.id, "resume", reason="the new model is surer", now=fleet.now)
    assert fleet.run(resumed, 3, drift=0.3).state == "running"


def test_two_at_once_one_wins_and_is_named(fleet):
    rollout = start(fleet)
    outcomes = []

    def act(who):
        try:
            outcomes.append(change(fleet.engine, rollout.id, "halt", reason="stop", who=who, now=fleet.now).state)
        except (RolloutError, StorageError) as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=act, args=(who,)) for who in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("halted") == 1
    refused = next(item for item in outcomes if item != "halted")
    assert "anna" in refused or "ben" in refused or "halted" in refused
    assert len(history(fleet.engine, rollout)) == 2


def test_small_fleets_late_devices_and_liars(engine):
    fleet = Fleet(engine, 6)
    fleet.report()
    rollout = start(fleet)
    has = [name for name in fleet.names if assigned(name, rollout.id, rollout.percent)]
    assert 1 <= len(has) <= 3  # at least one, and a control group is left
    fleet.names += [f"late-{number}" for number in range(40)]
    rollout = fleet.run(rollout, 1)
    assert fleet.last.verdict.groups["assigned"] >= 3
    # A device that claims the candidate without being assigned belongs to neither group.
    liar = next(name for name in fleet.names if not assigned(name, rollout.id, rollout.percent))
    lie = {"sequence": 999, "versions": {MODEL: NEW}, "predictions": 10_000_000, "errors": 10_000_000}
    before = look(engine, rollout.id, fleet.now).verdict.groups["predictions"]
    store_report(engine, read_report(liar, lie), fleet.now)
    assert look(engine, rollout.id, fleet.now).verdict.groups["predictions"] == before


def test_an_empty_fleet_waits(engine):
    rollout = start_rollout(engine, MODEL, OLD, NEW, now=1e9)
    (watched,) = decide(engine, now=1e9 + 1e6)
    assert (watched.verdict.action, watched.rollout.percent) == ("wait", 1.0)
    assert look(engine, rollout.id).to_json()["tests"] == []


@pytest.mark.parametrize("given", [{"stages": (1, 5)}, {"stages": (5, 1, 100)}, {"false_halts": 0}, {"on_drift": "x"}])
def test_rules_are_checked(given):
    with pytest.raises(ConfigError, match=next(iter(given))):
        RolloutSettings(**given)


def test_stages_as_text():
    assert parse_stages("1, 5%,100") == (1.0, 5.0, 100.0)
    with pytest.raises(ConfigError, match="stages"):
        parse_stages("1;5")
