"""The tasks of one chunk: each takes an item, waits for a key's turn and calls.

How many wait at once follows how long they wait. A pool reserves for those who wait, about a second ahead, so as many
should wait as get their turn in a second or two: fewer make for small reservations, more only for work at the beginning
and the end of the chunk, when all of them start or let go in one moment and others' calls leave late.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

#: How many wait for a turn at first, and at least.
FIRST, FEWEST = 8, 4
#: Seconds of waiting below which one more should wait, and above which one less.
SHORT, LONG = 1.0, 2.0


class Crew:
    """Up to `limit` tasks that run `work()`, which goes on until nothing is left or the crew `is_too_large`."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], limit: int) -> None:
        self._work = work
        self._limit = limit
        self._target = min(FIRST, limit)
        self._members: set[asyncio.Task[None]] = set()
        self._calling = 0
        self._ended = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def is_too_large(self) -> bool:
        """Whether one who has finished a call should not wait for another turn."""
        return len(self._members) - self._calling > self._target

    async def run(self, items: int) -> None:
        """Work on so many items; return when all have ended, or when dismissed. Raises what one of them raised."""
        self._recruit(items)
        try:
            await self._ended.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._ended.set()
            left = list(self._members)
            for member in left:
                member.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def dismiss(self) -> None:
        """Let `run` end without waiting for those who are calling."""
        self._ended.set()

    def begin_call(self, waited: float, items: int) -> None:
        """Note that a member calls, after `waited` seconds; others take its place in the line for the items left.

        `end_call` must follow.
        """
        self._calling += 1
        self.fit(waited, items)

    def end_call(self) -> None:
        """Note that a member has called."""
        self._calling -= 1

    def fit(self, waited: float, items: int) -> None:
        """Take in that an item needed no turn, or got it after `waited` seconds; `items` are left."""
        if waited < SHORT:
            self._target = min(self._target + 1, self._limit)
        elif waited > LONG:
            self._target = max(self._target - 1, min(FEWEST, self._limit))
        self._recruit(items)

    def _recruit(self, items: int) -> None:
        if len(self._members) >= self._limit:
            return
        idle = len(self._members) - self._calling
        n = min(self._target - idle, self._limit - len(self._members), items)
        for _ in range(0 if self._ended.is_set() else n):
            member = asyncio.create_task(self._work())
            self._members.add(member)
            member.add_done_callback(self._leave)

    def _leave(self, member: asyncio.Task[None]) -> None:
        self._members.discard(member)
        if not member.cancelled() and (error := member.exception()):
            self._error = self._error or error
            self._ended.set()
        if not self._members:
            self._ended.set()
