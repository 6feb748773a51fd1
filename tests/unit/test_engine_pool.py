"""How many connections a process may have, by what it is told to keep."""

import pytest
from sqlalchemy.pool import QueuePool

from app.db.engine import make_engine


@pytest.mark.parametrize(
    ("kept", "most"), [(1, 3), (2, 4), (5, 10), (10, 20), (16, 20), (20, 25), (40, 50)]
)
def test_a_small_pool_grows_to_what_it_did_before_and_a_large_one_by_a_quarter(
    kept: int, most: int
) -> None:
    pool = make_engine(
        "postgresql+psycopg2://nobody@127.0.0.1:1/none", role=None, pool_size=kept
    ).pool
    assert isinstance(pool, QueuePool)
    assert (pool.size(), pool.size() + pool._max_overflow) == (kept, most)
