"""Where a key pool's slots come from: reservations in Redis, with the keys made known when needed.

Keeps the keys that this process uses, the mapping to the server's clock, and the latest moment each
key was granted here, which is better knowledge than any ledger's when Redis has lost its state.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from random import uniform
from uuid import uuid4

from routing.provider_key import ProviderKey
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import Move, Reservation, Slot, name_pool
from routing.rate_limits.registration import UsageLedger, prepare_pool_async
from routing.server_clock import ServerClock, to_utc

#: Slack of every slot stays within half of the guard around the turn of a day.
MAX_STANDING_SLACK_MS = 35.0
#: Slots lost within this time were lost to one and the same stall of the loop.
STALL_SECONDS = 0.1
#: A smaller error of the clock fits into the margin of the spacing.
MAX_CLOCK_ERROR_MS = 1.0
#: How long to wait at least and at most before asking again for keys that other processes hold.
HELD_PAUSE_SECONDS = (0.05, 0.15)
#: Between two attempts to make keys known that Redis forgets at once.
PREPARE_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class PoolStats:
    """Counts since the pool was made.

    `late_grants` came due while the loop was busy; `wasted_grants` of them (and grants of keys just
    removed) could not be used at all.
    """

    granted: int = 0
    reservations: int = 0
    late_grants: int = 0
    wasted_grants: int = 0


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a reservation gave less than was asked: the next slot, on the loop's clock and in UTC."""

    free_at: float
    ask_again_at: float
    not_before: datetime
    reason: str


@dataclass(slots=True)
class Slack:
    """How much later than granted the last slot of a run may be used, learnt from slots that were lost.

    A slot that is late is lost where another process holds the key's next one; a loss costs a whole
    spacing, slack a little of each run. It grows with each stall that lost slots and shrinks with each
    call, so that it settles where about one slot in a hundred is lost, and at 0 on an idle loop.
    """

    ms: float = 0.0
    limit_ms: float = 0.0
    _widened_at: float = float("-inf")

    def fit(self, keys: Iterable[ProviderKey]) -> None:
        """Stay small beside the shortest spacing of these keys."""
        shortest = min((key.spacing_ms for key in keys if key.spacing_ms), default=0)
        self.limit_ms = min(MAX_STANDING_SLACK_MS, shortest / 10)
        self.ms = min(self.ms, self.limit_ms)

    def widen(self, now: float) -> None:
        """Take in a lost slot. One stall counts once, and how long it was does not matter."""
        if now - self._widened_at > STALL_SECONDS:
            self._widened_at = now
            self.ms = min(self.limit_ms, self.ms + 2.0)

    def ease(self) -> None:
        """Take in a call that left in time."""
        self.ms = max(0.0, self.ms - 0.01)


class KeySource:
    """Reserves slots of a list of keys that may be replaced at any time."""

    def __init__(
        self,
        name: str,
        keys: Sequence[ProviderKey],
        limiter: AsyncLimiter,
        usage: UsageLedger,
        *,
        lookahead_ms: int,
        stats: PoolStats,
    ) -> None:
        self.name = name
        self.keys: dict[str, ProviderKey] = {}
        self.clock = ServerClock()
        self.slack = Slack()
        #: The slack of the latest reservation.
        self.slack_used_ms = 0
        self._limiter = limiter
        self._usage = usage
        self._lookahead_ms = min(lookahead_ms, limiter.policy.horizon_ms)
        self.lookahead = self._lookahead_ms / 1e3
        self._stats = stats
        self._last_granted_ms: dict[str, int] = {}
        self._prepared = False
        self._pool = name_pool(name, [])
        # Distances are kept by one pool of one process; another pool with the same keys is another holder.
        self._holder = uuid4().hex[:8]
        self.replace(keys)

    def replace(self, keys: Sequence[ProviderKey]) -> list[str]:
        """Use these keys from now on; return the fingerprints of those that are gone or changed.

        Raises `Misconfigured` for impossible limits, and then changes nothing.
        """
        new = {key.limits.key_id: key for key in keys}
        before, self.keys = self.keys, new
        self.slack.fit(keys)
        self._pool = name_pool(self.name, list(new))
        if before != new:
            self._prepared = False
        return [id_ for id_, key in before.items() if new.get(id_) != key]

    async def reserve(self, n: int) -> tuple[tuple[Slot, ...], Shortage | None]:
        """Reserve up to `n` slots a little ahead. Raises `LimitsUnavailable`."""
        answer = await self._ask(n)
        for attempt in range(3):
            if not answer.unregistered:
                break
            await asyncio.sleep(attempt * PREPARE_PAUSE_SECONDS)
            self._prepared = False
            # What was granted meanwhile stays granted: only the rest is asked for again.
            rest = await self._ask(n - sum(slot.calls for slot in answer.slots))
            answer = rest._replace(slots=answer.slots + rest.slots)
        return answer.slots, self._read_shortage(answer)

    async def _ask(self, n: int) -> Reservation:
        if not self._prepared:
            self._prepared = True
            try:
                await self._prepare()
            except BaseException:
                self._prepared = False
                raise
        slack_ms = self.slack_used_ms = round(self.slack.ms) + self._clock_slack_ms()
        sent = asyncio.get_running_loop().time()
        answer = await self._limiter.reserve(
            self._pool,
            n,
            horizon_ms=self._lookahead_ms,
            slack_ms=slack_ms,
            holder=self._holder,
        )
        self.clock.observe(sent, asyncio.get_running_loop().time(), answer.now_us)
        self._stats.reservations += 1
        for slot in answer.slots:
            self._last_granted_ms[slot.key_id] = slot.at_ms
        return answer

    def _clock_slack_ms(self) -> int:
        """Return the slack that a far-away Redis makes necessary: its clock is not known so well."""
        error_ms = self.clock.error * 1e3
        return ceil(2 * error_ms) if MAX_CLOCK_ERROR_MS < error_ms < MAX_STANDING_SLACK_MS else 0

    async def _prepare(self) -> None:
        limits = [key.limits for key in self.keys.values()]
        await prepare_pool_async(
            self._limiter, self._pool, limits, self._usage, self._last_granted_ms
        )

    def _read_shortage(self, answer: Reservation) -> Shortage | None:
        if not answer.reason:
            return None
        not_before_ms = answer.not_before_ms or answer.now_us // 1_000 + self._lookahead_ms
        free_at = self.clock.to_local(not_before_ms)
        if answer.reason == "held":
            now = asyncio.get_running_loop().time()
            again = now + uniform(*HELD_PAUSE_SECONDS)  # noqa: S311 - no secret
            return Shortage(free_at, again, to_utc(not_before_ms), answer.reason)
        # About half of what lies ahead is refilled at a time: batches, and never a gap. At random,
        # because of two processes with a fixed beat the first one would take everything.
        ask_again_at = free_at - self.lookahead * uniform(0.4, 0.9)  # noqa: S311 - no secret
        return Shortage(free_at, ask_again_at, to_utc(not_before_ms), answer.reason)

    def locate(self, slot: Slot, *, is_last: bool) -> tuple[float, float]:
        """Return from when a slot may be used and what it is accounted for, on the loop's clock.

        Each by the error of the clock to the safe side. The last slot of a key has the slack.
        """
        slack_ms = self.slack_used_ms if is_last else 0
        first = self.clock.to_local(slot.at_ms) + self.clock.error
        last = self.clock.to_local(slot.at_ms + slack_ms) - self.clock.error
        return first, last

    async def postpone(self, moves: Sequence[Move]) -> list[bool]:
        """Move slots in Redis; tell for each whether it could be done."""
        return await self._limiter.postpone(moves)
