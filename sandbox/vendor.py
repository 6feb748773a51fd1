"""What the simulated enrichment vendors share: judging a call as it arrives, its record, and misbehaving.

Limits are judged before the body is read, so neither a slow body nor a slow answer can hide a call.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from sandbox.limits import Meter
from sandbox.people import Fate, Question, decide
from sandbox.state import State

HUGE_BYTES: Final = 10 * 1024 * 1024
_JSON: Final = "application/json"
_MISHAPS: Final = {"error500": "error500", "throttled": "throttled", "hang": "timeout"}


class Visit:
    """One call, from its arrival to its record."""

    def __init__(self, state: State, provider: str, key: str) -> None:
        self._state, self._provider, self._key = state, provider, key
        self._wall_ms, self._mono_ms = time.time() * 1_000, time.monotonic() * 1_000
        meter = state.meters.get(key)
        self.meter = None if meter is None or meter.config.disabled else meter
        self.violation = self.meter.arrive(self._mono_ms, self._wall_ms) if self.meter else None
        self.subjects: tuple[str, ...] = ()

    @property
    def left(self) -> dict[int, int]:
        """How many calls each of the key's windows would still let in, by length in ms."""
        return self.meter.left(self._mono_ms) if self.meter else {}

    def judge(self, questions: Sequence[Question], *, is_valid: bool) -> "Case":
        """Return what becomes of the call and of its rows. A mishap of the mode is of the whole call."""
        self.subjects = tuple(question.subject for question in questions)
        if self.meter is None:
            return Case([], "bad_key")
        if self.violation is not None:
            return Case([], "throttled")
        if not is_valid:
            return Case([], "invalid")
        return self._decide(self.meter, questions)

    def _decide(self, meter: Meter, questions: Sequence[Question]) -> "Case":
        fates = []
        mode = self._state.mode
        for question in questions:
            # Two vendors that are asked about the same person are not a repetition.
            name = f"{self._provider}: {question.subject}"
            nth = self._state.record.asked.add(name)
            mishap = mode.mishap(name, nth)
            fates.append(
                Fate(_MISHAPS[mishap]) if mishap else decide(question, nth, self._provider)
            )
        trouble = next((fate.kind for fate in fates if not fate.is_row), "")
        if not trouble and meter.is_spent:
            trouble = "spent"
        wait = max((fate.slow_ms for fate in fates), default=0.0) / 1_000
        return Case(fates, trouble, wait + mode.latency_seconds(" ".join(self.subjects)))

    def note(self, status: int, code: str = "", *, charged: Sequence[Question] = ()) -> None:
        """Put the call on record, before any wait: a caller that goes away has made the call all the same."""
        if self.meter is not None:
            self.meter.charged += len(charged)
        self._state.record.add(
            wall_ms=self._wall_ms,
            mono_ms=self._mono_ms,
            provider=self._provider,
            key=self._key,
            email=", ".join(self.subjects),
            status=status,
            code=code,
            violation=self.violation.reason if self.violation else "",
            early_ms=round(self.violation.early_ms, 3) if self.violation else 0.0,
            charged=tuple(f"{self._provider}: {question.subject}" for question in charged),
        )

    async def misbehave(self, request: web.BaseRequest, kind: str) -> web.StreamResponse:
        """Record and do one of error500, garbage, truncated, huge, timeout, close."""
        statuses = {"error500": 500, "timeout": 0, "close": 0}
        self.note(statuses.get(kind, 200), kind)
        if kind == "error500":
            return web.Response(status=500, text="Internal Server Error")
        if kind == "garbage":
            return web.Response(text='{"data": {"email', content_type=_JSON)
        if kind == "huge":
            return web.Response(body=b'"' + b"x" * HUGE_BYTES + b'"', content_type=_JSON)
        if kind == "truncated":
            return await _break_off(request)
        if kind == "timeout":
            await asyncio.sleep(self._state.mode.hang_seconds)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)


@dataclass(frozen=True, slots=True)
class Case:
    """What becomes of a call: the fate of each row, the trouble of the whole ("" for none), the wait.

    Trouble is bad_key, invalid, or a word of `people.py`.
    """

    fates: list[Fate]
    trouble: str
    wait_seconds: float = 0.0


def answer_json(
    fields: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Make an answer of JSON."""
    body = json.dumps(fields).encode()
    return web.Response(body=body, status=status, content_type=_JSON, headers=headers)


async def _break_off(request: web.BaseRequest) -> web.StreamResponse:
    """Promise a long body and end in the middle of it."""
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    response.content_length = 1_000
    await response.prepare(request)
    await response.write(b'{"data": {"email": "')
    if request.transport is not None:
        request.transport.close()
    return response
