"""Try one stored key with one call, reserved like any other, so that no limit is broken.

No transaction is open while the provider is called: what is needed is read before, how it went is written down after.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
from sqlalchemy import Connection, Row, text

from app.clients.actor import Transaction
from app.clients.key_audit import note_test
from app.clients.keys import key_facts
from app.errors import Conflict, Misconfigured, NotFound
from app.provider_errors import KeyEffect, ProviderError, policy_of
from app.settings import Settings
from app.verification.mailtester import MailTester
from app.work.key_forms import stored_key
from app.work.key_usage import KeyUsage
from routing.provider_key import ProviderKey
from routing.rate_limits.limiter import Limiter
from routing.rate_limits.limits import PoolRef, Slot
from routing.rate_limits.registration import prepare_pool

#: A name that RFC 2606 keeps for examples: nobody's mailbox.
TEST_ADDRESS = "postmaster@example.com"
#: How long to wait for the key to be free, and then for the answer.
TEST_SECONDS = 10.0
_KEY = text("SELECT * FROM key_secret(:key)")
_POOL = "test"
#: How much later than its moment the call may arrive: a first call of a process that has just begun is never punctual, and
#: a worker's next call on the key must keep its distance from when this one really came.
_SLACK_MS = 300
#: How long a key rests after a 429 that does not say.
_REST_MS = 1_000
_BUSY = {
    "spacing": "The key is busy: workers use all that its spacing allows. Try again.",
    "window": "The key is busy: what its window allows is used up. Try again in half a minute.",
    "daily_quota": "The key's day is used up.",
    "circuit_open": "The key rests after errors; `keys reset` lets it be tried at once.",
    "late": "This machine is too busy to make a call at its moment. Try again.",
    "held": "The key is busy in a worker's hands. Try again.",
}
__all__ = ["TEST_ADDRESS", "KeyTest", "test_key"]


@dataclass(frozen=True)
class KeyTest:
    """What a key answered; `ms` is how long the call took, None where none was made.

    `outcome` is a word for the audit: the verdict, the error's code, or why there was no call.
    """

    ok: bool
    detail: str
    outcome: str
    ms: int | None = None

    @property
    def words(self) -> str:
        """What it answered and how long that took, to stand within a sentence."""
        took = "" if self.ms is None else f", {self.ms} ms"
        return self.detail.rstrip(".") + took


def test_key(
    transaction: Transaction,
    key_id: UUID,
    *,
    limiter: Limiter,
    settings: Settings,
    address: str = TEST_ADDRESS,  # noqa: PT028 - not a test of pytest's
    seconds: float = TEST_SECONDS,  # noqa: PT028
) -> KeyTest:
    """Ask the provider about `address` with a stored key; tell the limiter and the audit how it went.

    Costs one call of the key. Takes up to `seconds` to get its turn and as long again to be answered. Any verdict is fine;
    an error says why, also that the stored secret can't be read. Raises `NotFound`, `Conflict` for a key that is switched
    off, `LimitsUnavailable`.
    """
    with transaction() as connection:
        row = _read_key(connection, key_id)
    try:
        key = stored_key(row)
    except Misconfigured as error:
        tried = KeyTest(ok=False, detail=error.message, outcome=error.code)
    else:
        tried = asyncio.run(_try(key, limiter, settings, address, seconds))
    with transaction() as connection:
        note_test(connection, key_id, ok=tried.ok, outcome=tried.outcome, ms=tried.ms)
    return tried


def _read_key(connection: Connection, key_id: UUID) -> Row[Any]:
    """Return the key's row as workers have it: with the limits in force and their version, so that it brings them along."""
    facts = key_facts(connection, key_id)
    if not facts.is_enabled:
        raise Conflict(
            f"The key …{facts.hint} is switched off, so no call is made with it. Switch it on first."
        )
    row = connection.execute(_KEY, {"key": key_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such stored key; `keys list` shows them with their ids.")
    return row


async def _try(
    key: ProviderKey, limiter: Limiter, settings: Settings, address: str, seconds: float
) -> KeyTest:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        provider = MailTester.from_settings(
            session, settings.model_copy(update={"provider_timeout_seconds": seconds})
        )
        usage = KeyUsage()
        try:
            await provider.prepare(key.secret.get_secret_value())
            await provider.open_ahead()
        except ProviderError as error:
            return _failed(limiter, key, error, None, None)
        pool = await asyncio.to_thread(prepare_pool, limiter, _POOL, [key.limits], usage)
        slot = await _reserve(limiter, pool, seconds)
        if isinstance(slot, str):
            said = _BUSY.get(slot, f"The key has no free moment ({slot}).")
            return KeyTest(ok=False, detail=said, outcome=slot)
        began = time.perf_counter()
        try:
            answer = await provider.verify(address, key.secret.get_secret_value())
        except ProviderError as error:
            return _failed(limiter, key, error, slot, _ms_since(began))
        finally:
            # Not before the call: it leaves at its moment.
            await asyncio.to_thread(usage.add, {key.fingerprint: 1})
        limiter.clean(key.fingerprint)
        said = f"{answer.verdict.value} ({answer.code} {answer.message})"
        return KeyTest(
            ok=True,
            detail=f"answered about {address}: {said}",
            outcome=answer.verdict.value,
            ms=_ms_since(began),
        )


async def _reserve(limiter: Limiter, pool: PoolRef, seconds: float) -> Slot | str:
    """Reserve one call and wait for its moment; or return why there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = limiter.reserve(pool, 1, slack_ms=_SLACK_MS)
        read_at = time.monotonic()
        if answer.slots:
            # Counted from the reply, which came after the server's clock was read: never early.
            due = read_at + answer.slots[0].at_ms / 1e3 - answer.now_us / 1e6
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() < due + _SLACK_MS / 2e3:
                return answer.slots[0]
            if time.monotonic() > deadline:
                return "late"
            continue
        # Ask again when the moment comes within reach; workers ask for the same ones.
        wait = (answer.not_before_ms - answer.now_us / 1e3 - limiter.policy.horizon_ms / 2) / 1e3
        wait = max(0.05, wait)
        if (
            answer.reason in {"daily_quota", "circuit_open", "no_keys"}
            or time.monotonic() + wait > deadline
        ):
            return answer.reason
        await asyncio.sleep(wait)


def _failed(
    limiter: Limiter, key: ProviderKey, error: ProviderError, slot: Slot | None, ms: int | None
) -> KeyTest:
    effect = policy_of(error).key_effect
    at_ms = slot.at_ms if slot else None
    if effect is KeyEffect.SLOW_DOWN:
        rest = _REST_MS if error.retry_after is None else error.retry_after * 1_000
        limiter.throttled(key.fingerprint, rest, granted_at_ms=at_ms)
    elif effect is KeyEffect.OPEN:
        limiter.unauthorized(key.fingerprint, error.message)
    elif effect is KeyEffect.FAILURE:
        limiter.failed(key.fingerprint, error.message)
    elif slot:
        limiter.clean(key.fingerprint)
    return KeyTest(ok=False, detail=error.message, outcome=error.code, ms=ms)


def _ms_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1e3)
