"""The ledger's world over a module's own database."""

from collections.abc import Iterator

import pytest

from app.db.engine import make_engine
from tests.integration.ledger_world import World


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
