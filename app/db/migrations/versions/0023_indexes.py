"""Records of outcomes that touch no index, and a release that reads no other client's chunks.

Revision ID: 0023
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes anew and the functions that go through them; no row is changed."""
    run_sql(op, "0023_indexes.sql")
    run_sql(op, "0023_release.sql")
    run_sql(op, "0023_record.sql")


def downgrade() -> None:
    """Nothing here holds the functions of before; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
