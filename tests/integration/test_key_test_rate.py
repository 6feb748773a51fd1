"""`keys test` on the command line: so many a minute by one person, counted where the API's and the pages' tests are."""

from uuid import UUID

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner
from pydantic import SecretStr

from app.clients import key_test, key_test_rate, keys_cli
from app.clients.key_test import KeyTest
from app.clients.key_test_rate import count_key_test
from app.clients.keys import NewKey, add_key
from app.db.scope import system_scope
from app.errors import TooManyRequests
from app.http import limits as web_limits
from app.settings import get_settings
from devtools.ports import find_free_port
from tests.factories import make_tenant, owner_sql
from tests.integration.http_world import Web


@pytest.fixture
def key(web: Web) -> UUID:
    with system_scope() as connection:
        return add_key(connection, make_tenant().id, NewKey(SecretStr("mt_abc123xyz789")))


@pytest.fixture
def cli(web: Web, monkeypatch: pytest.MonkeyPatch) -> FlaskCliRunner:
    """The command line; the call of the provider itself is something else here, and each test has a name of its own."""
    answer = KeyTest(ok=True, detail="answered", outcome="valid", ms=1)
    monkeypatch.setattr(key_test, "test_key", lambda *_, **__: answer)
    name = str(owner_sql("SELECT gen_random_uuid()"))
    monkeypatch.setattr(keys_cli, "login_name", lambda: name)
    return web.app.test_cli_runner()


def run(cli: FlaskCliRunner, key: UUID) -> Result:
    return cli.invoke(args=["keys", "test", str(key)])


def test_a_person_tests_ten_times_a_minute(
    cli: FlaskCliRunner, key: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [run(cli, key).exit_code for _ in range(10)]
    # The eleventh of a minute may be the first of the next one; that many in a row can't all be.
    refused = [found for _ in range(11) if (found := run(cli, key)).exit_code]
    assert codes == [0] * 10
    assert refused
    assert "A person may test keys 10 per minute. Wait " in refused[0].output
    monkeypatch.setattr(keys_cli, "login_name", lambda: str(key))
    assert run(cli, key).exit_code == 0, "somebody else may still"


def test_it_is_the_limit_of_the_api_and_the_pages() -> None:
    assert key_test_rate.KEY_TEST_LIMIT == web_limits.KEY_TEST_LIMIT


def test_the_wait_is_told(module_environment: dict[str, str]) -> None:
    def hurry() -> None:
        for _ in range(22):
            count_key_test(get_settings().redis_url, "somebody-in-a-hurry")

    with pytest.raises(TooManyRequests) as told:
        hurry()
    assert 1 <= (told.value.retry_after or 0) <= 60


def test_without_redis_nothing_is_counted() -> None:
    for _ in range(11):
        count_key_test(f"redis://127.0.0.1:{find_free_port()}/0", "somebody")
