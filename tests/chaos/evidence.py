"""What the provider saw, as evidence: which addresses were paid for twice, and how many might have been.

The sandbox is a process of its own that no fault touches, and it records each call at arrival. A fault may repeat the
calls that were under way when it struck and those whose outcomes were not yet recorded: at most a second's. All of them
arrived within a known time before the fault, so the bound is counted in the same record. A process that was frozen
while it sent a call sends it when it is woken: that call was under way as well, but arrives after the waking.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.process import RunningSandbox

#: FLUSH_SECONDS of the workers, and what a flush may take on a busy machine until it is committed.
FLUSH_SECONDS = 1.0
COMMIT_SECONDS = 0.7
#: A call that was sent when the fault struck is on record a moment later: the provider is on the same busy machine.
ARRIVAL_SECONDS = 0.3
#: What a woken process takes to send the calls that it was about to send.
SEND_SECONDS = 0.5
#: The only window of the keys.
WINDOW_SECONDS = 1.0


@dataclass
class Fault:
    """When a fault struck and when it was over, in Unix seconds, and how long before and after it a call is excused."""

    name: str
    began: float
    before_seconds: float
    after_seconds: float
    ended: float = 0.0

    def excuses(self, call: dict[str, Any]) -> bool:
        """Tell whether a call arrived so near that the fault may have cut it off."""
        start, end = self.began - self.before_seconds, self.ended + self.after_seconds
        return start <= float(call["wall_ms"]) / 1e3 <= end


@dataclass
class Faults:
    """The faults of one test, in order. `latency_seconds` is the provider's longest."""

    latency_seconds: float
    items: list[Fault] = field(default_factory=list)

    @contextmanager
    def strike(self, name: str) -> Iterator[Fault]:
        """Note the moments around a fault."""
        reach = self.latency_seconds + FLUSH_SECONDS + COMMIT_SECONDS
        with self._note(Fault(name, time.time(), reach, ARRIVAL_SECONDS)) as fault:
            yield fault

    @contextmanager
    def wake(self) -> Iterator[Fault]:
        """Note the moment at which frozen processes go on."""
        with self._note(Fault("SIGCONT", time.time(), 0.0, SEND_SECONDS)) as fault:
            yield fault

    def excuse(self, call: dict[str, Any]) -> bool:
        """Tell whether any of the faults may have cut a call off."""
        return any(fault.excuses(call) for fault in self.items)

    @property
    def over_at(self) -> float:
        """When the last fault was over, the waking aside; 0 without any."""
        return max((fault.ended for fault in self.items if fault.before_seconds), default=0.0)

    def timeline(
        self, calls: Sequence[dict[str, Any]], addresses: Sequence[str] | None = None
    ) -> list[tuple[float, str]]:
        """Put faults and calls in order, in seconds since the first fault: for the message of a failed test."""
        zero = self.items[0].began if self.items else time.time()
        events = [(fault.began, fault.name) for fault in self.items]
        events += [
            (call["wall_ms"] / 1e3, f"{call['email']} {call['status']} {call['violation']}")
            for call in calls
            if addresses is None or call["email"] in addresses
        ]
        return [(round(at - zero, 3), what) for at, what in sorted(events)]

    @contextmanager
    def _note(self, fault: Fault) -> Iterator[Fault]:
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
    #: Addresses called more often than the faults near their calls explain.
    unexcused: list[str]


def paid_calls(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Return every call that was answered with a verdict."""
    return [call for call in sandbox.calls() if call["status"] == 200 and call["code"] != "--"]


def count_repeats(calls: Sequence[dict[str, Any]], faults: Faults) -> Repeats:
    """Compare repeated calls with those that the faults may have cut off."""
    by_address: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        by_address[call["email"]].append(call)
    unexcused = [
        email
        for email, made in by_address.items()
        # All calls but one must have been cut off, or have lost their outcome.
        if sum(map(faults.excuse, made)) < len(made) - 1
    ]
    extra = len(calls) - len(by_address)
    return Repeats(extra, sum(map(faults.excuse, calls)), unexcused)


def violations(sandbox: RunningSandbox, faults: Faults) -> list[dict[str, Any]]:
    """Return the calls that broke a limit.

    Those aside that left a process late because it was frozen, and those that found their window full of these.
    """
    woken = [
        replace(f, after_seconds=SEND_SECONDS + WINDOW_SECONDS)
        for f in faults.items
        if not f.before_seconds
    ]
    late = Faults(0.0, woken)
    return [call for call in sandbox.calls() if call["violation"] and not late.excuse(call)]
