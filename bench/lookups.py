"""Look-ups without limits: 50,000 leads, a key without limits, the sandbox at full speed, one worker process.

Ours: from release to the job's end, every answer, attempt and memory of it recorded in PostgreSQL. Singly with Hunter, in
tens with Apollo. The baseline asks the same sandbox with a bare aiohttp loop of 64 calls at once, which records nothing.
Ours and the loop take turns; the best of three counts, for both.

No vendor's key is without limits. What tens bring where it is the key's calls that are scarce is measured as well: another client's
keys, of either vendor, take a call each `SPACING_MS`.
"""

import json
import time
from uuid import UUID

from sqlalchemy import text

from app.db.scope import tenant_scope
from app.jobs.ids import new_job_id
from app.jobs.submit import create_job, cut_chunks
from app.settings import get_settings
from bench.baselines.running import plain_program
from bench.clients import add_client, add_provider_key, is_completed
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from bench.proc import processor_seconds
from devtools.supervisor import run as run_to_end
from routing import queues

LEADS = 50_000
ROUNDS = 3
KEY = "bench-unlimited-key"
SECONDS = 600
LIMITED_KEY = "bench-limited-key"
SPACING_MS = 20
#: Calls with such a key: some 20 s of them.
CALLS = 1_000
_FILL = text("""
    INSERT INTO job_items (job_id, item_no, tenant_id, line_no, email, lead)
    SELECT :job, n, :tenant, n, '', jsonb_build_object('ref', n::text, 'first_name', 'Anna', 'last_name', 'found-' || :prefix || n,
        'domain', 'company' || n % 5000 || '.example')
    FROM generate_series(1, :rows) AS n
""")
_TOTAL = text("UPDATE jobs SET total_items = :rows WHERE id = :job")


def run(scale: Scale) -> list[Figure]:
    """Measure single look-ups against the loop, then those in tens against single ones."""
    leads = scale.pick(LEADS, 3_000)
    with run_installation() as installation:
        tenant = add_client(installation, "acme")
        for provider in ("hunter", "apollo"):
            add_provider_key(installation, KEY, tenant_id=tenant, provider=provider)
        single, tens, bare = [], [], []
        for number in range(scale.pick(ROUNDS, 1)):
            single.append(look_up_all(installation, tenant, leads, "hunter", f"s{number}x"))
            tens.append(look_up_all(installation, tenant, leads, "apollo", f"t{number}x"))
            bare.append(run_bare(installation, leads))
        limited = look_up_limited(installation, scale.pick(CALLS, 100))
    (best, spent), (best_tens, spent_tens), (best_bare, spent_bare) = (
        max(single),
        max(tens),
        max(bare),
    )
    return [
        Figure(
            "lookups_vs_aiohttp",
            best,
            "leads/s",
            best_bare,
            "bare aiohttp loop, 64 at once",
            Target(0.5, of="ratio"),
            {
                "leads": leads,
                "ours": [round(rate) for rate, _ in single],
                "bare": [round(rate) for rate, _ in bare],
                "processor_us_a_lead": round(spent),
                "processor_us_a_bare_call": round(spent_bare),
            },
        ),
        Figure(
            "lookups_in_tens",
            best_tens,
            "leads/s",
            best,
            "the same leads, a call each",
            Target(5, of="ratio"),
            {
                "tens": [round(rate) for rate, _ in tens],
                "processor_us_a_lead": round(spent_tens),
            },
        ),
        Figure(
            "lookups_in_tens_limited_key",
            limited["apollo"],
            "leads/s",
            limited["hunter"],
            "a call each, with such a key",
            Target(5, of="ratio"),
            {"spacing_ms": SPACING_MS},
        ),
    ]


def look_up_limited(installation: Installation, calls: int) -> dict[str, float]:
    """Return the leads a second that a limited key's calls come to, singly with Hunter and in tens with Apollo."""
    tenant = add_client(installation, "limited")
    rates = {}
    for provider, leads in (("hunter", calls), ("apollo", 10 * calls)):
        add_provider_key(
            installation, LIMITED_KEY, tenant_id=tenant, spacing_ms=SPACING_MS, provider=provider
        )
        rates[provider], _ = look_up_all(installation, tenant, leads, provider, "l")
    return rates


def look_up_all(
    installation: Installation, tenant: UUID, leads: int, provider: str, prefix: str
) -> tuple[float, float]:
    """Look `leads` up with one worker of 64 slots; return (leads a second, processor µs each)."""
    worker = installation.start_worker(queues.ENRICHMENT, "threads", 64, name="enrichment")
    warm = submit_leads(installation, tenant, 100, provider, f"{prefix}w")
    installation.dispatch()
    wait_for("The first hundred", lambda: is_completed(installation, warm), 60)
    installation.sandbox.reset()
    job = submit_leads(installation, tenant, leads, provider, prefix)
    started, spent = time.perf_counter(), processor_seconds(worker.pid)
    installation.dispatch()
    wait_for("The look-ups", lambda: is_completed(installation, job), SECONDS, every=0.1)
    rate = leads / (time.perf_counter() - started)
    spent = processor_seconds(worker.pid) - spent
    _each_found_once(installation, job, leads)
    installation.stop(worker)
    return rate, spent / leads * 1e6


def submit_leads(
    installation: Installation, tenant: UUID, rows: int, provider: str, prefix: str
) -> UUID:
    """Make a job of leads of whom nobody was asked before; return its id."""
    job = new_job_id()
    params = {"wanted": ["email"], "chain": [provider], "min_score": 0}
    with tenant_scope(tenant, installation.app) as connection:
        create_job(
            connection, kind="batch_lead_enrichment", title=prefix, params=params, job_id=job
        )
    with installation.owner.begin() as connection:
        values = {"job": job, "tenant": tenant, "rows": rows, "prefix": prefix}
        connection.execute(_FILL, values)
        connection.execute(_TOTAL, values)
    with tenant_scope(tenant, installation.app) as connection:
        cut_chunks(connection, job, "enrich", rows, get_settings().chunk_rows)
    return job


def _each_found_once(installation: Installation, job: UUID, leads: int) -> None:
    with installation.owner.connect() as connection:
        counts = connection.execute(
            text("SELECT counts FROM jobs WHERE id = :job"), {"job": job}
        ).scalar_one()
    assert counts == {"found": leads}, json.dumps(counts)
    asked = installation.sandbox.summary()["asked"]
    assert asked["extra_calls"] == 0, "a lead was asked about twice"


def run_bare(installation: Installation, calls: int) -> tuple[float, float]:
    """Make as many calls with a bare loop in a process of its own; return (calls a second, processor µs each)."""
    installation.sandbox.reset()
    arguments = ["-m", "bench.baselines.aiohttp_lookups", str(calls)]
    loop = plain_program(installation, "aiohttp", arguments, BENCH_KEY=KEY)
    rate, spent = run_to_end(loop, SECONDS).split()[-2:]
    return float(rate), float(spent)
