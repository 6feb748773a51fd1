"""What is waited for: questions that a provider has taken on and will answer in a call of its own.

A row is written with the record of the attempt. An answer that comes before is kept as an event and matched then, so the
lock of a request stands in front of both: whoever is second sees what the first has written.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.enrichment.course import PRINCIPAL
from app.enrichment.lookup import Kind, Lookup, Person
from app.jobs.lease import Lease

_LOCK = text("""
    SELECT pg_advisory_xact_lock(hashtextextended('lookup_request:' || request, 0))
    FROM (SELECT DISTINCT request FROM unnest(CAST(:requests AS text[])) AS t(request) ORDER BY request) AS ordered
""")
_ADD = text("""
    INSERT INTO lookup_waits (request, job_id, item_no, provider, name, identity, lookup, findings, deadline)
    SELECT request, :job, item_no, provider, name, identity, lookup, findings, clock_timestamp() + make_interval(secs => seconds)
    FROM json_to_recordset(CAST(:rows AS json)) AS t(item_no integer, provider text, request uuid, name text, identity text,
        lookup jsonb, findings jsonb, seconds double precision)
    ON CONFLICT (request, job_id, item_no) DO NOTHING
""")
_GIVE_UP = text("""
    WITH overdue AS (
        UPDATE lookup_waits SET state = 'late'
        WHERE job_id = :job AND item_no BETWEEN :first AND :last AND over_at IS NULL AND state = 'waiting'
          AND deadline <= clock_timestamp()
        RETURNING item_no, provider
    )
    INSERT INTO lookup_attempts (job_id, item_no, provider, outcome, code, message, at)
    SELECT :job, item_no, provider, 'error', 'late', 'No answer came within the time that it is waited for.', clock_timestamp()
    FROM overdue
""")
_OPEN = text("""
    SELECT item_no, provider, state FROM lookup_waits
    WHERE job_id = :job AND item_no BETWEEN :first AND :last AND over_at IS NULL AND state IN ('waiting', 'late')
""")
_NEXT = text("""
    SELECT CASE WHEN count(w.state) < cardinality(CAST(:items AS integer[])) THEN clock_timestamp()
           ELSE greatest(min(w.deadline), clock_timestamp()) END
    FROM unnest(CAST(:items AS integer[]), CAST(:providers AS text[])) AS q(item_no, provider)
    LEFT JOIN LATERAL (
        SELECT x.state, x.deadline FROM lookup_waits x
        WHERE x.job_id = :job AND x.item_no = q.item_no AND x.provider = q.provider AND x.over_at IS NULL AND x.state = 'waiting'
        ORDER BY x.deadline LIMIT 1
    ) w ON true
""")
_CLOSE = text("""
    UPDATE lookup_waits SET over_at = clock_timestamp()
    WHERE job_id = :job AND item_no = ANY (:items) AND over_at IS NULL
""")
_END_REFUSALS = text("""
    UPDATE lookup_attempts SET is_over = true WHERE job_id = :job AND item_no = ANY (:items) AND outcome = 'refused' AND NOT is_over
""")
_SAME = text("""
    SELECT DISTINCT ON (w.provider, w.identity) w.provider, w.identity, w.request, w.name, w.lookup, w.findings,
        extract(epoch FROM w.deadline - clock_timestamp()) AS seconds
    FROM lookup_waits w JOIN unnest(CAST(:providers AS text[]), CAST(:identities AS text[])) AS q(provider, identity)
        ON w.identity = q.identity AND w.provider = q.provider
    WHERE w.tenant_id = laneway_tenant() AND w.state = 'waiting' AND w.deadline > clock_timestamp()
    ORDER BY w.provider, w.identity, w.deadline DESC
""")
_WAKE = text("""
    WITH woken AS (
        UPDATE chunks SET run_at = clock_timestamp() WHERE id IN (
            SELECT c.id FROM chunks c JOIN lookup_waits w ON w.request = :request AND w.job_id = c.job_id
                AND w.item_no BETWEEN c.first_item AND c.last_item
            WHERE c.kind = 'enrich' AND c.status = 'ready' AND c.waits_for IS NOT NULL AND c.run_at > clock_timestamp()
            ORDER BY c.id FOR UPDATE OF c)
        RETURNING id
    )
    SELECT pg_notify('laneway_ready', '') FROM woken LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Wait:
    """An answer that comes later, to be kept for `seconds`. `name` is the vendor's for the row.

    `findings` is what the provider has said so far, as it is kept (`course.finding_json`).
    """

    item_no: int
    provider: str
    request: str
    name: str
    identity: str
    lookup: Mapping[str, Any]
    findings: Mapping[str, Any]
    seconds: float

    def for_item(self, item_no: int) -> "Wait":
        """Return the same wait of another lead."""
        return replace(self, item_no=item_no)


