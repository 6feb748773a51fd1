"""Write the lock files from pyproject.toml: `make lock`, and `make lock UPGRADE=1` for newest versions.

Locks hold exact versions with hashes for every platform and no index address. The resolver (uv) lives
in an environment of its own, so that it is no dependency of Laneway's.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Lock file -> the extras of pyproject.toml that it covers.
LOCKS = {"runtime.lock": ("demo",), "dev.lock": ("demo", "dev")}


def find_uv() -> Path:
    """Return the resolver, installed into `.local/lock` the first time."""
    folder = ROOT / ".local" / "lock"
    program = folder / "bin" / "uv"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", "uv"], check=True)
    return program


def compile_lock(uv: Path, name: str, extras: tuple[str, ...], *, upgrade: bool) -> None:
    """Resolve one lock file; versions that it already names stay unless `upgrade`."""
    command = [str(uv), "pip", "compile", "pyproject.toml", "--universal", "--python-version=3.11"]
    command += ["--generate-hashes", "--no-header", "--quiet", f"--output-file=requirements/{name}"]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--upgrade"] if upgrade else []
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> int:
    """Write every lock; the result is the exit code."""
    upgrade = os.environ.get("UPGRADE", "") not in {"", "0"}
    try:
        uv = find_uv()
        for name, extras in LOCKS.items():
            compile_lock(uv, name, extras, upgrade=upgrade)
    except subprocess.CalledProcessError as error:
        print(f"Locking failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
