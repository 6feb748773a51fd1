"""The whole product on free ports: sandbox providers, web, an ingest and a shared worker, people and keys.

The same commands as in Procfile and Procfile.worker, with small pools. Six clients: MAPLE and OAK share a lane and the
platform's key; PINE has a lane of its own that no worker serves; QUAY's only key may make few calls a day; ELM is there
to be onboarded; FIR has a thousand jobs that were given up.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text

from app.accounts.tenants import create_tenant
from app.accounts.users import create_user
from app.clients.keys import NewKey, add_key
from app.db.engine import make_engine, owner_engine
from app.jobs.ids import new_job_id
from devtools.ports import find_free_port
from devtools.processes import Process
from devtools.supervisor import Supervisor, answers
from routing import queues
from sandbox.process import RunningSandbox, run_sandbox
from tests.conftest import ROOT, Environment, forget_environment, use_environment

PASSWORD = "correct horse battery staple"
#: With it a system tells of jobs.
WEBHOOK_SECRET = "whsec_dG8gdGVsbCBvZiBqb2JzIGluIHRlc3Rz"
READY_SECONDS = 60.0
#: Slow enough to watch, quick enough for a test: about 25 addresses a second.
SPACING_MS = 40
DAILY_LIMIT = 5
#: Who look leads up.
FINDERS = ("apollo", "hunter")
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Client:
    """A client with its one person; `queue` is a lane of its own, `daily_limit` a key of its own."""

    slug: str
    queue: str | None = None
    daily_limit: int | None = None

    @property
    def email(self) -> str:
        """Who signs in."""
        return f"person@{self.slug}.example"


MAPLE = Client("maple")
OAK = Client("oak")
PINE = Client("pine", queue=f"{queues.DEDICATED_PREFIX}client-pine")
QUAY = Client("quay", daily_limit=DAILY_LIMIT)
ELM = Client("elm")
FIR = Client("fir")
GIVEN_UP = 1_000
OPERATOR = "operator@laneway.example"


@dataclass(frozen=True)
class Product:
    """What runs: `url` without a slash at its end; `owner_url` is its database as the schema's owner."""

    url: str
    owner_url: str = field(repr=False)
    sandbox: RunningSandbox
    web: Process = field(repr=False)

    def sql(self, statement: str, values: Mapping[str, Any]) -> Any:
        """Run a statement as the schema's owner; return the first value of the first row, if there is one."""
        engine = make_engine(self.owner_url, role=None, pool_size=1)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(statement), values)
                return result.scalar() if result.returns_rows else None
        finally:
            engine.dispose()


def _add_client(owner: Connection, client: Client) -> None:
    tenant_id = create_tenant(owner, client.slug.title(), client.slug)
    user_id = create_user(owner, client.email, PASSWORD, "member", tenant_id)
    if client.queue:
        route = text(
            "INSERT INTO worker_configs (user_id, worker_mode, verification_queue) VALUES (:user, 'dedicated', :queue)"
        )
        owner.execute(route, {"user": user_id, "queue": client.queue})
    if client.daily_limit:
        add_key(
            owner,
            tenant_id,
            NewKey(
                SecretStr(f"secret-of-{client.slug}"),
                spacing_ms=SPACING_MS,
                daily_limit=client.daily_limit,
            ),
        )


def _add_given_up(owner: Connection, client: Client) -> None:
    """Give a client jobs of one lead each that nobody knew; a few have a tag."""
    find = text("SELECT id FROM tenants WHERE slug = :slug")
    tenant = owner.execute(find, {"slug": client.slug}).scalar_one()
    rows = [
        {"id": new_job_id(), "t": tenant, "title": f"Lead {n}", "tags": ["few"] if n < 3 else []}
        for n in range(GIVEN_UP)
    ]
    for statement in (
        """INSERT INTO jobs (id, tenant_id, kind, title, status, tags, total_items, done_items, failed_items, counts,
               max_retries, error, started_at, finished_at)
           VALUES (:id, :t, 'single_lead_enrichment', :title, 'dead_letter', :tags, 1, 1, 1, '{"unknown": 1}', 3,
               'nobody knows this lead', now(), now())""",
        """INSERT INTO chunks (job_id, tenant_id, kind, priority, first_item, last_item, status, done_items, failed_items,
               counts, finished_at)
           VALUES (:id, :t, 'enrich', 3, 1, 1, 'done', 1, 1, '{"unknown": 1}', now())""",
        """INSERT INTO job_items (job_id, tenant_id, item_no, line_no, email, lead)
           VALUES (:id, :t, 1, 1, '', '{"ref": "lead"}')""",
        """INSERT INTO job_results (job_id, tenant_id, item_no, verdict, message, is_failure, checked_at)
           VALUES (:id, :t, 1, 'unknown', 'nobody knows this lead', true, now())""",
    ):
        owner.execute(text(statement), rows)


