"""A test call of a key holds no transaction while the provider thinks, and is written down when it has answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text

from app.clients import key_test
from app.clients.actor import acting_as
from app.clients.key_audit import reset_key
from app.clients.key_test import KeyTest
from app.clients.keys import NewKey, add_key, edit_key, remove_key
from app.db.engine import owner_engine
from app.db.scope import system_scope
from app.errors import NotFound, Unavailable
from app.settings import get_settings
from app.work.key_forms import stored_key
from devtools.ports import find_free_port
from routing.rate_limits.limiter import Limiter
from routing.rate_limits.limits import LimitPolicy, PoolRef, Reservation, Slot, name_pool
from tests.conftest import Environment
from tests.factories import make_tenant, owner_sql

OPEN = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state LIKE 'idle in transaction%'"""


class Provider(HTTPServer):
    """Answers every call; each time it looks how many transactions rest meanwhile, and does what it was asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.open: list[int] = []
        self.remove: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Call(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self.server.open.append(owner_sql(OPEN))
        if self.server.remove:
            with system_scope() as connection:
                remove_key(connection, self.server.remove)
        self._answer(b'{"code": "ok", "message": "Accepted"}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def provider(environment: Environment) -> Iterator[Provider]:
    with Provider() as provider:
        thread = Thread(target=provider.serve_forever)
        thread.start()
        yield provider
        provider.shutdown()
        thread.join()


@pytest.fixture
def limiter(environment: Environment) -> Iterator[Limiter]:
    limiter = Limiter.connect(get_settings().limits_url)
    yield limiter
    limiter.close()


@pytest.fixture
def key(environment: Environment) -> Any:
    # Each test's own: one that was used lately starts with its window behind it in an empty Redis.
    secret = SecretStr(f"mt_{uuid4().hex}_z789")
    with system_scope() as connection:
        return add_key(connection, make_tenant().id, NewKey(secret))


@contextmanager
def signing() -> Iterator[Connection]:
    with owner_engine().begin() as connection:
        acting_as(connection, "op@example.com")
        yield connection


def try_key(
    key: Any, provider: Provider, limiter: Limiter, seconds: float = key_test.TEST_SECONDS
) -> KeyTest:
    settings = get_settings().model_copy(update={"mailtester_base_url": provider.url})
    return key_test.test_key(signing, key, limiter=limiter, settings=settings, seconds=seconds)


def told(key: Any) -> list[tuple[str, str, dict[str, Any]]]:
    query = """SELECT json_agg(json_build_array(actor, action, details) ORDER BY id) FROM audit_events
        WHERE action IN ('key.tested', 'key.reset') AND details ->> 'key' = :key"""
    return [tuple(event) for event in owner_sql(query, {"key": str(key)}) or ()]


def test_no_transaction_is_open_while_the_provider_thinks(
    key: Any, provider: Provider, limiter: Limiter
) -> None:
    tried = try_key(key, provider, limiter)
    assert tried.ok
    assert provider.open == [0]
    details = {"key": str(key), "hint": "z789", "provider": "mailtester"}
    details |= {"ok": True, "outcome": "valid", "ms": tried.ms}
    assert told(key) == [("op@example.com", "key.tested", details)]


def test_a_key_that_rests_is_told_of_without_a_call(
    key: Any, provider: Provider, limiter: Limiter
) -> None:
    try_key(key, provider, limiter)
    fingerprint = owner_sql("SELECT fingerprint FROM api_keys WHERE id = :k", {"k": key})
    limiter.unauthorized(fingerprint, "refused")
    assert not try_key(key, provider, limiter).ok
    assert len(provider.open) == 1
    *_, (_, _, details) = told(key)
    assert (details["ok"], details["outcome"], details["ms"]) == (False, "circuit_open", None)
    assert reset_key(signing, key, limiter) == ("z789", "closed")
    *_, (actor, action, details) = told(key)
    assert (actor, action, details["state"]) == ("op@example.com", "key.reset", "closed")


def test_a_key_that_is_removed_meanwhile_has_told_so_itself(
    key: Any, provider: Provider, limiter: Limiter
) -> None:
    provider.remove = key
    assert try_key(key, provider, limiter).ok
    assert told(key) == []
    with pytest.raises(NotFound):
        try_key(key, provider, limiter)
    with pytest.raises(NotFound):
        reset_key(signing, key, limiter)


def test_what_could_not_be_done_is_not_told(key: Any, provider: Provider) -> None:
    away = Limiter.connect(f"redis://127.0.0.1:{find_free_port()}/0")
    try:
        for act in (lambda: try_key(key, provider, away), lambda: reset_key(signing, key, away)):
            with pytest.raises(Unavailable):
                act()
    finally:
        away.close()
    assert provider.open == []
    assert told(key) == []


def edit(key: Any, **settings: Any) -> None:
    with system_scope() as connection:
        edit_key(connection, key, **settings)


def test_limits_that_were_edited_since_a_worker_registered_the_key_hold(
    key: Any, provider: Provider, limiter: Limiter
) -> None:
    """A worker knows the key with another limit; no worker has seen the edit yet."""
    with system_scope() as connection:
        row = connection.execute(text("SELECT * FROM key_secret(:k)"), {"k": key}).one()
    known = stored_key(row)
    limiter.register(known.limits)
    edit(key, per_30s=2, spacing_ms=0)
    tries = [try_key(key, provider, limiter, seconds=1.0) for _ in range(5)]
    assert [tried.ok for tried in tries] == [True, True, False, False, False]
    assert {tried.outcome for tried in tries[2:]} == {"window"}
    assert len(provider.open) == 2
    # Its version is that of the row: a worker that still has the old one puts nothing back.
    limiter.edit([known.limits])
    assert try_key(key, provider, limiter, seconds=1.0).outcome == "window"


class Late:
    """A clock and a limiter: each grant is for now, and when its caller wakes up some time has gone."""

    policy = LimitPolicy()

    def __init__(self, *delays: float) -> None:
        self.delays = list(delays)
        self.now = 100.0

    def reserve(self, _: PoolRef, n: int, *, slack_ms: int) -> Reservation:
        assert (n, slack_ms) == (1, key_test._SLACK_MS)
        now_ms = round(self.now * 1e3)
        return Reservation((Slot("aa", now_ms, 1, 1),), 0, "", (), now_ms * 1_000)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.delays.pop(0)

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("delays", "slots"),
    [((0.149,), 1), ((0.151, 0.0), 1), ((0.4, 0.4, 0.1), 1), ((0.9, 0.9), 0)],
)
def test_a_moment_that_was_missed_is_not_used(
    monkeypatch: pytest.MonkeyPatch, delays: tuple[float, ...], slots: int
) -> None:
    late = Late(*delays)
    monkeypatch.setattr(key_test, "time", late)
    monkeypatch.setattr(key_test, "asyncio", late)
    found = asyncio.run(key_test._reserve(late, name_pool("test", ["aa"]), 1.0))  # type: ignore[arg-type]
    assert late.delays == [], "it asked again after each moment that it missed"
    assert (found == "late") is not bool(slots)
