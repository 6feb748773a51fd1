"""Make `.venv` hold exactly what a lock file says: `python devtools/bootstrap.py runtime|dev`.

Runs on the system's Python with nothing but the standard library. A stamp in the environment names
the locks it was made from, so a second run only compares them; an interrupted one starts over.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "laneway.json"
#: What each kind brings: whatever runs the tests runs the product too.
BRINGS = {"runtime": ("runtime",), "dev": ("runtime", "dev")}


class BootstrapError(Exception):
    """The environment can't be made; one line says why."""


def lock_of(kind: str) -> Path:
    """Return the lock file of a kind of environment."""
    return ROOT / "requirements" / f"{kind}.lock"


def digest_of(kind: str) -> str:
    """Return the fingerprint of a lock file, and of what the project says of itself."""
    content = lock_of(kind).read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(content + str(ROOT).encode()).hexdigest()


def read_stamp() -> dict[str, str]:
    """Return kind -> fingerprint of what is installed, empty when nothing is for certain."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def works(python: Path) -> bool:
    """Tell whether the environment's Python still runs: a system upgrade may have removed its base."""
    try:
        done = subprocess.run([str(python), "-c", "import pip"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def make_environment() -> Path:
    """Create `.venv` unless it is there and works; return its Python. Raises `BootstrapError`."""
    python = VENV / "bin" / "python"
    if works(python):
        return python
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise BootstrapError(
            f"{sys.executable} comes without venv: install it (Debian, Ubuntu: apt-get install "
            "python3-venv), or name another Python: make PYTHON=/path/to/python3"
        )
    if VENV.is_symlink() or VENV.is_file():
        raise BootstrapError(f"{VENV} is in the way: remove it and try again.")
    shutil.rmtree(VENV, ignore_errors=True)
    say("Creating .venv")
    done = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True
    )
    if done.returncode != 0 or not works(python):
        shutil.rmtree(VENV, ignore_errors=True)
        raise BootstrapError(f".venv could not be created: {last_line(done.stdout + done.stderr)}")
    return python


def install(python: Path, kind: str) -> None:
    """Install a lock file, every download checked against its hashes. Raises `BootstrapError`."""
    lock = lock_of(kind)
    say(f"Installing requirements/{lock.name} (a minute or two, once)")
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--no-user",
    ]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", str(lock)]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BootstrapError(
            f"pip could not install requirements/{lock.name} (its message is above): "
            "check the network and the package index, then run the command again."
        )


def install_project(python: Path) -> None:
    """Install the checkout itself, as it lies here: the celery program finds its commands by metadata.

    Nothing is fetched: the build tool came with the lock. Raises `BootstrapError`.
    """
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--no-index",
    ]
    command += ["--no-user", "--disable-pip-version-check", "--no-build-isolation"]
    command += ["--config-settings", "editable_mode=compat", "--editable", str(ROOT)]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BootstrapError(
            "The checkout could not be installed into .venv (pip's message is above)."
        )


def prepare(kind: str) -> None:
    """Bring the environment to what the lock says. Raises `BootstrapError`."""
    wanted = digest_of(kind)
    python = VENV / "bin" / "python"
    if read_stamp().get(kind) == wanted and works(python):
        return
    python = make_environment()
    STAMP.unlink(missing_ok=True)
    install(python, kind)
    install_project(python)
    STAMP.write_text(json.dumps({brought: digest_of(brought) for brought in BRINGS[kind]}))


def say(text: str) -> None:
    """Print a line at once: what follows may take a while."""
    print(text, flush=True)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"


def main(arguments: list[str]) -> int:
    """Prepare the kind of environment that is asked for; the result is the exit code."""
    if len(arguments) != 1 or arguments[0] not in BRINGS:
        print("usage: python devtools/bootstrap.py runtime|dev", file=sys.stderr)
        return 2
    try:
        prepare(arguments[0])
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
