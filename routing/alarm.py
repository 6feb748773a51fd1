"""An alarm on an asyncio loop that is right to a fraction of a millisecond where that costs little.

A loop that sleeps wakes up to a millisecond late, because its selector counts in whole ones, and later on a busy machine.
The alarm wakes it a little early and lets it go round until the moment has come. That takes the processor, so it is
done for one moment in a while only, and not at all where the process's alarms ring in quick succession: such a loop is
awake anyway, and what one call is late by the key's next ones make good.
"""

import asyncio
from collections.abc import Callable

#: How early the loop is woken.
VIGIL_SECONDS = 0.002
#: Vigils of all alarms of the process begin at least this far apart: five hundredths of a processor at most.
VIGIL_EVERY_SECONDS = 0.04
#: Where alarms ring closer together than this on average, none keeps a vigil: a process of many lanes spent a twentieth
#: of a processor on them.
QUIET_SECONDS = 0.01


class Alarm:
    """Calls `ring` at the moment that was set last. To be used on one loop."""

    _last_vigil = float("-inf")
    _last_ring = float("-inf")
    #: Between the latest rings of all alarms of the process.
    _mean_gap = 1.0

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        self.when = float("inf")

    def set(self, when: float) -> None:
        """Ring at `when`, on the loop's clock, instead of any other moment."""
        if self._handle is not None:
            if when == self.when:
                return
            self._handle.cancel()
        loop = asyncio.get_running_loop()
        self.when = when
        now = loop.time()
        if (
            Alarm._mean_gap >= QUIET_SECONDS
            and when - now > VIGIL_SECONDS / 4
            and now - Alarm._last_vigil >= VIGIL_EVERY_SECONDS
        ):
            self._handle = loop.call_at(when - VIGIL_SECONDS, self._keep_vigil)
        else:
            self._handle = loop.call_at(when, self._fire)

    def cancel(self) -> None:
        """Don't ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.when = float("inf")

    def _keep_vigil(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self.when:
            self._fire()
            return
        Alarm._last_vigil = now
        self._handle = loop.call_soon(self._keep_vigil)

    def _fire(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < Alarm._last_ring:
            # Another loop with another clock, as after a simulation: nothing is known of this one's alarms yet.
            Alarm._last_vigil = Alarm._last_ring = float("-inf")
            Alarm._mean_gap = 1.0
        Alarm._mean_gap += (min(1.0, now - Alarm._last_ring) - Alarm._mean_gap) / 16
        Alarm._last_ring = now
        self._handle = None
        self.when = float("inf")
        self._ring()
