"""The leads of a chunk, as its run needs them: what is known of each, and what earlier leases have asked already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, text

from app.enrichment.course import Course, read_findings
from app.enrichment.lookup import Kind, Lookup, Person
from app.enrichment.notes import NEXT
from app.enrichment.waits import load_waits
from app.errors import InvalidInput
from app.jobs.lease import Lease

_PENDING = text("""
    SELECT i.item_no, i.email, i.lead, i.cells FROM job_items i
    WHERE i.job_id = :job AND i.item_no BETWEEN :first AND :last
      AND NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = i.job_id AND r.item_no = i.item_no)
      AND NOT EXISTS (SELECT 1 FROM lookup_finds f WHERE f.job_id = i.job_id AND f.item_no = i.item_no)
      AND NOT EXISTS (SELECT 1 FROM job_duplicates d WHERE d.job_id = i.job_id AND d.item_no = i.item_no)
    ORDER BY i.item_no
""")
_ANSWERS = text("""
    SELECT item_no, provider, outcome, code, message, findings FROM lookup_attempts
    WHERE job_id = :job AND item_no BETWEEN :first AND :last AND outcome IN ('found', 'miss', 'refused', 'pending')
      AND NOT is_over
    ORDER BY id
""")
#: What a lead may say of itself, in `job_items.lead` and as targets of a list's columns.
FIELDS = Person.__slots__


@dataclass(frozen=True)
class Plan:
    """What a job wants: `params` of its row, read. `columns` maps fields of a lead to columns of its list."""

    wanted: frozenset[Kind]
    chain: Sequence[str]
    min_score: int
    verifies: bool
    columns: Mapping[str, int]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Plan":
        """Read a job's params, which were checked when it was made."""
        return cls(
            wanted=frozenset(Kind(kind) for kind in params["wanted"]),
            chain=tuple(params["chain"]),
            min_score=int(params.get("min_score", 0)),
            verifies=params.get("then") == "verify",
            columns=params.get("lead_columns", {}),
        )


@dataclass(frozen=True)
class Unreadable:
    """A lead that makes no question; `why` says so in a sentence."""

    why: str


Leads = dict[int, Course | Unreadable]


def load_leads(connection: Connection, lease: Lease, plan: Plan) -> Leads:
    """Return the chunk's open leads by item number, each as far on its way as earlier leases brought it."""
    span = {"job": lease.job_id, "first": lease.first_item, "last": lease.last_item}
    leads: Leads = {}
    for row in connection.execute(_PENDING, span):
        leads[row.item_no] = (
            _course(_from_cells(row.cells, plan.columns), row.email, plan)
            if row.lead is None
            else _course_of(row.lead, row.email, plan)
        )
    # Before the answers: one that comes in between is found among them. The other way round its lead would neither wait nor
    # have it, and ask again.
    waits = load_waits(connection, lease)
    for answer in connection.execute(_ANSWERS, span):
        course = leads.get(answer.item_no)
        if not isinstance(course, Course):
            continue
        if answer.outcome == "pending" and (answer.code or "").startswith(NEXT):
            course.steps[answer.provider] = answer.code.removeprefix(NEXT)
            continue
        note = answer.message if answer.outcome == "miss" else None
        course.answer(answer.provider, answer.outcome, read_findings(answer.findings or {}), note)
    _take_waits(leads, waits)
    return leads


def _take_waits(leads: Leads, waits: Sequence[tuple[int, str, str]]) -> None:
    """Tell each lead what it waits for, unless it has come. A question that nobody waits for any more may be asked again."""
    for lead in leads.values():
        if isinstance(lead, Course):
            lead.answers = {n: said for n, said in lead.answers.items() if said != "pending"}
    for item_no, provider, said in waits:
        course = leads.get(item_no)
        if isinstance(course, Course):
            course.answers.setdefault(provider, said)


def _course_of(lead: Mapping[str, str], email: str, plan: Plan) -> Course:
    """A lead that came over the API is kept in normal form (`submit.normal_lead`)."""
    person = Person(**{name: lead[name] for name in FIELDS if name in lead})
    if email and not person.email:
        person = replace(person, email=email)
    return Course(Lookup(person, plan.wanted), plan.chain, plan.min_score)


def _course(known: Mapping[str, str], email: str, plan: Plan) -> Course | Unreadable:
    fields = {name: known.get(name, "") for name in FIELDS}
    try:
        lookup = Lookup.of(plan.wanted, **{**fields, "email": fields["email"] or email})
    except InvalidInput as error:
        return Unreadable(error.message)
    return Course(lookup, plan.chain, plan.min_score)


def _from_cells(cells: Sequence[str], columns: Mapping[str, int]) -> dict[str, str]:
    return {name: cells[n] for name, n in columns.items() if n < len(cells)}
