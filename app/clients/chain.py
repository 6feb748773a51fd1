"""A client's own chain: the providers that are asked about its leads, in this order. Jobs made from now on go along it;
those that are there keep the one that they were made with.
"""

import re
from collections.abc import Sequence

from sqlalchemy import Connection

from app.clients.keys import serving_keys
from app.clients.rows import ClientRow
from app.settings import get_settings


def read_chain(written: str) -> list[str]:
    """Return the names in what somebody wrote, with commas or spaces between; none is asked for yet."""
    return [name.lower() for name in re.split(r"[\s,]+", written) if name]


def chain_in_words(chain: Sequence[str] | None, *, is_cheapest_first: bool = False) -> str:
    """Return a chain as people read it; None: the installation's."""
    usual = ",".join(get_settings().enrichment_chain)
    told = f"as the installation: {usual}" if chain is None else ",".join(chain)
    return f"{told}; cheapest first" if is_cheapest_first else told


def chain_notes(
    connection: Connection, client: ClientRow, chain: Sequence[str] | None
) -> list[str]:
    """Return a sentence for each provider of a client's own chain of which no key serves it."""
    keyless = [name for name in chain or () if not serving_keys(connection, client, name)]
    return [
        f"No key of {name} serves {client.slug}: it is passed over until there is one (keys add --provider {name})."
        for name in keyless
    ]
