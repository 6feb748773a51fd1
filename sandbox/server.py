"""The HTTP server under the simulated providers, kept as bare as aiohttp allows.

It uses the low-level server: no router, no middlewares, no access log. It is also the counterpart of the
benchmarks, where every microsecond spent here is taken from what is being measured.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from sandbox.apollo import Apollo
from sandbox.clearbit import Clearbit
from sandbox.control import Control, put_keys
from sandbox.hunter import Hunter
from sandbox.hunter_verifier import HunterVerifier
from sandbox.mailtester import MailTester
from sandbox.mode import Mode
from sandbox.record import Record
from sandbox.state import Answering, State

FLUSH_SECONDS = 0.2


class Vendor(Protocol):
    """A simulated vendor: its paths and who answers them."""

    routes: dict[str, Answering]


#: A new provider is a file like mailtester.py or hunter.py and its class here.
VENDORS: list[Callable[[State], Vendor]] = [
    MailTester,
    Apollo,
    Hunter,
    HunterVerifier,
    Clearbit,
]


class Sandbox:
    """All simulated providers on one port."""

    def __init__(self, record: Record) -> None:
        self.state = State(record)
        self._routes: dict[str, Answering] = {}
        for vendor in (*VENDORS, Control):
            self._routes |= vendor(self.state).routes
        self._runner: web.ServerRunner | None = None
        self._flushing: asyncio.Task[None] | None = None

    def load(self, path: Path) -> None:
        """Take `{"keys": […], "mode": {…}}` from a file. Raises `OSError` or one of `BAD_JSON`."""
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        put_keys(self.state, config.get("keys", []))
        self.state.mode = Mode.parse(config.get("mode", {}))

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port, a free one for 0. Raises `OSError` when it is taken."""
        # A caller that hangs up ends its handler; the call is on record by then.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1_024).start()
        self._flushing = asyncio.create_task(self._flush())
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and write what waits for the file."""
        if self._flushing is not None:
            self._flushing.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.state.callbacks.close()
        self.state.record.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        route = self._routes.get(path)
        if route is None:
            return web.Response(status=404, text="Not Found")
        return await route(request, query)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.state.record.flush()
