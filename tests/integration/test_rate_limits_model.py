"""The limiter against a plain model that keeps every grant and looks at all of them.

Whatever happens (time, reservations of any size, 429s, clean calls, edits), each grant stands at the earliest
moment that the model allows, on the key that is free first; what is denied, the model denies too. So no
limit is exceeded, and no slot is wasted. Real Redis, the clock injected.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from routing.rate_limits import KeyLimits, Limiter, LimitPolicy, PoolRef, Window, name_pool

DAY_MS = 86_400_000
#: A second before the turn of a day, so that runs cross it.
START_MS = 20_000 * DAY_MS - 1_000
POLICY = LimitPolicy(spacing_margin_ms=5, window_margin_ms=75)
#: Within a holder's run: a little more than half.
RUN_MARGIN_MS = 3


@dataclass
class ModelKey:
    """One key: its limits, and all that ever happened to it."""

    limits: KeyLimits
    grants: list[int] = field(default_factory=list)
    multiplier: float = 1.0
    clean: int = 0
    widened_at: int = 0
    wait_until: int = 0
    holder: str = ""
    run_since: int = 0

    def next_free(self, now: int, holder: str = "") -> int:
        """Return the earliest moment from `now` on that breaks nothing; a holder of the key keeps part of the margin."""
        margin = RUN_MARGIN_MS if holder and holder == self.holder else POLICY.spacing_margin_ms
        moment = max([now, self.wait_until, *self.grants[-1:]])
        if self.limits.spacing_ms and self.grants:
            spacing = math.ceil(self.limits.spacing_ms * self.multiplier)
            moment = max(moment, self.grants[-1] + spacing + margin)
        for window in self.limits.windows:
            held = window.window_ms + POLICY.window_margin_ms
            while sum(moment - held < at <= moment for at in self.grants) >= window.limit:
                moment = min(at for at in self.grants if moment - held < at) + held
        return self.after_quota(moment)

    def is_held(self, now: int, horizon: int, holder: str) -> bool:
        """Tell whether another's run on the key goes on."""
        if not (holder and self.holder) or holder == self.holder or not self.limits.spacing_ms:
            return False
        at = self.next_free(now, holder)
        # What is not free within the horizon is nobody's to hold.
        return now + horizon / 4 < at <= now + horizon and at < self.run_since + horizon

    def grant(self, at: int, holder: str) -> None:
        """Take in a grant."""
        self.grants.append(at)
        if holder != self.holder:
            self.holder, self.run_since = holder, at

    def after_quota(self, moment: int) -> int:
        """Move `moment` away from the turn of the day, and to the next day when this one is used up."""
        if self.limits.daily_limit is None:
            return moment
        guard = POLICY.window_margin_ms
        if moment > self.day_start(moment) + DAY_MS - guard:
            moment = self.day_start(moment) + DAY_MS + guard
        moment = max(moment, self.day_start(moment) + guard)
        if self.used(moment) >= self.limits.daily_limit:
            moment = self.day_start(moment) + DAY_MS + guard
        return moment

    def day_start(self, at: int) -> int:
        """Return the start of the day of `at`, by the key's reset hour."""
        offset = self.limits.reset_hour * 3_600_000
        return (at - offset) // DAY_MS * DAY_MS + offset

    def used(self, at: int) -> int:
        """Return how many grants the day of `at` has."""
        day = self.day_start(at)
        return sum(self.day_start(grant) == day for grant in self.grants)


def a_limit(draw: st.DrawFn, key_id: str, lengths: tuple[int, ...]) -> KeyLimits:
    windows = tuple(Window(draw(st.integers(1, 6)), ms) for ms in lengths if draw(st.booleans()))
    spacing = draw(st.sampled_from([0, 0, 20, 125, 250]))
    daily = draw(st.sampled_from([None, 5, 40]))
    if not spacing and not windows and daily is None:
        spacing = 125
    return KeyLimits(key_id, spacing, windows, daily, draw(st.sampled_from([0, 0, 5])))


@st.composite
def some_limits(draw: st.DrawFn, counts: tuple[int, ...] = (1, 2, 10)) -> list[KeyLimits]:
    """Draw the limits of 1, 2 or 10 keys."""
    lengths = (300, 1_000, 30_000)
    return [a_limit(draw, f"{i:02x}", lengths) for i in range(draw(st.sampled_from(counts)))]


