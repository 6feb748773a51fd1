"""What is told of a key that was tried or reset: which one by its last four characters, how it went, never what was asked."""

from uuid import UUID

from sqlalchemy import Connection, text

from app.clients.actor import Transaction
from app.clients.keys import key_facts
from routing.rate_limits.limiter import Limiter

_TESTED = text("SELECT key_tested(:key, :ok, :outcome, :ms)")
_RESET = text("SELECT key_was_reset(:key, :state)")


def note_test(
    connection: Connection, key_id: UUID, *, ok: bool, outcome: str, ms: int | None
) -> None:
    """Write down a test call; `outcome` is a verdict, an error's code, or why no call was made (`ms` None)."""
    connection.execute(_TESTED, {"key": key_id, "ok": ok, "outcome": outcome, "ms": ms})


def reset_key(transaction: Transaction, key_id: UUID, limiter: Limiter) -> tuple[str, str]:
    """Let a key that rests be used at once, and write it down; return its last four characters and its state.

    The state is empty for a key that the limiter does not know. Raises `NotFound`, or `LimitsUnavailable` and then nothing
    is written.
    """
    with transaction() as connection:
        key = key_facts(connection, key_id)
    state = limiter.reset(key.fingerprint)
    with transaction() as connection:
        connection.execute(_RESET, {"key": key_id, "state": state or None})
    return key.hint, state
