"""Lists of leads over HTTP: uploaded, read, looked up, verified, shown and downloaded."""

import csv
import io
import json
import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.scope import tenant_scope
from app.settings import get_settings
from sandbox.process import RunningSandbox
from tasks import uploads
from tests.factories import Tenant, make_person, make_tenant, make_worker, owner_sql
from tests.integration.http_world import Caller, Web
from tests.integration.ledger_world import World
from tests.integration.lookup_world import KEY, Lookups
from tests.integration.verification_world import Runs

LIST = b"""First Name,Last Name,Company,Website,Notes
Ann,found-Smith,Acme,acme.example,one
Ben,miss-Jones,,bolt.example,two
ann,FOUND-SMITH,Other,https://www.acme.example/about,the first again
,,,,nobody
"""
COLUMNS = {"first_name": "First Name", "last_name": 2, "domain": "Website"}
QUEUES = ("verification-queue", "enrichment", "enrichment-job-creation")


@pytest.fixture
def acme(world: World, web: Web) -> Tenant:
    """A client; every lane has a worker."""
    tenant = make_tenant()
    world.tenants["acme"] = tenant.id
    make_worker(*QUEUES, slots=16)
    return tenant


@pytest.fixture
def ann(web: Web, acme: Tenant) -> Caller:
    return web.caller(make_person(acme))


class Workers:
    """What workers do with a list, one kind of chunk after the other."""

    def __init__(self, world: World, sandbox: RunningSandbox, redis_url: str) -> None:
        self.world = world
        self.lookups = Lookups(world, sandbox, redis_url)
        self.runs = Runs(world, sandbox, redis_url)

    def read(self) -> str:
        (message,) = self.world.release()
        assert message.kind == "parse"
        return uploads.parse_upload(message.chunk_id, message.fence, str(message.tenant_id))

    def finish(self) -> list[str]:
        """Run what is released until nothing is; return the kinds in order."""
        kinds = []
        while messages := self.world.release():
            for message in messages:
                kinds.append(message.kind)
                if message.kind == "enrich":
                    assert self.lookups.run(message) == ["done"]
                else:
                    assert self.runs.run(message) == "done"
        return kinds


@pytest.fixture
def workers(
    world: World,
    provider: RunningSandbox,
    module_redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Workers:
    provider.reset()
    provider.put_keys({"key": KEY})
    monkeypatch.setattr(uploads, "dispatch", lambda: 0)
    return Workers(world, provider, module_redis_url)


def upload(ann: Caller, content: bytes = LIST, **fields: Any) -> UUID:
    fields = {"purpose": "enrich", "columns": json.dumps(COLUMNS), **fields}
    answer = ann.upload(content, **{k: v for k, v in fields.items() if v is not None})
    assert answer.status_code == 202, answer.json
    assert answer.json
    return UUID(answer.json["id"])


def results(ann: Caller, job: UUID, query: str = "") -> list[dict[str, Any]]:
    answer = ann.get(f"/api/enrichment/jobs/{job}/results{query}").json
    assert answer
    rows: list[dict[str, Any]] = answer["results"]
    return rows


def download(ann: Caller, job: UUID) -> list[dict[str, str]]:
    body = ann.get(f"/api/enrichment/jobs/{job}/results.csv").data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(body)))


