"""Alarms: when they keep a vigil, on whichever loop. In simulated time: on a busy machine a real loop may sleep through one."""

import asyncio

import pytest

from bench.virtual_time import run_virtually
from routing.alarm import QUIET_SECONDS, Alarm


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of this process's alarms."""
    for name, value in (("_last_vigil", float("-inf")), ("_last_ring", float("-inf"))):
        monkeypatch.setattr(Alarm, name, value)
    monkeypatch.setattr(Alarm, "_mean_gap", 1.0)


async def ring(seconds: float, before: float | None = None) -> None:
    """Let an alarm ring in so many seconds; the one before rang so many seconds ago, if any did on this loop."""
    rung, now = asyncio.Event(), asyncio.get_running_loop().time()
    if before is not None:
        Alarm._last_ring = now - before
    Alarm(rung.set).set(now + seconds)
    await rung.wait()


def test_a_loop_whose_clock_is_behind_starts_anew() -> None:
    # As after a loop in simulated time, whose clock was ahead.
    Alarm._last_ring = Alarm._last_vigil = 1e12
    run_virtually(lambda _: ring(0.0))
    assert QUIET_SECONDS <= Alarm._mean_gap <= 1
    run_virtually(lambda _: ring(0.005))
    assert Alarm._last_vigil > 0, "and keeps vigils"


def test_alarms_in_quick_succession_keep_no_vigil() -> None:
    Alarm._mean_gap = QUIET_SECONDS / 2
    run_virtually(lambda _: ring(0.005, before=0.0))
    assert Alarm._last_vigil == float("-inf")


def test_a_process_that_grows_quiet_keeps_vigils_again() -> None:
    Alarm._mean_gap = QUIET_SECONDS / 10
    # One pause of a second says enough.
    run_virtually(lambda _: ring(0.005, before=1.0))
    assert Alarm._last_vigil == float("-inf")
    run_virtually(lambda _: ring(0.005))
    assert Alarm._last_vigil > 0
