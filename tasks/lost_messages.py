"""Finds released chunks whose message is gone: a crash between commit and publish, a worker killed while it received,
a Redis that was emptied.

The ledger says what was released, Redis what waits. Comparing two counts is enough while all is well, also on a lane that
is never empty; only when messages are missing are they looked at one by one. A message on its way to a lease looks
missing too, for a moment, so a chunk counts as lost when it was missing at two looks in a row.
"""

import json
from collections.abc import Iterable, Sequence

import redis

from app.jobs.release import Overdue

Message = tuple[int, int]


def task_id(chunk_id: int, fence: int) -> str:
    """Return the id of a chunk's message: says in Flower and in the logs which chunk and which try it is."""
    return f"chunk-{chunk_id}-{fence}"


class LostMessages:
    """The looks of one dispatcher, about a second apart."""

    def __init__(self) -> None:
        self._missing: set[Message] = set()

    def find(self, client: "redis.Redis", lanes: Iterable[Overdue]) -> list[int]:
        """Return the chunks whose message is gone. Raises what Redis raises."""
        before, self._missing = self._missing, set()
        for lane in lanes:
            # Every released chunk has one message; old fences of recalled ones only make them more.
            if int(client.llen(lane.queue)) < lane.released:
                waiting = _task_ids(client.lrange(lane.queue, 0, -1))
                self._missing.update(c for c in lane.chunks if task_id(*c) not in waiting)
        return sorted(chunk_id for chunk_id, _ in before & self._missing)


def name_of(message: str | bytes) -> str | None:
    """Return the task id of a message in a queue, None for what is no message of Celery's: others write to queues too."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, TypeError, LookupError):
        return None


def _task_ids(messages: Sequence[str | bytes]) -> set[str | None]:
    return {name_of(message) for message in messages}
