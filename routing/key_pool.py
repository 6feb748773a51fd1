"""Hands out permissions to call a provider, on the asyncio loop of a worker process.

A pool serves any number of waiters with its keys. One task, the pump, reserves slots for all of them
in batches, a little ahead; when a slot's moment comes, the tenant whose turn it is gets it. What
always holds: calls on one key leave this process at least its spacing apart, no call leaves that Redis
has not granted, a waiter that gives up costs no slot. With Redis away every waiter is told so.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from routing.alarm import Alarm
from routing.fair_queue import FairQueue
from routing.held_slots import HeldSlot, HeldSlots, Verdict
from routing.key_feedback import KeyFeedback
from routing.key_source import KeySource, PoolStats, Shortage
from routing.late_slots import LateSlots
from routing.provider_key import Grant, Outcome, ProviderKey
from routing.rate_limits.errors import LimitsUnavailable, Throttled
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import Slot
from routing.rate_limits.registration import UsageLedger

__all__ = ["Grant", "KeyPool", "Outcome", "PoolStats", "ProviderKey", "Throttled"]

log = logging.getLogger(__name__)
BATCH = 64
#: How far ahead slots are reserved, half of it at a time. Little, so that processes that share keys
#: take turns and a dead one burns little; enough for a busy loop, and for runs of several slots of a
#: key, because only the last of a run can't be moved when it comes late.
LOOKAHEAD_MS = 1_000
#: Slots that Redis said are far away are asked for again after this long: somebody may have edited
#: the limits or closed a circuit.
RECHECK_SECONDS = 0.5
NO_KEYS_WAIT = timedelta(seconds=60)

Waiter = asyncio.Future[HeldSlot]


def _closing() -> LimitsUnavailable:
    return LimitsUnavailable("The worker is shutting down.", retry_after=1)


def _no_keys() -> Throttled:
    return Throttled(datetime.now(UTC) + NO_KEYS_WAIT, "no_keys", NO_KEYS_WAIT.total_seconds())


def _is_waiting(waiter: Waiter) -> bool:
    return not waiter.done()


class KeyPool:
    """A tenant's keys, or the platform's. Create it anywhere, use it on one loop.

    `weights` give tenants larger or smaller shares (default 1 each). Raises `Misconfigured` for keys
    with impossible limits.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[ProviderKey],
        limiter: AsyncLimiter,
        usage: UsageLedger,
        *,
        lookahead_ms: int = LOOKAHEAD_MS,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        policy = limiter.policy
        self.name = name
        self.stats = PoolStats()
        self._horizon = policy.horizon_ms / 1e3
        self._waiting: FairQueue[Waiter] = FairQueue(weights, is_waiting=_is_waiting)
        self._slots = HeldSlots(policy.spacing_margin_ms / 1e3, policy.window_margin_ms / 1e3)
        self._source = KeySource(
            name, keys, limiter, usage, lookahead_ms=lookahead_ms, stats=self.stats
        )
        self._late = LateSlots(self._slots, self._source, self.stats)
        self._feedback = KeyFeedback(limiter, self._slots.drop_key)
        self._shortage: Shortage | None = None
        self._next_try = 0.0
        self._closed = False
        self._wake = asyncio.Event()
        #: Slots that waiters were given who have not woken up yet: some may come back.
        self._handed = 0
        #: When the pump wakes by itself; infinity also while it is at work.
        self._alarm_at = float("inf")
        self._due_alarm = Alarm(self._release)
        self._pump: asyncio.Task[None] | None = None

    async def acquire(self, tenant_id: str, rank: int = 3) -> Grant:
        """Wait for this tenant's turn and the slot's moment; send the call as soon as it returns.

        Of one tenant's waiters the lowest `rank` is first: the priority of its work, 1 to 5.

        Raises `Throttled` when no key of the pool is free within the horizon, for anybody, and
        `LimitsUnavailable` when Redis does not answer. A cancelled wait costs nothing.
        """
        if self._closed:
            raise _closing()
        if not self._source.keys:
            raise _no_keys()
        loop = self._start()
        enqueue: Callable[[str, Waiter, int], None] = self._waiting.push
        while True:
            waiter: Waiter = loop.create_future()
            enqueue(tenant_id, waiter, rank)
            self._prod()
            if self._slots:
                self._release()
            slot = await self._wait(tenant_id, waiter, rank)
            now = loop.time()
            if self._settle(slot, now):
                return Grant(slot.key, slot.go_at, now, slot.at_ms)
            # The loop was kept busy between the turn and this line: it counts as no turn.
            enqueue = self._waiting.push_front

    def note_sent(self, grant: Grant) -> None:
        """Tell that the call leaves only now, its connection being made: the key's next one keeps its distance."""
        self._slots.note_sent(grant.key, asyncio.get_running_loop().time())

    async def report(
        self, grant: Grant, outcome: Outcome, retry_after: float | None = None, why: str = ""
    ) -> None:
        """Tell how the call went. `retry_after` in seconds, with `throttled`; `why` for the pages.

        Never raises: while Redis is away reports are kept and sent later.
        """
        self._start()
        if outcome == "clean":
            if self._feedback.add_clean(grant.key.fingerprint):
                self._wake.set()
            return
        try:
            await self._feedback.add(grant, outcome, retry_after, why)
        finally:
            self._wake.set()

    def update_keys(self, keys: Sequence[ProviderKey]) -> None:
        """Use these keys and limits from the next reservation on."""
        for fingerprint in self._source.replace(keys):
            self._slots.drop_key(fingerprint)
        self._next_try, self._shortage = 0.0, None
        if not keys:
            self._fail(_no_keys)
        self._wake.set()

    async def close(self) -> None:
        """End the pump, send what is known, turn the waiters away. The pool can't be used again."""
        self._closed = True
        if self._pump is not None:
            self._pump.cancel()
            # `asyncio.wait_for` of Python 3.11, which redis-py sends with, may swallow the cancellation.
            self._wake.set()
            await asyncio.wait([self._pump])
        self._due_alarm.cancel()
        self._fail(_closing)
        await self._feedback.flush()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._pump is None and not self._closed:
            self._pump = loop.create_task(self._run(), name=f"key pool {self.name}")
            self._pump.add_done_callback(self._ended)
        return loop

    def _ended(self, pump: asyncio.Task[None]) -> None:
        self._pump = None
        if pump.cancelled():
            return
        if error := pump.exception():
            log.error("the pump of key pool %s broke off", self.name, exc_info=error)
            self._fail(lambda: error)

    async def _wait(self, tenant_id: str, waiter: Waiter, rank: int) -> HeldSlot:
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiting.remove(tenant_id, waiter, rank)
            # The turn may have come, or the wait been refused, in the very moment of giving up.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._handed -= 1
                self._slots.add(waiter.result())
                self._release()
            self._prod()
            raise

    # --- letting go ------------------------------------------------------------------------------

    def _settle(self, slot: HeldSlot, now: float) -> bool:
        """Let a call leave on the slot now; otherwise take the slot back."""
        self._handed -= 1
        verdict = self._slots.judge(slot, now)
        if verdict is Verdict.GO:
            self._slots.let_go(slot, now)
            self._source.slack.ease()
            self.stats.granted += 1
        elif verdict is Verdict.EARLY:
            self._slots.add(slot)
        else:
            self._put_late(slot)
        self._prod()
        return verdict is Verdict.GO

    def _put_late(self, slot: HeldSlot) -> None:
        self._late.put(slot)
        self._wake.set()

    def _release(self) -> None:
        """Hand the slots that are due to those whose turn it is, and set the clock for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._slots.next_due <= now and self._waiting:
            slot = self._slots.pop()
            verdict = self._slots.judge(slot, now)
            if verdict is Verdict.GO:
                self._hand_over(slot)
            elif verdict is Verdict.EARLY:
                self._slots.add(slot)
            else:
                self._put_late(slot)
        if self._slots and self._waiting:
            self._due_alarm.set(self._slots.next_due)
        else:
            self._due_alarm.cancel()
            self._slots.mark_unwanted(now)

    def _hand_over(self, slot: HeldSlot) -> None:
        waiter = self._waiting.pop()
        if waiter is None:
            # Everybody gave up just now; the slot stays for whoever comes next.
            self._slots.add(slot)
        else:
            waiter.set_result(slot)
            self._handed += 1

    def _fail(self, make_error: Callable[[], BaseException]) -> None:
        while (waiter := self._waiting.pop()) is not None:
            waiter.set_exception(make_error())

    # --- the pump --------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                seconds = await self._step()
            except LimitsUnavailable as error:
                seconds = self._without_limits(error)
            if seconds != 0 and not self._closed:
                await self._sleep(seconds)

    async def _step(self) -> float | None:
        """Do what is to be done now; return seconds until there is more (None: when woken)."""
        loop = asyncio.get_running_loop()
        await self._feedback.flush_if_due()
        if self._late:
            await self._late.rescue(wanted=bool(self._waiting))
            self._release()
        wanted = len(self._waiting) - len(self._slots)
        now = loop.time()
        if wanted > 0 and now >= self._ask_at:
            await self._refill(min(wanted, BATCH))
            return 0
        if wanted > 0 and self._shortage and not self._slots and not self._handed:
            self._refuse(self._shortage, now)
        until = self._ask_at if wanted > 0 else float("inf")
        until = min(until, self._feedback.due_at)
        return None if until == float("inf") else max(0.0005, until - now)

    @property
    def _ask_at(self) -> float:
        """From when on it is right to reserve more.

        Slots for half of the time ahead are enough: more would only stand behind those, and asking for
        each new waiter alone would cost a call each.
        """
        if self._shortage:
            return self._next_try
        return max(self._next_try, self._slots.last_due - self._source.lookahead / 2)

    def _prod(self) -> None:
        """Wake the pump for a new waiter, unless it will wake in time by itself."""
        if len(self._waiting) > len(self._slots) and (
            self._ask_at < self._alarm_at
            or (self._shortage and not self._slots and not self._handed)
        ):
            self._wake.set()

    async def _refill(self, n: int) -> None:
        slots, self._shortage = await self._source.reserve(n)
        now = asyncio.get_running_loop().time()
        last = {slot.key_id: slot.seq for slot in slots}
        for slot in slots:
            self._take_in(slot, now, is_last=last[slot.key_id] == slot.seq)
        self._release()
        self._next_try = now
        if self._shortage:
            self._next_try = min(self._shortage.ask_again_at, now + RECHECK_SECONDS)

    def _take_in(self, slot: Slot, now: float, *, is_last: bool) -> None:
        key = self._source.keys.get(slot.key_id)
        if key is None:
            self.stats.wasted_grants += slot.calls
            return
        due, go_at = self._source.locate(slot, is_last=is_last)
        held = HeldSlot(key, slot.seq, slot.at_ms, due, go_at)
        if key.limits.is_unlimited and slot.calls > 1:
            held.due = min(held.due, now)
            for _ in range(min(slot.calls, len(self._waiting))):
                self._hand_over(held)
        else:
            self._slots.add(held)

    def _refuse(self, shortage: Shortage, now: float) -> None:
        if shortage.free_at - now > self._horizon:
            wait = shortage.free_at - now
            self._fail(lambda: Throttled(shortage.not_before, shortage.reason, wait))

    def _without_limits(self, error: LimitsUnavailable) -> float:
        """Turn the waiters away, those excepted for whom slots are held already."""
        self._next_try = asyncio.get_running_loop().time() + 0.1
        if not self._slots:
            self._fail(lambda: LimitsUnavailable(error.message, retry_after=1))
        return 0.1

    async def _sleep(self, seconds: float | None) -> None:
        if seconds is None:
            await self._wake.wait()
            return
        loop = asyncio.get_running_loop()
        self._alarm_at = loop.time() + seconds
        alarm = loop.call_at(self._alarm_at, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            self._alarm_at = float("inf")
            alarm.cancel()
