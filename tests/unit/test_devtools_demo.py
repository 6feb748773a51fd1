"""The demo's options, secrets and words, without starting anything."""

import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools import demo
from devtools.demo_clients import CLIENTS, EMAILS, PLATFORM_KEYS, UPGRADED_MS
from devtools.demo_options import (
    ROOT,
    base_environment,
    load_secrets,
    make_home,
    read_options,
)
from devtools.demo_upload import SampleJob
from devtools.errors import SampleError, SetupError
from devtools.terminal import Terminal


def test_options_have_the_defaults_that_the_makefile_tells() -> None:
    options = read_options({})
    assert (options.port, options.flower_port, options.once) == (8000, 5555, False)
    assert options.home == ROOT / ".local"
    assert options.database_url is None


@pytest.mark.parametrize(
    ("value", "once"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_once_is_a_switch(value: str, once: bool) -> None:
    assert read_options({"ONCE": value}).once is once


@pytest.mark.parametrize("environment", [{"PORT": "web"}, {"PORT": "0"}, {"FLOWER_PORT": "65536"}])
def test_a_port_that_is_none_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SetupError, match="is no port"):
        read_options(environment)


def test_two_services_need_two_ports() -> None:
    with pytest.raises(SetupError, match="choose two"):
        read_options({"PORT": "5555"})


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT"])
def test_a_taken_port_is_one_line_that_says_what_to_do(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(SetupError, match=rf"Port {port} is taken.*make demo {name}=") as caught:
            read_options({name: str(port)}).check_ports()
    assert "\n" not in str(caught.value)


def test_secrets_are_made_once_and_are_the_owners_alone(tmp_path: Path) -> None:
    first = load_secrets(tmp_path, EMAILS)
    assert load_secrets(tmp_path, EMAILS) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len(set(first.passwords.values())) == len(EMAILS)


def test_a_new_person_gets_a_password_and_the_others_keep_theirs(tmp_path: Path) -> None:
    first = load_secrets(tmp_path, EMAILS[:1])
    second = load_secrets(tmp_path, EMAILS)
    assert second.passwords[EMAILS[0]] == first.passwords[EMAILS[0]]
    assert set(second.passwords) == set(EMAILS)


def test_a_home_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    make_home(home)
    make_home(home)
    assert stat.S_IMODE(home.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE((home / "storage").stat().st_mode) == 0o700


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="set LANEWAY_HOME to another folder"):
        make_home(tmp_path / "file")


def test_nothing_of_the_callers_settings_reaches_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILTESTER_API_KEYS", "a-real-key")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/db")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("CRON_SECRET", "drive-me")
    environment = base_environment()
    assert "MAILTESTER_API_KEYS" not in environment
    assert "DATABASE_URL" not in environment
    assert environment["LOG_LEVEL"] == "DEBUG"
    assert environment["CRON_SECRET"] == "drive-me"


def test_the_demo_has_two_clients_on_the_shared_lane_and_keys_of_both_speeds() -> None:
    assert [client.queue is None for client in CLIENTS] == [False, True, True]
    keys = [*PLATFORM_KEYS, *(key for client in CLIENTS for key in client.keys)]
    assert {key.spacing_ms for key in keys} == {250, UPGRADED_MS}
    assert len({key.secret for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ({"status": "completed", "total": 3, "done": 3, "counts": {"valid": 3}}, None),
        (
            {"status": "completed", "total": 3, "done": 3, "counts": {"valid": 2}},
            "2 verdicts for 3",
        ),
        ({"status": "completed", "total": 0, "done": 0, "counts": {}}, "0 verdicts for 0"),
        ({"status": "failed", "error": "no e-mail column"}, "ended as failed: no e-mail column"),
    ],
)
def test_a_sample_counts_only_when_every_row_is_answered(
    status: dict[str, Any], complaint: str | None
) -> None:
    problem = SampleJob("acme", "token", "id", status=status).problem()
    assert problem is None if complaint is None else complaint in str(problem)


def test_a_sample_that_stands_still_is_told_of_in_a_few_words() -> None:
    words = "other work of this lane is ahead"
    status = {"status": "pending", "waiting": {"reason": "queue", "text": words, "until": None}}
    assert SampleJob("acme", "token", "id", status=status).standing() == words
    status = {"status": "processing", "waiting": None}
    assert SampleJob("acme", "token", "id", status=status).standing() == "processing"


def test_a_sample_that_somebody_cancelled_stops_the_demo_only_where_nothing_comes_after_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def cancelled(*_: object) -> None:
        job = SampleJob("acme", "token", "id", status={"status": "cancelled"})
        raise SampleError(str(job.problem()))

    monkeypatch.setattr(demo, "run_sample", cancelled)
    secrets = load_secrets(tmp_path, EMAILS)
    show_sample = partial(demo.show_sample, secrets=secrets, terminal=Terminal(), check=list)
    show_sample(read_options({}))
    assert "the rest goes on. The job of acme ended as cancelled." in capsys.readouterr().out
    with pytest.raises(SampleError):
        show_sample(read_options({"ONCE": "1"}))


def test_without_a_terminal_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.step("PostgreSQL"):
        pass
    for done in range(10):
        terminal.progress(done, 10, "acme")
    terminal.table([("Client", "Rows"), ("acme", "7"), ("birch", "143")])
    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert "\r" not in written
    assert written.count("acme") == 2, "one progress line for a burst, one row of the table"
    assert "  acme       7\n  birch    143\n" in written
