"""Bring the database up to date: `python -m app.db.migrate`.

Connects as DATABASE_OWNER_URL, makes the role that the web and the workers act as, then runs Alembic. Running it
again, or twice at once, is safe. With DATABASE_APP_PASSWORD the role may log in with that password: give web and
workers this login, and nothing they run can leave the role.
"""

import sys
from hashlib import sha256
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.db.engine import owner_engine
from app.errors import LanewayError, Misconfigured
from app.settings import get_settings

_SOURCES_TABLE = text(
    "CREATE TABLE IF NOT EXISTS schema_sources (name text PRIMARY KEY, sha256 text NOT NULL)"
)
_REMEMBER = text(
    "INSERT INTO schema_sources (name, sha256) VALUES (:name, :sha256) ON CONFLICT DO NOTHING"
)
FOLDER = Path(__file__).parent / "migrations"


def ensure_role(connection: Connection, role: str, password: str | None) -> None:
    """Create the application's role or bring it to what it must be: no superuser, no bypass, no inheritance of the owner."""
    quoted = '"' + role.replace('"', '""') + '"'
    found = connection.execute(
        text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).scalar_one_or_none()
    if found is None:
        connection.exec_driver_sql(
            f"CREATE ROLE {quoted} NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT"
        )
    elif found:
        raise Misconfigured(
            f"The role {role} is a superuser or bypasses row-level security, so tenants would not be kept apart. "
            f"Name another role in DATABASE_ROLE, or take these rights away from it."
        )
    if password:
        cursor = connection.connection.cursor()
        cursor.execute(f"ALTER ROLE {quoted} LOGIN PASSWORD %s", (password,))
        cursor.close()
    owner = connection.execute(text("SELECT current_user")).scalar_one()
    if owner == role:
        raise Misconfigured(
            "Migrations must run as the schema's owner, not as the application's role: set DATABASE_OWNER_URL."
        )
    # The owner's login may then act as the role (`SET ROLE`), which a DATABASE_URL of the owner needs.
    connection.exec_driver_sql(f'GRANT {quoted} TO "{owner}"')


def check_sources(connection: Connection) -> None:
    """Remember each SQL file's digest and compare it with what this database was made from.

    A migration is never edited once it is in use; where it was, the database looks up to date and is not. Raises
    `Misconfigured` naming the file.
    """
    connection.execute(_SOURCES_TABLE)
    known: dict[str, str] = dict(
        connection.execute(text("SELECT name, sha256 FROM schema_sources")).tuples().all()
    )
    for path in sorted((FOLDER / "sql").glob("*.sql")):
        digest = sha256(path.read_bytes()).hexdigest()
        if known.setdefault(path.name, digest) != digest:
            raise Misconfigured(
                f"This database was made from another text of {path.name}: its tables and functions are not those of this "
                f"version, and nothing can bring them there. Begin with a new database (the demo: remove LANEWAY_HOME, "
                f"which is .local unless set)."
            )
        connection.execute(_REMEMBER, {"name": path.name, "sha256": digest})


def migrate() -> None:
    """Create the role and run every pending revision. Raises `Misconfigured` or a database error."""
    settings = get_settings()
    engine = owner_engine()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7245000)"))
        given = settings.database_app_password
        password = given.get_secret_value() if given else None
        ensure_role(connection, settings.database_role, password)
        check_sources(connection)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def main() -> int:
    """Run from the command line; prints one line and answers an exit code."""
    try:
        migrate()
    except LanewayError as error:
        print(f"migrate: {error.message}", file=sys.stderr)
        return 2
    except DBAPIError as error:
        print(f"migrate: {str(error.orig).strip()}", file=sys.stderr)
        return 1
    print("migrate: the database is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
