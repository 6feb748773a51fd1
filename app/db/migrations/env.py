"""Alembic's entry: runs the revisions on the owner's connection, one migrator at a time."""

from alembic import context
from sqlalchemy import Connection, text

from app.db.engine import owner_engine


def run(connection: Connection) -> None:
    """Run the pending revisions, each in a transaction of its own."""
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        # Two hosts that deploy at once: the second waits, then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(7245000)"))
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with owner_engine().connect() as opened:
        run(opened)
