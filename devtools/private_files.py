"""Small JSON files with secrets in them, and the lock that keeps a folder to one runner.

A file is written whole or not at all, readable by its owner alone from its first byte. The lock is
the kernel's: it ends with its holder, however that ends.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.errors import SetupError


def read_private(path: Path) -> dict[str, Any]:
    """Return the file's object, or an empty one where there is no file. Raises `SetupError`."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} can't be read ({error}). Remove it to start afresh.") from None
    if not isinstance(content, dict):
        raise SetupError(f"{path} is not what was written. Remove it to start afresh.")
    return content


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file at `path` in one step, mode 0600."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def make_folder(path: Path, mode: int) -> None:
    """Create a folder with exactly this mode, whatever the umask; one that is there stays as it is."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)


#: A home that is made here: its owner's alone, except that root's lets PostgreSQL's account pass through.
HOME_MODE = 0o711 if os.geteuid() == 0 else 0o700


class FolderLock:
    """Keep a folder to one holder on this machine.

    `acquire` raises `SetupError` when another living process holds it. The file stays where it is:
    removing it would let two holders lock two different files.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self._path = path
        self._subject = subject
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise `SetupError`, at once."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise SetupError(
                f"{self._subject} is in use by process {holder}. Stop that one first, "
                "or set LANEWAY_HOME to another folder."
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    @property
    def is_held(self) -> bool:
        """Whether this object holds the folder."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let the folder go; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
