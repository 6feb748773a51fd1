"""The live workers as a check sees them: which queues they consume, for which clients, and whose keys they carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from app.clients.clients import ClientRow

#: A worker of the version before says its only client in `client_id`.
_WORKERS = text("""
    SELECT w.name, w.mode, w.queues, w.slots, cardinality(n.ids) AS named,
        ARRAY(SELECT l.tenant_id FROM unnest(n.ids) AS c CROSS JOIN LATERAL client_lane(c) l) AS tenants,
        ARRAY(SELECT k ->> 'hint' FROM jsonb_array_elements(w.environment_keys) AS k
            CROSS JOIN LATERAL client_lane(coalesce(CAST(k ->> 'client_id' AS uuid), w.client_id)) l
            WHERE l.tenant_id = :tenant ORDER BY 1) AS carried
    FROM workers w CROSS JOIN LATERAL (
        SELECT CASE WHEN w.client_ids = '{}' THEN array_remove(ARRAY[w.client_id], NULL) ELSE w.client_ids END AS ids) n
    WHERE w.last_seen > clock_timestamp() - make_interval(secs => :presence) ORDER BY w.name
""")


@dataclass(frozen=True)
class LaneWorker:
    """A live worker. `named` counts the clients that its environment names, `tenants` are those that exist.

    `carried` are the last four characters of the keys that it carries for the client that is checked.
    """

    name: str
    mode: str
    queues: Sequence[str]
    slots: int
    named: int
    tenants: Sequence[UUID]
    carried: Sequence[str]

    def serves(self, client: ClientRow) -> bool:
        """Whether its environment names this client."""
        return client.id in self.tenants

    def consumes(self, client: ClientRow) -> bool:
        """Whether it takes work from the client's lane."""
        return client.configured_queue in self.queues

    def described(self) -> str:
        """Say what it is, for how many, and whose keys the client's rows are verified with there."""
        facts = [self.mode, f"{self.slots} slots"]
        if self.named > 1:
            facts.append(f"for {self.named} clients")
        if self.carried:
            facts.append(f"with its own keys …{', …'.join(self.carried)}")
        elif self.named:
            facts.append("with the keys of the database")
        return f"{self.name} ({', '.join(facts)})"


def live_workers(
    connection: Connection, client: ClientRow, presence_seconds: float
) -> list[LaneWorker]:
    """Return the workers that were seen within `presence_seconds`, by name."""
    values = {"presence": presence_seconds, "tenant": client.id}
    return [LaneWorker(**row._mapping) for row in connection.execute(_WORKERS, values)]
