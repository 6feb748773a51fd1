"""Ten clients on the shared lane with the platform's keys; one of them floods it with a thousand urgent lists.

Nine have one list of priority 3; the tenth has a thousand of priority 1, in more chunks than a million rows make by default.
All have more to do than the run lasts. Measured is Jain's index of the calls that each client got: 1 when all got the
same, 0.1 when one got everything, as it would be first come, first served.
"""

import time
from collections import Counter

from bench.clients import add_client, add_provider_key, submit_rows
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from routing import queues

CLIENTS = 10
#: 50 rows in chunks of 5: ten thousand chunks, twice what a million rows make in chunks of 200.
FLOOD_LISTS, LIST_ROWS, CHUNK_ROWS = 1_000, 50, 5
ROWS = 3_000
KEYS, SPACING_MS = 14, 125
SECONDS = 40


def run(scale: Scale) -> list[Figure]:
    """Submit everything, let a worker serve, and count."""
    seconds = scale.pick(SECONDS, 10)
    with run_installation(prompt_sandbox=True, chunk_rows=str(CHUNK_ROWS)) as installation:
        for number in range(KEYS):
            add_provider_key(installation, f"bench-shared-key-{number}", spacing_ms=SPACING_MS)
        submit_all(installation, scale.pick(FLOOD_LISTS, 100))
        installation.start_worker(queues.VERIFICATION, "threads", 64, name="shared")
        sandbox = installation.sandbox
        wait_for("All clients", lambda: sandbox.summary()["calls"] > 2 * CLIENTS, 60)
        sandbox.reset()
        time.sleep(seconds)
        calls = sandbox.calls()
    shares = Counter(call["email"].partition("-")[0] for call in calls if call["status"] == 200)
    return [
        Figure(
            "flood_fairness",
            jain([shares[f"client{n}"] for n in range(CLIENTS)]),
            "",
            target=Target(0.95),
            notes={
                "calls": sum(shares.values()),
                "flooding_client": shares["client0"],
                "others": sorted(shares[f"client{n}"] for n in range(1, CLIENTS)),
                "violations": sum(bool(call["violation"]) for call in calls),
                "seconds": seconds,
            },
        )
    ]


def submit_all(installation: Installation, lists: int) -> None:
    """Submit the flood first, then everybody else's list."""
    clients = [add_client(installation, f"client{n}") for n in range(CLIENTS)]
    for _ in range(lists):
        submit_rows(installation, clients[0], LIST_ROWS, "client0-", priority=1)
    for number, client in enumerate(clients[1:], start=1):
        submit_rows(installation, client, ROWS, f"client{number}-")


def jain(shares: list[int]) -> float:
    """Return Jain's index of fairness. Raises `ZeroDivisionError` when nobody got anything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
