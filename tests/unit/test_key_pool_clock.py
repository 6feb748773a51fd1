"""The server's clock as a process sees it through calls that take time."""

from hypothesis import given
from hypothesis import strategies as st

from routing.server_clock import ServerClock

AHEAD = 1_000.25


def observe(
    clock: ServerClock, sent: float, there: float, back: float, ahead: float = AHEAD
) -> None:
    clock.observe(sent, sent + there + back, round((sent + there + ahead) * 1e6))


@given(st.lists(st.tuples(st.floats(0, 0.02), st.floats(0, 0.3)), min_size=1, max_size=20))
def test_the_truth_lies_within_the_error(ways: list[tuple[float, float]]) -> None:
    clock, now = ServerClock(), 50.0
    for there, back in ways:
        observe(clock, now, there, back)
        now += there + back
        assert abs(clock.offset - AHEAD) <= clock.error + 2e-6


def test_a_busy_loop_does_not_bend_a_good_estimate() -> None:
    clock = ServerClock()
    observe(clock, 10.0, 0.0001, 0.0001)
    observe(clock, 10.5, 0.0001, 0.2)
    assert clock.error < 0.0002


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    clock = ServerClock()
    observe(clock, 10.0, 0.0001, 0.0001)
    observe(clock, 10.1, 0.0001, 0.0001, ahead=AHEAD - 3)
    assert abs(clock.offset - (AHEAD - 3)) < 0.001


def test_old_knowledge_is_dropped() -> None:
    clock = ServerClock()
    observe(clock, 10.0, 0.0001, 0.0001)
    observe(clock, 100.0, 0.01, 0.01)
    assert clock.error > 0.009
