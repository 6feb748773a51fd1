"""Answers that come later and a deadline: what becomes of a lead when it goes by, and of a call that comes after it."""

import json

import pytest

from tests.factories import owner_sql
from tests.integration.callback_world import Callbacks, Caught
from tests.integration.lookup_world import lead


def test_after_the_deadline_the_next_provider_is_asked(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("apollo.later-hunter.found", "x"))
    callbacks.run()
    callbacks.let_deadlines_pass()
    assert callbacks.run() == ["done"]
    assert callbacks.attempts(job) == [
        ("x", "apollo", "pending", False),
        ("x", "apollo", "late", False),
        ("x", "hunter", "found", False),
    ]
    row = callbacks.lookups.results(job)["x"]
    assert (row["verdict"], row["provider"]) == ("found", "hunter")
    assert row["data"]["providers"] == {"apollo": "late", "hunter": "found"}


def test_silence_is_no_verdict_and_may_be_tried_again(callbacks: Callbacks) -> None:
    """Apollo has not said that it knows nobody; Hunter has."""
    alone = callbacks.submit(lead("later", "x"), chain=("apollo",))
    callbacks.run()
    callbacks.let_deadlines_pass()
    assert callbacks.run() == ["done"]
    row = callbacks.lookups.results(alone)["x"]
    assert (row["verdict"], row["code"], row["is_failure"]) == ("unknown", "late", True)
    with callbacks.world.scope("acme") as c:
        c.exec_driver_sql("SELECT ledger_retry(%s)", (str(alone),))
    callbacks.forget()
    assert callbacks.run() == ["waiting"]
    assert callbacks.lookups.sandbox.summary()["calls"] == 2


def test_silence_beside_a_miss_is_not_found(callbacks: Callbacks) -> None:
    job = callbacks.submit(lead("apollo.later-hunter.miss", "x"))
    callbacks.run()
    callbacks.let_deadlines_pass()
    assert callbacks.run() == ["done"]
    row = callbacks.lookups.results(job)["x"]
    assert (row["verdict"], row["is_failure"]) == ("not_found", False)
    assert row["data"]["providers"] == {"apollo": "late", "hunter": "miss"}


def test_what_comes_when_the_lead_is_concluded_is_shown_and_remembered(
    callbacks: Callbacks,
) -> None:
    job = callbacks.submit(lead("apollo.later-hunter.found", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.let_deadlines_pass()
    callbacks.run()
    before = callbacks.lookups.results(job)["x"]
    assert callbacks.deliver(call) == (202, "late")
    assert callbacks.events() == [("apollo", "late", job, [1])]
    assert callbacks.attempts(job)[-1] == ("x", "apollo", "found", True)
    assert callbacks.lookups.results(job)["x"] == before
    callbacks.forget()
    again = callbacks.submit(lead("apollo.later-hunter.found", "y"))
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.attempts(again) == [("y", "apollo", "found", True)]


def _about_first(call: Caught) -> bytes:
    """Return the call without its other rows."""
    whole = json.loads(call.body)
    return json.dumps({**whole, "people": whole["people"][:1]}).encode()


@pytest.mark.parametrize(
    "without", ["UPDATE lookup_waits SET over_at = NULL", "DELETE FROM job_results"]
)
def test_a_lead_is_concluded_also_while_its_job_goes_on(callbacks: Callbacks, without: str) -> None:
    """Two signs tell so, and each of them is enough."""
    job = callbacks.submit(lead("apollo.later-hunter.found", "x"), lead("later", "y"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.world.rows("UPDATE lookup_waits SET deadline = now() WHERE item_no = 1 RETURNING 1")
    callbacks.world.make_due()
    assert callbacks.run() == ["waiting"]
    assert set(callbacks.lookups.results(job)) == {"x"}
    owner_sql(without)
    assert callbacks.deliver(call, body=_about_first(call)) == (202, "late")
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.events()[-1] == ("apollo", "matched", job, [1, 2])


def test_a_late_answer_before_the_end_of_the_lead_is_taken(callbacks: Callbacks) -> None:
    """The deadline went by and Hunter fails; what Apollo says meanwhile spares the next attempt."""
    job = callbacks.submit(lead("apollo.later-hunter.error500", "x"))
    callbacks.run()
    (call,) = callbacks.hook.wait_for(1)
    callbacks.let_deadlines_pass()
    assert callbacks.run(retry_base_delay=60_000) == ["retry"]
    assert callbacks.deliver(call) == (202, "matched")
    assert callbacks.chunk()["is_due"]
    callbacks.world.rows("UPDATE chunks SET retries = '{}' RETURNING 1")
    assert callbacks.run() == ["done"]
    assert callbacks.lookups.results(job)["x"]["provider"] == "apollo"
