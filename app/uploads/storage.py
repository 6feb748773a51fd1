"""Where uploaded files are kept until their rows are in PostgreSQL.

`Storage` is what the rest of the code knows; an object store fits it as well as a folder does. A key is
`<tenant>/<uuid>/<safe name>`, made here and nowhere else. A file is either there whole or not at all.
"""

import hashlib
import os
import re
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from app.errors import InvalidInput, NotFound, TooLarge

_PIECE_BYTES = 1024 * 1024
_NAME_CHARS = 100
_KEY = re.compile(r"[0-9A-Za-z-]{1,64}/[0-9a-f-]{36}/[0-9A-Za-z_-][0-9A-Za-z._-]{0,99}")
_TENANT = re.compile(r"[0-9A-Za-z-]{1,64}")
_UNSAFE = re.compile(r"[^0-9A-Za-z.-]+")
#: Files on their way in; a tenant's folder can't have this name.
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is safely kept. `sha256` is hexadecimal, `size` in bytes."""

    key: str
    size: int
    sha256: str


class Source(Protocol):
    """Anything that gives bytes: a request's stream, an open file."""

    def read(self, size: int = -1, /) -> bytes: ...


class Storage(Protocol):
    """Keeps whole files under keys."""

    def put(self, tenant: str, filename: str, source: Source, *, max_bytes: int) -> StoredFile:
        """Keep all that `source` gives. Raises `TooLarge`; after any error nothing is left behind."""

    def open(self, key: str) -> BinaryIO:
        """Return a seekable stream over a file. Raises `NotFound`."""

    def delete(self, key: str) -> None:
        """Forget a file; it is no error when it is gone already."""

    def exists(self, key: str) -> bool:
        """Say whether a file is there."""

    def list_older(self, moment: datetime) -> Iterator[str]:
        """Yield the keys of files kept before `moment` (aware), to find those that no job knows."""

    def drop_partial(self, moment: datetime) -> int:
        """Remove what uploads cut off before `moment` (aware) left; return how many."""


class LocalStorage:
    """Files in a folder that only this user may enter."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, tenant: str, filename: str, source: Source, *, max_bytes: int) -> StoredFile:
        """Write to a temporary name, flush to the disk, then rename; see `Storage.put`."""
        if not _TENANT.fullmatch(tenant):
            raise InvalidInput("A tenant's id has letters, digits and hyphens only.")
        key = f"{tenant}/{uuid.uuid4()}/{safe_name(filename)}"
        target = self._root / key
        partial = _make_folder(self._root, _PARTIAL) / str(uuid.uuid4())
        try:
            size, sha256 = _write(partial, source, max_bytes)
            _make_folder(self._root, *key.split("/")[:-1])
            partial.rename(target)
            _sync_folder(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            self.delete(key)
            raise
        return StoredFile(key, size, sha256)

    def open(self, key: str) -> BinaryIO:
        """Return a stream over the file. Raises `NotFound`."""
        try:
            return self._path(key).open("rb")
        except FileNotFoundError:
            raise NotFound("The uploaded file is no longer kept. Upload it again.") from None

    def delete(self, key: str) -> None:
        """Remove the file and the folder that was made for it."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # gone already: asked for twice
            path.parent.rmdir()

    def exists(self, key: str) -> bool:
        """Say whether the file is there."""
        return self._path(key).is_file()

    def list_older(self, moment: datetime) -> Iterator[str]:
        """Yield keys by the time of the file's last change."""
        for path in self._root.glob("*/*/*"):
            key = path.relative_to(self._root).as_posix()
            if _KEY.fullmatch(key) and _is_older(path, moment):
                yield key

    def drop_partial(self, moment: datetime) -> int:
        """Remove partial files whose last byte came before `moment`."""
        stale = [path for path in (self._root / _PARTIAL).glob("*") if _is_older(path, moment)]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise NotFound("There is no such file.")
        return self._root / key


def safe_name(filename: str) -> str:
    """Return a file name for any system: ASCII, no folders, no leading dot, at most 100 characters."""
    base = filename.replace("\\", "/").rpartition("/")[2]
    plain = unicodedata.normalize("NFKD", base).encode("ascii", "ignore").decode()
    stem, dot, ending = _UNSAFE.sub("_", plain).rpartition(".")
    if not dot:
        stem, ending = ending, ""
    ending = (dot + ending)[:12]
    return (stem.lstrip(".-")[: _NAME_CHARS - len(ending)] or "list") + ending


def _write(path: Path, source: Source, max_bytes: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            size += len(piece)
            if size > max_bytes:
                raise TooLarge(
                    f"The file is larger than {max_bytes / 1024**2:,.0f} MB. "
                    "Split it and upload the parts.",
                    reason="too_many_bytes",
                    max_bytes=max_bytes,
                )
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _make_folder(root: Path, *names: str) -> Path:
    """Make nested folders, each closed to other users."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root
    for name in names:
        folder = folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment
    except FileNotFoundError:
        return False  # removed while we looked
