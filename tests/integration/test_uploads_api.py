"""Uploading a list over HTTP: what makes a job, what is refused, and that a refusal leaves nothing behind."""

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from app.db.engine import app_engine
from app.db.scope import tenant_scope
from app.jobs import idempotency
from app.settings import get_settings
from tests.factories import make_person, make_tenant, owner_sql
from tests.integration.http_world import CSV, Caller, Web

BOUNDARY = "----boundary"


@pytest.fixture
def ann(web: Web) -> Iterator[Caller]:
    """Somebody of a client of her own; afterwards every file in the storage belongs to a job."""
    caller = web.caller(make_person(make_tenant()))
    yield caller
    known = set(jobs_of(caller, "params ->> 'storage_key'"))
    kept = {
        p.relative_to(storage()).as_posix() for p in folder_of(caller).rglob("*") if p.is_file()
    }
    assert kept == known
    assert not list((storage() / ".partial").glob("*"))


def storage() -> Path:
    return get_settings().storage_path


def folder_of(caller: Caller) -> Path:
    assert caller.person
    assert caller.person.tenant
    return storage() / str(caller.person.tenant.id)


def jobs_of(caller: Caller, what: str = "id::text") -> list[str]:
    assert caller.person
    assert caller.person.tenant
    with tenant_scope(caller.person.tenant.id) as c:
        return list(c.execute(text(f"SELECT {what} FROM jobs ORDER BY id")).scalars())


def multipart(*parts: tuple[str, str | None, bytes], end: bool = True) -> bytes:
    """A body written by hand: (name, file name, content)."""
    body = b""
    for name, filename, content in parts:
        extra = f'; filename="{filename}"' if filename is not None else ""
        body += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        )
        body += content + b"\r\n"
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


def send(caller: Caller, body: bytes, **options: object) -> object:
    return caller.post(
        "/api/uploads",
        data=body,
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        **options,
    )


def test_a_list_becomes_a_job_with_one_chunk_to_parse(web: Web, ann: Caller) -> None:
    before = web.dispatched
    answer = ann.upload(
        name="Léads, May.csv",
        priority="2",
        tags="spring, vip",
        webhook_url="https://hooks.example.com/x",
        email_column="email",
    )
    assert answer.status_code == 202
    job = answer.json
    assert answer.headers["Location"] == f"/api/enrichment/jobs/{job['id']}" == job["links"]["self"]
    assert (job["kind"], job["status"], job["title"]) == (
        "email_validation",
        "pending",
        "Léads, May.csv",
    )
    assert (job["priority"], job["tags"]) == (2, ["spring", "vip"])
    assert job["webhook_url"] == "https://hooks.example.com/x"
    assert job["lane"] == "enrichment-job-creation"
    assert ann.person
    assert job["created_by"] == ann.person.email
    assert web.dispatched == before + 1
    chunk = "SELECT kind || ' ' || status || ' ' || priority FROM chunks WHERE job_id = :j"
    assert owner_sql(chunk, {"j": job["id"]}) == "parse ready 2"
    [key] = jobs_of(ann, "params ->> 'storage_key'")
    assert (storage() / key).read_bytes() == CSV


def test_a_list_of_many_pieces_arrives_byte_for_byte(ann: Caller) -> None:
    content = b"email\n" + b"".join(b"lead%d@example.com\r\n" % n for n in range(100_000))
    answer = ann.upload(content)
    assert answer.status_code == 202
    [key] = jobs_of(ann, "params ->> 'storage_key'")
    assert (storage() / key).read_bytes() == content


def test_fields_may_come_before_or_after_the_file(ann: Caller) -> None:
    body = multipart(
        ("tags", None, b"a"), ("file", "l.csv", CSV), ("tags", None, b"b"), ("priority", None, b"1")
    )
    answer = send(ann, body)
    assert answer.status_code == 202
    assert (answer.json["tags"], answer.json["priority"]) == (["a", "b"], 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not_a_table"),
        (b"name,city\nAnn,Rome\n", "no_email_column"),
        (b"email\n", "no_rows"),
    ],
)
def test_what_is_no_list_is_refused(ann: Caller, content: bytes, reason: str) -> None:
    answer = ann.upload(content, "leads.csv")
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert (answer.json["code"], answer.json["reason"]) == ("unsupported_file", reason)
    assert jobs_of(ann) == []


