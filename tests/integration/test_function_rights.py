"""What functions of the database may be called by, and where those look that see more than their caller."""

import pytest

from tests.factories import owner_sql

pytestmark = pytest.mark.usefixtures("environment")
#: Those that migrations made, and no extension.
FUNCTIONS = """
    SELECT coalesce(json_agg(p.oid::regprocedure::text), '[]') FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
PINNED = "coalesce('search_path=public, pg_temp' = ANY (proconfig), false)"


def functions(which: str) -> list[str]:
    return list(owner_sql(f"{FUNCTIONS} AND ({which})"))


def test_none_may_be_called_by_whoever_was_not_granted_it() -> None:
    assert functions("proacl IS NULL OR proacl::text ~ '[{,]=X'") == []


def test_those_with_the_owner_s_rights_look_names_up_where_only_the_owner_makes_any() -> None:
    assert functions(f"prosecdef AND NOT {PINNED}") == []
    assert len(functions("prosecdef")) > 20