def test_leads_without_an_e_mail_get_one_found(ann: Caller, workers: Workers) -> None:
    job = upload(ann)
    assert workers.read() == "done"
    shown = ann.get(f"/api/enrichment/jobs/{job}").json
    assert shown
    assert (shown["kind"], shown["total"], shown["bad_rows"], shown["duplicate_rows"]) == (
        "batch_lead_enrichment",
        3,
        1,
        1,
    )
    assert workers.finish() == ["enrich"]
    first, second, again = results(ann, job)
    assert (first["verdict"], second["verdict"], again["verdict"]) == (
        "found",
        "not_found",
        "found",
    )
    email = first["data"]["fields"]["email"]
    assert email["value"] == "ann.found-smith@acme.example"
    assert email["provider"] == "apollo"
    found_at = email["found_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", found_at)
    # As rows of earlier versions have it.
    as_before = found_at.replace("Z", "+00:00")
    owner_sql(
        "UPDATE job_results SET data = jsonb_set(data, '{fields,email,found_at}', to_jsonb(CAST(:at AS text)))"
        " WHERE job_id = :job AND item_no = 1",
        {"at": as_before, "job": job},
    )
    assert results(ann, job)[0]["data"]["fields"]["email"]["found_at"] == found_at
    assert again["duplicate_of"] == 1
    assert again["data"] == first["data"]
    asked = workers.lookups.sandbox.calls()
    assert len(asked) == 2, "Apollo about both in one call, Hunter about the one that was missed"


def test_found_and_then_verified_in_the_same_job(ann: Caller, workers: Workers) -> None:
    content = LIST + b"Cyd,miss-Known,,bolt.example,x\n"
    content = content.replace(b"Notes\n", b"Notes,E-mail\n").replace(
        b"bolt.example,x\n", b"bolt.example,x,ko-cyd@bolt.example\n"
    )
    job = upload(ann, content, purpose="enrich_verify", columns=None)
    workers.read()
    assert workers.finish() == ["enrich", "verify"]
    rows = results(ann, job)
    assert [row["verdict"] for row in rows[1:]] == ["not_found", rows[0]["verdict"], "invalid"]
    assert rows[0]["provider"] == "mailtester"
    assert rows[0]["data"]["fields"]["email"]["provider"] == "apollo"
    assert rows[3]["email"] == "ko-cyd@bolt.example", "one that had an e-mail is verified, too"
    verified = [c["email"] for c in workers.runs.sandbox.calls() if c["provider"] == "mailtester"]
    assert sorted(verified) == ["ann.found-smith@acme.example", "ko-cyd@bolt.example"]


def test_the_download_has_each_value_with_provider_score_and_time(
    ann: Caller, workers: Workers
) -> None:
    job = upload(ann, provider="hunter", enrichment_types="email,company")
    workers.read()
    workers.finish()
    first, second, again = download(ann, job)
    assert first["Notes"] == "one"
    assert first["laneway_verdict"] == "found"
    assert first["found_email"] == "ann.found-smith@acme.example"
    assert (first["found_email_provider"], first["found_email_score"]) == ("hunter", "97")
    times = {name: first[name] for name in first if name.endswith("_at") and first[name]}
    assert {"laneway_checked_at", "found_email_at", "found_company_at"} <= set(times)
    for said in times.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said), times
    assert "found_company" in first
    assert "found_phone" not in first
    assert second["found_email"] == ""
    assert again["found_email"] == first["found_email"]


def test_a_list_to_verify_is_downloaded_as_ever(ann: Caller, workers: Workers) -> None:
    answer = ann.upload(b"email\nok-a@example.com\n").json
    assert answer
    workers.read()
    workers.finish()
    (row,) = download(ann, UUID(answer["id"]))
    assert list(row) == [
        "email",
        "laneway_verdict",
        "laneway_message",
        "laneway_mx",
        "laneway_checked_at",
        "laneway_provider",
    ]


def test_a_list_to_verify_may_name_its_provider(ann: Caller, workers: Workers) -> None:
    answer = ann.upload(b"email\nok-a@example.com\n", provider="hunter").json
    assert answer
    workers.read()
    assert workers.finish() == ["verify"]
    (row,) = results(ann, UUID(answer["id"]))
    assert (row["verdict"], row["provider"]) == ("valid", "hunter")


def test_a_score_that_is_too_low_does_not_end_the_search(ann: Caller, workers: Workers) -> None:
    content = b"Name,Domain\nAnn hunter.low-apollo.found-Smith,acme.example\n"
    job = upload(ann, content, columns=None, provider="hunter", min_score="50")
    workers.read()
    workers.finish()
    (row,) = results(ann, job)
    assert row["data"]["providers"] == {"hunter": "found", "apollo": "found"}
    assert row["data"]["fields"]["email"]["provider"] == "apollo"


