"""Running processes: one to its end, several side by side until the block is left."""

import time
import urllib.error
import urllib.request
from collections.abc import Collection
from types import TracebackType
from typing import Self

from devtools.errors import SetupError
from devtools.leash import uninterrupted
from devtools.processes import Process


def run(process: Process, seconds: float) -> str:
    """Run a process to its end and return what it wrote; nothing is left on any way out.

    Raises `SetupError` with the end of the log when its code is not 0 or it takes too long.
    """
    process.start()
    try:
        code = process.wait(seconds)
    finally:
        process.kill()
    if code != 0:
        raise SetupError(f"{process.name} failed with code {code}:\n{process.tail()}")
    return process.tail(lines=1_000)


def answers(url: str) -> bool:
    """Tell whether an HTTP GET of `url` is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback URL
            status: int = response.status
    except (urllib.error.URLError, OSError):
        return False
    return status < 400


class Supervisor:
    """Starts processes and stops them all on leaving the block, last started first to be asked."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(self, process: Process) -> Process:
        """Start a process and keep it."""
        self.processes.append(process)
        process.start()
        return process

    def check(self) -> None:
        """Raise `SetupError` when a process has ended that should run."""
        for process in self.processes:
            if not process.is_running:
                raise SetupError(
                    f"{process.name} ended with code {process.returncode}. "
                    f"The end of {process.log}:\n{process.tail()}"
                )

    def forget_stopped(self, names: Collection[str]) -> list[str]:
        """Let those of `names` go that ended in order; return them. Who stops a worker by hand means it."""
        stopped = [p for p in self.processes if p.name in names and p.returncode == 0]
        for process in stopped:
            self.processes.remove(process)
        return [process.name for process in stopped]

    def stop_all(self, grace_seconds: float = 30.0) -> None:
        """Ask all at once, wait for all together, kill who is late; nothing is left afterwards.

        An interruption while waiting (a second Ctrl-C) ends the waiting, not the stopping.
        """
        deadline = time.monotonic() + grace_seconds
        try:
            for process in reversed(self.processes):
                process.request_stop()
            for process in reversed(self.processes):
                process.finish_stop(max(0.0, deadline - time.monotonic()))
        finally:
            with uninterrupted():
                for process in self.processes:
                    process.kill()
            self.processes.clear()
