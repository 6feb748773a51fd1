"""One flight for equal questions of a client, whichever worker has them: who is about to ask a question claims it for its chunk.

A claim holds while its chunk's lease is renewed, so it needs no end of its own, and a process that died is waited for no
longer than `HEARD_SECONDS`. It is no lock: who waited long enough asks too, which costs a second call and no lead.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from app.enrichment.memory import Question
from app.jobs.lease import Lease

#: A worker renews its lease each second. One that was not heard of for so long may be dead, long before its lease is over.
HEARD_SECONDS: Final = 5.0
_CLAIM = text("""
    SELECT provider, identity
    FROM claim_lookups(:chunk, :fence, :alive, CAST(:providers AS text[]), CAST(:identities AS text[]))
""")


def claim(
    connection: Connection, lease: Lease, questions: Sequence[Question], *, lease_seconds: float
) -> set[Question]:
    """Claim questions for a chunk that is held; return those that another one has claimed."""
    rows = connection.execute(
        _CLAIM,
        {
            "chunk": lease.chunk_id,
            "fence": lease.fence,
            "alive": max(0.0, lease_seconds - HEARD_SECONDS),
            "providers": [question.provider for question in questions],
            "identities": [question.identity for question in questions],
        },
    )
    return {Question(str(lease.tenant_id), row.provider, row.identity) for row in rows}
