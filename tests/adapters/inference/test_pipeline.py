"""The decode-ahead pipeline by fault injection: readers and sources that raise or block, callers that leave early."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.inference import map_ahead, read_ahead, read_as_ready

NAME = "pipeline-test"


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert not running()
    yield
    until(lambda: not running(), f"threads go on: {running()}")


def items_of(source: int) -> Iterator[tuple[int, int]]:
    """As many items as the source's number says."""
    for number in range(source):
        yield source, number


def in_order(read: Callable[[Any], Any], sources: Any, **options: Any) -> Generator[Any, None, None]:
    return read_ahead(sources, read, **{"threads": 2, "limit": 2, "name": NAME} | options)


def as_ready(read: Callable[[Any], Any], sources: Any, **options: Any) -> Generator[Any, None, None]:
    return read_as_ready(sources, read, **{"threads": 2, "limit": 2, "name": NAME} | options)


both = pytest.mark.parametrize("pipeline", [in_order, as_ready])


# What comes out -------------------------------------------------------------------------------------------------------


def plain(sources: list[int]) -> list[tuple[int, tuple[int, int] | None]]:
    return [pair for source in sources for pair in [*((source, item) for item in items_of(source)), (source, None)]]


counts = st.integers(1, 5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), max_size=12), counts, counts, counts)
def test_in_order_equals_a_plain_loop(sources: list[int], threads: int, limit: int, ahead: int) -> None:
    pairs = read_ahead(sources, items_of, threads=threads, limit=limit, ahead=ahead, name=NAME)
    assert list(pairs) == plain(sources)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), max_size=12, unique=True), counts, counts)
def test_as_ready_equals_a_plain_loop_for_each_source(sources: list[int], threads: int, limit: int) -> None:
    pairs = list(read_as_ready(sources, items_of, threads=threads, limit=limit, name=NAME))
    for source in sources:
        assert [pair for pair in pairs if pair and pair[0] == source] == plain([source])
    assert len(pairs) == len(plain(sources))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.none(), st.integers()), max_size=20), counts, st.integers(1, 30))
def test_map_ahead_equals_map(sources: list[int | None], threads: int, ahead: int) -> None:
    results = map_ahead(sources, lambda source: source and -source, threads=threads, ahead=ahead, name=NAME)
    assert list(results) == [(source, source and -source) for source in sources]


def test_many_sources_with_one_thread() -> None:
    assert list(in_order(items_of, [2] * 500, threads=1)) == plain([2] * 500)


def test_many_sources_with_many_threads() -> None:
    assert list(in_order(items_of, [3] * 500, threads=16, ahead=32, limit=1)) == plain([3] * 500)


@both
def test_no_source(pipeline: Any) -> None:
    assert list(pipeline(items_of, [])) == []


@pytest.mark.parametrize("options", [{"threads": 0}, {"limit": 0}, {"ahead": 0}])
def test_counts_below_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        in_order(items_of, [1], **options)


def test_as_ready_gives_a_later_source_while_an_earlier_one_is_slow() -> None:
    go_on = threading.Event()

    def read(source: str) -> Iterator[str]:
        if source == "slow":
            assert go_on.wait(60)
        yield source

    pairs = as_ready(read, ["slow", "fast"])
    assert [next(pairs), next(pairs)] == [("fast", "fast"), ("fast", None)]
    go_on.set()
    assert list(pairs) == [("slow", "slow"), ("slow", None)]


def test_none_comes_where_nothing_else_does() -> None:
    go_on = threading.Event()

    def read(source: int) -> Iterator[int]:
        assert go_on.wait(60)
        yield source

    messages = as_ready(read, [1], patience_seconds=0.01)
    assert [next(messages), next(messages)] == [None, None]
    go_on.set()
    assert [message for message in messages if message is not None] == [(1, 1), (1, None)]


# Bounds ---------------------------------------------------------------------------------------------------------------


class Counted:
    """Endless sources of endless items, counting what was pulled and read."""

    def __init__(self) -> None:
        self.pulled, self.read, self.closed = 0, 0, 0

    def sources(self) -> Iterator[int]:
        for number in count():
            self.pulled += 1
            yield number

    def items(self, source: int) -> Iterator[int]:
        try:
            for number in count():
                self.read += 1
                yield number
        finally:
            self.closed += 1


def settled(number: Callable[[], int], at: int) -> None:
    """Wait until a number that grows is at its bound; that it stays there is checked by others who go on."""
    until(lambda: number() >= at, f"{number()} of {at}")
    assert number() == at


def test_a_slow_caller_bounds_what_is_read_of_each_source() -> None:
    counted = Counted()
    pairs = in_order(counted.items, counted.sources(), threads=3, limit=4)
    for taken in range(1, 20):
        next(pairs)
        # In each of three sources four items wait and one is in the thread's hands.
        settled(lambda: counted.read, taken + 3 * 5)
    assert counted.pulled == 3
    pairs.close()
    assert counted.closed == 3


