"""Whether Laneway is well, for machines.

`/api/health` is for those who watch: 503 with the reasons when the database or Redis does not answer. `/api/health/ready`
is for those who send people here: without Redis lists are still taken, so only the database counts.
"""

from apiflask import APIBlueprint
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import __version__
from app.db.scope import system_scope
from app.http.extensions import broker
from app.http.limits import limiter
from app.http.models import HealthOut

health = APIBlueprint("health", __name__, url_prefix="/api/health", tag="Health")
limiter.exempt(health)


def database_problem() -> str | None:
    """Return why the database can't be used, None when it can."""
    try:
        with system_scope() as connection:
            connection.execute(text("SELECT 1 FROM chunk_kinds LIMIT 1"))
    except SQLAlchemyError as error:
        return f"The database does not answer ({type(error).__name__})."
    return None


def _answer(reasons: list[str], word: str) -> tuple[HealthOut, int, dict[str, str]]:
    status = "unhealthy" if reasons else word
    found = HealthOut(status=status, service="Laneway", version=__version__, reasons=reasons)
    return found, 503 if reasons else 200, {"Retry-After": "5"} if reasons else {}


@health.get("")
@health.output(HealthOut)
@health.doc(responses={503: "Something that Laneway stands on does not answer."})
def show_health() -> tuple[HealthOut, int, dict[str, str]]:
    """Say whether everything that Laneway stands on answers."""
    return health_answer()


def health_answer() -> tuple[HealthOut, int, dict[str, str]]:
    """Return the health, its status and headers."""
    reasons = [problem for problem in (database_problem(),) if problem]
    if not broker().is_up():
        reasons.append(
            "Redis does not answer: lists are taken and wait; nothing runs until it is back."
        )
    return _answer(reasons, "healthy")


@health.get("/ready")
@health.output(HealthOut)
@health.doc(responses={503: "The database does not answer."})
def show_readiness() -> tuple[HealthOut, int, dict[str, str]]:
    """Say whether requests can be served."""
    return _answer([problem for problem in (database_problem(),) if problem], "ready")
