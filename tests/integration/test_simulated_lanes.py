"""Many lanes in a process that is busy and stands still now and then, in simulated time: limits kept and nearly all used."""

import pytest

from bench.keys import allowed_calls
from bench.lane_process import simulate

LANES, SECONDS = 20, 40


@pytest.mark.parametrize("seed", [1, 2])
def test_a_busy_process_uses_what_its_keys_allow_and_breaks_no_limit(
    redis_url: str, seed: int
) -> None:
    names = [f"lane-{number}" for number in range(LANES)]
    told = simulate(redis_url, names, keys_each=2, spacing_ms=250, seconds=SECONDS, seed=seed)
    allowed = allowed_calls(250, SECONDS)
    assert told.early_ms == []
    assert sum(told.calls.values()) >= 0.98 * allowed * 2 * LANES
    # No lane pays for its neighbours.
    assert min(told.calls.values()) >= 0.96 * allowed


def test_windows_that_bind_are_kept_and_used(redis_url: str) -> None:
    # 165 calls in 20.6 s, then nothing for 9.4 s: the pool says so, and the chunk lets go.
    seconds = 65
    names = [f"lane-{number}" for number in range(3)]
    told = simulate(redis_url, names, keys_each=2, spacing_ms=125, seconds=seconds, seed=1)
    assert told.early_ms == []
    assert sum(told.calls.values()) >= 0.97 * allowed_calls(125, seconds) * 2 * len(names)


def test_a_call_that_comes_too_early_is_seen(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the part of the margin that is kept for the way: the simulated network must tell.
    monkeypatch.setattr("routing.held_slots.JITTER_PART", -1.0)
    # The answers of Redis are real, so no two runs are the same: in three minutes of four keys there are dozens.
    told = simulate(redis_url, ["lane"], keys_each=4, spacing_ms=250, seconds=180, seed=1)
    assert told.early_ms
