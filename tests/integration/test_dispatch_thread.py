"""Rounds of the web's dispatch thread: what is asked for in a burst is released together, and nothing is left out."""

import sys
import time
from typing import Any

import pytest
from sqlalchemy import event

from app.db.engine import app_engine
from app.http import dispatch as module
from app.http.dispatch import REST_SECONDS, DispatchThread
from tests.factories import make_job, make_tenant, owner_sql

pytestmark = pytest.mark.usefixtures("web")


def ready(tenant: object) -> int:
    return int(
        owner_sql(
            "SELECT count(*) FROM chunks WHERE tenant_id = :t AND status = 'ready'", {"t": tenant}
        )
    )


def released_soon(tenant: object) -> bool:
    until = time.monotonic() + 30
    while ready(tenant):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_burst_is_released_in_few_rounds() -> None:
    rounds: list[str] = []
    began = time.monotonic()

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "ledger_release" in statement:
            rounds.append(statement)

    dispatch = DispatchThread()
    clients = [make_tenant() for _ in range(3)]
    event.listen(app_engine(), "before_cursor_execute", note)
    try:
        for client in clients:
            make_job(client, 1)
            for _ in range(100):
                dispatch()
            # Also what was asked for while a round was under way.
            assert released_soon(client.id)
    finally:
        event.remove(app_engine(), "before_cursor_execute", note)
    # However slow the machine is: they begin at least so far apart.
    assert len(clients) <= len(rounds) <= (time.monotonic() - began) / REST_SECONDS + 1


class Notes:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def error(self, name: str, **more: Any) -> None:
        self.told.append((name, more))

    warning = error


def test_a_first_import_that_fails_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes, client = Notes(), make_tenant()
    monkeypatch.setattr(module, "log", notes)
    dispatch = DispatchThread()
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "tasks.dispatcher", None)
        make_job(client, 1)
        dispatch()
        until = time.monotonic() + 30
        while not notes.told:
            assert time.monotonic() < until
            time.sleep(0.02)
    ((name, said),) = notes.told
    assert (name, said["error"]) == ("dispatch_failed", "ModuleNotFoundError")
    assert "tasks.dispatcher" in said["detail"]
    assert ready(client.id) == 1
    dispatch()
    assert released_soon(client.id)
