"""Takes away the messages that nobody will ever take: of a lane that its client has left, of chunks that were driven.

They are no-ops, and whoever serves the queue drops them as they come. But there may be nobody who serves it, and it would
never be empty again. Safe beside releases and any number of others: a message goes only when the
ledger, asked after the queue was read, does not have its chunk as released with its fence.
"""

from collections.abc import Iterable

import redis
from sqlalchemy import text

from app.db.scope import system_scope
from app.jobs import release as ledger
from tasks.lost_messages import name_of, task_id

#: Lanes that were left within this time are looked at: many looks each, also where Redis or all workers were away meanwhile.
LOOK_BACK_SECONDS = 600.0
_LEFT = text("SELECT queue FROM lanes_left(:seconds)")


def remove_left_messages(client: "redis.Redis") -> int:
    """Remove what lies on lanes that were left lately; return how many. Raises what Redis and the database raise."""
    with system_scope() as connection:
        queues = list(connection.execute(_LEFT, {"seconds": LOOK_BACK_SECONDS}).scalars())
    return remove_stale_messages(client, queues)


def remove_stale_messages(client: "redis.Redis", queues: Iterable[str]) -> int:
    """Remove from these queues what wakes nobody any more; return how many. Raises what Redis and the database raise."""
    waiting = {queue: messages for queue in queues if (messages := client.lrange(queue, 0, -1))}
    if not waiting:
        return 0
    with system_scope() as connection:
        lanes = ledger.overdue(connection, 0)
    in_force = {task_id(*chunk) for lane in lanes for chunk in lane.chunks}
    removed = 0
    for queue, messages in waiting.items():
        for message in messages:
            # What has another name is not a wake-up of ours, and nobody else's to remove.
            name = name_of(message)
            if name is not None and name.startswith("chunk-") and name not in in_force:
                removed += int(client.lrem(queue, 1, message))  # type: ignore[arg-type]  # bytes are as good as text
    return removed
