"""COPY text as the server reads it: cells and addresses come back exactly."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Connection, create_engine, text

from app.uploads.copy_text import COLUMNS, CopyStream, encode_copy
from tests.unit.test_uploads_copy_text import LEADS, make_block

JOB = UUID("0195d7f0-0000-7000-8000-000000000001")


@pytest.fixture(scope="module")
def connection(owner_url: str) -> Iterator[Connection]:
    """A connection with a table of the items' shape, gone when it closes."""
    engine = create_engine(owner_url)
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE TEMP TABLE copied (job_id uuid, item_no int, line_no int, email text, cells jsonb)"
            )
        )
        yield connection
    engine.dispose()


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(LEADS)
def test_the_server_reads_what_was_written(
    connection: Connection, leads: list[tuple[int, str, list[str]]]
) -> None:
    connection.execute(text("TRUNCATE copied"))
    cursor = connection.connection.cursor()
    cursor.copy_expert(
        f"COPY copied (job_id, {', '.join(COLUMNS)}) FROM STDIN",
        CopyStream(encode_copy([make_block(leads)], before=f"{JOB}\t")),
    )
    cursor.close()
    found = connection.execute(text("SELECT * FROM copied ORDER BY item_no")).all()
    assert [tuple(row) for row in found] == [(JOB, i, *lead) for i, lead in enumerate(leads, 1)]
