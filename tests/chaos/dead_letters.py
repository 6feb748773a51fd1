"""Dead letters by the thousand: one job dies in truth, and its rows are copied as they were left.

Ten thousand of them would take longer to die than a test may last. The copies differ in their ids and in the lead only.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

from app.jobs.ids import new_job_id
from tests.chaos.harness import Stage

_TABLES = ("jobs", "job_items", "chunks", "job_results", "lookup_attempts")


def multiply(stage: Stage, job: UUID, copies: int) -> list[UUID]:
    """Copy a job of one lead, whole; the copies' leads have other last names. Return their ids."""
    ids = [new_job_id() for _ in range(copies)]
    with stage.world.owner.begin() as c:
        c.execute(text("CREATE TEMPORARY TABLE copy (id uuid, n integer) ON COMMIT DROP"))
        c.execute(
            text(
                "INSERT INTO copy SELECT * FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS t(id, n)"
            ),
            {"ids": ids},
        )
        for table in _TABLES:
            _copy(c, table, job)
    return ids


def _copy(connection: Connection, table: str, job: UUID) -> None:
    # Columns that the database counts by itself are left to it.
    names = connection.execute(
        text("""SELECT attname FROM pg_attribute WHERE attrelid = CAST(:t AS regclass)
                AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = '' ORDER BY attnum"""),
        {"t": table},
    ).scalars()
    own = "id" if table == "jobs" else "job_id"
    changed: Mapping[str, str] = {
        own: "copy.id",
        "lead": """jsonb_set(t.lead, '{last_name}', to_jsonb('found-copy-' || copy.n))""",
    }
    columns = list(names)
    values = ", ".join(changed.get(name, f't."{name}"') for name in columns)
    into = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        text(
            f"INSERT INTO {table} ({into}) SELECT {values} FROM {table} t, copy WHERE t.{own} = :j"
        ),
        {"j": job},
    )
