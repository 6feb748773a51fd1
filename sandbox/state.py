"""What all simulated providers share: the keys with their meters, the mode, the record, later calls."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.callbacks import Callbacks
from sandbox.limits import KeyConfig, Meter
from sandbox.mode import Mode
from sandbox.record import Record

#: Who answers a path: takes the request and the raw query.
Answering = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]


class State:
    """Everything that the control routes can see and change."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.mode = Mode()
        self.callbacks = Callbacks()
        self.meters: dict[str, Meter] = {}
        self._resets: list[Callable[[], None]] = []

    def on_reset(self, forget: Callable[[], None]) -> None:
        """Have `forget` called by every reset."""
        self._resets.append(forget)

    def put_key(self, config: KeyConfig) -> None:
        """Add a key or change its limits; one that stays the same keeps what it has counted."""
        meter = self.meters.get(config.key)
        if meter is None or meter.config != config:
            self.meters[config.key] = Meter(config)

    def reset(self) -> None:
        """Forget all calls, counts and tokens and go back to the default mode; the keys stay."""
        self.record.clear()
        self.callbacks.counts.clear()
        self.mode = Mode()
        self.meters = {key: Meter(meter.config) for key, meter in self.meters.items()}
        for forget in self._resets:
            forget()
