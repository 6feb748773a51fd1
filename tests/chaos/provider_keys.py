"""Keys of a stage's clients, known to the provider with the limits that the ledger has; and their failing."""

import secrets
from collections.abc import Sequence
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from app.clients.keys import NewKey, add_key
from sandbox.process import RunningSandbox
from tests.chaos.evidence import WINDOW_SECONDS
from tests.integration.ledger_world import World


def give_key(
    world: World,
    sandbox: RunningSandbox,
    tenant_id: UUID,
    *,
    spacing_ms: int = 10,
    per_window: int = 60,
    window_seconds: float = WINDOW_SECONDS,
) -> str:
    """Give a client a key with one window, and make the provider know it; return the secret."""
    secret = f"key-{secrets.token_hex(12)}"
    with world.owner.begin() as c:
        key = NewKey(SecretStr(secret), spacing_ms=spacing_ms, per_30s=per_window)
        key_id = add_key(c, tenant_id, key)
        c.execute(
            text("UPDATE api_keys SET window_seconds = :s WHERE id = :k"),
            {"s": int(window_seconds), "k": key_id},
        )
    sandbox.put_keys(_as_provider(secret, per_window, window_seconds))
    return secret


def revoke(sandbox: RunningSandbox, keys: Sequence[str]) -> None:
    """Let the provider refuse these keys from now on."""
    sandbox.put_keys(*({"key": key, "disabled": True} for key in keys))


def restore(
    sandbox: RunningSandbox,
    key: str,
    *,
    per_window: int = 60,
    window_seconds: float = WINDOW_SECONDS,
) -> None:
    """Let the provider take a key again, with its window."""
    sandbox.put_keys(_as_provider(key, per_window, window_seconds))


def _as_provider(secret: str, per_window: int, window_seconds: float) -> dict[str, object]:
    # Spacing is not judged here: milliseconds between processes of an overloaded test machine say nothing about
    # a fault. Windows are, exactly.
    return {"key": secret, "windows": [[per_window, int(window_seconds * 1_000)]]}
