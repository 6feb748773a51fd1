"""Whether a client's lane works: the guide's "Verify setup", each step answered with what to do where it fails."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from app.clients import key_test
from app.clients.actor import Transaction
from app.clients.check_lane import (
    CheckLine,
    failed,
    lane_in_force,
    passed,
    queue_names,
    routing_row,
    worker_alive,
)
from app.clients.check_workers import LaneWorker, live_workers
from app.clients.clients import ClientRow
from app.clients.keys import KeyFacts, serving_keys
from app.clients.lane_test import send_address
from app.errors import LanewayError, Unavailable
from app.jobs.holds import REMEDIES
from app.settings import Settings
from app.verification.provider import LOCAL
from routing.rate_limits.limiter import Limiter

__all__ = ["ANSWER_SECONDS", "CheckLine", "check"]
#: How long to wait for the address's answer.
ANSWER_SECONDS = 20.0


def check(
    transaction: Transaction,
    client: ClientRow,
    *,
    limiter: Limiter,
    settings: Settings,
    address: str | None = None,
    seconds: float = ANSWER_SECONDS,
) -> list[CheckLine]:
    """Check a client's routing row, worker, keys and one address through its lane; return a line each, in this order.

    Calls each stored key once, within its limits, and makes one job of the client's; `address` is what is verified (the
    person's own e-mail unless given). Takes up to `seconds` for the job and ten a key. Changes nothing else.
    """
    return list(
        _lines(
            transaction,
            client,
            limiter=limiter,
            settings=settings,
            address=address,
            seconds=seconds,
        )
    )


def _lines(
    transaction: Transaction,
    client: ClientRow,
    *,
    limiter: Limiter,
    settings: Settings,
    address: str | None,
    seconds: float,
) -> Iterator[CheckLine]:
    with transaction() as connection:
        workers = live_workers(connection, client, settings.presence_timeout_seconds)
        keys = serving_keys(connection, client)
    before = _throttled(limiter, keys)
    yield routing_row(client)
    yield lane_in_force(client)
    yield queue_names(client, workers)
    yield worker_alive(client, workers)
    yield from _keys(transaction, client, keys, limiter, settings)
    wanted = address or client.user_email or key_test.TEST_ADDRESS
    yield _address(client, workers, wanted, seconds)
    yield _no_429(before, _throttled(limiter, keys), keys)


def _keys(
    transaction: Transaction,
    client: ClientRow,
    keys: Sequence[KeyFacts],
    limiter: Limiter,
    settings: Settings,
) -> Iterator[CheckLine]:
    if not keys:
        yield failed(
            "Keys",
            f"no key is in force for this client (policy {client.key_policy})",
            REMEDIES["no_keys"].format(slug=client.slug),
        )
    for key in keys:
        if key.id is None:
            yield passed(
                f"Key …{key.hint}",
                f"{key.notes}; its secret is not here, so the address below tries it",
            )
        else:
            yield _one_key(transaction, key, key.id, limiter, settings)


_TRY_AGAIN = "Try it again: keys test {id}"
#: By the word that a test of a key leaves (`key_test`).
_REMEDIES = REMEDIES | {
    "provider_unauthorized": "Replace it: keys add, then keys remove {id}",
}


def _one_key(
    transaction: Transaction, key: KeyFacts, key_id: UUID, limiter: Limiter, settings: Settings
) -> CheckLine:
    name = f"Key …{key.hint}"
    try:
        tried = key_test.test_key(transaction, key_id, limiter=limiter, settings=settings)
    except LanewayError as error:
        return failed(name, error.message, "Put that right and check again.")
    whose = "" if key.tenant_id else " (the platform's)"
    detail = f"{tried.words}{whose}"
    if tried.ok:
        return passed(name, detail)
    return failed(name, detail, _REMEDIES.get(tried.outcome, _TRY_AGAIN).format(id=key_id))


def _address(
    client: ClientRow, workers: Sequence[LaneWorker], address: str, seconds: float
) -> CheckLine:
    name = "Address through the lane"
    if not client.is_dedicated:
        back = f" Put it back: clients enable {client.slug}" if client.configured_queue else ""
        return failed(
            name,
            "not tried: the client's work goes to the shared lane at present",
            f"Its own lane is not in force.{back}",
        )
    if not any(worker.consumes(client) for worker in workers):
        return failed(
            name,
            "not tried: the lane has no worker",
            "Put right what is above, then check again.",
        )
    answer = send_address(client, address, seconds)
    if answer.verdict is None:
        return failed(
            name,
            f"no answer about {address} within {seconds:g} s; it was {answer.status}{f' on {answer.queue}' if answer.queue else ''}",
            "released: the worker doesn't take messages. running or ready: its keys are busy, rest, or can't be read by the worker "
            "(keys_not_usable in its log: other ENCRYPTION_KEYS). The job is cancelled.",
        )
    took = f"{address} is {answer.verdict} ({answer.said}) by {answer.provider} in {answer.seconds:.1f} s"
    if answer.is_failure:
        return failed(
            name,
            took,
            "The provider gave no verdict: see the keys' health in `clients show`.",
        )
    if answer.queue not in {client.configured_queue, None}:
        return failed(
            name,
            f"{took}, but through {answer.queue}",
            f"See the lane's changes: clients history {client.slug}",
        )
    if answer.provider == LOCAL:
        took += (
            "; no provider was asked: give --address with a mailbox that exists to try the keys too"
        )
    return passed(name, took)


def _throttled(limiter: Limiter, keys: Sequence[KeyFacts]) -> dict[str, int] | None:
    """Return how often each key was answered 429 so far; None while Redis is silent."""
    try:
        states = limiter.describe([key.fingerprint for key in keys])
    except Unavailable:
        return None
    return {id_: state.throttled_count for id_, state in states.items()}


def _no_429(
    before: dict[str, int] | None, after: dict[str, int] | None, keys: Sequence[KeyFacts]
) -> CheckLine:
    name = "No 429 since"
    if before is None or after is None:
        return failed(
            name,
            "the Redis with the limits does not answer",
            "No provider is called until it does; check RATE_LIMIT_REDIS_URL or REDIS_URL.",
        )
    more = [
        f"…{key.hint}"
        for key in keys
        if after.get(key.fingerprint, 0) > before.get(key.fingerprint, 0)
    ]
    if more:
        return failed(
            name,
            f"the provider answered 429 on {', '.join(more)}",
            "Its limits here are wider than its plan, or it is used elsewhere too: keys edit ID --spacing-ms … --per-30s …",
        )
    return passed(name, "no key was answered 429 while this was checked")
