"""Answers between clients: none crosses, unless the installation says so; then what crosses is the answer alone."""

import pytest

from app.db.scope import tenant_scope
from app.enrichment.lookup import Kind
from app.enrichment.memory import Question, read_kept
from sandbox.process import RunningSandbox
from tests.conftest import Environment
from tests.factories import owner_sql
from tests.integration.ledger_world import World
from tests.integration.lookup_world import KEY, Lookups, lead


@pytest.fixture
def world_of_two(world: World, provider: RunningSandbox, environment: Environment) -> World:
    provider.reset()
    provider.put_keys({"key": KEY})
    world.add_tenant("acme")
    world.add_tenant("bolt")
    return world


def processes(
    world: World, provider: RunningSandbox, redis_url: str, shares: bool
) -> list[Lookups]:
    """Two worker processes, each with a memory of its own."""
    return [Lookups(world, provider, redis_url, shares=shares) for _ in range(2)]


def test_without_the_setting_each_client_pays_for_its_own_answer(
    world_of_two: World, provider: RunningSandbox, redis_url: str
) -> None:
    # One process for both clients, so that neither the process nor the database lets anything across.
    one, _ = processes(world_of_two, provider, redis_url, shares=False)
    for tenant in ("acme", "bolt"):
        job = one.submit(lead("found", "a"), tenant=tenant)
        assert one.run() == ["done"]
        assert one.attempts(job) == [("a", "apollo", "found", False)]
    assert provider.summary()["calls"] == 2
    assert owner_sql("SELECT count(*) FROM shared_answers") == 0


def test_what_was_shared_before_is_not_read_once_the_setting_is_off(
    world_of_two: World, provider: RunningSandbox, redis_url: str
) -> None:
    first, _ = processes(world_of_two, provider, redis_url, shares=True)
    first.submit(lead("found", "a"))
    first.run()
    assert owner_sql("SELECT count(*) FROM shared_answers") == 1
    _, second = processes(world_of_two, provider, redis_url, shares=False)
    second.submit(lead("found", "b"), tenant="bolt")
    second.run()
    assert provider.summary()["calls"] == 2


@pytest.mark.parametrize(("word", "outcome"), [("found", "found"), ("miss", "miss")])
def test_with_the_setting_one_client_s_answer_serves_another(
    world_of_two: World, provider: RunningSandbox, redis_url: str, word: str, outcome: str
) -> None:
    first, second = processes(world_of_two, provider, redis_url, shares=True)
    mine = first.submit(lead(word, "a"), chain=("apollo",))
    first.run()
    theirs = second.submit(lead(word, "b"), chain=("apollo",), tenant="bolt")
    second.run()
    assert second.attempts(theirs) == [("b", "apollo", outcome, True)]
    assert provider.summary()["calls"] == 1
    fields = [
        told["data"]["fields"] for told in (first.results(mine)["a"], second.results(theirs)["b"])
    ]
    assert fields[0] == fields[1]


def test_another_question_about_the_same_person_is_no_shared_answer(
    world_of_two: World, provider: RunningSandbox, redis_url: str
) -> None:
    first, second = processes(world_of_two, provider, redis_url, shares=True)
    first.submit(lead("found", "a"))
    first.run()
    job = second.submit(lead("found", "b"), wanted=(Kind.SOCIAL,), tenant="bolt")
    second.run()
    assert [cached for *_, cached in second.attempts(job)] == [False]


def test_what_is_shared_does_not_say_who_asked_and_ends_with_its_time(
    world_of_two: World, provider: RunningSandbox, redis_url: str
) -> None:
    first, _ = processes(world_of_two, provider, redis_url, shares=True)
    first.submit(lead("found", "a"))
    first.run()
    columns = owner_sql(
        """SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns
           WHERE table_name = 'shared_answers'"""
    )
    assert columns == "expires_at findings found_at identity provider"
    (row,) = world_of_two.rows("SELECT * FROM shared_answers")
    bolt = world_of_two.tenants["bolt"]
    question = Question(str(bolt), str(row["provider"]), str(row["identity"]))
    with tenant_scope(bolt, world_of_two.app) as c:
        assert list(read_kept(c, bolt, [question], shares=True)) == [question]
        assert read_kept(c, bolt, [question]) == {}
    owner_sql("UPDATE shared_answers SET expires_at = now() - interval '1 s'")
    with tenant_scope(bolt, world_of_two.app) as c:
        assert read_kept(c, bolt, [question], shares=True) == {}
    owner_sql("SELECT forget_lookups(100)")
    assert owner_sql("SELECT count(*) FROM shared_answers") == 0
