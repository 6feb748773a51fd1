"""The remote control of demo and tests. No provider has these routes; the product never calls them.

GET  /sandbox/health                     {"status": "healthy", "keys": n, "calls": n}
POST /sandbox/keys     one key or a list of {"key", "spacing_ms", "windows", "daily_limit", "disabled", "quota"};
                       {"key": "…"} alone is unlimited. A key that was never put is answered `--`
GET  /sandbox/keys     the keys as they are
POST /sandbox/mode     {"latency_ms": [low, high], "error_rate", "throttle_rate", "hang_rate",
                       "hang_seconds", "token_seconds", "seed"}; what is left out is at its default
GET  /sandbox/calls    ?since=<seq>&limit=<n>: {"calls": […], "next_since": seq, "lost": n}, oldest first
GET  /sandbox/summary  totals, totals by key, repeated addresses; later calls that were sent, failed or refused
POST /sandbox/reset    forget calls, counts, tokens and mode; the keys stay
"""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from sandbox.limits import KeyConfig
from sandbox.mailtester import parse_query
from sandbox.mode import Mode
from sandbox.state import Answering, State

PAGE_LIMIT = 10_000
#: What parsing raises when the JSON has another shape.
BAD_JSON = (ValueError, KeyError, TypeError, AttributeError)


class Control:
    """The `/sandbox/…` routes over one state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes: dict[str, Answering] = {
            "/sandbox/health": self.health,
            "/sandbox/keys": self.keys,
            "/sandbox/mode": self.mode,
            "/sandbox/calls": self.calls,
            "/sandbox/summary": self.summary,
            "/sandbox/reset": self.reset,
        }

    async def health(self, _request: web.BaseRequest, _query: str) -> web.StreamResponse:
        return web.json_response(
            {
                "status": "healthy",
                "keys": len(self._state.meters),
                "calls": self._state.record.count,
            }
        )

    async def keys(self, request: web.BaseRequest, _query: str) -> web.StreamResponse:
        if request.method == "POST":
            body = await _read_json(request)
            try:
                put_keys(self._state, body)
            except BAD_JSON as error:
                return _refusal(error)
        return web.json_response(
            [{**asdict(m.config), "used_today": m.used_today} for m in self._state.meters.values()]
        )

    async def mode(self, request: web.BaseRequest, _query: str) -> web.StreamResponse:
        if request.method == "POST":
            try:
                self._state.mode = Mode.parse(await _read_json(request))
            except BAD_JSON as error:
                return _refusal(error)
        return web.json_response(asdict(self._state.mode))

    async def calls(self, _request: web.BaseRequest, query: str) -> web.StreamResponse:
        fields = parse_query(query)
        try:
            since, limit = int(fields.get("since") or 0), int(fields.get("limit") or 1_000)
        except ValueError as error:
            return _refusal(error)
        return web.json_response(
            self._state.record.page(max(0, since), min(max(1, limit), PAGE_LIMIT))
        )

    async def summary(self, _request: web.BaseRequest, _query: str) -> web.StreamResponse:
        return web.json_response(
            {**self._state.record.summary(), "callbacks": dict(self._state.callbacks.counts)}
        )

    async def reset(self, request: web.BaseRequest, _query: str) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405)
        self._state.reset()
        return web.json_response({"status": "reset"})


def put_keys(state: State, body: Any) -> None:
    """Put one key or a list of keys; all or none. Raises one of `BAD_JSON`."""
    configs = [KeyConfig.parse(fields) for fields in (body if isinstance(body, list) else [body])]
    for config in configs:
        state.put_key(config)


async def _read_json(request: web.BaseRequest) -> Any:
    text = await request.text()
    try:
        return json.loads(text or "{}")
    except ValueError:
        return None  # refused by whoever parses it


def _refusal(error: Exception) -> web.Response:
    return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=422)
