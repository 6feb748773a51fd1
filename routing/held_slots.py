"""The reserved slots that a process holds, and the rule for letting a call go on one.

No I/O; the clock is given. For each key, calls leave at least its spacing apart, whatever the loop
does. A slot that is used later than it was reserved for is told to Redis first (`postpone`), unless
the delay is within the margin, or the next slot of the key is ours too: then that one moves along.
"""

import heapq
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from routing.provider_key import ProviderKey

_order = count()


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
    held: set[int] = field(default_factory=set)


class HeldSlots:
    """Slots by moment. Margins in seconds, as the limiter adds them to spacing and windows."""

    def __init__(self, spacing_margin: float, window_margin: float) -> None:
        self._spacing_margin = spacing_margin
        # Half of the margin is left for the network's own jitter.
        self._drift = window_margin / 2
        self._heap: list[tuple[float, int, HeldSlot]] = []
        self._gates: dict[str, _Gate] = {}

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> float:
        """The moment of the first slot, infinity without one."""
        return self._heap[0][0] if self._heap else float("inf")

    def add(self, slot: HeldSlot) -> None:
        """Hold a slot, or take it back."""
        gate = self._gate(slot)
        gate.held.add(slot.seq)
        gate.newest_seq = max(gate.newest_seq, slot.seq)
        heapq.heappush(self._heap, (slot.due, next(_order), slot))

    def pop(self) -> HeldSlot:
        """Take the first slot out to use it; `judge`, `forget` or `add` follows."""
        return heapq.heappop(self._heap)[2]

    def judge(self, slot: HeldSlot, now: float) -> Verdict:
        """Tell whether a call may leave at `now`; where it is early, `due` says from when."""
        gate = self._gate(slot)
        earliest = max(slot.due, gate.last_release + slot.key.spacing_ms / 1e3)
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
        gate.held.discard(slot.seq)

    def forget(self, slot: HeldSlot) -> None:
        """Give a slot up."""
        self._gate(slot).held.discard(slot.seq)

    def is_newest(self, slot: HeldSlot) -> bool:
        """Tell whether no later slot of the key is known here."""
        return slot.seq >= self._gate(slot).newest_seq

    def drop_key(self, fingerprint: str) -> int:
        """Give up a key's slots; return how many."""
        dropped = [slot for _, _, slot in self._heap if slot.key.fingerprint == fingerprint]
        if dropped:
            for slot in dropped:
                self.forget(slot)
            self._heap = [e for e in self._heap if e[2].key.fingerprint != fingerprint]
            heapq.heapify(self._heap)
        return len(dropped)

    def mark_unwanted(self, now: float) -> None:
        """Note that nobody waits for the slots that are due by now."""
        for due, _, slot in self._heap:
            slot.unwanted = slot.unwanted or due <= now

    def tolerance(self, key: ProviderKey) -> float:
        """Return by how much a slot may be used after its moment without telling Redis."""
        if key.limits.is_unlimited:
            return float("inf")
        return self._spacing_margin if key.spacing_ms else self._drift

    def _gate(self, slot: HeldSlot) -> _Gate:
        return self._gates.setdefault(slot.key.fingerprint, _Gate())
