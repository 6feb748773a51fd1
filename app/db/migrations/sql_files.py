"""Run a SQL file of a migration, with the application's role filled in."""

from pathlib import Path
from typing import Any

from app.settings import get_settings

FOLDER = Path(__file__).parent / "sql"


def run_sql(op: Any, name: str) -> None:
    """Execute `sql/<name>` on the migration's connection.

    `{app_role}` stands for the role of the web and the workers. The driver's own cursor is used, so that
    neither `:name` nor `%` in a function's body is taken for a parameter.
    """
    role = '"' + get_settings().database_role.replace('"', '""') + '"'
    sql = (FOLDER / name).read_text(encoding="utf-8").replace("{app_role}", role)
    cursor = op.get_bind().connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()
