"""What becomes of slots whose moment went by while the loop was busy.

A late slot is moved in Redis to now, and with it the key's later ones, all keys in one call; then it
is used as if nothing had been. That can't be where another process holds a later slot of the key: then
it is given up, rather than send two calls too close together.
"""

import asyncio
from math import ceil

from routing.held_slots import HeldSlot, HeldSlots, Verdict
from routing.key_source import KeySource, PoolStats
from routing.rate_limits.limits import Move

#: A moved slot is accounted for this much later than it will be used at best, at least and at most.
MIN_SLACK_MS, MAX_SLACK_MS = 3, 200


class LateSlots:
    """Slots that came late, until they are moved or given up."""

    def __init__(self, slots: HeldSlots, source: KeySource, stats: PoolStats) -> None:
        self._slots = slots
        self._source = source
        self._stats = stats
        self._late: list[HeldSlot] = []

    def __bool__(self) -> bool:
        return bool(self._late)

    def put(self, slot: HeldSlot) -> None:
        """Take a slot in that was found late."""
        self._stats.late_grants += not slot.unwanted
        self._late.append(slot)

    async def rescue(self, *, wanted: bool) -> None:
        """Put back what can still be used. Unless `wanted`, nothing is moved for it.

        Raises `LimitsUnavailable`; then all of them are given up.
        """
        late, self._late = sorted(self._late, key=lambda slot: slot.seq), []
        now = asyncio.get_running_loop().time()
        firsts: dict[str, HeldSlot] = {}
        for slot in late:
            if wanted and self._slots.count_tail(slot):
                firsts.setdefault(slot.key.fingerprint, slot)
        try:
            moved = await self._move(list(firsts.values()), now)
        except BaseException:
            for slot in late:
                self._slots.forget(slot)
            raise
        for slot in late:
            first = firsts.get(slot.key.fingerprint)
            in_tail = first is not None and slot.seq >= first.seq
            if in_tail and slot.key.fingerprint in moved:
                slot.unwanted = False
                self._slots.add(slot)
            elif self._slots.judge(slot, now) is not Verdict.LATE:
                self._slots.add(slot)
            else:
                self._slots.forget(slot)
                self._stats.wasted_grants += not slot.unwanted

    async def _move(self, firsts: list[HeldSlot], now: float) -> set[str]:
        """Move the tails that start with these slots; return the keys where it could be done."""
        moves = [self._plan(slot, now) for slot in firsts]
        done = await self._source.postpone(moves) if moves else []
        for slot, move, could in zip(firsts, moves, done, strict=True):
            if could:
                self._slots.move_tail(slot, move.shift_ms)
            else:
                self._slots.note_overtaken(slot)
                if not slot.unwanted:
                    self._source.slack.widen(now)
        return {move.key_id for move, could in zip(moves, done, strict=True) if could}

    def _plan(self, slot: HeldSlot, now: float) -> Move:
        """Shift as little as will do: what the tail makes good by itself need not be moved.

        The loop may be late again, a part of what it was; each further attempt allows for more.
        """
        late_ms = ceil((now - slot.go_at) * 1e3)
        busy_ms = 0 if slot.unwanted else late_ms
        slot.slack_ms = min(MAX_SLACK_MS, max(MIN_SLACK_MS, busy_ms // 4, 2 * slot.slack_ms))
        calls = self._slots.count_tail(slot)
        shift_ms = max(0, late_ms - self._slots.recovery_ms(calls)) + slot.slack_ms
        return Move(slot.key.fingerprint, slot.seq + calls - 1, calls, shift_ms)
