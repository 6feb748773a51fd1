"""Bringing a database up to date, and noticing one that was made from another text."""

import pytest
from sqlalchemy import text

from app.db.engine import owner_engine
from app.db.migrate import migrate
from app.errors import Misconfigured
from tests.conftest import Environment


def test_a_second_time_changes_nothing(environment: Environment) -> None:
    migrate()
    with owner_engine().begin() as c:
        before = c.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    migrate()
    with owner_engine().begin() as c:
        assert c.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == before


def test_a_database_made_from_another_text_is_named(environment: Environment) -> None:
    with owner_engine().begin() as c:
        c.execute(text("UPDATE schema_sources SET sha256 = 'other' WHERE name = '0001_ledger.sql'"))
    try:
        with pytest.raises(Misconfigured, match=r"another text of 0001_ledger\.sql"):
            migrate()
    finally:
        with owner_engine().begin() as c:
            c.execute(text("DELETE FROM schema_sources WHERE name = '0001_ledger.sql'"))
