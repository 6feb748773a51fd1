"""MailTester Ninja, simulated: `GET /ninja?email=&key=`, `GET /ninja?email=&token=`, `GET /token?key=`.

Shapes as the vendor documents them: 200 with nine fields; a wrong or disabled key is `--` with HTTP 200; too
fast is 429 with "retry in N s" in the message; a wrong token is 401 in plain text. Limits are judged
on `/ninja` at arrival, before anything else happens, so neither latency nor hanging can hide a call.
"""

import asyncio
import base64
import itertools
import json
import math
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from aiohttp import web

from sandbox.outcomes import ERROR_500, PROVIDER, THROTTLED, Outcome, decide
from sandbox.state import Answering, State

_JSON: Final = "application/json"
_MISHAPS: Final = {"error500": ERROR_500, "throttled": THROTTLED, "hang": Outcome("hang")}
_STATUS: Final = {"answer": 200, "garbage": 200, "error500": 500, "throttled": 429}


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a call came in and what it asked."""

    wall_ms: float
    mono_ms: float
    key: str
    email: str


class MailTester:
    """The simulated vendor. All state that outlives a call is in `state` and in the tokens."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tokens: dict[str, tuple[str, float]] = {}
        self._serial = itertools.count(1)
        state.on_reset(self._tokens.clear)
        self.routes: dict[str, Answering] = {"/ninja": self.ninja, "/token": self.token}

    async def ninja(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Answer one verification."""
        wall_ms, mono_ms = time.time() * 1_000, time.monotonic() * 1_000
        fields = parse_query(query)
        email, key = fields.get("email", ""), fields.get("key", "")
        if "token" in fields:
            key = self._key_of(fields["token"], mono_ms)
            if not key:
                return web.Response(status=401, text="Unauthorized")
        call = Arrival(wall_ms, mono_ms, key, email)
        meter = self._state.meters.get(key)
        if meter is None or meter.config.disabled:
            self._note(call, 200, "--", "Invalid key")
            return _json(_body(email, "--", "Invalid key"))
        violation = meter.arrive(mono_ms, wall_ms)
        if violation is not None:
            self._note(call, 429, violation=violation.reason, early_ms=round(violation.early_ms, 3))
            return _throttled(violation.early_ms)
        return await self._answer(request, call)

    async def token(self, _request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Hand out a token, good for `token_seconds` of the mode."""
        key = parse_query(query).get("key", "")
        meter = self._state.meters.get(key)
        if meter is None or meter.config.disabled:
            return web.Response(status=401, text="Unauthorized")
        token = _make_token(next(self._serial))
        self._tokens[token] = (key, time.monotonic() * 1_000)
        return _json(json.dumps({"token": token}))

    def _key_of(self, token: str, now_ms: float) -> str:
        key, issued_ms = self._tokens.get(token, ("", 0.0))
        return key if now_ms - issued_ms < self._state.mode.token_seconds * 1_000 else ""

    async def _answer(self, request: web.BaseRequest, call: Arrival) -> web.StreamResponse:
        mode = self._state.mode
        nth = self._state.record.asked.add(call.email)
        mishap = mode.mishap(call.email, nth)
        outcome = _MISHAPS[mishap] if mishap else decide(call.email, nth)
        status = _STATUS.get(outcome.kind, 0)
        # Recorded before the wait: a caller that goes away has made the call all the same.
        self._note(call, status, outcome.code, outcome.message, is_charged=outcome.is_verdict)
        wait = mode.latency_seconds(call.email) + outcome.slow_ms / 1_000
        if wait > 0:
            await asyncio.sleep(wait)
        if outcome.kind == "answer":
            return _json(_body(call.email, outcome.code, outcome.message))
        if outcome.kind == "error500":
            return web.Response(status=500, text="Internal Server Error")
        if outcome.kind == "throttled":
            return _throttled(1_000)
        if outcome.kind == "garbage":
            return _json('{"email": "' + call.email[:3])
        if outcome.kind == "hang":
            await asyncio.sleep(mode.hang_seconds)
        return _drop(request)

    def _note(
        self,
        call: Arrival,
        status: int,
        code: str = "",
        message: str = "",
        *,
        violation: str = "",
        early_ms: float = 0.0,
        is_charged: bool = False,
    ) -> None:
        self._state.record.add(
            wall_ms=call.wall_ms,
            mono_ms=call.mono_ms,
            provider=PROVIDER,
            key=call.key,
            email=call.email,
            status=status,
            code=code,
            message=message,
            violation=violation,
            early_ms=early_ms,
            is_charged=is_charged,
        )


def parse_query(query: str) -> dict[str, str]:
    """Split a query string; of a repeated name the last counts. Several times quicker than the library's."""
    fields = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        fields[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return fields


def _body(email: str, code: str, message: str) -> str:
    user, _, domain = email.rpartition("@")
    mx = "" if message in {"No MX", "Invalid key"} else f"mx1.{domain}"
    return json.dumps(
        {
            "email": email,
            "user": user,
            "domain": domain,
            "mx": mx,
            "code": code,
            "message": message,
            "connections": 1,
            "limit": 0,
            "rate": 0,
        }
    )


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(body=text.encode(), status=status, content_type=_JSON)


def _throttled(wait_ms: float) -> web.Response:
    seconds = max(1, math.ceil(wait_ms / 1_000))
    return _json(json.dumps({"message": f"Too many requests, retry in {seconds} s"}), status=429)


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _make_token(serial: int) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": "sandbox", "jti": serial})
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, "sandbox"])