def test_a_slow_caller_bounds_what_is_read_of_all_sources() -> None:
    counted = Counted()
    messages = as_ready(counted.items, counted.sources(), threads=3, limit=4)
    for taken in range(1, 20):
        next(messages)
        settled(lambda: counted.read, taken + 4 + 3)
    assert counted.pulled == 3
    messages.close()
    assert counted.closed == 3


def test_a_slow_caller_bounds_how_many_sources_are_pulled() -> None:
    counted = Counted()
    results = map_ahead(counted.sources(), lambda source: source, threads=2, ahead=5, name=NAME)
    for taken in range(20):
        assert next(results) == (taken, taken)
        settled(lambda: counted.pulled, taken + 5)
    results.close()


def test_sources_without_items_are_bounded_too() -> None:
    counted = Counted()
    messages = as_ready(lambda source: (), counted.sources(), threads=2, limit=3)
    next(messages)
    settled(lambda: counted.pulled, 5)
    messages.close()


# What readers and sources raise ---------------------------------------------------------------------------------------


class Fault(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


@pytest.mark.parametrize("kind", [ValueError, Fault, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_what_a_reader_raises_comes_in_its_place(kind: type[BaseException], at: int) -> None:
    def read(source: int) -> Iterator[tuple[int, int]]:
        for item in items_of(5):
            if source == 1 and item[1] == at:
                raise kind("injected")
            yield item

    got: list[Any] = []
    pairs = in_order(read, range(4))
    with pytest.raises(kind, match="injected"):
        got.extend(pairs)
    whole = list(items_of(5))
    assert got == [*((0, item) for item in whole), (0, None), *((1, item) for item in whole[:at])]
    assert next(pairs, "ended") == "ended"


@pytest.mark.parametrize("kind", [ValueError, Fault])
def test_as_ready_raises_what_a_reader_raises(kind: type[BaseException]) -> None:
    def read(source: int) -> Iterator[tuple[int, int]]:
        yield from items_of(source)
        if source == 7:
            raise kind("injected")

    with pytest.raises(kind, match="injected"):
        list(as_ready(read, count()))


def test_a_reader_that_is_no_generator_may_raise_at_once() -> None:
    def read(source: int) -> Iterator[int]:
        raise ValueError("injected")

    with pytest.raises(ValueError, match="injected"):
        list(in_order(read, [1]))


@both
def test_what_closing_a_reader_raises_is_not_lost(pipeline: Any) -> None:
    class Items:
        def __iter__(self) -> Items:
            return self

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            raise ValueError("on close")

    with pytest.raises(ValueError, match="on close"):
        list(pipeline(lambda source: Items(), [1]))


@both
@pytest.mark.parametrize("kind", [ValueError, Fault])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_what_the_sources_raise_comes_after_the_sources_before(
    pipeline: Any, kind: type[BaseException], at: int
) -> None:
    def sources() -> Iterator[int]:
        yield from range(at)
        raise kind("injected")

    got: list[Any] = []
    with pytest.raises(kind, match="injected"):
        got.extend(pipeline(items_of, sources(), threads=1))
    assert got == plain(list(range(at)))


@both
def test_sources_that_cannot_be_iterated(pipeline: Any) -> None:
    with pytest.raises(TypeError, match="iterable"):
        list(pipeline(items_of, 5))


def test_a_reader_that_handles_its_errors_ends_no_other() -> None:
    failed: dict[int, str] = {}

    def read(source: int) -> Iterator[tuple[int, int]]:
        try:
            yield from items_of(source)
            if source == 2:
                raise OSError("broken")
        except OSError as error:
            failed[source] = str(error)

    assert list(in_order(read, [1, 2, 3])) == plain([1, 2, 3])
    assert failed == {2: "broken"}


# Callers that leave ---------------------------------------------------------------------------------------------------


@both
def test_closing_waits_for_the_threads_and_closes_the_readers(pipeline: Any) -> None:
    counted = Counted()
    pairs = pipeline(counted.items, counted.sources(), threads=4)
    next(pairs)
    until(lambda: counted.pulled == 4, "a thread does not read")
    pairs.close()
    assert not running()
    assert counted.closed == 4


@both
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_of_the_caller_stops_the_threads(pipeline: Any, kind: type[BaseException]) -> None:
    counted = Counted()

    def use() -> None:
        for number, _ in enumerate(pipeline(counted.items, counted.sources())):
            if number == 7:
                raise kind("the caller's own")

    with pytest.raises(kind, match="the caller's own"):
        use()
    assert counted.closed == counted.pulled


@both
def test_ctrl_c_while_the_caller_waits_is_raised_there(pipeline: Any) -> None:
    pressed = threading.Event()

    def read(source: int) -> Iterator[int]:
        yield source
        os.kill(os.getpid(), signal.SIGINT)
        assert pressed.wait(60)
        yield source

    def use() -> None:
        try:
            for _ in pipeline(read, [1], wait=False):
                pass
        finally:
            pressed.set()

    with pytest.raises(KeyboardInterrupt):
        use()


@both
def test_a_dropped_generator_stops_the_threads(pipeline: Any) -> None:
    counted = Counted()
    pairs = pipeline(counted.items, counted.sources())
    next(pairs)
    del pairs
    assert not running()


@both
def test_a_generator_in_a_cycle_stops_the_threads_when_it_is_collected(pipeline: Any) -> None:
    class Holder:
        pass

    counted, holder = Counted(), Holder()
    holder.me, holder.pairs = holder, pipeline(counted.items, counted.sources())  # type: ignore[attr-defined]
    next(holder.pairs)  # type: ignore[attr-defined]
    del holder
    gc.collect()
    until(lambda: not running(), "the collector does not stop the threads")


def test_a_collection_inside_one_of_the_threads_does_not_deadlock() -> None:
    class Holder:
        pass

    holder, dropped = Holder(), threading.Event()
    alive = weakref.ref(holder)

    def read(source: int) -> Iterator[int]:
        yield source
        assert dropped.wait(60)
        gc.collect()
        yield source

    gc.disable()
    try:
        holder.me, holder.pairs = holder, in_order(read, count())  # type: ignore[attr-defined]
        next(holder.pairs)  # type: ignore[attr-defined]
        del holder
        dropped.set()
        until(lambda: not running(), "threads go on")
    finally:
        gc.enable()
    assert alive() is None


@both
def test_a_generator_that_was_never_started_has_no_threads(pipeline: Any) -> None:
    counted = Counted()
    pairs = pipeline(counted.items, counted.sources())
    assert not running()
    pairs.close()
    assert counted.pulled == 0


@both
def test_without_wait_a_blocked_reader_holds_nobody_up(pipeline: Any) -> None:
    go_on, blocked = threading.Event(), threading.Event()

    def read(source: int) -> Iterator[int]:
        if source == 1:
            blocked.set()
            assert go_on.wait(60)
        yield source

    pairs = pipeline(read, [0, 1], wait=False)
    assert next(pairs) == (0, 0)
    assert blocked.wait(60)
    pairs.close()
    until(lambda: len(running()) == 1, "the other thread goes on")
    go_on.set()
    until(lambda: not running(), "the thread does not end when it comes back")


@both
def test_without_wait_blocked_sources_hold_nobody_up_and_are_not_read(pipeline: Any) -> None:
    go_on, blocked, read = threading.Event(), threading.Event(), list[int]()

    def sources() -> Iterator[int]:
        yield 0
        blocked.set()
        assert go_on.wait(60)
        yield 1

    def items(source: int) -> Iterator[int]:
        read.append(source)
        yield source

    pairs = pipeline(items, sources(), wait=False)
    assert next(pairs) == (0, 0)
    assert blocked.wait(60)
    pairs.close()
    until(lambda: len(running()) == 1, "a thread that waits for its turn goes on")
    go_on.set()
    until(lambda: not running(), "the thread does not end when it comes back")
    assert read == [0]


def test_a_source_that_is_waited_for_holds_up_no_other() -> None:
    answered = threading.Event()

    def sources() -> Iterator[int]:
        yield 1
        assert answered.wait(60)
        yield 2

    pairs = in_order(items_of, sources())
    assert [next(pairs), next(pairs)] == plain([1])
    answered.set()
    assert list(pairs) == plain([2])


def test_the_sources_are_dropped_when_the_threads_have_ended() -> None:
    ended: list[str] = []

    def sources() -> Iterator[int]:
        try:
            yield from count()
        finally:
            ended.append("closed")

    pairs = in_order(items_of, sources())
    next(pairs)
    pairs.close()
    del pairs
    until(lambda: ended == ["closed"], "the sources are still held")


# Work of the caller's thread meanwhile --------------------------------------------------------------------------------


@both
def test_what_the_caller_does_meanwhile_is_done_once_while_the_threads_read(pipeline: Any) -> None:
    reading, calls = threading.Event(), []

    def read(source: int) -> Iterator[int]:
        reading.set()
        yield source

    def meanwhile() -> None:
        assert reading.wait(60)
        calls.append(threading.current_thread())

    found = [item for item in pipeline(read, [1, 2], meanwhile=meanwhile) if item[1] is not None]
    assert sorted(found) == [(1, 1), (2, 2)]
    assert calls == [threading.current_thread()]


@both
def test_a_fault_meanwhile_stops_the_threads(pipeline: Any) -> None:
    def meanwhile() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(pipeline(items_of, count(5), meanwhile=meanwhile))
