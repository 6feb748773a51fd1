"""One deadline for many calls, each of which may take the same time.

`asyncio.timeout` sets and takes down a timer for each call, which costs as much as a tenth of the call itself. Calls that all may
take equally long end in the order in which they began: one timer, for the first of them, is enough.
"""

import asyncio
from collections import deque
from types import TracebackType


class Deadline:
    """A context manager around one call, made by `Deadlines.begin` in the task that makes it."""

    __slots__ = ("_cancelling", "ends_at", "is_over", "task")

    def __init__(self, task: "asyncio.Task[object]", ends_at: float) -> None:
        self.ends_at = ends_at
        self.is_over = False
        #: None once the call has ended.
        self.task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> None:
        """Nothing is to be done: the time began when it was made."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call. Raises `TimeoutError` where it was ended for its time, and for no other reason."""
        task, self.task = self.task, None
        if not self.is_over or task is None:
            return
        # As asyncio.timeout does: somebody else may have cancelled the task as well, and that goes on.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Deadlines:
    """Calls of at most `seconds` each, all on one loop at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._under_way: deque[Deadline] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """Begin the time of a call that the present task makes now, inside a `with`."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            self._under_way.clear()
        under_way = self._under_way
        while under_way and under_way[0].task is None:
            under_way.popleft()
        deadline = Deadline(task, loop.time() + self.seconds)
        under_way.append(deadline)
        if self._timer is None:
            self._timer = loop.call_at(deadline.ends_at, self._ring, loop)
        return deadline

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now, under_way = loop.time(), self._under_way
        # Timers ring up to a tick of the clock early.
        while under_way and (under_way[0].task is None or under_way[0].ends_at <= now + 1e-3):
            deadline = under_way.popleft()
            if deadline.task is not None:
                deadline.is_over = True
                deadline.task.cancel()
        self._timer = loop.call_at(under_way[0].ends_at, self._ring, loop) if under_way else None
