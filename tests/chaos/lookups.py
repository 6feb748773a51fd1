"""Leads on a stage: the vendors' keys of its clients, jobs of look-ups, and what is on record about each question.

A question is a vendor and whom it was asked about, as the simulated vendors name it. Each job's leads are its own people,
so that no answer is remembered from another.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.crypto import encrypt
from app.enrichment.lookup import Kind
from app.enrichment.submit import Wish, lookup_params
from app.jobs.new_job import NewJob, submit
from app.settings import get_settings
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker
from tests.integration.lookup_world import lead

ENRICHMENT = ("-P", "threads", "-Q", "enrichment")
VENDORS = ("apollo", "hunter", "clearbit")
CHAIN = ("apollo", "hunter")
#: (vendor, whom it was asked about)
Question = tuple[str, str]


class Lookups:
    """Leads on a stage. `env` is what all of its workers have beside the installation's."""

    def __init__(self, stage: Stage, **env: str) -> None:
        self.stage = stage
        urls = {f"{name.upper()}_BASE_URL": stage.sandbox.url for name in VENDORS}
        self.env = {**urls, **env}
        #: Client -> the secrets of its keys, which serve it at every vendor.
        self.keys: dict[str, list[str]] = {}
        self.give_key(CLIENT)

    # --- setting up ------------------------------------------------------------------------------

    def add_client(self, slug: str) -> None:
        """Add a client with a key of its own."""
        self.stage.add_client(slug)
        self.give_key(slug)

    def give_key(self, client: str, vendors: Sequence[str] = VENDORS) -> None:
        """Give a client a key without limits to speak of."""
        secret = f"vendors-{secrets.token_hex(8)}"
        self.stage.sandbox.put_keys({"key": secret})
        for vendor in vendors:
            self.stage.world.rows(
                """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint, spacing_ms)
                   VALUES (:t, :p, :f, :s, '0001', 1) RETURNING 1""",
                t=self.stage.world.tenants[client],
                p=vendor,
                f=vendor + secret.removeprefix("vendors-"),
                s=encrypt(secret),
            )
        self.keys.setdefault(client, []).append(secret)

    def start(self, *names: str, slots: int = 8, **env: str) -> list[Worker]:
        """Start workers of look-ups and wait until they serve."""
        return self.stage.start_workers(*names, lane=ENRICHMENT, slots=slots, env=self.env | env)

    def submit(
        self,
        words: Iterable[str],
        *,
        client: str = CLIENT,
        chain: Sequence[str] = CHAIN,
        max_retries: int = 3,
    ) -> UUID:
        """Add a job that wants the e-mails of some leads; a lead's word says what the vendors do (`sandbox/people.py`)."""
        mark = secrets.token_hex(3)
        leads = [lead(f"{word}-{mark}", str(n)) for n, word in enumerate(words, 1)]
        with self.stage.world.scope(client) as c:
            return _create(c, leads, chain, max_retries)

    def submit_leads(self, leads: Sequence[Any], chain: Sequence[str]) -> UUID:
        """Add a job about these leads, in normal form."""
        with self.stage.world.scope(CLIENT) as c:
            return _create(c, leads, chain, 3)

    def submit_singles(self, word: str, jobs: int, *, client: str = CLIENT) -> list[UUID]:
        """Add many jobs of one lead each, in one transaction: all are there at once."""
        mark = secrets.token_hex(3)
        with self.stage.world.scope(client) as c:
            return [
                _create(c, [lead(f"{word}-{n}-{mark}", "1")], ["hunter"], 3) for n in range(jobs)
            ]

    def submit_again(self, job: UUID) -> UUID:
        """Add a job about the leads of another, as its client would."""
        rows = self.stage.world.rows(
            "SELECT lead FROM job_items WHERE job_id = :j ORDER BY item_no", j=job
        )
        with self.stage.world.scope(CLIENT) as c:
            return _create(c, [row["lead"] for row in rows], CHAIN, 3)

    # --- looking ---------------------------------------------------------------------------------

    def asked(self) -> Counter[Question]:
        """How often each question arrived at its vendor and was answered, by the vendors' own record."""
        return Counter(question for call in self.answered_calls() for question in _questions(call))

    def answered_calls(self) -> list[dict[str, Any]]:
        """Every call to a vendor of look-ups that it answered in order."""
        return [
            call
            for call in self.stage.sandbox.calls()
            if call["provider"] in VENDORS and call["status"] in (200, 202)
        ]

    def single_questions(self) -> list[dict[str, Any]]:
        """The answered calls, taken apart into one for each question: as `evidence.count_repeats` reads them."""
        return [
            {**call, "email": ": ".join(question)}
            for call in self.answered_calls()
            for question in _questions(call)
        ]

    def recorded_questions(self, *jobs: UUID) -> Counter[Question]:
        """How often an answer to each question is on record in the ledger; what vendors told in calls of their own aside."""
        rows = self.stage.world.rows(
            """SELECT a.provider, concat(i.lead ->> 'first_name', ' ', i.lead ->> 'last_name', ' @ ', i.lead ->> 'domain') AS whom
               FROM lookup_attempts a JOIN job_items i USING (job_id, item_no)
               WHERE a.job_id = ANY (:jobs) AND a.outcome IN ('found', 'miss') AND NOT a.is_cached
                 AND NOT a.is_late""",
            jobs=list(jobs),
        )
        return Counter((str(row["provider"]), str(row["whom"])) for row in rows)

    def said(self, job: UUID, vendor: str, item_no: int = 1) -> list[str]:
        """What a vendor's attempts about a row came to, in order."""
        rows = self.stage.world.rows(
            """SELECT outcome FROM lookup_attempts WHERE job_id = :j AND provider = :p AND item_no = :i ORDER BY id""",
            j=job,
            p=vendor,
            i=item_no,
        )
        return [str(row["outcome"]) for row in rows]

    def results(self, job: UUID) -> list[dict[str, Any]]:
        """The job's results, in the order of its leads."""
        return self.stage.world.rows(
            "SELECT * FROM job_results WHERE job_id = :j ORDER BY item_no", j=job
        )

    def verdicts(self, job: UUID) -> list[str]:
        """What each row came to."""
        return [str(row["verdict"]) for row in self.results(job)]

    def told_of(self, job: UUID, vendor: str) -> Counter[str]:
        """What the results say of a vendor, as the first word of it: `found`, `failed`, `skipped`, … or nothing."""
        return Counter(self.told_of_row(row, vendor) for row in self.results(job))

    @staticmethod
    def told_of_row(row: dict[str, Any], vendor: str) -> str:
        """The same of one result."""
        return str(row["data"]["providers"].get(vendor, "")).partition(":")[0]

    def events(self) -> list[str]:
        """What became of the vendors' own calls, in order."""
        rows = self.stage.world.rows("SELECT state FROM lookup_events ORDER BY id")
        return [str(row["state"]) for row in rows]

    def messages(self) -> int:
        """How many wake-ups wait."""
        return self.stage.messages("enrichment")

    def wait_unrecorded(self, *jobs: UUID, questions: int = 12, seconds: float = 40) -> None:
        """Wait until so many answers are under way or not yet recorded: the worst moment for a fault."""

        def open_questions() -> int:
            return self.asked().total() - self.recorded_questions(*jobs).total()

        with self.stage.explained(*jobs):
            wait_for(
                lambda: open_questions() >= questions, seconds, f"{questions} answers not recorded"
            )

    # --- the end ---------------------------------------------------------------------------------

    def judge(self, *jobs: UUID, failures: int = 0) -> None:
        """Check that every lead has one answer, and that no answer of a vendor is on record twice."""
        for job in jobs:
            self.stage.judge_rows(job, failures)
        twice = {q: n for q, n in self.recorded_questions(*jobs).items() if n > 1}
        assert not twice, twice


def _create(
    connection: Connection, leads: Sequence[Any], chain: Sequence[str], max_retries: int
) -> UUID:
    settings = get_settings().model_copy(update={"enrichment_chain": list(chain)})
    params = lookup_params(connection, Wish([Kind.EMAIL]), settings)
    job = NewJob(
        "batch_lead_enrichment",
        "enrich",
        leads,
        settings.chunk_rows,
        max_retries=max_retries,
        params=params,
    )
    tenant = connection.execute(text("SELECT laneway_tenant()")).scalar_one()
    return submit(connection, tenant, job).id


def _questions(call: dict[str, Any]) -> list[Question]:
    return [(call["provider"], whom) for whom in str(call["email"]).split(", ")]
