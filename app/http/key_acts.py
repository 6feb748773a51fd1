"""What operators do to one key, for the API and the pages alike. `client_acts.py` says how an act is carried out."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID, uuid4

from redis.exceptions import RedisError
from sqlalchemy import Connection

from app.clients.key_audit import reset_key as reset_and_note
from app.clients.key_notices import enabled_notes, without_key
from app.clients.key_test import KeyTest
from app.clients.key_test import test_key as make_test_call
from app.clients.keys import edit_key
from app.clients.keys import remove_key as take_away
from app.db.scope import system_scope
from app.errors import Conflict, NotFound
from app.http.auth import require_account
from app.http.client_acts import acting, signing, windows
from app.http.extensions import broker, provider_limits
from app.http.limits import check_key_test
from app.http.models_keys import KeyChangeIn
from app.jobs.provider_keys import KeyRow, find_key
from app.settings import get_settings

_UNDER_TEST = "laneway:key-test"
#: A test gets its turn and its answer within 20 seconds; one whose process died holds its key up no longer than this.
LONGEST_TEST_SECONDS = 60


def read_key(key_id: UUID) -> KeyRow:
    """Return a stored key as it stands. Raises `NotFound`."""
    with system_scope() as connection:
        return _read(connection, key_id)


def _read(connection: Connection, key_id: UUID) -> KeyRow:
    limiter = provider_limits() if broker().is_up() else None
    key = find_key(connection, limiter, key_id)
    if key is None:
        raise NotFound("There is no such key; it may have been removed.")
    return key


def change_key(key_id: UUID, asked: KeyChangeIn) -> tuple[KeyRow, list[str]]:
    """Change what was named of a key; return it, and what wants a look."""
    settings = asked.model_dump(exclude={"extra_windows", "enabled"}, exclude_unset=True)
    if "extra_windows" in asked.model_fields_set:
        settings["extra_windows"] = windows(asked)
    if "enabled" in asked.model_fields_set:
        settings["is_enabled"] = asked.enabled
    with acting() as connection:
        follows = without_key(connection, key_id) if settings.get("is_enabled") is False else None
        changes = edit_key(connection, key_id, **settings)
        is_on = "is_enabled" in changes and asked.enabled
        warnings = enabled_notes(connection, key_id) if is_on else [follows] if follows else []
    # After the commit: Redis is asked too, and nobody shall wait for it on what was locked.
    return read_key(key_id), warnings


def foresee(key_id: UUID) -> str | None:
    """Return what follows when a key is switched off or removed; None: its client's others go on."""
    with system_scope() as connection:
        return without_key(connection, key_id)


def remove_key(key_id: UUID) -> list[str]:
    """Remove a key for good; return what wants a look: who is left without one."""
    with acting() as connection:
        # In the transaction that removes it, so that no other change comes between.
        told = without_key(connection, key_id)
        take_away(connection, key_id)
    return [told] if told else []


def test_key(key_id: UUID) -> KeyTest:
    """Make one call with a key, within its limits.

    Raises `TooManyRequests` for a person who tests a lot, `Conflict` while somebody tests this very key.
    """
    check_key_test(require_account().id)
    with _nobody_else_tests(key_id):
        return make_test_call(signing, key_id, limiter=provider_limits(), settings=get_settings())


@contextmanager
def _nobody_else_tests(key_id: UUID) -> Iterator[None]:
    """Have one test of a key at a time. Without Redis none is made anyway: its limits can't be asked."""
    name, mine = f"{_UNDER_TEST}:{key_id}", uuid4().hex
    client = broker().client
    with suppress(RedisError, OSError):
        if not client.set(name, mine, nx=True, ex=LONGEST_TEST_SECONDS):
            raise Conflict("This key is being tested right now. Wait for its answer.")
    try:
        yield
    finally:
        # A test that took longer than any should may have lost its place to another.
        with suppress(RedisError, OSError):
            if client.get(name) == mine:
                client.delete(name)


def reset_key(key_id: UUID) -> KeyRow:
    """Close a key's circuit by hand and return it."""
    reset_and_note(signing, key_id, provider_limits())
    return read_key(key_id)
