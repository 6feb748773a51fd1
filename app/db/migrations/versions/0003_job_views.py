"""A job as people see it, as a view, and how it stands, as a function whose plan is kept.

Revision ID: 0003
"""

from alembic import op

from app.db.migrations.sql_files import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the view and the function; make lane_presence keep its plan."""
    run_sql(op, "0003_job_views.sql")


def downgrade() -> None:
    """Nothing depends on them but the API of this version; lane_presence answers as before."""
    op.execute("""
        DROP FUNCTION job_status(uuid, double precision, double precision);
        DROP VIEW job_overview;
    """)