def test_leads_are_searched_by_what_was_found_and_by_who_they_are(
    ann: Caller, workers: Workers
) -> None:
    job = upload(ann)
    workers.read()
    workers.finish()
    assert [row["item_no"] for row in results(ann, job, "?q=ann.found")] == [1, 3]
    assert [row["item_no"] for row in results(ann, job, "?q=jones")] == [2]
    assert [row["item_no"] for row in results(ann, job, "?q=jones&verdict=not_found")] == [2]
    assert results(ann, job, "?q=nobody-at-all") == []


DUPLICATES = [
    ("Ann,Smith,Acme,,,", "ann , smith,ACME,,,", True),
    ("Ann,Smith,Acme,,,", "Ann,Smith,Bolt,,,", False),
    ("Ann,Smith,Acme,acme.example,,", "Ann,Smith,Acme Inc,www.acme.example,,", True),
    ("Ann,Smith,Acme,acme.example,,", "Ann,Smith,Acme,acme.test,,", False),
    (",,,,a@acme.example,", "Ann,Smith,,,A@ACME.example,", True),
    ("Ann,Smith,Acme,,a@acme.example,", "Ann,Smith,Acme,,b@acme.example,", False),
    (",,,,,linkedin.com/in/ann", ",,,,,https://www.linkedin.com/in/ANN/?x=1", True),
    (",,,,,linkedin.com/in/ann", ",,,,,linkedin.com/in/ben", False),
    ("José,Ruiz,Acme,,,", "Jose\u0301,Ruiz,Acme,,,", True),
    ("Ann  Marie,Smith,Acme,,,", "Ann Marie,Smith,Acme,,,", True),
]


@pytest.mark.parametrize(("one", "other", "same"), DUPLICATES)
def test_rows_about_one_lead_are_asked_about_once(
    ann: Caller, workers: Workers, one: str, other: str, same: bool
) -> None:
    header = "First name,Last name,Company,Domain,Email,LinkedIn\n"
    job = upload(ann, f"{header}{one}\n{other}\n".encode(), columns=None)
    assert workers.read() == "done"
    found = owner_sql("SELECT duplicate_rows FROM jobs WHERE id = :j", {"j": job})
    assert found == int(same)


