"""Servers that an earlier, killed runner left behind: found by the folder they work in, and ended.

Whoever calls this holds the folder's lock, so a server that still works there is nobody's.
"""

import signal
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from devtools.errors import SetupError

STOP_SECONDS = 20.0


def end_leftovers(folder: Path, names: Collection[str], stop_signal: signal.Signals) -> None:
    """Stop every server named so that works in `folder`; kill it when it takes too long.

    Only the head of a family is asked to stop: PostgreSQL's other processes follow their postmaster,
    and some take the same signal for something else. Raises `SetupError` when one can't be ended.
    """
    deadline = time.monotonic() + STOP_SECONDS
    while left := [found for found in psutil.process_iter() if _works_in(found, folder, names)]:
        late = time.monotonic() > deadline
        if time.monotonic() > deadline + STOP_SECONDS:
            raise SetupError(f"An old server in {folder} can't be ended: process {left[0].pid}.")
        pids = {found.pid for found in left}
        for found in left:
            _end(found, stop_signal, pids, late=late)
        psutil.wait_procs(left, timeout=1.0)


def _end(
    found: psutil.Process, stop_signal: signal.Signals, family: set[int], *, late: bool
) -> None:
    try:
        if late:
            found.kill()
        elif found.ppid() not in family:
            found.send_signal(stop_signal)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise SetupError(
            f"An old server (process {found.pid}) belongs to another account: stop it there."
        ) from None


def _works_in(found: psutil.Process, folder: Path, names: Collection[str]) -> bool:
    try:
        return (
            found.name() in names
            and found.status() != psutil.STATUS_ZOMBIE
            and Path(found.cwd()) == folder
        )
    except (psutil.Error, OSError):
        return False  # gone this moment, or another user's
