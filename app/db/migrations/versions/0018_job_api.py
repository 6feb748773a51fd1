"""The job API: edits, bulk acts, lists and figures over many jobs.

Revision ID: 0018
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add indexes, tables and functions; no row is changed."""
    run_sql(op, "0018_job_acts.sql")
    run_sql(op, "0018_figures.sql")


def downgrade() -> None:
    """The web and the workers of this version call the functions; go back with a backup."""
    raise NotImplementedError("Restore a backup to go back before this revision.")
