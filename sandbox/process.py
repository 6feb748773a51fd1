"""Starts the sandbox as a child process and talks to its control routes: for tests, benchmarks, the demo.

Blocking, and on the standard library alone.
"""

import json
import select
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that listens at `url` (no slash at the end)."""

    url: str
    pid: int

    def put_keys(self, *keys: dict[str, Any]) -> None:
        """Add or change keys; see `sandbox.control`."""
        self._call("/sandbox/keys", list(keys))

    def set_mode(self, **mode: Any) -> None:
        """Set the mode; what is left out is at its default."""
        self._call("/sandbox/mode", mode)

    def reset(self) -> None:
        """Forget calls, counts, tokens and mode; the keys stay."""
        self._call("/sandbox/reset", {})

    def summary(self) -> dict[str, Any]:
        """Return totals, totals by key, repeated addresses."""
        found: dict[str, Any] = self._call("/sandbox/summary")
        return found

    def calls(self) -> list[dict[str, Any]]:
        """Return every record that is still kept, oldest first."""
        found: list[dict[str, Any]] = []
        since = 0
        while True:
            page = self._call(f"/sandbox/calls?since={since}&limit=10000")
            if not page["calls"]:
                return found
            found += page["calls"]
            since = page["next_since"]

    def _call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)  # noqa: S310 - our own http address
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
            return json.load(response)


@contextmanager
def run_sandbox(*arguments: str, port: int = 0) -> Iterator[RunningSandbox]:
    """Run `python -m sandbox` on loopback for the length of the block. `arguments` go on its command line.

    Raises `RuntimeError` when it does not come up (it says why on stderr).
    """
    command = [sys.executable, "-m", "sandbox", "--port", str(port), *arguments]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RunningSandbox(_read_url(process), process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _read_url(process: subprocess.Popen[str]) -> str:
    stdout = process.stdout
    if stdout is None or not select.select([stdout], [], [], START_SECONDS)[0]:
        raise RuntimeError("The sandbox did not come up in time.")
    line = stdout.readline().strip()
    if "http://" not in line:
        raise RuntimeError("The sandbox did not start.")
    return line.rsplit(" ", 1)[-1]
