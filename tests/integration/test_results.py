"""A job's rows over HTTP: pages, filters, search, the CSV, the bad rows."""

import csv
import io
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.db.scope import tenant_scope
from app.jobs.export import PAGE_ROWS
from tests.factories import Tenant, finish, lease_chunk, make_job, make_person, make_tenant, record
from tests.integration.http_world import Caller, Web


@pytest.fixture
def ann(web: Web) -> Caller:
    return web.caller(make_person(make_tenant()))


@pytest.fixture
def acme(ann: Caller) -> Tenant:
    assert ann.person
    assert ann.person.tenant
    return ann.person.tenant


def path(job: UUID, what: str = "results") -> str:
    return f"/api/enrichment/jobs/{job}/{what}"


def answered_job(acme: Tenant) -> UUID:
    """Six rows: four answered, the fifth a duplicate of the first, the sixth open; one bad row."""
    emails = [
        "a@one.example",
        "b_x@one.example",
        "c@two.example",
        "d@two.example",
        "a@one.example",
        "e@x.example",
    ]
    job = make_job(acme, emails, duplicates={5: 1}, bad_rows=[(9, "no address")])
    lease = lease_chunk(acme, job)
    record(acme, lease, {1: "valid", 2: "invalid", 3: "unknown", 4: "valid"}, failures=[3])
    return job


def items(answer: object) -> list[int]:
    return [row["item_no"] for row in answer.json["results"]]  # type: ignore[attr-defined]


def test_rows_come_in_the_order_of_the_file_with_their_answers(ann: Caller, acme: Tenant) -> None:
    answer = ann.get(path(answered_job(acme)))
    assert answer.status_code == 200
    assert items(answer) == [1, 2, 3, 4, 5, 6]
    assert answer.json["next_cursor"] is None
    assert answer.json["total_for_filter"] == 6
    first, third, fifth, sixth = (answer.json["results"][n] for n in (0, 2, 4, 5))
    assert first == {
        "item_no": 1,
        "line_no": 2,
        "email": "a@one.example",
        "verdict": "valid",
        "code": "ok",
        "message": "Accepted",
        "mx": "mx.example.com",
        "provider": "mailtester",
        "checked_at": "2026-01-02T03:04:05Z",
        "failed": False,
        "duplicate_of": None,
        "lead_id": None,
        "data": None,
    }
    assert third["failed"] is True
    assert (fifth["verdict"], fifth["duplicate_of"]) == ("valid", 1)
    assert sixth["verdict"] is sixth["checked_at"] is None


@pytest.mark.parametrize("verdict", [None, "valid"])
def test_pages_cover_every_row_once(ann: Caller, acme: Tenant, verdict: str | None) -> None:
    job = make_job(acme, 23)
    record(acme, lease_chunk(acme, job), dict.fromkeys(range(1, 24), "valid"))
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 7, "cursor": cursor, "verdict": verdict or ""}
        page = ann.get(path(job), query_string=query)
        seen += items(page)
        cursor = page.json["next_cursor"]
    assert seen == list(range(1, 24))


def test_filter_by_verdict(ann: Caller, acme: Tenant) -> None:
    answer = ann.get(path(answered_job(acme)), query_string={"verdict": "valid"})
    assert items(answer) == [1, 4, 5]
    assert answer.json["total_for_filter"] == 3


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ONE.ex", [1, 2, 5]),
        ("d@", [4]),
        ("b_x", [2]),
        ("_", [2]),
        ("%", []),
        ("\\", []),
        ("zzz", []),
    ],
)
def test_search_finds_any_part_of_the_address_as_written(
    ann: Caller, acme: Tenant, search: str, found: list[int]
) -> None:
    answer = ann.get(path(answered_job(acme)), query_string={"q": search})
    assert items(answer) == found
    assert answer.json["total_for_filter"] is None


def test_filter_and_search_together(ann: Caller, acme: Tenant) -> None:
    query = {"q": "two", "verdict": "valid"}
    assert items(ann.get(path(answered_job(acme)), query_string=query)) == [4]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "verdict=good", "cursor=zz", "cursor=ajph", "cursor=aTotMQ", "page=2"],
)
def test_a_wrong_question_is_refused(ann: Caller, acme: Tenant, query: str) -> None:
    answer = ann.get(f"{path(make_job(acme, 1))}?{query}")
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def read_csv(answer: object) -> list[list[str]]:
    body = answer.data.decode()  # type: ignore[attr-defined]
    assert body.startswith("\ufeff")
    return list(csv.reader(io.StringIO(body[1:], newline="")))


def test_the_csv_has_the_original_columns_first(ann: Caller, acme: Tenant) -> None:
    cells = [["Ann", "ann@example.com", "3"], ["Bob, Jr.", "bob@example.com"]]
    job = make_job(
        acme,
        ["ann@example.com", "bob@example.com"],
        cells=cells,
        columns=["Name", "Mail", "Score"],
        title="Spring líst.csv",
    )
    record(acme, lease_chunk(acme, job), {1: "catch_all"})
    answer = ann.get(path(job, "results.csv"))
    assert answer.content_type == "text/csv; charset=utf-8"
    assert (
        answer.headers["Content-Disposition"] == 'attachment; filename="Spring_l_st-verified.csv"'
    )
    answers = ["verdict", "message", "mx", "checked_at", "provider"]
    assert read_csv(answer) == [
        ["Name", "Mail", "Score", *(f"laneway_{name}" for name in answers)],
        [
            "Ann",
            "ann@example.com",
            "3",
            "catch_all",
            "Accepted",
            "mx.example.com",
            "2026-01-02T03:04:05Z",
            "mailtester",
        ],
        ["Bob, Jr.", "bob@example.com", "", "", "", "", "", ""],
    ]