@dataclass(frozen=True, slots=True)
class Over:
    """A lead that is concluded: what comes for it now changes no result, and who refused it may be asked by a retry."""

    item_no: int


def describe_question(
    question: Lookup, found: Iterable[str], keeps: tuple[float, float]
) -> dict[str, Any]:
    """Return a question as a wait keeps it, without the kinds whose main field was found at once.

    `keeps` is how many seconds an answer and a miss are remembered: whoever asked decides.
    """
    names = set(found)
    still = [kind for kind in question.wanted if PRINCIPAL[kind][0] not in names]
    person = question.person
    known = {name: getattr(person, name) for name in Person.__slots__ if getattr(person, name)}
    return {"person": known, "wanted": sorted(still or question.wanted), "keeps": list(keeps)}


def read_question(kept: Mapping[str, Any]) -> Lookup:
    """Return the question of a wait."""
    known = {name: value for name, value in kept["person"].items() if name in Person.__slots__}
    return Lookup(Person(**known), frozenset(Kind(kind) for kind in kept["wanted"]))


def lock_requests(connection: Connection, requests: Iterable[str]) -> None:
    """Let nobody else match answers of these requests until the transaction ends."""
    connection.execute(_LOCK, {"requests": list(requests)})


def add_waits(connection: Connection, job_id: UUID, waits: Sequence[Wait]) -> None:
    """Write what is waited for, after `lock_requests`."""
    rows = [{name: getattr(wait, name) for name in Wait.__slots__} for wait in waits]
    connection.execute(_ADD, {"job": job_id, "rows": json.dumps(rows)})


def close_waits(connection: Connection, job_id: UUID, leads: Sequence[Over]) -> None:
    """Note that these leads are concluded, after their last attempts were written."""
    values = {"job": job_id, "items": [lead.item_no for lead in leads]}
    connection.execute(_CLOSE, values)
    connection.execute(_END_REFUSALS, values)


def load_waits(connection: Connection, lease: Lease) -> list[tuple[int, str, str]]:
    """Give up what is overdue, then return (item_no, provider, `pending` or `late`) of the chunk's open leads."""
    span = {"job": lease.job_id, "first": lease.first_item, "last": lease.last_item}
    connection.execute(_GIVE_UP, span)
    words = {"waiting": "pending", "late": "late"}
    rows = connection.execute(_OPEN, span)
    return [(row.item_no, row.provider, words[row.state]) for row in rows]


def next_moment(
    connection: Connection, lease: Lease, waiting: Sequence[tuple[int, str]]
) -> datetime:
    """Return when the first of these (item_no, provider) is overdue; now, if one of them was answered meanwhile."""
    items, providers = [no for no, _ in waiting], [name for _, name in waiting]
    found: datetime = connection.execute(
        _NEXT, {"job": lease.job_id, "items": items, "providers": providers}
    ).scalar_one()
    return found


def same_questions(
    connection: Connection, questions: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Wait]:
    """Return what the tenant waits for already, by (provider, identity): it need not be asked, and paid for, again."""
    providers, identities = [p for p, _ in questions], [i for _, i in questions]
    rows = connection.execute(_SAME, {"providers": providers, "identities": identities})
    return {
        (row.provider, row.identity): Wait(
            0,
            row.provider,
            str(row.request),
            row.name,
            row.identity,
            row.lookup,
            row.findings,
            float(row.seconds),
        )
        for row in rows
    }


def wake_chunks(connection: Connection, request: UUID) -> bool:
    """Make due the chunks that wait for answers of a request, in a transaction of its own; False: there was none.

    Not in that of the answer: a worker locks its chunk first and the request then.
    """
    woken = connection.execute(_WAKE, {"request": request}).one_or_none()
    return woken is not None
