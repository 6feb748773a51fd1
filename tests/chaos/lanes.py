"""A client's lane in a stage: changed by the SQL that operators write, with workers that serve it alone, and judged.

Beside what holds after every fault, no message may be left on a lane that is not the client's.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from routing import queues
from tests.chaos.harness import CLIENT, Outcome, Stage
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker

#: A dedicated worker's command line names no queue: VERIFICATION_QUEUE does.
DEDICATED = ("-P", "threads")
#: Old wake-ups are received and dropped by whoever serves the old lane.
DRAIN_SECONDS = 10.0

# As the onboarding guide has them.
_INSERT = text("""
    INSERT INTO worker_configs (user_id, worker_mode, verification_queue, api_key_hint, notes, is_active)
    VALUES (:user, 'dedicated', :queue, 'x789', 'a client of the tests', true)
""")
_MOVE = text(
    "UPDATE worker_configs SET verification_queue = :queue, is_active = true WHERE user_id = :user"
)
_ROLL_BACK = text("UPDATE worker_configs SET is_active = false WHERE user_id = :user")
_REMOVE = text("DELETE FROM worker_configs WHERE user_id = :user")


class ClientLane:
    """The lane of one client of a stage. Nothing is routed before `move`."""

    def __init__(self, stage: Stage, slug: str = CLIENT) -> None:
        self.stage = stage
        self.slug = slug
        self.queue = queues.VERIFICATION
        self.user: UUID = stage.world.add_user(slug, f"lead@{slug}.example")

    def name(self, suffix: str) -> str:
        """Return the name of one of the client's lanes."""
        return f"{queues.DEDICATED_PREFIX}client-{self.slug}-{suffix}"

    def move(self, queue: str) -> None:
        """Send the client's work to a queue; the shared one rolls it back."""
        if queue == queues.VERIFICATION:
            self._execute(_ROLL_BACK)
        elif not self._execute(_MOVE, queue=queue):
            self._execute(_INSERT, queue=queue)
        self.queue = queue

    def remove(self) -> None:
        """Take the row away for good."""
        self._execute(_REMOVE)
        self.queue = queues.VERIFICATION

    def start_worker(self, suffix: str, **more: Any) -> Worker:
        """Start a dedicated worker of the lane `suffix`, without waiting; it uses the client's keys of the database."""
        env = {
            "WORKER_MODE": "dedicated",
            "DEDICATED_CLIENT_ID": str(self.user),
            "VERIFICATION_QUEUE": self.name(suffix),
        }
        env |= more.pop("env", {})
        return self.stage.start_worker(suffix, lane=DEDICATED, env=env, **more)

    def start_with_shared(self, *suffixes: str, **more: Any) -> dict[str, Worker]:
        """Start a shared worker and one for each lane, wait until all serve, and return them by their queues."""
        workers = {queues.VERIFICATION: self.stage.start_worker("shared", **more)}
        workers |= {self.name(suffix): self.start_worker(suffix, **more) for suffix in suffixes}
        for worker in workers.values():
            self.stage.wait_until_serving(worker)
        return workers

    def running(self, queue: str | None = None) -> list[int]:
        """Return the client's chunks that run on a queue (None: its own)."""
        rows = self.stage.world.rows(
            """SELECT id FROM chunks WHERE tenant_id = :t AND status = 'running' AND queue = :q ORDER BY id""",
            t=self.stage.world.tenants[self.slug],
            q=queue or self.queue,
        )
        return [int(str(row["id"])) for row in rows]

    def wait_running(self, job: UUID, chunks: int = 1, seconds: float = 40) -> list[int]:
        """Wait until some of the client's chunks run on its lane; return them."""
        with self.stage.explained(job):
            return (
                wait_for(
                    lambda: len(held := self.running()) >= chunks and held,
                    seconds,
                    f"{chunks} chunks run on {self.queue}",
                )
                or []
            )

    def wait_messages(self, job: UUID, seconds: float = 20) -> None:
        """Wait until messages lie in the client's queue."""
        with self.stage.explained(job):
            wait_for(lambda: self.stage.messages(self.queue), seconds, f"messages in {self.queue}")

    def judge(self, *jobs: UUID, none_repeated: bool = False) -> Outcome:
        """Check what must hold after every fault, and that no other lane holds a message."""
        wait_for(lambda: not self._left_over(), DRAIN_SECONDS, f"lanes left: {self._left_over()}")
        return self.stage.judge(*jobs, none_repeated=none_repeated)

    def _left_over(self) -> dict[str, int]:
        with self.stage.installation.redis.connect() as client:
            names = [name.decode() for name in client.keys(f"{queues.VERIFICATION}*")]
            lengths = {name: int(client.llen(name)) for name in names}
        return {name: n for name, n in lengths.items() if n and name != self.queue}

    def _execute(self, statement: Any, **values: object) -> int:
        with self.stage.world.owner.begin() as c:
            # Whatever a worker is doing, or was when it was frozen: an operator doesn't wait for it.
            c.execute(text("SET LOCAL lock_timeout = '5s'"))
            return c.execute(statement, {"user": self.user, **values}).rowcount
