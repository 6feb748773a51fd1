"""Requests that were made to hurt: each gets an ordinary answer and leaves nothing behind."""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.scope import system_scope, tenant_scope
from app.http import limits
from app.http.access import REGISTRY
from tests.factories import make_person, make_tenant
from tests.integration.http_world import Web


def test_made_up_methods_share_one_series_of_the_metrics(web: Web) -> None:
    client = web.app.test_client()
    for number in range(5):
        client.open("/nowhere", method=f"MADEUP{number}")
    methods = {
        sample.labels["method"]
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if "method" in sample.labels
    }
    assert "(other)" in methods
    assert not any(method.startswith("MADEUP") for method in methods)


def test_the_name_of_a_file_kept_with_the_job_is_short(web: Web) -> None:
    caller = web.caller(make_person(make_tenant()))
    answer = caller.upload(name="x" * 100_000 + ".csv")
    assert answer.status_code == 202
    assert caller.person
    assert caller.person.tenant
    with tenant_scope(caller.person.tenant.id) as c:
        kept = c.execute(text("SELECT length(params ->> 'filename') FROM jobs")).scalars().all()
    assert kept == [255]


def test_nobody_signs_in_under_a_name_with_nul(web: Web) -> None:
    page = web.app.test_client()
    found = re.search(r'csrf-token" content="([^"]+)', page.get("/login").text)
    assert found
    form = {"email": "a\0@example.com", "password": "something", "csrf_token": found[1]}
    answer = page.post("/login", data=form)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
    ],
)
def test_one_person_has_a_whole_network_of_ipv6(
    web: Web, one: str, other: str, *, is_same: bool
) -> None:
    counted = []
    for remote in (one, other):
        with web.app.test_request_context(environ_base={"REMOTE_ADDR": remote}):
            counted.append(limits.address())
    assert (counted[0] == counted[1]) is is_same


def test_a_database_error_says_nothing_of_the_values(web: Web) -> None:
    assert web
    with pytest.raises(DBAPIError) as caught, system_scope() as c:
        c.execute(text("SELECT 1 / 0, CAST(:value AS text)"), {"value": "ann@example.com"})
    assert "ann@example.com" not in str(caught.value)
