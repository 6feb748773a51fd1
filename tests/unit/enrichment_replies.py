"""Replies of vendors, made for the tests of their words."""

import json
from typing import Any

from hypothesis import strategies as st
from multidict import CIMultiDict

from app.enrichment.lookup import Kind, Lookup
from app.provider_calls import Reply
from app.provider_errors import ProviderError

FIRST, LAST = "Annabella", "Secretname"
#: What must never stand in an error.
PRIVATE = (FIRST, LAST, "secret-shop", "sk_secret")
#: Any JSON, small.
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def ask(*wanted: str, **known: str) -> Lookup:
    """A lookup of everything, or of the kinds named."""
    person = known or {"first_name": FIRST, "last_name": LAST, "domain": "secret-shop.example"}
    return Lookup.of(wanted or list(Kind), **person)


def reply(fields: Any = None, status: int = 200, **headers: str) -> Reply:
    """A reply; bytes stay as they are, everything else becomes JSON."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, body, CIMultiDict(named))


def quoting() -> str:
    """A vendor's text that says too much."""
    return " ".join(PRIVATE)


def tells_nothing(error: ProviderError) -> bool:
    """Tell whether nothing private stands in the error or what hangs on it."""
    shown = repr(error) + repr(vars(error)) + repr(error.__context__) + repr(error.__cause__)
    return not any(word.lower() in shown.lower() for word in PRIVATE)
