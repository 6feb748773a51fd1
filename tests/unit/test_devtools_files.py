"""Private files and folder locks."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.errors import SetupError
from devtools.private_files import FolderLock, read_private, write_private

ROOT = Path(__file__).parents[2]


def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    write_private(path, {"password": "first"})
    write_private(path, {"password": "second"})
    assert read_private(path) == {"password": "second"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_private(tmp_path / "secrets.json") == {}


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_broken_file_says_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(SetupError, match="Remove it to start afresh"):
        read_private(path)


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    first = FolderLock(tmp_path / "lock", "The folder")
    second = FolderLock(tmp_path / "lock", "The folder")
    first.acquire()
    with pytest.raises(SetupError, match=r"The folder is in use by process \d+"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from devtools.private_files import FolderLock; "
        "FolderLock(Path(sys.argv[1]), 'it').acquire(); os.kill(os.getpid(), 9)"
    )
    lock = tmp_path / "lock"
    subprocess.run([sys.executable, "-c", code, str(lock)], cwd=ROOT, check=False)
    mine = FolderLock(lock, "The folder")
    mine.acquire()
    mine.release()
