"""The ledger's world, the web and the simulated providers over a module's own servers."""

from collections.abc import Iterator

import pytest

from app.db.engine import make_engine
from app.factory import create_app
from app.settings import get_settings
from sandbox.process import RunningSandbox, run_sandbox
from tests.conftest import Environment
from tests.factories import Tenant, make_tenant, owner_sql
from tests.integration.callback_world import Callbacks, Hook, listening
from tests.integration.http_world import Web
from tests.integration.ledger_world import World
from tests.integration.lookup_world import KEY, Lookups
from tests.integration.webhook_world import Receiver, run_receiver


@pytest.fixture(scope="module")
def module_world(database_url: str, owner_url: str) -> Iterator[World]:
    """One world a module: engines are dear, rows are cheap."""
    app, owner = make_engine(database_url, role="laneway_app"), make_engine(owner_url, role=None)
    yield World(app, owner)
    app.dispose()
    owner.dispose()


@pytest.fixture
def world(module_world: World) -> World:
    """An empty world."""
    module_world.empty()
    return module_world


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningSandbox]:
    """The simulated providers, without a key: a test gives them what it needs."""
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def lookups(
    world: World, provider: RunningSandbox, environment: Environment, redis_url: str
) -> Lookups:
    """Jobs of leads of one client, `acme`, whose one key the providers know."""
    provider.reset()
    provider.put_keys({"key": KEY})
    world.add_tenant("acme")
    return Lookups(world, provider, redis_url)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A listener for the providers' later calls."""
    with listening() as running:
        yield running


@pytest.fixture
def callbacks(lookups: Lookups, hook: Hook) -> Callbacks:
    """Jobs of leads of `acme` whose providers may answer later, to the hook."""
    return Callbacks(lookups, hook)


@pytest.fixture(scope="module")
def web(module_environment: dict[str, str]) -> Iterator[Web]:
    """The web application over the module's servers; limits of sign-in are wide, except where they are the matter."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LOGIN_LIMIT", "LOGIN_EMAIL_LIMIT"):
            patch.setenv(name, "10000 per minute")
        patch.setenv("LOG_LEVEL", "ERROR")
        get_settings.cache_clear()
        yield Web(create_app())
        get_settings.cache_clear()


@pytest.fixture
def webhooks_only(module_environment: dict[str, str]) -> None:
    """No client but those that the test makes, and nothing to deliver."""
    owner_sql("TRUNCATE tenants, audit_events CASCADE")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    with run_receiver() as running:
        yield running


@pytest.fixture
def tenant(webhooks_only: None) -> Tenant:
    """The only client, to whom webhooks are sent."""
    return make_tenant()
