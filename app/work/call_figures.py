"""How calls to providers went, by client and provider, counted in the process until they are added to the database's minute."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, text

#: Places of a histogram; one of n (from 1) holds times from 2^((n-1)/4) to 2^(n/4) ms, as the database has them.
PLACES = 128
_ADD = text("SELECT add_call_figures(CAST(:rows AS jsonb))")


def place_of(ms: float) -> int:
    """Return the place (from 1) of a time."""
    return 1 + min(PLACES - 1, math.floor(4 * math.log2(max(1.0, ms))))


@dataclass
class Figures:
    """Calls of one client to one provider."""

    calls: int = 0
    errors: int = 0
    took: Counter[int] = field(default_factory=Counter)

    def add(self, other: "Figures") -> None:
        """Add what was counted elsewhere."""
        self.calls += other.calls
        self.errors += other.errors
        self.took.update(other.took)


class CallFigures:
    """The figures of a process between two writes; used on its loop only."""

    def __init__(self) -> None:
        self._kept: dict[tuple[UUID, str], Figures] = {}

    def add(self, tenant_id: UUID, provider: str, ms: float, *, is_error: bool) -> None:
        """Count one call that took so long."""
        name = (tenant_id, provider)
        figures = self._kept.get(name)
        if figures is None:
            figures = self._kept[name] = Figures()
        figures.calls += 1
        figures.errors += is_error
        figures.took[place_of(ms)] += 1

    def take(self) -> dict[tuple[UUID, str], Figures]:
        """Return the figures since the last time and start anew."""
        taken, self._kept = self._kept, {}
        return taken

    def give_back(self, figures: Mapping[tuple[UUID, str], Figures]) -> None:
        """Put back what could not be written."""
        for name, told in figures.items():
            self._kept.setdefault(name, Figures()).add(told)


def write_figures(connection: Connection, figures: Mapping[tuple[UUID, str], Figures]) -> None:
    """Add figures to the minute that is running."""
    rows = [
        {
            "tenant_id": str(tenant_id),
            "provider": provider,
            "calls": told.calls,
            "errors": told.errors,
            "took": told.took,
        }
        for (tenant_id, provider), told in figures.items()
    ]
    connection.execute(_ADD, {"rows": json.dumps(rows)})
