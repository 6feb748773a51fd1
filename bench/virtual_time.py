"""An asyncio loop whose clock goes on only when there is nothing to do: minutes pass in seconds, and as exactly on any machine.

While a server or a thread owes an answer the clock stands still, so what is real (Redis, its scripts) takes no time of its own;
what should take some is said by whoever simulates it, with `asyncio.sleep` (others go on meanwhile) or `spend` (the loop
is busy, and what falls due meanwhile is late, as in a process that has only one interpreter).
"""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
#: Nothing that is real takes longer.
ANSWER_SECONDS = 30.0
#: A turn of the loop with something to do.
TURN_SECONDS = 20e-6


class _Selector(selectors.DefaultSelector):
    """Waits for servers in real time, and for everything else by moving the loop's clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            if not self.loop.owed:
                # A turn takes a while: who waits by going round would wait for ever.
                self.loop.spend(TURN_SECONDS)
            return events
        if self.loop.owed:
            events = super().select(ANSWER_SECONDS)
            if not events:
                raise TimeoutError("A server owes an answer for too long.")
            return events
        if timeout is None:
            raise RuntimeError("Nothing is left to happen: somebody waits for ever.")
        self.loop.spend(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at the present Unix time, so that moments look like a server's."""

    def __init__(self) -> None:
        self._now = time.time()
        #: How many answers of servers and threads are outstanding.
        self.owed = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        # As fine as a number of today's size can say: with asyncio's own, what is due now would stay in the future.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the simulated moment, in seconds."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass in which nothing else can happen."""
        self._now += seconds

    @contextmanager
    def owing(self) -> Iterator[None]:
        """Have the clock stand still: a server owes an answer."""
        self.owed += 1
        try:
            yield
        finally:
            self.owed -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """Run in a thread; the clock stands still until it is done."""
        self.owed += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._answered)
        return future

    def _answered(self, _future: "asyncio.Future[Any] | Future[Any]") -> None:
        self.owed -= 1


def run_virtually(work: Callable[[VirtualLoop], Coroutine[Any, Any, T] | Awaitable[T]]) -> T:
    """Run `work(loop)` on a loop of its own and return its result."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(work(loop))
        with loop.owing():
            loop.run_until_complete(loop.shutdown_default_executor())
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()