def _load() -> None:
    """Add clients, people and keys; this process's settings point at the product's database."""
    with owner_engine().begin() as owner:
        for client in (MAPLE, OAK, PINE, QUAY, ELM, FIR):
            _add_client(owner, client)
        _add_given_up(owner, FIR)
        create_user(owner, OPERATOR, PASSWORD, "operator", None)
        add_key(
            owner,
            None,
            NewKey(
                SecretStr("secret-of-platform"),
                spacing_ms=SPACING_MS,
                per_30s=None,
                daily_limit=None,
            ),
        )
        for finder in FINDERS:
            key = NewKey(SecretStr("secret-of-platform"), provider=finder, per_30s=None)
            add_key(owner, None, key)


def _python(name: str, arguments: list[str], environment: Mapping[str, str], home: Path) -> Process:
    log = home / f"{name}.log"
    return Process(name=name, argv=[sys.executable, *arguments], log=log, env=environment, cwd=ROOT)


def _worker(
    name: str, queue: str, pool: list[str], environment: Mapping[str, str], home: Path
) -> Process:
    arguments = ["-m", "celery", "-A", "celery_config", "worker", "-Q", queue, *pool]
    arguments += ["-n", f"{name}@%h", "--without-gossip", "--without-mingle"]
    return _python(name, arguments, environment, home)


def _is_ready(worker: Process) -> bool:
    return " ready." in worker.tail(100)


@contextmanager
def run_product(base: Environment, home: Path) -> Iterator[Product]:
    """Run everything for the length of the block; nothing is left afterwards."""
    with run_sandbox() as sandbox, Supervisor() as supervisor:
        for secret in ("secret-of-platform", f"secret-of-{QUAY.slug}"):
            sandbox.put_keys({"key": secret})
        environment = base | {
            "ENRICHMENT_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "MAILTESTER_BASE_URL": sandbox.url,
            **{f"{finder.upper()}_BASE_URL": sandbox.url for finder in FINDERS},
            "ITEM_MAX_ATTEMPTS": "2",
            "RETRY_BASE_DELAY": "100",
            "LOGIN_LIMIT": "1000 per minute",
            "UPLOAD_MAX_BYTES": str(MAX_BYTES),
        }
        with pytest.MonkeyPatch.context() as patch:
            use_environment(patch, environment)
            _load()
            forget_environment()
        port = find_free_port()
        gunicorn = [
            "-m",
            "gunicorn",
            "app.factory:create_app()",
            "--worker-class",
            "app.http.worker.PatientWorker",
        ]
        gunicorn += [
            "--forwarded-allow-ips",
            "",
            "--workers",
            "1",
            "--threads",
            "8",
            "--bind",
            f"127.0.0.1:{port}",
        ]
        web = supervisor.start(_python("web", gunicorn, environment, home))
        workers = [
            _worker("ingest", queues.INGEST, ["-P", "prefork", "-c", "1"], environment, home),
            _worker(
                "verify",
                f"{queues.VERIFICATION},{queues.ENRICHMENT}",
                ["-P", "threads", "-c", "16"],
                environment,
                home,
            ),
        ]
        for worker in workers:
            supervisor.start(worker)
        url = f"http://127.0.0.1:{port}"
        web.wait_until(lambda: answers(f"{url}/api/health"), READY_SECONDS)
        for worker in workers:
            worker.wait_until(partial(_is_ready, worker), READY_SECONDS)
        yield Product(url, base["DATABASE_OWNER_URL"], sandbox, web)
        supervisor.check()