class LimiterAgainstModel(RuleBasedStateMachine):
    """Drive both in step."""

    url = ""

    @initialize(limits=some_limits())
    def start(self, limits: list[KeyLimits]) -> None:
        self.client = redis.Redis.from_url(self.url)
        self.client.flushdb()
        self.limiter = Limiter(self.client, POLICY)
        self.now = START_MS
        self.has_holders = False
        self.model = {key.key_id: ModelKey(key) for key in limits}
        for key in limits:
            assert self.limiter.register(key, now_ms=self.now)
        self.pools = [name_pool("all", list(self.model)), name_pool("first", ["00"])]
        for pool in self.pools:
            assert self.limiter.define_pool(pool) == []

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

    @rule(ms=st.one_of(st.integers(0, 400), st.sampled_from([1_000, 5_000, 31_000, DAY_MS // 2])))
    def pass_time(self, ms: int) -> None:
        self.now += ms

    @rule(
        n=st.integers(1, 12),
        horizon=st.sampled_from([0, 100, 2_000]),
        slack=st.sampled_from([0, 0, 20]),
        which=st.sampled_from([0, 0, 1]),
        holder=st.sampled_from(["", "", "one", "two"]),
    )
    def reserve(self, n: int, horizon: int, slack: int, which: int, holder: str) -> None:
        pool = self.pools[which]
        answer = self.limiter.reserve(
            pool, n, horizon_ms=horizon, slack_ms=slack, holder=holder, now_ms=self.now
        )
        for slot in answer.slots:
            key = self.model[slot.key_id]
            assert not key.is_held(self.now, horizon, holder)
            # Keys are taken in the order in which they are free for whoever asked before.
            assert slot.at_ms - self.earliest(pool, horizon, holder) <= self.unsure
            assert slot.at_ms == key.next_free(self.now, holder)
            assert slot.at_ms <= self.now + horizon
            assert slot.calls == 1
            key.grant(slot.at_ms, holder)
        self.has_holders = self.has_holders or bool(holder)
        if len(answer.slots) < n:
            keys = [self.model[key_id] for key_id in pool.key_ids]
            if answer.reason == "held":
                assert any(key.is_held(self.now, horizon, holder) for key in keys)
            else:
                assert not any(key.is_held(self.now, horizon, holder) for key in keys)
                earliest = self.earliest(pool, horizon, holder)
                assert 0 <= answer.not_before_ms - earliest <= self.unsure
                assert answer.not_before_ms > self.now + horizon
                assert answer.reason in {"spacing", "window", "daily_quota"}
        else:
            assert (answer.not_before_ms, answer.reason) == (0, "")
        # The last slot of each key may be used later: it is accounted for at the end of its slack.
        for key_id in {slot.key_id for slot in answer.slots}:
            self.model[key_id].grants[-1] += slack

    @property
    def unsure(self) -> int:
        return POLICY.spacing_margin_ms - RUN_MARGIN_MS if self.has_holders else 0

    def earliest(self, pool: PoolRef, horizon: int, holder: str) -> int:
        keys = [self.model[key_id] for key_id in pool.key_ids]
        free = [key for key in keys if not key.is_held(self.now, horizon, holder)]
        return min((key.next_free(self.now, holder) for key in free), default=self.now)

    @rule(pick=st.integers(0, 9), wait=st.sampled_from([0, 50, 3_000]))
    def throttle(self, pick: int, wait: int) -> None:
        key = self.pick(pick)
        self.limiter.throttled(key.limits.key_id, wait, now_ms=self.now)
        key.wait_until = max(key.wait_until, self.now + wait)
        key.multiplier = min(key.multiplier * 1.5, 8)
        key.clean = 0

    @rule(pick=st.integers(0, 9), n=st.integers(1, 250))
    def report_clean(self, pick: int, n: int) -> None:
        key = self.pick(pick)
        self.limiter.clean(key.limits.key_id, n, now_ms=self.now)
        key.clean = 0 if key.multiplier == 1 else key.clean + n
        while key.clean >= 100 and key.multiplier > 1:
            key.clean -= 100
            key.multiplier /= 1.25
            key.multiplier = key.multiplier if key.multiplier >= 1.001 else 1.0

    @rule(pick=st.integers(0, 9), data=st.data())
    def edit(self, pick: int, data: st.DataObject) -> None:
        key = self.pick(pick)
        # Windows of the same lengths as before: their rings are kept, so the model stays exact.
        windows = tuple(
            Window(data.draw(st.integers(1, 6)), window.window_ms) for window in key.limits.windows
        )
        key.limits = KeyLimits(
            key.limits.key_id,
            data.draw(st.sampled_from([20, 125, 250])),
            windows,
            data.draw(st.sampled_from([None, 5, 40])),
            key.limits.reset_hour,
        )
        assert self.limiter.edit([key.limits], now_ms=self.now) == []

    def pick(self, number: int) -> ModelKey:
        return self.model[f"{number % len(self.model):02x}"]

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def describe_agrees(self) -> None:
        states = self.limiter.describe(list(self.model), now_ms=self.now)
        for key_id, key in self.model.items():
            assert states[key_id].next_free_ms == key.next_free(self.now)
            assert states[key_id].spacing_multiplier == pytest.approx(key.multiplier)


class AHundredKeys(LimiterAgainstModel):
    """The same with a hundred keys in one pool."""

    @initialize(limits=some_limits((100,)))
    def start(self, limits: list[KeyLimits]) -> None:
        super().start(limits)


@pytest.fixture
def limits_url(redis_url: str) -> Iterator[str]:
    """Point the machine at a database of its own."""
    LimiterAgainstModel.url = redis_url
    yield redis_url
    LimiterAgainstModel.url = ""


@pytest.mark.parametrize(("machine", "examples"), [(LimiterAgainstModel, 120), (AHundredKeys, 12)])
def test_the_limiter_never_differs_from_the_model(
    limits_url: str, machine: type[LimiterAgainstModel], examples: int
) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)
