"""`.venv` from a lock: nothing is done twice, and every failure is one line that says what to do."""

import json
import sys
from pathlib import Path

import pytest

from devtools import bootstrap


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a path with spaces whose locks are empty, so that nothing is downloaded."""
    root = tmp_path / "a check out"
    (root / "requirements").mkdir(parents=True)
    for kind in bootstrap.BRINGS:
        (root / "requirements" / f"{kind}.lock").touch()
    (root / "pyproject.toml").touch()
    monkeypatch.setattr(bootstrap, "ROOT", root)
    monkeypatch.setattr(bootstrap, "VENV", root / ".venv")
    monkeypatch.setattr(bootstrap, "STAMP", root / ".venv" / "laneway.json")
    # It would go into the environment that runs the tests.
    monkeypatch.setattr(bootstrap, "install_project", lambda _python: None)
    return root


@pytest.fixture
def environment(checkout: Path) -> Path:
    """An environment that is there: it hands everything to the one that runs the tests."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return checkout / ".venv"


@pytest.mark.usefixtures("environment")
def test_a_lock_is_installed_once(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main(["dev"]) == 0
    assert "Installing requirements/dev.lock" in capfd.readouterr().out
    assert bootstrap.main(["dev"]) == 0
    assert bootstrap.main(["runtime"]) == 0, "whatever runs the tests runs the product too"
    assert capfd.readouterr().out == ""
    (checkout / "requirements" / "runtime.lock").write_text("# changed\n")
    assert bootstrap.main(["runtime"]) == 0
    assert "Installing requirements/runtime.lock" in capfd.readouterr().out
    assert set(json.loads(bootstrap.STAMP.read_text())) == {"runtime"}


@pytest.mark.usefixtures("environment")
def test_a_failed_installation_is_done_again(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock = checkout / "requirements" / "runtime.lock"
    lock.write_text("./missing --hash=sha256:" + "0" * 64 + "\n")
    assert bootstrap.main(["runtime"]) == 1
    assert "pip could not install requirements/runtime.lock" in capfd.readouterr().err
    assert not bootstrap.STAMP.exists()


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Path) -> None:
    broken = checkout / ".venv" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").symlink_to(checkout / "gone")
    (checkout / ".venv" / "laneway.json").write_text(
        json.dumps({"runtime": bootstrap.digest_of("runtime")})
    )
    assert bootstrap.main(["runtime"]) == 0
    assert bootstrap.works(broken / "python")


def test_a_python_without_venv_is_one_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert bootstrap.main(["runtime"]) == 1
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert "python3-venv" in complaint
    assert sys.executable in complaint