def test_a_list_of_which_no_row_is_a_lead_fails_and_says_why(ann: Caller, workers: Workers) -> None:
    job = upload(ann, b"First name,Last name,Company\nAnn,,\n,Smith,\n", columns=None)
    assert workers.read() == "refused"
    shown = ann.get(f"/api/enrichment/jobs/{job}").json
    assert shown
    assert shown["status"] == "failed"
    assert "says who its lead is" in shown["error"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"purpose": "walk"}, "purpose"),
        ({"columns": '{"first_name": "Nowhere"}'}, "There is no column 'Nowhere'"),
        ({"columns": '{"shoe_size": 3}'}, "shoe_size"),
        ({"columns": "first_name=1"}, "JSON"),
        ({"columns": "[1]"}, "columns"),
        ({"columns": '{"first_name": 0}'}, "columns"),
        ({"columns": '{"first_name": "First Name"}'}, "No column says who the leads are"),
        ({"enrichment_types": "shoes"}, "enrichment_types"),
        ({"min_score": "101"}, "min_score"),
        ({"provider": "nobody"}, "there are: apollo, clearbit, hunter"),
        ({"purpose": "enrich_verify", "enrichment_types": "company"}, "have email among them"),
        ({"purpose": None, "provider": "apollo", "columns": None}, "there are: hunter, mailtester"),
        ({"purpose": None}, "say purpose=enrich"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_job(
    ann: Caller, fields: dict[str, Any], word: str
) -> None:
    fields = {"purpose": "enrich", "columns": json.dumps(COLUMNS), **fields}
    refused = ann.upload(LIST, **{k: v for k, v in fields.items() if v is not None})
    assert refused.status_code == 422, refused.json
    assert word in str(refused.json), refused.json
    assert owner_sql("SELECT count(*) FROM jobs") == 0


def test_the_same_list_for_another_purpose_is_another_request(ann: Caller) -> None:
    content = b"Name,Company,email\nAnn Smith,Acme,ann@acme.example\n"
    first = ann.upload(content, key="k", purpose="enrich")
    assert first.status_code == 202
    assert ann.upload(content, key="k", purpose="enrich").json == first.json
    assert ann.upload(content, key="k").status_code == 422


def test_a_preview_proposes_what_the_columns_are(ann: Caller) -> None:
    def preview(**fields: str) -> Any:
        data = {"file": (io.BytesIO(LIST), "l.csv"), **fields}
        return ann.post("/api/uploads/preview", data=data).json

    found = preview(purpose="enrich")
    assert found["problem"] is None
    assert found["email_column"] is None
    assert found["sample"][0][1] == "found-Smith"
    proposed = {field: column["name"] for field, column in found["lead_columns"].items()}
    assert proposed == {
        "first_name": "First Name",
        "last_name": "Last Name",
        "company": "Company",
        "domain": "Website",
    }
    as_addresses = preview()
    assert as_addresses["problem"]["code"] == "no_email_column"
    assert as_addresses["lead_columns"] == found["lead_columns"]


def test_the_page_of_the_job_shows_who_was_found_by_whom(
    web: Web, acme: Tenant, workers: Workers
) -> None:
    person = make_person(acme)
    job = upload(web.caller(person))
    workers.read()
    workers.finish()
    page = web.sign_in(person).get(f"/jobs/{job}").text
    for words in (
        "Ann found-Smith, acme.example",
        "ann.found-smith@acme.example",
        "Apollo",
        "Not found",
    ):
        assert words in page
    assert re.search(r"Apollo, score \d+, <time datetime=", page)
    assert "Mail server" not in page


def test_the_form_without_a_script_takes_leads(web: Web, acme: Tenant, workers: Workers) -> None:
    browser = web.sign_in(make_person(acme))
    token = browser.get("/upload").text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {
        "csrf_token": token,
        "purpose": "enrich",
        "enrichment_types": ["email", "company"],
        "min_score": "",
        "provider": "",
        "cheapest_first": "true",
        "file": (io.BytesIO(LIST), "leads.csv"),
    }
    sent = browser.post("/upload", data=form)
    assert sent.status_code == 303, sent.text
    assert workers.read() == "done"
    with tenant_scope(acme.id) as connection:
        params = connection.execute(text("SELECT params FROM jobs")).scalar_one()
    assert params["wanted"] == ["company", "email"]
    assert params["chain"] == ["hunter", "apollo"]
    assert params["lead_columns"]["company"] == 2
    verify = {**form, "purpose": "verify", "file": (io.BytesIO(b"email\na@b.example\n"), "l.csv")}
    assert browser.post("/upload", data=verify).status_code == 303


def test_a_lead_whose_client_has_another_chain_goes_along_it(
    ann: Caller, acme: Tenant, workers: Workers
) -> None:
    owner_sql("UPDATE tenants SET enrichment_chain = '{hunter}' WHERE id = :t", {"t": acme.id})
    job = upload(ann)
    chain = owner_sql("SELECT params ->> 'chain' FROM jobs WHERE id = :j", {"j": job})
    assert json.loads(chain) == ["hunter"]
    assert get_settings().enrichment_chain == ["apollo", "hunter"]


def test_a_list_may_ask_the_cheapest_first(ann: Caller, acme: Tenant, workers: Workers) -> None:
    job = upload(ann, cheapest_first="true")
    chain = owner_sql("SELECT params ->> 'chain' FROM jobs WHERE id = :j", {"j": job})
    assert json.loads(chain) == ["hunter", "apollo"]
    assert workers.read() == "done"
    refused = ann.upload(b"email\na@b.example\n", cheapest_first="true")
    assert refused.status_code == 422
    assert "cheapest_first" in refused.text
