"""The runner's end of the keeper: whoever is on the leash ends when this process does.

One keeper a process, started with the first child. A forked copy of this process shares the pipe, so
the keeper acts when the last copy has ended.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

#: Processes of a higher wave end first: workers before the servers that they talk to.
SERVICE_WAVE = 1
SERVER_WAVE = 0
#: How long an orderly end waits for the keeper; it ends what is left also without us.
CLOSE_SECONDS = 2.0


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until the block has ended, then deliver the last of them.

    Between a fork and the note of its pid nothing may be raised: nobody would know the child. Other
    threads than the main one are never interrupted by signals, so there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, hold) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
        if held:
            signal.raise_signal(held[-1])


class Leash:
    """The list of processes that the keeper ends."""

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None
        self._mutex = threading.Lock()

    def add(self, pid: int, stop_signal: signal.Signals, wave: int) -> None:
        """Put a process, the leader of its own group, on the list."""
        self._send(f"+ {pid} {int(stop_signal)} {wave}\n")

    def remove(self, pid: int) -> None:
        """Take a process off the list once it has ended: its number may be given to a stranger."""
        self._send(f"- {pid}\n")

    def start(self) -> int:
        """Have the keeper run before there is anything to keep; return its process number."""
        with self._mutex:
            return self._ensure().pid

    def close(self) -> None:
        """Let the keeper see the end of the pipe and wait for it: at an orderly end it has nothing to do."""
        with self._mutex:
            keeper, self._keeper = self._keeper, None
        if keeper is None or keeper.stdin is None:
            return
        keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(CLOSE_SECONDS)

    def _send(self, order: str) -> None:
        with self._mutex:
            pipe = self._ensure().stdin
            if pipe is None:
                raise RuntimeError("the keeper was started without a pipe")
            try:
                os.write(pipe.fileno(), order.encode())
            except BrokenPipeError:
                # Somebody ended the keeper: children still end with an orderly runner.
                return

    def _ensure(self) -> subprocess.Popen[bytes]:
        if self._keeper is None:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        return self._keeper


leash = Leash()
atexit.register(leash.close)
