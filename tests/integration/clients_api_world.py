"""Clients and keys over the API: an operator whose log is read afterwards, a client, and what is asked of both."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.logs import configure_logging
from app.settings import get_settings
from tests.factories import (
    Person,
    Tenant,
    make_person,
    make_tenant,
    owner_sql,
)
from tests.integration.http_world import Caller, Web

SECRET = "mt_abc123xyz789"
OTHER_SECRET = "mt_def456uvw012"
NO_ID = "00000000-0000-4000-8000-000000000000"


def a_client() -> Tenant:
    """Make a client; no other has a key any more."""
    # These tests share two keys, and rows with one key have the same limits.
    owner_sql("DELETE FROM api_keys")
    return make_tenant()


def an_operator(web: Web, capfd: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    """Somebody who runs the installation; afterwards no secret stands in what was logged."""
    configure_logging(get_settings().model_copy(update={"log_level": "INFO"}))
    caller = web.caller(make_person(role="operator"))
    caller.get("/api/audit")
    yield caller
    configure_logging(get_settings())
    said = "".join(capfd.readouterr())
    assert "/api/audit" in said, "nothing was logged, so nothing is proved"
    assert SECRET not in said
    assert OTHER_SECRET not in said


def queue_of(tenant: Tenant) -> str:
    return f"verification-queue:client-{tenant.slug}"


def onboard(operator: Caller, person: Person, **changes: Any) -> Any:
    body: dict[str, Any] = {"email": person.email, "keys": [{"secret": SECRET}]} | changes
    return operator.post("/api/clients", json=body)


def key_of(operator: Caller, tenant: Tenant) -> dict[str, Any]:
    [key] = operator.get(f"/api/clients/{tenant.slug}").json["keys"]
    return dict(key)


def history(operator: Caller, tenant: Tenant) -> list[dict[str, Any]]:
    return list(operator.get(f"/api/clients/{tenant.slug}/history").json["events"])
