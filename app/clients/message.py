"""What the client is told when its lane is ready."""

from collections.abc import Sequence

from app.clients.capacity import Capacity
from app.clients.clients import ClientRow
from app.clients.keys import KeyFacts
from app.plain_text import escaped


def not_yet(client: ClientRow, serving: Sequence[KeyFacts]) -> str | None:
    """Return why the message is not true yet, for the operator; None: it is. `serving` are the keys that verify its rows."""
    missing = []
    if not client.is_dedicated:
        missing.append("it has no lane in use")
    elif not client.workers:
        missing.append(f"no worker serves {client.configured_queue}")
    if not any(key.tenant_id == client.id for key in serving):
        missing.append("it has no key of its own in force")
    if client.hold:
        missing.append(f"its work is held ({client.hold.text})")
    return f"Not true yet of {client.slug}: {', and '.join(missing)}." if missing else None


def welcome(client: ClientRow, capacity: Capacity) -> str:
    """Return the subject and the body of the message to the client, with its figures."""
    per_day = (
        "without limit" if capacity.per_day is None else f"{capacity.per_day:,} verifications/day"
    )
    per_second = (
        "without limit"
        if capacity.per_second is None
        else f"{capacity.per_second:g} verifications/second"
    )
    return f"""Subject: Your Dedicated Email Verification Setup is Ready

Hi {escaped(client.name)},

Your dedicated email verification infrastructure is now live!

What this means for you:
- Your jobs are processed by a dedicated worker
- You have isolated capacity with your own API keys
- No sharing with other users - guaranteed throughput

Your setup:
- API Keys configured: {capacity.keys} {"key" if capacity.keys == 1 else "keys"}
- Daily capacity: {per_day}
- Speed: {per_second}

You can start using the platform immediately. All new jobs will
automatically route to your dedicated worker.

Let us know if you have any questions!
"""
