"""A chunk of leads against real servers: PostgreSQL, Redis with the limits, and the simulated providers."""

import re

from app.enrichment.lookup import Kind
from tests.factories import owner_sql
from tests.integration.ledger_world import answer, totals_agree
from tests.integration.lookup_world import Lookups, lead


def test_each_found_value_carries_its_provider_score_and_time(lookups: Lookups) -> None:
    job = lookups.submit(lead("found"), wanted=(Kind.EMAIL, Kind.COMPANY))
    assert lookups.run() == ["done"]
    row = lookups.results(job)["lead_found"]
    assert (row["verdict"], row["provider"], row["is_failure"]) == ("found", "apollo", False)
    email = row["data"]["fields"]["email"]
    assert email["value"].endswith("@acme.example")
    assert (
        email["provider"],
        0 <= email["score"] <= 100 if email["score"] is not None else True,
    ) == (
        "apollo",
        True,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", email["found_at"])
    assert lookups.world.job(job)["status"] == "completed"
    totals_agree(lookups.world, job)


def test_a_miss_goes_on_to_the_next_of_the_chain(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.miss-hunter.found", "x"))
    assert lookups.run() == ["done"]
    assert lookups.attempts(job) == [
        ("x", "apollo", "miss", False),
        ("x", "hunter", "found", False),
    ]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["provider"]) == ("found", "hunter")
    assert row["data"]["providers"] == {"apollo": "miss", "hunter": "found"}


def test_what_all_have_looked_for_in_vain_is_not_found_and_no_failure(lookups: Lookups) -> None:
    job = lookups.submit(lead("miss"))
    lookups.run()
    row = lookups.results(job)["lead_miss"]
    assert (row["verdict"], row["is_failure"], row["message"]) == (
        "not_found",
        False,
        "Not found: e-mail.",
    )


def test_leads_of_one_provider_share_a_call_where_it_takes_several(lookups: Lookups) -> None:
    job = lookups.submit(*(lead(f"found-{n}", str(n)) for n in range(25)))
    assert lookups.run(chunk_concurrency=1) == ["done"]
    assert {row["verdict"] for row in lookups.results(job).values()} == {"found"}
    assert [call["status"] for call in lookups.sandbox.calls()] == [200, 200, 200]


def test_a_question_that_was_answered_is_not_paid_for_again(lookups: Lookups) -> None:
    lookups.submit(lead("found", "a"))
    lookups.run()
    job = lookups.submit(lead("found", "b"))
    lookups.run()
    assert lookups.attempts(job) == [("b", "apollo", "found", True)]
    assert lookups.sandbox.summary()["calls"] == 1


def test_what_another_process_learnt_is_read_from_the_table(lookups: Lookups) -> None:
    lookups.submit(lead("miss", "a"))
    lookups.run()
    other = Lookups(lookups.world, lookups.sandbox, lookups.redis_url)
    job = other.submit(lead("miss", "b"))
    other.run()
    assert [(who, cached) for _, who, _, cached in other.attempts(job)] == [
        ("apollo", True),
        ("hunter", True),
    ]
    assert lookups.sandbox.summary()["calls"] == 2


def test_nothing_is_remembered_for_another_client(lookups: Lookups) -> None:
    lookups.world.add_tenant("globex")
    lookups.submit(lead("found", "a"))
    lookups.run()
    job = lookups.submit(lead("found", "b"), tenant="globex")
    lookups.run()
    assert lookups.attempts(job) == [("b", "apollo", "found", False)]


def test_equal_questions_at_the_same_time_are_one_call(lookups: Lookups) -> None:
    same = [lead("slow300", str(n)) for n in range(5)]
    first, second = lookups.submit(*same), lookups.submit(*same)
    assert lookups.run() == ["done", "done"]
    found = [*lookups.results(first).values(), *lookups.results(second).values()]
    assert [row["verdict"] for row in found] == ["found"] * 10
    assert lookups.sandbox.summary()["calls"] == 1


def test_an_error_of_one_provider_is_gone_round_by_the_next(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.error500-hunter.found", "x"))
    assert lookups.run() == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["provider"]) == ("found", "hunter")
    assert row["data"]["providers"]["apollo"].startswith("failed: ")


def test_who_failed_is_asked_again_when_nobody_else_knew(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.miss-hunter.flaky2", "x"))
    assert lookups.run(retry_base_delay=20) == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"
    assert [outcome for _, who, outcome, _ in lookups.attempts(job) if who == "apollo"] == ["miss"]
    assert [outcome for _, who, outcome, _ in lookups.attempts(job) if who == "hunter"] == [
        "error",
        "error",
        "found",
    ]


def test_an_error_that_stays_is_never_not_found(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.miss-hunter.error500", "x"))
    assert lookups.run(retry_base_delay=1) == ["done"]
    row = lookups.results(job)["x"]
    assert (row["verdict"], row["is_failure"]) == ("unknown", True)
    job_row = lookups.world.job(job)
    assert (job_row["status"], job_row["error"]) == ("dead_letter", row["message"])


def test_a_provider_without_a_key_is_gone_round_and_named(lookups: Lookups) -> None:
    lookups.keys["apollo"] = None  # type: ignore[assignment]
    job = lookups.submit(lead("found"))
    assert lookups.run() == ["done"]
    row = lookups.results(job)["lead_found"]
    assert row["provider"] == "hunter"
    assert row["data"]["providers"]["apollo"] == "skipped: there is no key for it"


def test_without_any_key_the_job_waits_and_says_for_what(lookups: Lookups) -> None:
    lookups.keys = dict.fromkeys(lookups.keys)  # type: ignore[arg-type]
    job = lookups.submit(*(lead(f"found-{n}", str(n)) for n in range(3)))
    assert lookups.run() == ["waiting"]
    assert lookups.world.job(job)["status"] == "waiting"
    chunk = lookups.world.rows(
        "SELECT status, waits_for, attempts, retries, run_at > now() AS later FROM chunks"
    )[0]
    assert chunk == {
        "status": "ready",
        "waits_for": "no_keys",
        "attempts": 0,
        "retries": {},
        "later": True,
    }


def test_a_key_that_comes_wakes_what_waits_for_one(lookups: Lookups) -> None:
    lookups.keys = dict.fromkeys(lookups.keys)  # type: ignore[arg-type]
    job = lookups.submit(lead("found", "x"))
    assert lookups.run() == ["waiting"]
    assert lookups.world.release() == []
    tenant = lookups.world.tenants["acme"]
    owner_sql(
        """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint)
           VALUES (:t, 'apollo', 'f', 'x', '0001')""",
        {"t": tenant},
    )
    lookups.keys = {"apollo": {"spacing_ms": 0}, "hunter": None}  # type: ignore[dict-item]
    assert lookups.run() == ["done"]
    assert lookups.results(job)["x"]["verdict"] == "found"


def test_a_client_whose_keys_are_spent_holds_up_no_job_with_other_providers(
    lookups: Lookups,
) -> None:
    lookups.keys["hunter"] = None  # type: ignore[assignment]
    stuck = lookups.submit(lead("found", "x"), chain=("hunter",))
    assert lookups.run() == ["waiting"]
    job = lookups.submit(lead("found", "y"), chain=("apollo",))
    assert lookups.run() == ["done"]
    assert lookups.results(job)["y"]["verdict"] == "found"
    assert lookups.world.job(stuck)["status"] == "waiting"


def test_what_was_paid_for_is_not_asked_again_by_the_next_lease(lookups: Lookups) -> None:
    job = lookups.submit(lead("apollo.miss-hunter.flaky1", "x"))
    assert lookups.run(retry_base_delay=60_000) == ["retry"]
    assert lookups.world.job(job)["status"] == "retrying"
    # Neither the process nor the table of answers remembers anything: the attempts alone must tell.
    owner_sql("DELETE FROM lookup_cache")
    owner_sql("""UPDATE chunks SET run_at = now(), retries = '{"1": [1, 0, "an error"]}'""")
    Lookups(lookups.world, lookups.sandbox, lookups.redis_url).run()
    assert [(who, outcome) for _, who, outcome, _ in lookups.attempts(job)] == [
        ("apollo", "miss"),
        ("hunter", "error"),
        ("hunter", "found"),
    ]


def test_find_then_verify_ends_with_a_verdict_about_what_was_found(lookups: Lookups) -> None:
    job = lookups.submit(lead("found", "hit"), lead("miss", "none"), verifies=True)
    assert lookups.run() == ["done"]
    assert set(lookups.results(job)) == {"none"}
    (message,) = lookups.world.release()
    assert message.kind == "verify"
    lease = lookups.world.take(message)
    assert lease is not None
    assert lookups.world.job(job)["status"] == "processing"
    lookups.world.record(lease[0], [answer(item) for item in lease[1]])
    assert lookups.world.finish(lease[0])
    rows = lookups.results(job)
    assert (rows["hit"]["verdict"], rows["none"]["verdict"]) == ("valid", "not_found")
    assert rows["hit"]["data"]["fields"]["email"]["provider"] == "apollo"
    assert lookups.world.job(job)["status"] == "completed"
    totals_agree(lookups.world, job)
