"""Whether a connection is the schema's owner's: what the command line shows and changes is everybody's, so nothing less will do."""

from sqlalchemy import Connection, text

from app.errors import WrongLogin
from app.settings import get_settings

#: The owner and superusers are not bound; the application's role is, and would see no row of anybody.
_LOOK = text("SELECT current_user, row_security_active('tenants')")


def require_owner(connection: Connection) -> None:
    """Raise `WrongLogin` when row-level security binds this login: it would find nothing where there is something."""
    login, is_bound = connection.execute(_LOOK).one()
    if not is_bound:
        return
    given = get_settings().database_owner_url
    why = (
        "DATABASE_OWNER_URL names"
        if given
        else "DATABASE_OWNER_URL is not set, and DATABASE_URL names"
    )
    raise WrongLogin(
        f"This command needs the login of the schema's owner: {why} {login}, who sees no client's rows. Set "
        "DATABASE_OWNER_URL=postgresql://OWNER:PASSWORD@HOST:5432/DATABASE, the login that migrations run with."
    )