def test_cells_that_start_a_formula_are_neutralised(ann: Caller, acme: Tenant) -> None:
    row = ["=1+1", "@sum", "+cmd|x", "-2+3", "\tx", "-12.5", "+4930123456", "plain"]
    job = make_job(acme, ["a@example.com"], cells=[row], columns=["=evil", *"bcdefgh"])
    head, line = read_csv(ann.get(path(job, "results.csv")))
    assert head[0] == "'=evil"
    assert line[:8] == [
        "'=1+1",
        "'@sum",
        "'+cmd|x",
        "'-2+3",
        "'\tx",
        "-12.5",
        "+4930123456",
        "plain",
    ]


def test_a_long_csv_comes_in_pieces_and_holds_no_connection(ann: Caller, acme: Tenant) -> None:
    from app.db.engine import app_engine

    job = make_job(acme, 1)
    extra = PAGE_ROWS * 2 + 10
    with tenant_scope(acme.id) as c:
        leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
        c.execute(
            text(f"""INSERT INTO {leaf} (job_id, item_no, line_no, email, cells)
                SELECT :j, n, n + 1, 'x' || n || '@example.com', '[]' FROM generate_series(2, :n) AS n"""),
            {"j": job, "n": extra},
        )
    answer = ann.get(path(job, "results.csv"), buffered=False)
    pieces = []
    for piece in answer.response:
        pieces.append(piece)
        assert app_engine().pool.checkedout() == 0  # type: ignore[attr-defined]
    rows = list(csv.reader(io.StringIO(b"".join(pieces).decode(), newline="")))
    assert len(rows) == extra + 1
    assert [row[0] for row in rows[2:]] == [f"x{n}@example.com" for n in range(2, extra + 1)]
    assert len(pieces) == 4


def test_the_csv_of_one_verdict(ann: Caller, acme: Tenant) -> None:
    answer = ann.get(path(answered_job(acme), "results.csv"), query_string={"verdict": "valid"})
    assert [row[0] for row in read_csv(answer)[1:]] == [
        "a@one.example",
        "d@two.example",
        "a@one.example",
    ]


def test_bad_rows_are_listed_with_line_and_reason(ann: Caller, acme: Tenant) -> None:
    answer = ann.get(path(answered_job(acme), "errors"))
    assert answer.json == {
        "errors": [{"line_no": 9, "reason": "no address", "excerpt": "x"}],
        "total": 1,
    }


@pytest.mark.parametrize("what", ["", "/status", "/results", "/results.csv", "/errors"])
def test_another_clients_job_is_not_found(web: Web, ann: Caller, acme: Tenant, what: str) -> None:
    eve = web.caller(make_person(make_tenant()))
    job = f"/api/enrichment/jobs/{answered_job(acme)}"
    assert ann.get(job + what).status_code == 200
    for answer in (eve.get(job + what), eve.get(f"/api/enrichment/jobs/{uuid4()}{what}")):
        assert answer.status_code == 404
        assert answer.json["code"] == "not_found"
    assert eve.delete(job).status_code == 404
    assert eve.post(f"{job}/retry").status_code == 404
    assert ann.get(job).json["status"] == "processing"


def test_what_failed_can_be_tried_again(web: Web, ann: Caller, acme: Tenant) -> None:
    job = make_job(acme, 4)
    lease = lease_chunk(acme, job)
    record(acme, lease, {1: "valid", 2: "unknown", 3: "valid", 4: "unknown"}, failures=[2, 4])
    retry = f"/api/enrichment/jobs/{job}/retry"
    assert ann.post(retry).status_code == 409
    finish(acme, lease)
    before = web.dispatched
    answer = ann.post(retry)
    assert answer.status_code == 202
    assert answer.json["retried_rows"] == 2
    assert (answer.json["status"], answer.json["done"], answer.json["failed"]) == (
        "processing",
        2,
        0,
    )
    assert web.dispatched == before + 1
    assert ann.post(retry).status_code == 409


def test_who_retries_a_cancelled_job_is_not_told_to_wait_for_its_end(
    ann: Caller, acme: Tenant
) -> None:
    job = make_job(acme, 2)
    retry = f"/api/enrichment/jobs/{job}/retry"
    assert "once it is completed" in ann.post(retry).json["detail"]
    assert ann.delete(f"/api/enrichment/jobs/{job}").status_code == 200
    assert "is not taken up again" in ann.post(retry).json["detail"]


def test_cancelling_keeps_what_is_done(ann: Caller, acme: Tenant) -> None:
    job = answered_job(acme)
    first = ann.delete(f"/api/enrichment/jobs/{job}")
    assert (first.status_code, first.json["status"], first.json["done"]) == (200, "cancelled", 5)
    assert ann.delete(f"/api/enrichment/jobs/{job}").status_code == 200
    done = make_job(acme, 1)
    lease = lease_chunk(acme, done)
    record(acme, lease, {1: "valid"})
    finish(acme, lease)
    assert ann.delete(f"/api/enrichment/jobs/{done}").status_code == 409
