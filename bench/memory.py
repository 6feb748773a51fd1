"""Memory of other processes, from /proc: what a process has held at most since it began, in MB."""

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def peak_mb(pid: int) -> float:
    """Return the peak resident memory (VmHWM)."""
    return _read(pid, "VmHWM")


def current_mb(pid: int) -> float:
    """Return the present resident memory (VmRSS)."""
    return _read(pid, "VmRSS")


def _read(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no {field}.")
