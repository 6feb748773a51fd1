"""Who acts: what the audit writes down beside each change."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, text

from app.errors import InvalidInput

#: Opens a transaction in the name of who acts and commits it at the end: for acts that call somebody else in between.
Transaction = Callable[[], AbstractContextManager[Connection]]

_ACT = text("SELECT set_config('laneway.actor', :actor, true)")
_LENGTH = 200


def acting_as(connection: Connection, actor: str) -> None:
    """Name who makes the changes of this transaction: a person's e-mail, or `cli:<login>`. To be called before a write."""
    actor = actor.strip()
    if not actor or not actor.isprintable():
        raise InvalidInput("Say who acts: an e-mail address, or cli: and the login's name.")
    connection.execute(_ACT, {"actor": actor[:_LENGTH]})
