"""A client with 2,000 ready chunks is moved to a lane of its own by SQL, five times: how soon its first call leaves there.

From the moment at which COMMIT has returned to the arrival of the first call by the new lane's worker, told by its key, which
only that worker has; both on the one clock that all processes of a machine share. Two seconds after COMMIT no message of the
client may lie in the queue that it left, and no chunk be released to it.
"""

import time
from uuid import UUID

from sqlalchemy import text

from bench.clients import add_client, add_provider_key, route_client, submit_rows
from bench.figures import Figure, Scale, Target, percentile
from bench.installation import Installation, run_installation, wait_for
from routing import queues

CHUNKS, CHUNK_ROWS = 2_000, 10
MOVES = 5
SLOTS = 32
#: Chunks are there for longer than all moves take: some 100 calls a second.
SPACING_MS, PER_30S = 10, 100_000
SETTLE_SECONDS = 2.0
LANE = f"{queues.DEDICATED_PREFIX}client-acme"
OWN_KEY = "bench-key-of-the-lane"

_MOVE = text("UPDATE worker_configs SET is_active = :active WHERE user_id = :user")
_OPEN = text("SELECT count(*) FROM chunks WHERE status = 'ready'")
_ON = text("SELECT count(*) FROM chunks WHERE status = ANY (:states) AND queue = :queue")


def run(scale: Scale) -> list[Figure]:
    """Move the client there and back."""
    with run_installation(chunk_rows=str(CHUNK_ROWS), chunk_slice_seconds="5") as installation:
        tenant = add_client(installation, "acme")
        add_provider_key(
            installation,
            "bench-key-of-the-client",
            tenant_id=tenant,
            spacing_ms=SPACING_MS,
            per_30s=PER_30S,
        )
        installation.sandbox.put_keys({"key": OWN_KEY})
        user = route_client(installation, tenant, LANE)
        move(installation, user, active=False)
        installation.start_worker(queues.VERIFICATION, "threads", SLOTS, name="shared")
        start_dedicated(installation, user)
        submit_rows(installation, tenant, CHUNKS * CHUNK_ROWS)
        installation.dispatch()
        rounds = [move_once(installation, user) for _ in range(scale.pick(MOVES, 2))]
        with installation.owner.connect() as connection:
            ready = connection.execute(_OPEN).scalar_one()
    first = [seconds for seconds, _, _ in rounds]
    return [
        Figure(
            "reroute_first_call",
            max(first),
            "s",
            target=Target(1, "most"),
            notes={
                "ready_chunks": CHUNKS,
                "ready_after_all_moves": ready,
                "moves": len(first),
                "median_s": round(percentile(first, 0.5), 3),
            },
        ),
        Figure(
            "reroute_left_behind",
            max(left + released for _, left, released in rounds),
            "messages",
            target=Target(0, "most"),
            notes={"after_seconds": SETTLE_SECONDS},
        ),
    ]


def start_dedicated(installation: Installation, user: UUID) -> None:
    """Start the client's worker as the onboarding guide has it."""
    installation.start_worker(
        LANE,
        "threads",
        SLOTS,
        name="dedicated",
        WORKER_MODE="dedicated",
        DEDICATED_CLIENT_ID=str(user),
        VERIFICATION_QUEUE=LANE,
        MAILTESTER_API_KEYS=OWN_KEY,
        MAILTESTER_KEY_SPACINGS=str(SPACING_MS),
        MAILTESTER_KEY_DAILY_LIMITS="1000000",
        MAILTESTER_KEY_REQUESTS_PER_30S=str(PER_30S),
    )


def move(installation: Installation, user: UUID, *, active: bool) -> float:
    """Change the client's row; return the monotonic moment after COMMIT."""
    with installation.owner.begin() as connection:
        connection.execute(_MOVE, {"user": user, "active": active})
    return time.monotonic()


def move_once(installation: Installation, user: UUID) -> tuple[float, int, int]:
    """Move the client to its lane; return the first call's delay, and what is left of it on the shared lane."""
    wait_for("Work on the shared lane", lambda: on(installation, queues.VERIFICATION) > 0, 30)
    installation.sandbox.reset()
    committed = move(installation, user, active=True)
    wait_for("A call", lambda: OWN_KEY in installation.sandbox.summary()["keys"], 30)
    calls = installation.sandbox.calls()
    first = next(call["mono_ms"] for call in calls if call["key"] == OWN_KEY) / 1e3 - committed
    time.sleep(max(0.0, SETTLE_SECONDS - (time.monotonic() - committed)))
    with installation.redis.connect() as client:
        left = int(client.llen(queues.VERIFICATION))
    released = on(installation, queues.VERIFICATION, "released")
    move(installation, user, active=False)
    wait_for("The lane's last chunk", lambda: on(installation, LANE) == 0, 30)
    return first, left, released


def on(installation: Installation, queue: str, *states: str) -> int:
    """Return how many chunks are on a queue in these states (default: running)."""
    with installation.owner.connect() as connection:
        values = {"queue": queue, "states": list(states or ("running",))}
        return int(connection.execute(_ON, values).scalar_one())
