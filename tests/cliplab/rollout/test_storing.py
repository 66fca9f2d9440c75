"""Reports of devices: who has the candidate, what is refused, and that each report counts once."""

import json

import pytest
import sqlalchemy as sa

from cliplab.rollout import (
    LATENCY_EDGES_MS,
    ReportError,
    assigned,
    read_report,
    store_report,
    store_reports,
)
from cliplab.rollout.schema import DEVICES, REPORTS, SUMS

REPORT = {"sequence": 1, "versions": {"base-ads": "1.0.0"}, "predictions": 100, "errors": 2, "client": "a"}


def test_wider_keeps_those_already_in():
    names = [f"device-{number}" for number in range(4000)]
    before: set[str] = set()
    for percent in (0, 1, 5, 25, 100):
        now = {name for name in names if assigned(name, "salt", percent)}
        assert before <= now
        assert abs(len(now) - 40 * percent) <= 4 * (40 * percent * (1 - percent / 100)) ** 0.5
        before = now
    one, other = ({name for name in names if assigned(name, salt, 25)} for salt in ("a", "b"))
    assert abs(len(one & other) - 250) < 60  # another salt draws anew
    assert assigned("ab", "c", 50) in (True, False)
    assert {assigned(chr(0xD800), "s", 100), assigned("", "", 100)} == {True}


@pytest.mark.parametrize(
    "change, word",
    [
        ({"errors": 101}, "errors"),
        ({"predictions": -1}, "predictions"),
        ({"predictions": True}, "predictions"),
        ({"predictions": 1e3}, "predictions"),
        ({"predictions": 10**12}, "predictions"),
        ({"sequence": 0}, "sequence"),
        ({"sequence": None}, "sequence"),
        ({"versions": []}, "versions"),
        ({"versions": {"a": 1}}, "version"),
        ({"versions": {"\x1b[2J": "1"}}, "model"),
        ({"extra": 1}, "extra"),
        ({"correct": 1}, "correct"),
        ({"correct": 2, "labelled": 1}, "correct"),
        ({"temperature_celsius": float("nan")}, "temperature"),
        ({"latency_ms": {"edges": [2, 1], "counts": [0, 0, 0]}}, "must increase"),
        ({"latency_ms": {"edges": [1, 2], "counts": [100, 1, 0]}}, "add up"),
        ({"latency_ms": {"edges": [float("nan")], "counts": [0, 0]}}, "edges"),
        ({"latency_ms": {"edges": [1, 2], "counts": [0, 0]}}, "one more"),
        ({"scores": {"ad": [101] + [0] * 19}}, "add up"),
        ({"scores": {"ad": [1]}}, "20"),
        ({"scores": {str(n): [0] * 20 for n in range(65)}}, "labels"),
    ],
)
def test_lies_are_refused_by_name(change, word):
    with pytest.raises(ReportError, match=word):
        read_report("d", REPORT | change)


def test_other_edges_are_divided():
    report = read_report("d", REPORT | {"latency_ms": {"edges": [1, 10, 100], "counts": [0, 60, 40, 0]}})
    assert sum(report.latency_ms) == pytest.approx(100)
    below = sum(count for count, edge in zip(report.latency_ms, LATENCY_EDGES_MS, strict=False) if edge <= 9.4)
    assert 50 < below <= 60
    zero = read_report("d", REPORT | {"latency_ms": {"edges": [0, 1e-9, 1e9], "counts": [1, 1, 1, 1]}})
    assert sum(zero.latency_ms) == pytest.approx(4)


def test_a_report_counts_once(engine):
    report = read_report("d", REPORT)
    assert store_report(engine, report, now=10.0).new
    assert not store_report(engine, report, now=20.0).new
    with pytest.raises(ReportError, match="other values"):
        store_report(engine, read_report("d", REPORT | {"errors": 3}), now=30.0)
    stored, refused = store_reports(
        engine, [read_report("d", REPORT | {"sequence": 2}), read_report("d", REPORT | {"errors": 9})]
    )
    assert [item.new for item in stored] == [True]
    assert len(refused) == 1
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.sum(SUMS.c.errors))).scalar() == 4
        assert connection.execute(sa.select(sa.func.count()).select_from(REPORTS)).scalar() == 2


def test_a_report_that_an_earlier_version_stored_is_known(engine):
    """It kept the whole report, where now its digest is."""
    report = read_report("d", REPORT)
    store_report(engine, report)
    with engine.begin() as connection:
        [kept] = connection.execute(sa.select(REPORTS.c.content)).scalars()
        assert len(kept) == 32
        connection.execute(sa.update(REPORTS).values(content=json.dumps(vars(report), sort_keys=True)))
    assert not store_report(engine, report).new
    with pytest.raises(ReportError, match="other values"):
        store_report(engine, read_report("d", REPORT | {"errors": 3}))


def test_two_devices_of_one_copied_identity_are_both_warned(engine):
    """Boards without a serial number that share one card image number their reports alike."""

    def send(sequence, predictions, hours=0.0):
        report = read_report("d", REPORT | {"client": "a", "sequence": sequence, "predictions": predictions})
        return store_report(engine, report, now=100.0 + 3600 * hours)

    def cloned_at():
        with engine.connect() as connection:
            return connection.execute(sa.select(DEVICES.c.cloned_at)).scalar()

    assert send(1, 100).warning is None
    assert send(1, 100).warning is None, "the same report again is no other device"
    assert cloned_at() is None
    with pytest.raises(ReportError, match="a second device has this name"):
        send(1, 101)
    assert cloned_at() == 100.0
    assert "two devices are named 'd'" in send(2, 100).warning
    assert "two devices are named 'd'" in send(3, 100).warning
    assert send(4, 100, 24.1).warning is None


def test_two_devices_of_one_name_are_both_warned(engine):
    def send(client, sequence, hours=0.0):
        report = read_report("d", REPORT | {"client": client, "sequence": sequence})
        return store_report(engine, report, now=100.0 + 3600 * hours)

    assert send("a", 1).warning is None
    assert send("b", 1).warning is None  # a new installation of the same device
    assert "a" in send("a", 2).warning
    assert "named" in send("b", 2).warning
    assert "named" in send("b", 3, 23.9).warning, "for a day"
    assert send("b", 4, 24.1).warning is None
    with engine.connect() as connection:
        assert json.loads(connection.execute(sa.select(DEVICES.c.versions)).scalar()) == {"base-ads": "1.0.0"}
