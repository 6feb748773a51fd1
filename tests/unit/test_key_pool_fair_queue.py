"""Tenants take turns, by weight; who gives up is passed over."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from routing.fair_queue import FairQueue


def take(queue: FairQueue[str], n: int) -> list[str]:
    return [waiter for waiter in (queue.pop() for _ in range(n)) if waiter is not None]


def test_a_long_line_does_not_stand_in_front_of_a_short_one() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(64):
        queue.push("big", f"big {i}")
    queue.push("small", "small 0")
    assert "small 0" in take(queue, 2)


def test_within_a_tenant_the_first_come_is_first() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in "abc":
        queue.push("one", name)
    assert take(queue, 4) == ["a", "b", "c"]


def test_weights_give_shares() -> None:
    queue: FairQueue[str] = FairQueue({"heavy": 3.0})
    for _ in range(100):
        queue.push("heavy", "heavy")
        queue.push("light", "light")
    shares = Counter(take(queue, 80))
    assert abs(shares["heavy"] - 60) <= 1


def test_a_pause_saves_no_turns_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.push("busy", "busy")
    take(queue, 50)
    for _ in range(20):
        queue.push("late", "late")
    assert abs(Counter(take(queue, 20))["late"] - 10) <= 1


def test_a_turn_that_came_to_nothing_is_refunded() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(4):
        queue.push("a", f"a{i}")
        queue.push("b", f"b{i}")
    first = queue.pop()
    assert first is not None
    queue.push_front(first[0], first)
    assert queue.pop() == first
    assert Counter(name[0] for name in take(queue, 3)) == Counter(
        "abb" if first[0] == "a" else "aab"
    )


def test_who_gave_up_is_passed_over_and_costs_no_turn() -> None:
    gone = {"a0", "a1"}
    queue: FairQueue[str] = FairQueue(is_waiting=lambda waiter: waiter not in gone)
    for i in range(3):
        queue.push("a", f"a{i}")
        queue.push("b", f"b{i}")
    assert sorted(take(queue, 2)) == ["a2", "b0"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["push", "push", "pop", "remove"]), st.integers(0, 4)),
        max_size=80,
    )
)
def test_nobody_is_lost_and_nobody_served_twice(steps: list[tuple[str, int]]) -> None:
    queue: FairQueue[str] = FairQueue()
    waiting: dict[str, str] = {}
    for number, (step, which) in enumerate(steps):
        if step == "push":
            waiting[f"w{number}"] = f"t{which}"
            queue.push(f"t{which}", f"w{number}")
        elif step == "pop":
            taken = queue.pop()
            assert (taken is None) == (not waiting)
            if taken is not None:
                del waiting[taken]
        elif waiting:
            waiter = list(waiting)[which % len(waiting)]
            assert queue.remove(waiting.pop(waiter), waiter)
            assert not queue.remove("t0", waiter)
        assert len(queue) == len(waiting)
    assert {queue.pop() for _ in list(waiting)} == set(waiting)
    assert queue.pop() is None


def test_within_a_tenant_the_lowest_rank_is_first_and_takes_no_turn_of_others() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in ("long-1", "long-2", "long-3"):
        queue.push("acme", name, 3)
    queue.push("birch", "other-1", 5)
    queue.push("birch", "other-2", 5)
    queue.push("acme", "urgent", 1)
    assert queue.remove("acme", "long-3", 3)
    assert [queue.pop() for _ in range(6)] == [
        "urgent",
        "other-1",
        "long-1",
        "other-2",
        "long-2",
        None,
    ]
