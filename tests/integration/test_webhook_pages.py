"""The pages of webhooks: a secret is seen once, mistakes are said in the form, notices, the log, replay."""

import html
import json
import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import Tenant, make_job, make_person, make_tenant, owner_sql
from tests.integration.http_world import Web, form_token
from tests.integration.webhook_world import Receiver, Reply, add, deliver, deliveries, end_job

pytestmark = pytest.mark.usefixtures("webhooks_only")
URL = "https://hooks.example.com/laneway"


@pytest.fixture
def browser(web: Web, tenant: Tenant) -> FlaskClient:
    return web.sign_in(make_person(tenant))


def send(browser: FlaskClient, path: str, **fields: object) -> TestResponse:
    token = form_token(browser.get("/webhooks").text)
    return browser.post(path, data={**fields, "csrf_token": token})


def test_a_secret_is_shown_once(browser: FlaskClient) -> None:
    answer = send(browser, "/webhooks", url=URL, events=["job.completed", "job.failed"])
    assert answer.status_code == 303
    page = browser.get(answer.location).text
    (secret,) = set(re.findall(r"whsec_[\w+/=]+", page))
    assert len(secret) > 40
    page = browser.get("/webhooks").text
    assert "whsec_" not in page
    assert URL in page


def test_mistakes_are_said_in_the_form_and_what_was_typed_stays(browser: FlaskClient) -> None:
    answer = send(browser, "/webhooks", url="https://10.1.2.3/x", events=["job.failed"])
    assert answer.status_code == 422
    assert "Address: the address must lead to the public internet" in answer.text
    assert 'value="https://10.1.2.3/x"' in answer.text
    assert "<strong>This is the secret" not in answer.text


def test_a_form_without_events_says_so_and_ticks_none_by_itself(
    browser: FlaskClient, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, URL)
    for path in ("/webhooks", f"/webhooks/endpoints/{endpoint}"):
        answer = send(browser, path, url=URL, description="for the CRM")
        assert answer.status_code == 422
        assert "Events: choose at least one.<" in answer.text
        assert 'value="for the CRM"' in answer.text
        assert " checked" not in answer.text


def test_a_sentence_of_the_form_ends_once(browser: FlaskClient) -> None:
    answer = send(browser, "/webhooks", url="http://10.1.2.3/x", events=["job.failed"])
    assert "must begin with https://.<" in answer.text


def test_an_endpoint_is_changed_rotated_switched_off_and_removed(
    browser: FlaskClient, tenant: Tenant
) -> None:
    endpoint, secret = add(tenant, URL)
    path = f"/webhooks/endpoints/{endpoint}"
    assert send(browser, path, url=f"{URL}/2", events=["job.failed"]).status_code == 303
    assert f"{URL}/2" in browser.get(path).text
    send(browser, f"{path}/rotate")
    page = browser.get("/webhooks").text
    assert "whsec_" in page
    assert secret not in page
    send(browser, f"{path}/disable")
    assert "Switched off" in browser.get("/webhooks").text
    send(browser, f"{path}/enable")
    assert "the events since then were not kept" in browser.get("/webhooks").text
    send(browser, f"{path}/remove")
    assert browser.get(path).status_code == 404
    assert send(browser, f"{path}/explode").status_code == 404


def test_the_clients_own_secret(browser: FlaskClient) -> None:
    assert "Nobody has seen" in browser.get("/webhooks").text
    send(browser, "/webhooks/secret")
    assert "whsec_" in browser.get("/webhooks").text
    assert "was shown" in browser.get("/webhooks").text


def test_an_endpoint_that_was_switched_off_is_told_of(
    web: Web, browser: FlaskClient, tenant: Tenant, receiver: Receiver
) -> None:
    add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(500)
    end_job(make_job(tenant))
    deliver()
    receiver.answer = lambda _: Reply(410)
    end_job(make_job(tenant))
    deliver()
    assert "it answered 410" in browser.get("/webhooks").text
    assert "One webhook endpoint was switched off" in browser.get("/").text
    page = browser.get("/webhooks?status=cancelled").text
    assert "The last answer was 500." in page
    operator = web.sign_in(make_person(role="operator"))
    assert "switched off: it answered 410" in operator.get("/audit").text
    owner_sql("UPDATE webhook_endpoints SET disabled_reason = 'failing'")
    assert "it has failed for days" in browser.get("/webhooks").text


def test_the_log_shows_request_and_answer_and_replays(
    browser: FlaskClient, tenant: Tenant, receiver: Receiver
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(200, body=b"<script>alert(1)</script>")
    end_job(make_job(tenant, title="<b>leads</b>"))
    deliver()
    (delivery,) = deliveries(endpoint)
    assert f"/webhooks/deliveries/{delivery['id']}" in browser.get("/webhooks").text
    path = f"/webhooks/deliveries/{delivery['id']}"
    page = browser.get(path).text
    assert "Answer 200" in page
    assert "webhook-timestamp" in page
    assert "webhook-signature" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>leads" not in page
    # In the order in which it was sent, and to the second.
    sent = json.loads(receiver.received[0].body)
    assert re.findall(r'^  "(\w+)"', html.unescape(page), re.MULTILINE) == list(sent)
    assert re.search(r"\d\d:\d\d:\d\d UTC, [\d,]+ ms", page)
    assert send(browser, f"{path}/replay").status_code == 303
    deliver()
    assert len(receiver.received) == 2
    page = browser.get(path).text
    assert page.index("Attempt 2, replay: ") < page.index("Attempt 1: ")
    assert browser.get("/webhooks?status=delivered").text.count(path) == 1
    assert browser.get("/webhooks?status=failed").text.count(path) == 0


def test_filters_that_make_no_sense_are_refused(browser: FlaskClient) -> None:
    assert browser.get("/webhooks?status=nonsense").status_code == 422
    assert browser.get("/webhooks?cursor=nonsense").status_code == 422


def test_another_clients_endpoint_is_not_there(web: Web, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, URL)
    other = web.sign_in(make_person(make_tenant()))
    assert other.get(f"/webhooks/endpoints/{endpoint}").status_code == 404
    assert URL not in other.get("/webhooks").text
