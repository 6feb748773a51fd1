"""Child processes that never outlive their runner.

Each child leads a session and a group of its own (so Ctrl-C in the terminal reaches only the runner),
writes to its own log file, and is on the leash: it ends when the runner ends, even by kill -9.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from devtools.errors import SetupError
from devtools.leash import SERVICE_WAVE, leash, uninterrupted

POLL_SECONDS = 0.05
TAIL_LINES = 15


@dataclass(frozen=True)
class Account:
    """The system account that a child runs as, where the runner is root."""

    name: str
    uid: int
    gid: int


@dataclass
class Process:
    """One child. `env` is its whole environment (None: the runner's); `log` gets both its outputs."""

    name: str
    argv: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    wave: int = SERVICE_WAVE
    stdin: bytes | None = None
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)
    _is_cleared: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start the child; its log is appended to, never truncated. Raises `SetupError`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        account = self.account
        try:
            self._log_start = os.fstat(descriptor).st_size
            with uninterrupted():
                leash.start()
                self._is_cleared = False
                self._popen = subprocess.Popen(
                    [str(part) for part in self.argv],
                    stdin=subprocess.DEVNULL if self.stdin is None else subprocess.PIPE,
                    stdout=descriptor,
                    stderr=subprocess.STDOUT,
                    env=None if self.env is None else dict(self.env),
                    cwd=self.cwd,
                    start_new_session=True,
                    user=None if account is None else account.uid,
                    group=None if account is None else account.gid,
                    extra_groups=None if account is None else [],
                )
                leash.add(self._popen.pid, self.stop_signal, self.wave)
        except (OSError, subprocess.SubprocessError) as error:
            raise SetupError(f"{self.name} could not be started: {error}") from error
        finally:
            os.close(descriptor)
        if self.stdin is not None and self._popen.stdin is not None:
            self._feed(self._popen.stdin, self.stdin)

    @staticmethod
    def _feed(pipe: IO[bytes], content: bytes) -> None:
        try:
            pipe.write(content)
            pipe.close()
        except BrokenPipeError:
            return  # the child is gone already; whoever waits for it reports that with its log

    @property
    def pid(self) -> int:
        """The child's process number, also its group's. Raises `RuntimeError` before `start`."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How the child ended, negative for a signal; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    @property
    def is_running(self) -> bool:
        """Whether the child runs at this moment."""
        return self._popen is not None and self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child alone (its own children are its own affair)."""
        if self._popen is not None:
            self._popen.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        """Send a signal to the child and everything it started; SIGSTOP freezes them all."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left of the group (macOS answers EPERM for a dead one)

    def kill(self) -> None:
        """End the whole group at once, as a crash would, and reap the child."""
        if self._popen is None or self._is_cleared:
            return
        self.send_group(signal.SIGKILL)
        self._popen.wait()
        leash.remove(self._popen.pid)
        # From here on the number may be a stranger's: it is never signalled again.
        self._is_cleared = True

    def stop(self, grace_seconds: float = 30.0) -> None:
        """Ask the child to end, wait, then end whatever is left of its group."""
        if self._popen is None:
            return
        self.request_stop()
        self.finish_stop(grace_seconds)

    def request_stop(self) -> None:
        """Send the stop signal and wake the child should it be frozen."""
        if self.is_running:
            self.send(self.stop_signal)
            self.send_group(signal.SIGCONT)

    def finish_stop(self, grace_seconds: float) -> None:
        """Wait for the child's end, then kill the rest of its group."""
        if self._popen is None:
            return
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass  # it had its time; the group is killed below
        finally:
            self.kill()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines that the child has written since it was started."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(self._log_start)
                text = stream.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()` says so. Raises `SetupError` with the log's end on death or delay."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_running:
                raise SetupError(
                    f"{self.name} ended early with code {self.returncode}. "
                    f"The end of {self.log}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise SetupError(
                    f"{self.name} was not ready within {seconds:.0f} s. "
                    f"The end of {self.log}:\n{self.tail()}"
                )
            time.sleep(POLL_SECONDS)

    def wait(self, seconds: float) -> int:
        """Wait for the child to end by itself and return its code. Raises `SetupError` when late."""
        self.wait_until(lambda: not self.is_running, seconds)
        self.kill()
        code = self.returncode
        if code is None:
            raise RuntimeError(f"{self.name} was reaped without a code")
        return code
