"""What the database refuses, said as a sentence with what to do: its triggers and checks are the last word on lanes and keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError

from app.errors import Conflict, Forbidden, InvalidInput, LanewayError, Overtaken

#: SQLSTATEs, PostgreSQL's appendix A.
_UNIQUE, _CHECK, _RIGHTS, _REFERENCE = "23505", "23514", "42501", "23503"
#: Two waited for each other, or saw each other's rows change, and this one was ended: nothing of it was done.
GAVE_WAY = ("40P01", "40001")
RETRY_SECONDS = 1
_WRONG_VALUES = ("22", "23502")
#: Constraints whose own words would help nobody.
_SAID = {
    "worker_configs_one_active": (
        "This person has another active row in worker_configs. Take it out of use first: "
        "UPDATE worker_configs SET is_active = false WHERE user_id = '...'."
    ),
    "api_keys_window_calls": (
        "A window may have at most 100,000 calls. Name a shorter one with fewer, or leave it out for no such limit."
    ),
    "api_keys_window_twice": "A key has two windows of the same length; keep the lower limit.",
    "tenants_fallback_after": "Work falls back after 30 seconds or more.",
    "tenants_slug_key": "There is a client with this short name already.",
    "users_email_key": "There is a person with this e-mail already.",
}


@contextmanager
def refusals_explained() -> Iterator[None]:
    """Turn a refusal of the database into `Conflict`, `InvalidInput`, `Forbidden` or `Overtaken`; other errors pass."""
    try:
        yield
    except DBAPIError as error:
        explained = explain(error)
        if explained is None:
            raise
        raise explained from error


def explain(error: DBAPIError) -> LanewayError | None:
    """Return what a refusal means for whoever asked, None for an error that is nobody's choice of words."""
    code = str(getattr(error.orig, "pgcode", None) or "")
    diagnosis: Any = getattr(error.orig, "diag", None)
    said = _sentence(getattr(diagnosis, "message_primary", None) or "The database refused it")
    hint = getattr(diagnosis, "message_hint", None)
    known = _SAID.get(getattr(diagnosis, "constraint_name", None) or "")
    message = known or (f"{said} {hint}" if hint else said)
    if code == _UNIQUE:
        return Conflict(message)
    if code in GAVE_WAY:
        return overtaken()
    if code == _RIGHTS:
        return Forbidden(
            "Only the owner of the schema may do this: the installation's command line, with DATABASE_OWNER_URL set."
        )
    if code in {_CHECK, _REFERENCE} or code.startswith(_WRONG_VALUES):
        return InvalidInput(message)
    return None


def overtaken() -> Overtaken:
    """Return what is said to the one of two acts that had to give way.

    It is not done again by itself: who asked may want to look first at what the other one did.
    """
    return Overtaken(
        "Somebody else changed this just now, and nothing of your change was made. Look at it again, then try again.",
        retry_after=RETRY_SECONDS,
    )


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
