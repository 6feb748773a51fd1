"""The presence of this worker process: a row in `workers` that is refreshed every few seconds.

Release counts the slots of workers seen lately, and people see who serves which lane.
"""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

_UPSERT = text("""
    INSERT INTO workers (id, name, hostname, pid, mode, client_id, client_ids, queues, slots, running, rows_per_second,
        environment_keys)
    VALUES (:id, :name, :hostname, :pid, :mode, :client_id, CAST(:client_ids AS uuid[]), :queues, :slots, :running, :rate,
        CAST(:keys AS jsonb))
    ON CONFLICT (id) DO UPDATE SET last_seen = clock_timestamp(), queues = excluded.queues, slots = excluded.slots,
        running = excluded.running, rows_per_second = excluded.rows_per_second,
        environment_keys = excluded.environment_keys
""")
#: Who has not been seen for this long is not coming back; the row only costs.
_SWEEP = text("DELETE FROM workers WHERE last_seen < clock_timestamp() - interval '10 minutes'")

#: The id of this worker process: made before the pool forks, so that its children lease in its name.
WORKER_ID = uuid4()


@dataclass
class Presence:
    """What this process tells about itself."""

    name: str
    mode: str
    slots: int
    queues: Sequence[str]
    #: The clients of a dedicated worker, by their tenants.
    client_ids: Sequence[UUID] = ()
    #: What people may see of the keys in this process's environment, as `workers.environment_keys` has it.
    keys: list[dict[str, Any]] = field(default_factory=list)

    @property
    def client_id(self) -> UUID | None:
        """The client of a worker that has one only; of several, each key tells its own."""
        return self.client_ids[0] if len(self.client_ids) == 1 else None

    def beat(self, connection: Connection, *, running: int, rows_per_second: float) -> None:
        """Refresh the row; the first call makes it."""
        connection.execute(
            _UPSERT,
            {
                "id": WORKER_ID,
                "name": self.name,
                "hostname": socket.gethostname(),
                "pid": os.getpid(),
                "mode": self.mode,
                "client_id": self.client_id,
                "client_ids": list(self.client_ids),
                "queues": list(self.queues),
                "slots": self.slots,
                "running": running,
                "rate": rows_per_second,
                "keys": json.dumps(self.keys),
            },
        )

    def leave(self, connection: Connection) -> None:
        """Take the row away: this worker takes no more work."""
        connection.execute(text("DELETE FROM workers WHERE id = :id"), {"id": WORKER_ID})


def sweep(connection: Connection) -> int:
    """Remove the rows of workers that are long gone; return how many."""
    return int(connection.execute(_SWEEP).rowcount)
