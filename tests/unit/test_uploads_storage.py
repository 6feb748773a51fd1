"""Local storage: whole files or none, closed to others, keys that lead nowhere else."""

import hashlib
import io
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, NotFound, TooLarge
from app.uploads.storage import LocalStorage, safe_name

TENANT = "3f0e6a4e-58a1-4b8e-9b52-0d2c4a1c9a11"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_gives_back_what_was_put(storage: LocalStorage) -> None:
    content = os.urandom(3 * 1024 * 1024 + 17)
    kept = storage.put(TENANT, "My leads.csv", io.BytesIO(content), max_bytes=len(content))
    assert kept.size == len(content)
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert kept.key.startswith(f"{TENANT}/")
    assert kept.key.endswith("/My_leads.csv")
    with storage.open(kept.key) as stream:
        assert stream.read() == content


def test_only_the_owner_may_read(storage: LocalStorage, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        storage.put(TENANT, "a.csv", io.BytesIO(b"x"), max_bytes=10)
    finally:
        os.umask(previous)
    for path in [tmp_path / "store", *(tmp_path / "store").rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_too_many_bytes_leave_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(TooLarge) as caught:
        storage.put(TENANT, "a.csv", io.BytesIO(b"x" * 11), max_bytes=10)
    assert caught.value.extra == {"reason": "too_many_bytes", "max_bytes": 10}
    assert _files(tmp_path) == []


class _Cut:
    """A connection that breaks after the first piece."""

    def __init__(self) -> None:
        self._left = 1

    def read(self, _size: int = -1, /) -> bytes:
        if not self._left:
            raise ConnectionResetError
        self._left -= 1
        return b"some bytes"


def test_a_broken_connection_leaves_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        storage.put(TENANT, "a.csv", _Cut(), max_bytes=1000)
    assert _files(tmp_path) == []


def test_deleting_twice_is_no_error(storage: LocalStorage) -> None:
    key = storage.put(TENANT, "a.csv", io.BytesIO(b"x"), max_bytes=10).key
    assert storage.exists(key)
    storage.delete(key)
    storage.delete(key)
    assert not storage.exists(key)
    with pytest.raises(NotFound):
        storage.open(key)


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        f"{TENANT}/../../../etc/passwd",
        f"{TENANT}/{'0' * 36}/../x",
        f"/{TENANT}/{'0' * 36}/x",
        f"{TENANT}/{'0' * 36}/x\n",
        "",
    ],
)
def test_a_key_leads_nowhere_else(storage: LocalStorage, key: str) -> None:
    with pytest.raises(NotFound):
        storage.open(key)


@pytest.mark.parametrize("tenant", ["..", "a/b", "", ".partial"])
def test_a_tenant_is_an_id(storage: LocalStorage, tenant: str) -> None:
    with pytest.raises(InvalidInput):
        storage.put(tenant, "a.csv", io.BytesIO(b"x"), max_bytes=10)


def test_old_files_and_cut_off_ones_are_found(storage: LocalStorage, tmp_path: Path) -> None:
    old = storage.put(TENANT, "old.csv", io.BytesIO(b"x"), max_bytes=10).key
    storage.put(TENANT, "new.csv", io.BytesIO(b"x"), max_bytes=10)
    partial = tmp_path / "store" / ".partial" / "cut-off"
    partial.write_bytes(b"x")
    now = datetime.now(UTC)
    long_ago = (now - timedelta(days=2)).timestamp()
    for path in (tmp_path / "store" / old, partial):
        os.utime(path, (long_ago, long_ago))
    assert list(storage.list_older(now - timedelta(days=1))) == [old]
    assert storage.drop_partial(now - timedelta(days=1)) == 1
    assert not partial.exists()


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_name_becomes_a_safe_one(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    safe = safe_name(name)
    assert safe.isascii()
    assert 0 < len(safe) <= 100
    assert not safe.startswith(".")
    assert "/" not in safe
    storage = LocalStorage(tmp_path_factory.getbasetemp() / "any-name")
    key = storage.put(TENANT, name, io.BytesIO(b"x"), max_bytes=10).key
    assert storage.exists(key)
    storage.delete(key)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("leads.csv", "leads.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ann\\Liste März.xlsx", "Liste_Marz.xlsx"),
        (".htaccess", "list.htaccess"),
        ("名簿.csv", "list.csv"),
        ("", "list"),
    ],
)
def test_names_stay_readable(name: str, safe: str) -> None:
    assert safe_name(name) == safe
