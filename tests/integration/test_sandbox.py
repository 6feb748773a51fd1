"""The sandbox as a process: its shapes, its strictness, its record."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.process import RunningSandbox, run_sandbox

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        sandbox.put_keys(
            {"key": "free"},
            {"key": "slow", "spacing_ms": 60_000},
            {"key": "window", "windows": [[3, 60_000]]},
            {"key": "day", "daily_limit": 2},
            {"key": "off", "disabled": True},
        )
        yield sandbox


@pytest.fixture(autouse=True)
def clean(running: RunningSandbox) -> None:
    running.reset()


def fetch(url: str, data: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, data, timeout=10) as got:  # noqa: S310 - our own address
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def get(sandbox: RunningSandbox, path: str = "/ninja", **query: str) -> tuple[int, str]:
    return fetch(f"{sandbox.url}{path}?{urlencode(query)}")


def test_an_answer_has_the_vendors_nine_fields(running: RunningSandbox) -> None:
    status, text = get(running, email="ok-a+b@shop.example", key="free")
    assert status == 200
    assert json.loads(text) == {
        "email": "ok-a+b@shop.example",
        "user": "ok-a+b",
        "domain": "shop.example",
        "mx": "mx1.shop.example",
        "code": "ok",
        "message": "Accepted",
        "connections": 1,
        "limit": 0,
        "rate": 0,
    }


@pytest.mark.parametrize("key", ["off", "never-put", ""])
def test_a_bad_key_is_answered_with_200(running: RunningSandbox, key: str) -> None:
    status, text = get(running, email="a@b.example", key=key)
    assert (status, json.loads(text)["code"]) == (200, "--")


@pytest.mark.parametrize(
    ("key", "allowed", "reason"),
    [("slow", 1, "spacing"), ("window", 3, "window 3/60000ms"), ("day", 2, "daily")],
)
def test_a_limit_is_held_at_arrival(
    running: RunningSandbox, key: str, allowed: int, reason: str
) -> None:
    answers = [get(running, email=f"ok-{n}@b.example", key=key) for n in range(allowed + 2)]
    assert [status for status, _ in answers] == [200] * allowed + [429] * 2
    assert "retry in" in json.loads(answers[-1][1])["message"]
    summary = running.summary()
    assert (summary["violations"], summary["charged"]) == (2, allowed)
    assert summary["keys"][key][f"violation: {reason}"] == 2
    assert summary["keys"][key]["worst_early_ms"] > 0
    assert [call["violation"] for call in running.calls()] == [""] * allowed + [reason] * 2


def test_a_token_stands_for_its_key(running: RunningSandbox) -> None:
    assert get(running, "/token", key="never-put")[0] == 401
    token = json.loads(get(running, "/token", key="free")[1])["token"]
    assert get(running, email="ok-a@b.example", token=token)[0] == 200
    assert [call["key"] for call in running.calls()] == ["free"]
    running.set_mode(token_seconds=0)
    assert get(running, email="ok-a@b.example", token=token) == (401, "Unauthorized")


def test_trouble_can_be_asked_for(running: RunningSandbox) -> None:
    statuses = [get(running, email="flaky2-a@b.example", key="free")[0] for _ in range(3)]
    assert statuses == [500, 500, 200]
    status, text = get(running, email="garbage-a@b.example", key="free")
    assert status == 200
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(text)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        get(running, email="close-a@b.example", key="free")
    status, text = get(running, email="throttled-a@b.example", key="free")
    assert (status, "retry in 1 s" in text) == (429, True)
    assert running.summary()["violations"] == 0


def test_a_call_that_hangs_is_on_record_at_once(running: RunningSandbox) -> None:
    running.set_mode(hang_seconds=0.05)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        get(running, email="timeout-a@b.example", key="free")
    assert [call["status"] for call in running.calls()] == [0]


def test_a_mode_is_for_everybody(running: RunningSandbox) -> None:
    running.set_mode(error_rate=1, latency_ms=[1, 2])
    assert get(running, email="ok-a@b.example", key="free")[0] == 500
    running.reset()
    assert get(running, email="ok-a@b.example", key="free")[0] == 200


def test_repeated_addresses_are_counted(running: RunningSandbox) -> None:
    for _ in range(3):
        get(running, email="ok-a@b.example", key="free")
    get(running, email="ok-b@b.example", key="free")
    found = running.summary()["charged_addresses"]
    assert (found["addresses"], found["repeated"], found["extra_calls"]) == (2, 1, 2)
    assert found["repeated_addresses"] == {"ok-a@b.example": 3}


def test_nonsense_is_refused_with_a_reason(running: RunningSandbox) -> None:
    for path, body in (
        ("/sandbox/keys", "nonsense"),
        ("/sandbox/mode", [1]),
        ("/sandbox/keys", [{}]),
    ):
        assert fetch(running.url + path, json.dumps(body).encode())[0] == 422
    assert get(running, "/nowhere")[0] == 404


def test_it_starts_from_a_file_and_writes_one(tmp_path: Path) -> None:
    config, record = tmp_path / "sandbox.json", tmp_path / "calls.jsonl"
    settings: dict[str, Any] = {"keys": [{"key": "k"}], "mode": {"latency_ms": [0, 1]}}
    config.write_text(json.dumps(settings))
    with run_sandbox("--config", str(config), "--record", str(record)) as sandbox:
        assert get(sandbox, email="ok-a@b.example", key="k")[0] == 200
        deadline = time.monotonic() + 10
        while not record.read_text() and time.monotonic() < deadline:
            sandbox.summary()
        assert json.loads(record.read_text())["email"] == "ok-a@b.example"


def test_a_taken_port_is_said_in_one_line(running: RunningSandbox) -> None:
    port = running.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "address already in use" in done.stderr
