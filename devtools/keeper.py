"""The process that outlives its runner for a moment, to end what the runner started.

It reads orders from a pipe whose other end only the runner holds: `+ PID SIGNAL WAVE` and `- PID`.
When the pipe ends, however the runner ended, every process still on the list is stopped: the highest
wave first, each by its own signal, and whatever is left of its group by SIGKILL after the grace time.
It runs as a plain script with nothing but the standard library, so that no import can fail it.
"""

import os
import signal
import sys
import time
from pathlib import Path

GRACE_SECONDS = float(os.environ.get("LANEWAY_KEEPER_GRACE_SECONDS", "8"))

Listed = dict[int, tuple[int, int]]


def read_orders() -> Listed:
    """Follow the orders until the pipe ends; return pid -> (signal, wave) of who is left."""
    listed: Listed = {}
    for line in sys.stdin:
        order, pid, *rest = line.split()
        if order == "+":
            listed[int(pid)] = (int(rest[0]), int(rest[1]))
        else:
            listed.pop(int(pid), None)
    return listed


def is_running(pid: int) -> bool:
    """Tell whether the process runs; one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True  # no /proc on this system, or gone this very moment: the next look decides
    return state != "Z"


def stop_wave(members: dict[int, int]) -> None:
    """Stop the processes, pid -> signal, and kill what is left of their groups."""
    for pid, number in members.items():
        _send(pid, number)
        _send(pid, signal.SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(is_running(pid) for pid in members) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in members:
        _send_group(pid)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _send_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def main() -> None:
    """Wait for the runner's end, then stop what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    listed = read_orders()
    for wave in sorted({wave for _, wave in listed.values()}, reverse=True):
        stop_wave({pid: number for pid, (number, of) in listed.items() if of == wave})


if __name__ == "__main__":
    main()
