"""Alembic's environment; the SQL itself is in `sql/`, one file a concern."""
