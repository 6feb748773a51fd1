"""A list becomes items and chunks in one transaction, on a real database."""

import io
from uuid import UUID

import pytest

from app.db.scope import tenant_scope
from app.errors import TooLarge, UnsupportedFile
from app.jobs.submit import create_job
from app.uploads.ingest import Ingested, load_list, settle_list
from app.uploads.limits import ReadLimits
from tests.integration.ledger_world import World

LIST = """name,email,notes
Avery,avery@example.com,first
Blake,blake@example.com,"two
lines"
Avery again,AVERY@example.com,same address
nobody,not-an-address,bad
Avery thrice, avery@example.com ,same again
,,
Casey,casey@example.com,=SUM(1)
"""


def ingest(
    world: World, content: str, *, limits: ReadLimits | None = None, kept: int = 1000
) -> tuple[UUID, Ingested]:
    world.add_tenant("acme")
    with tenant_scope(world.tenants["acme"], world.app) as c:
        job = create_job(c, kind="email_validation", title="list", params={})
    with tenant_scope(world.tenants["acme"], world.app) as c:
        tally, facts = load_list(
            c,
            io.BytesIO(content.encode()),
            job_id=job,
            email_column=None,
            limits=limits or ReadLimits(),
            bad_rows_kept=kept,
        )
        return job, settle_list(c, job, tally, facts, chunk_rows=2)


def test_rows_duplicates_bad_rows_and_chunks(world: World) -> None:
    job, done = ingest(world, LIST)
    assert done == Ingested(items=5, bad_rows=1, duplicates=2, chunks=3)
    items = world.rows(
        "SELECT item_no, line_no, email, cells FROM job_items WHERE job_id = :j ORDER BY 1", j=job
    )
    assert [(i["line_no"], i["email"]) for i in items] == [
        (2, "avery@example.com"),
        (3, "blake@example.com"),
        (5, "avery@example.com"),
        (7, "avery@example.com"),
        (9, "casey@example.com"),
    ]
    assert items[1]["cells"] == ["Blake", "blake@example.com", "two\nlines"]
    assert items[2]["cells"][1] == "AVERY@example.com", "the row keeps what was written"
    assert world.rows(
        "SELECT item_no, duplicate_of FROM job_duplicates WHERE job_id = :j ORDER BY 1", j=job
    ) == [{"item_no": 3, "duplicate_of": 1}, {"item_no": 4, "duplicate_of": 1}]
    assert [
        r["line_no"]
        for r in world.rows("SELECT line_no FROM job_row_errors WHERE job_id = :j", j=job)
    ] == [6]
    found = world.job(job)
    assert (
        found["total_items"],
        found["bad_rows"],
        found["duplicate_rows"],
        found["chunks_open"],
    ) == (5, 1, 2, 3)
    assert found["params"]["columns"] == ["name", "email", "notes"]


def test_all_bad_rows_are_counted_and_the_first_kept(world: World) -> None:
    rows = "".join(f"nobody-{n}\n" for n in range(50))
    job, done = ingest(world, "email\navery@example.com\n" + rows, kept=10)
    assert done.bad_rows == 50
    kept = world.rows(
        "SELECT min(line_no) AS a, max(line_no) AS b, count(*) AS n FROM job_row_errors WHERE job_id = :j",
        j=job,
    )
    assert kept == [{"a": 3, "b": 12, "n": 10}]


@pytest.mark.parametrize(
    ("content", "limits", "error"),
    [
        ("email\n" + "x\n" * 20, None, UnsupportedFile),
        (
            "email\n" + "".join(f"a{n}@example.com\n" for n in range(5000)),
            ReadLimits(max_rows=4999),
            TooLarge,
        ),
    ],
)
def test_a_refused_list_leaves_nothing(
    world: World, content: str, limits: ReadLimits | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ingest(world, content, limits=limits)
    assert (
        world.rows(
            "SELECT 1 AS x FROM job_items UNION ALL SELECT 1 FROM chunks UNION ALL SELECT 1 FROM job_row_errors"
        )
        == []
    )


def test_another_tenant_can_not_be_written_to(world: World) -> None:
    """The leaf that COPY writes to takes no tenant_id: it is always the scope's."""
    job, _ = ingest(world, LIST)
    owners = world.rows("SELECT DISTINCT tenant_id FROM job_items WHERE job_id = :j", j=job)
    assert owners == [{"tenant_id": world.tenants["acme"]}]
