"""What other processes use, from /proc: memory in MB, processor time in seconds."""

import os
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def peak_mb(pid: int) -> float:
    """Return the peak resident memory (VmHWM)."""
    return _read(pid, "VmHWM")


def resident_mb(pid: int) -> float:
    """Return the resident memory of this moment (VmRSS)."""
    return _read(pid, "VmRSS")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime and stime, the 14th and 15th field of the whole line (man proc).
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no {field}.")
