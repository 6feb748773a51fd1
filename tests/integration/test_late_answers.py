"""Answers that come later: a chunk that waits, the vendor's real calls, and what becomes of the lead."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import event

from app.db.engine import app_engine
from app.db.scope import tenant_scope
from app.enrichment.lookup import Kind
from app.enrichment.memory import Memory
from app.enrichment.waits import lock_requests
from app.jobs.timeline import read_calls, read_item
from tests.factories import owner_sql
from tests.integration.callback_world import Callbacks
from tests.integration.client_world import wait_until, waits_for_a_lock
from tests.integration.ledger_world import totals_agree
from tests.integration.lookup_world import lead


def test_an_answer_makes_the_waiting_chunk_due_at_once(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"))
    assert callbacks.run() == ["waiting"]
    assert callbacks.chunk() == {"status": "ready", "waits_for": "callback", "is_due": False}
    assert callbacks.world.job(job)["status"] == "waiting"
    (call,) = callbacks.hook.wait_for(1)
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.deliver(call) == (202, "duplicate")
    with tenant_scope(callbacks.world.tenants["acme"]) as connection:
        shown = [(c.provider, c.state, c.items) for c in read_calls(connection, job)]
    assert shown == [("apollo", "matched", [1]), ("apollo", "duplicate", [1])]
    assert callbacks.chunk()["is_due"]
    assert callbacks.run() == ["done"]
    assert callbacks.attempts(job) == [
        ("x", "apollo", "pending", False),
        ("x", "apollo", "found", True),
    ]
    with tenant_scope(callbacks.world.tenants["acme"]) as connection:
        told = [(a.outcome, a.callback) for a in read_item(connection, job, 1).attempts]
    assert told == [("pending", False), ("found", True)]
    row = callbacks.lookups.results(job)["x"]
    assert (row["verdict"], row["provider"]) == ("found", "apollo")
    assert row["data"]["providers"] == {"apollo": "found"}
    assert callbacks.world.job(job)["status"] == "completed"
    assert callbacks.lookups.sandbox.summary()["calls"] == 1
    totals_agree(callbacks.world, job)


def test_an_answer_that_comes_before_its_record_is_kept_and_matched_with_it(
    callbacks: Callbacks,
) -> None:
    """The vendor calls after 50 ms. The record is made when the other lead is done, after a second and a half."""
    callbacks.hook.forward_to = callbacks.client
    job = callbacks.submit(lead("later", "x"), lead("apollo.miss-hunter.slow1500", "y"))
    assert callbacks.run(flush_seconds=60) == ["waiting"]
    assert callbacks.hook.answers == [(202, "unknown")]
    assert callbacks.events() == [("apollo", "matched", job, [1])]
    # The chunk found the answer when it was put back, and is due.
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["x"]["verdict"] == "found"
    # Both leads shared the call to Apollo.
    assert callbacks.lookups.sandbox.summary()["calls"] == 2


@pytest.mark.parametrize(
    "statement", ["FROM job_items", "UPDATE lookup_waits", "state FROM lookup_waits"]
)
def test_an_answer_that_comes_while_the_leads_are_loaded_is_not_asked_for_again(
    callbacks: Callbacks, statement: str
) -> None:
    """Between any two reads of the next lease, in a process that remembers nothing, for a client who has nothing kept."""
    callbacks.lookups.memory = Memory({})
    job = callbacks.submit(lead("later", "x"), lead("apollo.miss-hunter.found", "y"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.world.make_due()
    callbacks.forget()
    callbacks.lookups.memory = Memory({})
    said = list[tuple[int, str | None]]()

    def deliver_once(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if statement in sql and not said:
            said.append((0, None))
            said[0] = callbacks.deliver(call)

    engine = app_engine()
    event.listen(engine, "after_cursor_execute", deliver_once)
    try:
        callbacks.run()
    finally:
        event.remove(engine, "after_cursor_execute", deliver_once)
    assert said == [(202, "matched")]
    if callbacks.world.job(job)["status"] != "completed":
        assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["x"]["provider"] == "apollo"
    # Both shared the call to Apollo, and Hunter was asked about the other.
    assert callbacks.lookups.sandbox.summary()["calls"] == 2


def test_other_leads_of_the_chunk_go_on_meanwhile(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"), lead("found", "y"), lead("miss", "z"))
    assert callbacks.run() == ["waiting"]
    assert set(callbacks.lookups.results(job)) == {"y", "z"}
    # The next provider is not paid for while an answer is to come.
    assert ("x", "hunter") not in {(ref, who) for ref, who, _, _ in callbacks.attempts(job)}


def test_an_answer_is_taken_while_another_lead_waits_for_its_next_attempt(
    callbacks: Callbacks,
) -> None:
    job = callbacks.submit(lead("later", "x"), lead("apollo.miss-hunter.flaky1", "y"))
    assert callbacks.run(retry_base_delay=60_000) == ["waiting"]
    assert callbacks.chunk()["waits_for"] == "retry"
    (call,) = callbacks.hook.wait_for(1)
    callbacks.deliver(call)
    assert callbacks.run() == ["retry"]
    assert set(callbacks.lookups.results(job)) == {"x"}
    callbacks.world.rows("UPDATE chunks SET retries = '{}', run_at = now() RETURNING 1")
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["y"]["verdict"] == "found"


def test_an_answer_is_taken_where_the_chunk_waits_for_keys(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.world.rows("UPDATE chunks SET waits_for = 'no_keys' RETURNING 1")
    callbacks.deliver(call)
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["x"]["verdict"] == "found"


def test_a_process_that_remembers_nothing_goes_on_waiting(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"))
    callbacks.run()
    callbacks.world.make_due()
    callbacks.forget()
    assert callbacks.run() == ["waiting"]
    assert not callbacks.chunk()["is_due"]
    assert callbacks.attempts(job) == [("x", "apollo", "pending", False)]
    assert callbacks.lookups.sandbox.summary()["calls"] == 1


def test_a_repeated_call_is_noted_and_changes_nothing(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    assert [callbacks.deliver(call) for _ in range(3)] == [
        (202, "matched"),
        (202, "duplicate"),
        (202, "duplicate"),
    ]
    assert callbacks.run() == ["done"]
    assert callbacks.deliver(call) == (202, "duplicate")
    assert [said for _, _, said, _ in callbacks.attempts(job)] == ["pending", "found"]
    kept = callbacks.world.rows(
        "SELECT body IS NOT NULL AS has_body FROM lookup_events ORDER BY id"
    )
    assert [row["has_body"] for row in kept] == [True, False, False, False]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_calls_in_another_order_come_to_the_same(
    callbacks: Callbacks, order: tuple[int, int]
) -> None:
    """E-mail and telephone number come in calls of their own: the lead waits for both, whichever is first."""
    job = callbacks.submit(lead("later", "x"), wanted=(Kind.EMAIL, Kind.PHONE))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    parts = callbacks.split(call)
    assert callbacks.deliver(call, body=parts[order[0]]) == (202, "matched")
    assert callbacks.run() == ["waiting"]
    assert callbacks.deliver(call, body=parts[order[1]]) == (202, "matched")
    assert callbacks.run() == ["done"]
    row = callbacks.lookups.results(job)["x"]
    assert row["verdict"] == "found"
    assert {"email", "phone"} <= set(row["data"]["fields"])
    assert row["data"]["providers"] == {"apollo": "found"}


def test_a_call_during_the_record_waits_for_it(callbacks: Callbacks) -> None:
    """Else neither would see the other: the call no wait, the record no call."""
    callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    request = parse_qs(urlsplit(call.path).query)["request"]
    with ThreadPoolExecutor(1) as pool:
        with callbacks.world.scope("acme") as c:
            lock_requests(c, request)
            delivering = pool.submit(callbacks.deliver, call)
            wait_until(lambda: waits_for_a_lock(callbacks.world), "the call waits")
            assert callbacks.events() == []
        assert delivering.result(20) == (202, "matched")


def test_a_repeated_call_wakes_what_was_not_woken(callbacks: Callbacks) -> None:
    """The web may die between the answer and the waking; the vendor then calls again."""
    callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.deliver(call)
    callbacks.world.rows("UPDATE chunks SET run_at = now() + interval '1 hour' RETURNING 1")
    assert callbacks.deliver(call) == (202, "duplicate")
    assert callbacks.chunk()["is_due"]


def test_a_part_that_was_looked_for_in_vain_is_not_waited_for_again(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"), wanted=(Kind.EMAIL, Kind.PHONE), chain=("apollo",))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    emails, phones = callbacks.split(call)
    in_vain = json.loads(emails)
    in_vain["people"][0]["emails"] = []
    assert callbacks.deliver(call, body=json.dumps(in_vain).encode()) == (202, "matched")
    assert callbacks.run() == ["waiting"]
    assert callbacks.deliver(call, body=phones) == (202, "matched")
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["x"]["verdict"] == "partial"


def test_a_call_that_says_nothing_answers_nobody(callbacks: Callbacks) -> None:
    callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    for body in (b"", b"[]", b"[" * 100_000, b'{"people": [{"id": "another"}]}', b"\xff\x00"):
        assert callbacks.deliver(call, body=body) == (202, "unknown")
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.run() == ["done"]


def test_a_row_that_makes_no_sense_lets_the_lead_go_on(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("apollo.later-hunter.found", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    odd = call.body.replace(b'"emails": [{', b'"emails": [7, {')
    assert odd != call.body
    assert callbacks.deliver(call, body=odd) == (202, "matched")
    assert callbacks.run() == ["done"]
    assert callbacks.attempts(job)[1:] == [
        ("x", "apollo", "provider_unavailable", True),
        ("x", "hunter", "found", False),
    ]


def test_an_equal_question_waits_for_the_same_call(callbacks: Callbacks) -> None:
    """In the same chunk, in another process, and after the answer is on its way: it is paid for once."""
    first = callbacks.submit(lead("later", "a"), lead("later", "b"))
    callbacks.run()
    callbacks.forget()
    second = callbacks.submit(lead("later", "c"))
    assert callbacks.run() == ["waiting"]
    (call,) = callbacks.hook.wait_for(1)
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.run() == ["done", "done"]
    found = {**callbacks.lookups.results(first), **callbacks.lookups.results(second)}
    assert {ref: row["verdict"] for ref, row in found.items()} == dict.fromkeys("abc", "found")
    assert callbacks.lookups.sandbox.summary()["calls"] == 1


def test_two_leads_that_are_one_person_to_the_vendor_are_both_told(callbacks: Callbacks) -> None:
    url = "https://linkedin.com/in/anna"
    job = callbacks.submit(lead("later", "a"), lead("later", "b", linkedin_url=url))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    assert callbacks.world.rows("SELECT count(DISTINCT name) AS n FROM lookup_waits") == [{"n": 1}]
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.events() == [("apollo", "matched", job, [1, 2])]
    assert callbacks.run() == ["done"]
    verdicts = {ref: row["verdict"] for ref, row in callbacks.lookups.results(job).items()}
    assert verdicts == {"a": "found", "b": "found"}


def test_a_cancelled_job_takes_nothing_any_more(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("later", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    with callbacks.world.scope("acme") as c:
        c.exec_driver_sql("SELECT ledger_cancel(%s)", (str(job),))
    assert callbacks.deliver(call) == (202, "late")
    assert callbacks.lookups.results(job) == {}


def test_without_a_public_address_nobody_is_asked_to_call(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("apollo.later-hunter.found", "x"))
    assert callbacks.run(public_url=None) == ["done"]
    assert [(who, said) for _, who, said, _ in callbacks.attempts(job)] == [
        ("apollo", "miss"),
        ("hunter", "found"),
    ]
    assert callbacks.lookups.sandbox.summary()["callbacks"] == {}
    assert owner_sql("SELECT count(*) FROM lookup_waits") == 0


def test_clearbit_calls_later_and_signs(callbacks: Callbacks) -> None:
    callbacks.give_key("clearbit")
    job = callbacks.submit(
        lead("x", "x", email="later-ann@shop.example"),
        wanted=(Kind.SOCIAL,),
        chain=("clearbit",),
    )
    assert callbacks.run() == ["waiting"]
    (call,) = callbacks.hook.wait_for(1)
    assert callbacks.deliver(call, body=call.body + b" ") == (401, None)
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.run() == ["done"]
    fields = callbacks.lookups.results(job)["x"]["data"]["fields"]
    assert fields["linkedin_url"]["value"] == "https://linkedin.com/in/somebody"
