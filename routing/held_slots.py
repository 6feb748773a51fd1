"""The reserved slots that a process holds, and the rule for letting a call go on one.

No I/O; the clock is given. For each key, calls leave at least its spacing and a part of its margin apart,
whatever the loop does; the part is for what happens between leaving here and arriving. A slot that is
used later than it was reserved for is told to Redis first (`postpone`), unless the delay is within the
rest of the margin, or the next slot of the key is ours too: then that one moves along.
"""

import heapq
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from routing.provider_key import ProviderKey

_order = count()


#: Of the spacing's margin, what is kept between two calls of one process whatever the loop does.
JITTER_PART = 0.3


class Verdict(Enum):
    """Whether a call may leave on a slot at a moment."""

    GO = "go"
    EARLY = "early"
    LATE = "late"


@dataclass(slots=True)
class HeldSlot:
    """One reserved call: not before `due`, accounted for at `go_at` (both on the loop's clock)."""

    key: ProviderKey
    seq: int
    at_ms: int
    due: float
    go_at: float
    #: It came due while nobody waited: that it is late then says nothing about the loop.
    unwanted: bool = False
    #: What was allowed for when it was last moved.
    slack_ms: int = 0


@dataclass(slots=True)
class _Gate:
    last_release: float = float("-inf")
    newest_seq: int = 0
    #: From here to the newest every grant of the key came to this process.
    run_from: float = 1
    held: dict[int, HeldSlot] = field(default_factory=dict)


class HeldSlots:
    """Slots by moment. Margins in seconds, as the limiter adds them to spacing and windows."""

    def __init__(self, spacing_margin: float, window_margin: float) -> None:
        self._spacing_margin = spacing_margin
        # A part of each margin is left for the network's own jitter, and for what lies between leaving here and the wire.
        self._jitter = JITTER_PART * spacing_margin
        self._drift = window_margin / 2
        # What reserve.lua adds to the spacing within a holder's run is a little more than half of the margin.
        self._recovery = max(
            0.0, min(spacing_margin, spacing_margin // 2e-3 * 1e-3 + 1e-3) - self._jitter
        )
        self._heap: list[tuple[float, int, HeldSlot]] = []
        self._gates: dict[str, _Gate] = {}
        self._last_due = float("-inf")

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> float:
        """The moment of the first slot, infinity without one."""
        return self._heap[0][0] if self._heap else float("inf")

    @property
    def last_due(self) -> float:
        """The moment of the last slot (roughly: the latest that was held), -infinity without one."""
        return self._last_due if self._heap else float("-inf")

    def add(self, slot: HeldSlot) -> None:
        """Hold a slot, or take it back."""
        gate = self._gate(slot)
        if slot.seq <= gate.newest_seq and slot.seq not in gate.held:
            # Redis has lost its state and counts anew.
            gate.held.clear()
            gate.newest_seq, gate.run_from = slot.seq, slot.seq
        gate.held[slot.seq] = slot
        if slot.seq > gate.newest_seq:
            if slot.seq > gate.newest_seq + 1:
                gate.run_from = slot.seq
            gate.newest_seq = slot.seq
        self._last_due = max(self._last_due, slot.due) if self._heap else slot.due
        heapq.heappush(self._heap, (slot.due, next(_order), slot))

    def pop(self) -> HeldSlot:
        """Take the first slot out to use it; `judge`, `forget` or `add` follows."""
        return heapq.heappop(self._heap)[2]

    def judge(self, slot: HeldSlot, now: float) -> Verdict:
        """Tell whether a call may leave at `now`; where it is early, `due` says from when."""
        gate = self._gate(slot)
        earliest = max(slot.due, gate.last_release + self._gap(slot.key))
        if now < earliest:
            slot.due = earliest
            return Verdict.EARLY
        late = now - slot.go_at
        if late <= self.tolerance(slot.key):
            return Verdict.GO
        return Verdict.GO if late <= self._drift and slot.seq + 1 in gate.held else Verdict.LATE

    def let_go(self, slot: HeldSlot, now: float) -> None:
        """Note that a call leaves on the slot."""
        gate = self._gate(slot)
        gate.last_release = max(gate.last_release, now)
        gate.held.pop(slot.seq, None)

    def note_sent(self, key: ProviderKey, now: float) -> None:
        """Note that the key's latest call was really sent at `now`, later than it was let go."""
        if gate := self._gates.get(key.fingerprint):
            gate.last_release = max(gate.last_release, now)

    def forget(self, slot: HeldSlot) -> None:
        """Give a slot up."""
        self._gate(slot).held.pop(slot.seq, None)

    def count_tail(self, slot: HeldSlot) -> int:
        """Return how many grants the key has from this slot on, 0 unless all came to this process."""
        gate = self._gate(slot)
        return gate.newest_seq - slot.seq + 1 if slot.seq >= gate.run_from else 0

    def recovery_ms(self, calls: int) -> int:
        """Return the delay that so many calls in a row make good, at what each has beyond its distance."""
        return int(min(self._drift / 2, self._recovery * (calls - 1)) * 1e3)

    def move_tail(self, slot: HeldSlot, shift_ms: int) -> None:
        """Account for a slot and all later ones of its key that are held by so much later."""
        for seq, each in self._gate(slot).held.items():
            if seq >= slot.seq:
                each.at_ms += shift_ms
                each.go_at += shift_ms / 1e3

    def note_overtaken(self, slot: HeldSlot) -> None:
        """Note that another process holds a later slot of the key."""
        self._gate(slot).run_from = float("inf")

    def drop_key(self, fingerprint: str) -> int:
        """Give up a key's slots; return how many."""
        dropped = [slot for _, _, slot in self._heap if slot.key.fingerprint == fingerprint]
        if dropped:
            for slot in dropped:
                self.forget(slot)
            self._heap = [e for e in self._heap if e[2].key.fingerprint != fingerprint]
            heapq.heapify(self._heap)
            self._last_due = max((due for due, _, _ in self._heap), default=float("-inf"))
        return len(dropped)

    def mark_unwanted(self, now: float) -> None:
        """Note that nobody waits for the slots that are due by now."""
        for due, _, slot in self._heap:
            slot.unwanted = slot.unwanted or due <= now

    def tolerance(self, key: ProviderKey) -> float:
        """Return by how much a slot may be used after its moment without telling Redis: the rest of the margin."""
        if key.limits.is_unlimited:
            return float("inf")
        return self._spacing_margin - self._jitter if key.spacing_ms else self._drift

    def _gap(self, key: ProviderKey) -> float:
        return key.spacing_ms / 1e3 + self._jitter if key.spacing_ms else 0.0

    def _gate(self, slot: HeldSlot) -> _Gate:
        gate = self._gates.get(slot.key.fingerprint)
        if gate is None:
            gate = self._gates[slot.key.fingerprint] = _Gate()
        return gate
