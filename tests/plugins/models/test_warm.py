"""What is kept warm: loaded once for all, dropped when idle or when nobody holds, never in use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from focal.plugins.models.warm import Warm, timer
from tests.plugins.models.hand import Hand

PATIENCE = 30.0
"""Seconds that a thread is waited for before the test has failed."""


class Loader:
    """Gives 1, 2, 3, …; how many it has given is how often something was loaded."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


def use(warm: Warm[int], load: Callable[[], int], key: str = "a", state: object = None) -> int:
    with warm.use(key, state, load) as thing:
        return thing


def test_a_thing_stays_while_somebody_holds() -> None:
    warm, load = Warm[int](0), Loader()
    with warm.hold():
        with warm.hold():
            assert use(warm, load) == 1
        assert use(warm, load) == 1
    with warm.hold():
        assert use(warm, load) == 2


def test_nobody_uses_what_nobody_holds() -> None:
    warm = Warm[int](0)
    with warm.hold():
        pass
    with pytest.raises(RuntimeError, match="hold"):
        use(warm, Loader())


def test_each_key_has_its_own_thing() -> None:
    warm, load = Warm[int](0), Loader()
    with warm.hold():
        assert [use(warm, load, key) for key in "abab"] == [1, 2, 1, 2]


def test_another_state_is_another_thing() -> None:
    warm, load = Warm[int](0), Loader()
    with warm.hold():
        assert [use(warm, load, state=state) for state in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 3]


def test_many_threads_load_a_thing_once() -> None:
    warm, load = Warm[int](0), Loader()
    barrier = threading.Barrier(8, timeout=PATIENCE)

    def work() -> int:
        barrier.wait()
        return use(warm, load)

    with warm.hold(), ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work) for _ in range(8)]
        assert [future.result(PATIENCE) for future in futures] == [1] * 8


def test_loading_one_thing_does_not_hold_up_another() -> None:
    warm, begun, go_on = Warm[int](0), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return 7

    with warm.hold(), ThreadPoolExecutor(1) as pool:
        future = pool.submit(use, warm, slow, "slow")
        assert begun.wait(PATIENCE)
        assert use(warm, lambda: 1, "quick") == 1
        go_on.set()
        assert future.result(PATIENCE) == 7


def test_what_fails_to_load_is_tried_again() -> None:
    hand = Hand()
    warm = Warm[int](60, later=hand)

    def fail() -> int:
        raise ValueError("not today")

    with warm.hold():
        with pytest.raises(ValueError, match="not today"):
            use(warm, fail)
        assert hand.waiting == []
        assert use(warm, Loader()) == 1


def test_a_thing_goes_when_it_is_idle() -> None:
    hand, load = Hand(), Loader()
    warm = Warm[int](60, later=hand)
    with warm.hold():
        use(warm, load)
        use(warm, load, "b")
        assert hand.waiting == [60, 60]
        hand.ring()
        assert hand.waiting == []
        assert use(warm, load) == 3


def test_without_a_limit_nothing_goes() -> None:
    hand = Hand()
    warm = Warm[int](0, later=hand)
    with warm.hold():
        use(warm, Loader())
        assert hand.waiting == []


def test_a_thing_in_use_does_not_go() -> None:
    hand, load = Hand(), Loader()
    warm = Warm[int](60, later=hand)
    with warm.hold():
        with warm.use("a", None, load):
            use(warm, load)
            assert hand.waiting == []
        assert hand.waiting == [60]
        assert load.count == 1


def test_a_timer_that_was_too_late_to_be_cancelled_does_nothing() -> None:
    hand, load = Hand(), Loader()
    warm = Warm[int](60, later=hand)
    with warm.hold():
        use(warm, load)
        [late] = hand.calls
        with warm.use("a", None, load):
            late()
        late()
        assert use(warm, load) == 1
    late()
    with warm.hold():
        assert use(warm, load) == 2
        late()
        assert use(warm, load) == 2


def test_a_thing_of_another_state_leaves_no_timer() -> None:
    hand, load = Hand(), Loader()
    warm = Warm[int](60, later=hand)
    with warm.hold():
        with warm.use("a", "old", load):
            use(warm, load, state="new")
        assert hand.waiting == [60]
        hand.ring()
        assert use(warm, load, state="new") == 3


def test_the_last_one_out_leaves_no_timer() -> None:
    hand, load = Hand(), Loader()
    warm = Warm[int](60, later=hand)
    with warm.hold():
        use(warm, load)
        using = warm.use("a", None, load)
        using.__enter__()
    using.__exit__(None, None, None)
    assert hand.waiting == []


def test_things_are_freed() -> None:
    freed: list[str] = []

    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name

        def __del__(self) -> None:
            freed.append(self.name)

    hand, names = Hand(), iter(("idle", "held"))
    warm = Warm[Thing](60, later=hand)
    with warm.hold():
        for gone in ([], ["idle"]):
            assert freed == gone
            with warm.use("a", None, lambda: Thing(next(names))):
                hand.ring()
            if not gone:
                hand.ring()
    assert freed == ["idle", "held"]


def test_the_timer_of_every_day_goes_off_and_can_be_cancelled() -> None:
    rung = threading.Event()
    timer(0.0, rung.set)
    assert rung.wait(PATIENCE)
    before = threading.active_count()
    cancel = timer(float("inf"), rung.clear)
    [thread] = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert thread.daemon
    cancel()
    thread.join(PATIENCE)
    assert threading.active_count() <= before
    assert rung.is_set()
