"""The browser of the end-to-end tests: one that is there, else the system's, else Playwright's own.

`python -m devtools.browser` makes sure that there is one and says which; `find_browser` only looks.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
#: Where macOS keeps applications; never on the PATH.
APPLICATIONS = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)


def find_browser() -> str | None:
    """Return the program to start, or None where there is none that runs."""
    on_path = [found for name in NAMES if (found := shutil.which(name))]
    for program in [*on_path, *map(str, APPLICATIONS), *_playwrights_own()]:
        if _runs(program):
            return program
    return None


def ensure_browser() -> str | None:
    """Find a browser or install one, saying what is done. None when every way has failed."""
    for install in (None, _install_from_system, _install_playwrights_own):
        if install is not None:
            install()
        if found := find_browser():
            return found
    return None


def _runs(program: str) -> bool:
    """Try it: on some systems the command is there and only advertises a package."""
    try:
        done = subprocess.run([program, "--version"], check=False, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _playwrights_own() -> list[str]:
    code = (
        "from playwright.sync_api import sync_playwright as start\n"
        "with start() as playwright: print(playwright.chromium.executable_path)"
    )
    # A process of its own: Playwright leaves an event loop behind that pytest would trip over.
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    path = done.stdout.strip()
    return [path] if path and Path(path).exists() else []


def _install_from_system() -> None:
    """Install Debian's Chromium. Ubuntu's package of that name only points to a snap."""
    try:
        system = platform.freedesktop_os_release().get("ID")
    except OSError:
        return
    if system != "debian" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    say("No browser found: installing Chromium with apt-get")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run(
            ["apt-get", "--quiet", *arguments],
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


def _install_playwrights_own() -> None:
    say("No browser found: installing Playwright's own Chromium")
    command = [sys.executable, "-m", "playwright", "install"]
    command += ["--with-deps"] if os.geteuid() == 0 else []
    subprocess.run([*command, "chromium"], check=False, stdin=subprocess.DEVNULL)


def say(text: str) -> None:
    """Print a line at once: what follows may take a while."""
    print(text, flush=True)


def main() -> int:
    """Make sure that there is a browser; the result is the exit code."""
    found = ensure_browser()
    if found is None:
        print(
            "No browser for the end-to-end tests: install Chromium or Chrome and try again.",
            file=sys.stderr,
        )
        return 1
    say(f"Browser for the end-to-end tests: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
