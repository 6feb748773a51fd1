"""The record of every call that arrived: what the tests judge the product by.

Counters are exact for ever; whole records are kept for the last N calls only, so memory is bounded.
Counting by address is exact up to a bound too, and can be switched off. A file, if asked for, gets every
record as a line of JSON, at most about a fifth of a second late.
"""

import json
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

#: Addresses listed by name in a summary.
LISTED: Final = 1_000


class Call(NamedTuple):
    """One call. Times are milliseconds at arrival; `status` 0 stands for "never answered"."""

    seq: int
    wall_ms: float
    mono_ms: float
    provider: str
    key: str
    email: str
    status: int
    code: str
    message: str
    #: The limit that was broken, or "".
    violation: str
    early_ms: float


class AddressCounts:
    """How often each address was asked about. Stops learning new ones at `bound`, and says so."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._counts: dict[str, int] = {}
        self._repeated: set[str] = set()
        self.extra = 0
        self.is_complete = True

    def add(self, email: str) -> int:
        """Count one and return the count; 0 for an address beyond the bound."""
        count = self._counts.get(email, 0) + 1
        if count == 1 and len(self._counts) >= self._bound:
            self.is_complete = False
            return 0
        self._counts[email] = count
        if count > 1:
            self.extra += 1
            self._repeated.add(email)
        return count

    def summary(self) -> dict[str, Any]:
        """Return the totals, and the first repeated addresses by name."""
        names = sorted(self._repeated)[:LISTED]
        return {
            "addresses": len(self._counts),
            "repeated": len(self._repeated),
            "extra_calls": self.extra,
            "is_complete": self.is_complete,
            "repeated_addresses": {name: self._counts[name] for name in names},
        }


class Record:
    """Everything that arrived. `keep` is the number of whole records, `bound` that of addresses."""

    def __init__(self, *, keep: int, bound: int, path: Path | None = None) -> None:
        self._keep, self._bound = keep, bound
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None
        self.clear()

    def clear(self) -> None:
        """Forget everything but the file."""
        self._seq = 0
        self._calls: deque[Call] = deque(maxlen=self._keep)
        self._per_key: dict[str, Counter[str]] = {}
        self._totals: Counter[str] = Counter()
        self._worst_early_ms: dict[str, float] = {}
        #: Calls that the limits let in, and those answered with a verdict (what a vendor charges for).
        self.asked = AddressCounts(self._bound)
        self.charged = AddressCounts(self._bound)

    def add(
        self,
        *,
        wall_ms: float,
        mono_ms: float,
        provider: str,
        key: str,
        email: str,
        status: int,
        code: str = "",
        message: str = "",
        violation: str = "",
        early_ms: float = 0.0,
        is_charged: bool = False,
        charged: tuple[str, ...] = (),
    ) -> None:
        """Record one call. `charged` names what was charged of a call about several, else it is `email`."""
        self._seq += 1
        paid = (email,) if is_charged else charged
        call = Call(
            self._seq,
            wall_ms,
            mono_ms,
            provider,
            key,
            email,
            status,
            code,
            message,
            violation,
            early_ms,
        )
        self._calls.append(call)
        per_key = self._per_key.get(key)
        if per_key is None:
            per_key = self._per_key[key] = Counter()
        for counter in (per_key, self._totals):
            counter["calls"] += 1
            counter[f"status_{status}"] += 1
            if paid:
                counter["charged"] += len(paid)
            if violation:
                counter["violations"] += 1
                counter[f"violation: {violation}"] += 1
        if violation:
            self._worst_early_ms[key] = max(self._worst_early_ms.get(key, 0.0), early_ms)
        for name in paid:
            self.charged.add(name)
        if self._file is not None:
            self._file.write(json.dumps(call._asdict()) + "\n")

    @property
    def count(self) -> int:
        """The number of calls so far."""
        return self._seq

    def page(self, since: int, limit: int) -> dict[str, Any]:
        """Return up to `limit` calls with `seq` above `since`; `lost` had already been let go."""
        first = self._seq - len(self._calls) + 1
        start = max(since + 1, first)
        offset = start - first
        end = min(offset + limit, len(self._calls))
        calls = [self._calls[index]._asdict() for index in range(offset, end)]
        return {
            "calls": calls,
            "next_since": calls[-1]["seq"] if calls else max(since, start - 1),
            "lost": start - since - 1,
        }

    def summary(self) -> dict[str, Any]:
        """Return totals, totals by key, and repeated addresses."""
        return {
            "calls": self._seq,
            "violations": self._totals["violations"],
            "charged": self._totals["charged"],
            "totals": dict(self._totals),
            "keys": {
                key: {**counter, "worst_early_ms": round(self._worst_early_ms.get(key, 0.0), 3)}
                for key, counter in self._per_key.items()
            },
            "asked": self.asked.summary(),
            "charged_addresses": self.charged.summary(),
        }

    def flush(self) -> None:
        """Write what waits for the file."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