def test_a_decompression_bomb_is_refused(ann: Caller) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 50_000_000)
    answer = ann.upload(packed.getvalue(), "leads.xlsx")
    assert answer.status_code in (413, 422)
    assert jobs_of(ann) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": "0"}, "priority"),
        ({"priority": "6"}, "priority"),
        ({"priority": "urgent"}, "priority"),
        ({"tags": ",".join(f"t{n}" for n in range(21))}, "tags"),
        ({"tags": "x" * 51}, "tags.0"),
        ({"webhook_url": "ftp://example.com"}, "webhook_url"),
        ({"webhook_url": "https://user:secret@example.com"}, "webhook_url"),
        ({"webhook_url": "https://example.com/" + "x" * 2048}, "webhook_url"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_unknown_or_wrong_fields_are_refused(
    ann: Caller, fields: dict[str, str], field: str
) -> None:
    answer = ann.upload(**fields)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field
    # Also when the field comes after the file.
    parts = [("file", "l.csv", CSV), *((k, None, v.encode()) for k, v in fields.items())]
    assert send(ann, multipart(*parts)).status_code == 422
    assert jobs_of(ann) == []


def test_a_named_column_must_exist(ann: Caller) -> None:
    answer = ann.upload(email_column="mail address")
    assert answer.status_code == 422
    assert answer.json["reason"] == "unknown_email_column"
    assert answer.json["columns"] == ["name", "email"]


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_a_file_is_refused(
    ann: Caller, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    monkeypatch.setenv("UPLOAD_MAX_BYTES", "2000000")
    get_settings.cache_clear()
    body = multipart(("file", "l.csv", b"email\n" + b"a@example.com\n" * 230_000))
    options: dict[str, object] = {}
    if not declared:
        # As a server passes on a chunked body: no length, and an input that ends by itself.
        options = {
            "input_stream": io.BytesIO(body),
            "environ_overrides": {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        }
        body = b""
    try:
        answer = send(ann, body or None, **options)  # type: ignore[arg-type]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert answer.status_code == 413
    assert answer.json["code"] == "too_large"
    assert jobs_of(ann) == []


@pytest.mark.parametrize("cut", [1, 20, 60, 120, 1_500])
def test_a_body_cut_off_leaves_nothing(ann: Caller, cut: int) -> None:
    whole = multipart(("file", "l.csv", b"email\n" + b"a@example.com\n" * 100))
    answer = ann.post(
        "/api/uploads",
        input_stream=io.BytesIO(whole[:-cut]),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        environ_overrides={"CONTENT_LENGTH": str(len(whole))},
    )
    assert answer.status_code == 400
    assert jobs_of(ann) == []


@pytest.mark.parametrize(
    "body",
    [
        multipart(("file", "l.csv", CSV), end=False),
        multipart(("priority", None, b"1")),
        multipart(("file", "", b"")),
        multipart(("file", "a.csv", CSV), ("file", "b.csv", CSV)),
        multipart(("list", "a.csv", CSV)),
        multipart(("priority", None, b"1"), ("priority", None, b"2"), ("file", "a.csv", CSV)),
        multipart(("webhook_url", None, b"x" * 100_000), ("file", "a.csv", CSV)),
        multipart(*[("tags", None, b"t")] * 80, ("file", "a.csv", CSV)),
        b"nonsense",
        b"",
    ],
)
def test_a_malformed_body_is_refused(ann: Caller, body: bytes) -> None:
    answer = send(ann, body)
    assert answer.status_code in (400, 413, 422)
    assert answer.content_type == "application/problem+json"
    assert jobs_of(ann) == []


def test_only_multipart_is_taken(ann: Caller) -> None:
    assert ann.post("/api/uploads", json={"file": "x"}).status_code == 422


def test_a_failing_transaction_leaves_no_file(ann: Caller) -> None:
    owner_sql("ALTER TABLE chunks ADD CONSTRAINT no_parsing CHECK (kind <> 'parse') NOT VALID")
    try:
        answer = ann.upload(key="k")
    finally:
        owner_sql("ALTER TABLE chunks DROP CONSTRAINT no_parsing")
    assert answer.status_code == 500
    assert answer.json["code"] == "internal_error"
    assert "no_parsing" not in answer.text
    assert jobs_of(ann) == []
    # The key was given back with it.
    assert ann.upload(key="k").status_code == 202


def test_the_same_key_and_list_make_one_job(ann: Caller) -> None:
    first = ann.upload(key="k-1", priority="2")
    again = ann.upload(key="k-1", priority="2")
    assert first.status_code == again.status_code == 202
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert len(jobs_of(ann)) == 1


@pytest.mark.parametrize(
    "change", [{"content": CSV + b"Eve,eve@example.com\n"}, {"priority": "1"}, {"name": "x.csv"}]
)
def test_the_same_key_with_something_else_is_refused(
    ann: Caller, change: dict[str, object]
) -> None:
    assert ann.upload(key="k").status_code == 202
    answer = ann.upload(key="k", **change)
    assert answer.status_code == 422
    assert answer.json["code"] == "idempotency_key_reused"


def test_a_key_is_the_tenants_own(web: Web, ann: Caller) -> None:
    bob = web.caller(make_person(make_tenant()))
    assert ann.upload(key="same").json["id"] != bob.upload(key="same").json["id"]


def test_a_refused_upload_gives_its_key_back(ann: Caller) -> None:
    assert ann.upload(b"", key="k").status_code == 422
    assert ann.upload(key="k").status_code == 202


def test_while_the_first_is_under_way_the_second_is_told_so(web: Web, ann: Caller) -> None:
    reading, go_on = Event(), Event()

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            reading.set()
            assert go_on.wait(30)
            return super().readinto(buffer)

    body = multipart(("file", "leads.csv", CSV))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            lambda: web.caller(ann.person).post(
                "/api/uploads",
                input_stream=Slow(body),
                headers={"Idempotency-Key": "k"},
                content_type=f"multipart/form-data; boundary={BOUNDARY}",
                environ_overrides={"CONTENT_LENGTH": str(len(body))},
            )
        )
        assert reading.wait(30)
        second = ann.upload(key="k")
        go_on.set()
        assert first.result(30).status_code == 202
    assert second.status_code == 409
    assert second.json["code"] == "request_in_flight"
    assert int(second.headers["Retry-After"]) > 0
    assert ann.upload(key="k").json["id"] == first.result().json["id"]


def test_a_crashed_request_does_not_hold_its_key_for_ever(ann: Caller) -> None:
    assert ann.person
    assert ann.person.tenant
    with tenant_scope(ann.person.tenant.id) as c:
        crashed = idempotency.claim(c, "POST /api/uploads", "k")
        c.execute(
            text("UPDATE idempotency_keys SET created_at = created_at - interval '2 minutes'")
        )
    answer = ann.upload(key="k")
    assert answer.status_code == 202
    # Had it been frozen only, it could not make a second job.
    with tenant_scope(ann.person.tenant.id) as c:
        with pytest.raises(idempotency.InFlight):
            idempotency.settle(c, crashed, "hash", answer.json["id"])
        idempotency.abandon(c, crashed)
    assert ann.upload(key="k").json["id"] == answer.json["id"]


@pytest.mark.parametrize("key", ["x" * 256, " \t"])
def test_a_key_has_a_form(ann: Caller, key: str) -> None:
    assert ann.upload(key=key).status_code == 422


def test_an_upload_waits_for_no_transaction(ann: Caller) -> None:
    """No connection is held while the body is read."""
    checked_out: list[int] = []

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            checked_out.append(app_engine().pool.checkedout())  # type: ignore[attr-defined]
            return super().readinto(buffer)

    body = multipart(("file", "l.csv", CSV))
    answer = ann.post(
        "/api/uploads",
        input_stream=Slow(body),
        headers={"Idempotency-Key": "slow"},
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        environ_overrides={"CONTENT_LENGTH": str(len(body))},
    )
    assert answer.status_code == 202
    assert set(checked_out) == {0}


def preview(caller: Caller, content: bytes, **fields: str) -> dict[str, object]:
    answer = caller.post(
        "/api/uploads/preview", data={**fields, "file": (io.BytesIO(content), "l.csv")}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json
    return found


def test_a_preview_says_what_the_list_looks_like(ann: Caller) -> None:
    found = preview(ann, "Näme;E-Mail\nJosé;jose@example.com\n".encode("latin-1"), filename="l.csv")
    assert found["columns"] == ["Näme", "E-Mail"]
    assert found["email_column"] == {"index": 1, "name": "E-Mail"}
    assert found["sample"] == [["José", "jose@example.com"]]
    assert found["problem"] is None


def test_a_preview_says_what_is_wrong(ann: Caller) -> None:
    found = preview(ann, b"name,city\nAnn,Rome\n")
    assert found["problem"]["code"] == "no_email_column"  # type: ignore[index]
    assert found["columns"] == ["name", "city"]


def test_a_preview_of_a_cut_workbook_is_no_problem(ann: Caller) -> None:
    found = preview(ann, b"PK\x03\x04" + b"x" * (256 * 1024))
    assert (found["format"], found["problem"]) == ("xlsx", None)
