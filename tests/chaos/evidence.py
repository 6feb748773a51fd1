"""What the provider saw, as evidence: which addresses were paid for twice, and how many might have been.

The sandbox is a process of its own that no fault touches, and it records each call at arrival. A fault may repeat the
calls that were under way when it struck and those whose outcomes were not yet recorded: at most a second's. All of them
arrived within `reach` seconds before the fault, so the bound is counted in the same record.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.process import RunningSandbox

#: FLUSH_SECONDS of the workers, and what a flush may take on a busy machine until it is committed.
FLUSH_SECONDS = 1.0
COMMIT_SECONDS = 0.7


@dataclass
class Fault:
    """When a fault struck and when it was over, in Unix seconds."""

    name: str
    began: float
    ended: float = 0.0


@dataclass
class Faults:
    """The faults of one test, in order."""

    items: list[Fault] = field(default_factory=list)

    @contextmanager
    def strike(self, name: str) -> Iterator[Fault]:
        """Note the moments around a fault."""
        fault = Fault(name, time.time())
        self.items.append(fault)
        try:
            yield fault
        finally:
            fault.ended = time.time()


@dataclass(frozen=True)
class Repeats:
    """Paid calls beyond the first of an address, and how many of them the faults excuse."""

    extra: int
    allowed: int
    #: Addresses called again although their first call was not near any fault.
    unexcused: list[str]


def paid_calls(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Return every call that was answered with a verdict."""
    return [call for call in sandbox.calls() if call["status"] == 200 and call["code"] != "--"]


def count_repeats(
    calls: Sequence[dict[str, Any]], faults: Sequence[Fault], *, latency_seconds: float
) -> Repeats:
    """Compare repeated calls with those in flight or unrecorded when the faults struck."""
    reach = latency_seconds + FLUSH_SECONDS + COMMIT_SECONDS
    windows = [((f.began - reach) * 1e3, f.ended * 1e3) for f in faults]

    def is_near_fault(call: dict[str, Any]) -> bool:
        return any(start <= call["wall_ms"] <= end for start, end in windows)

    by_address: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        by_address[call["email"]].append(call)
    extra = sum(count - 1 for count in Counter(c["email"] for c in calls).values())
    unexcused = [
        email
        for email, made in by_address.items()
        # Each call but the last must have been cut off, or lost its outcome, by a fault.
        if not all(is_near_fault(call) for call in made[:-1])
    ]
    return Repeats(extra, sum(map(is_near_fault, calls)), unexcused)
