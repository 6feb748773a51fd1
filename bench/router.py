"""What it costs to route a publish: 10,000 clients with lanes of their own, in the table, the routes in the cache.

Timed is what Celery does to route one message, in rounds of 20,000; the best round counts, for both. For comparison the same with
a plain dictionary of task names, which knows no clients.
"""

import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.app.routes import Router, prepare

from app.db.scope import system_scope
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation
from routing import queues
from routing.worker_configs import load_routes

TENANTS = 10_000
ROUNDS, PUBLISHES = 7, 20_000
TASK = queues.KINDS["verify"].task
_FILL = (
    "INSERT INTO tenants (slug, name) SELECT 't' || i, 't' || i FROM generate_series(1, {n}) AS i",
    """INSERT INTO users (tenant_id, email, role, password_hash)
       SELECT id, 'lead@' || slug || '.example', 'member', 'x' FROM tenants""",
    """INSERT INTO worker_configs (user_id, worker_mode, verification_queue, is_active)
       SELECT u.id, 'dedicated', 'verification-queue:client-' || t.slug, true
       FROM users u JOIN tenants t ON t.id = u.tenant_id""",
)


def run(scale: Scale) -> list[Figure]:
    """Fill the table, warm the cache, route."""
    with run_installation() as installation:
        fill(installation, scale.pick(TENANTS, 1_000))
        # It reads the environment as it is loaded: not before it is the installation's.
        from celery_config import celery_app  # noqa: PLC0415

        started = time.perf_counter()
        with system_scope(installation.app) as connection:
            routes = load_routes(connection)
        loading = time.perf_counter() - started
        route = celery_app.amqp.router.route
        for tenant, queue in routes.items():
            assert route({}, TASK, (), {"tenant_id": tenant})["queue"].name == queue
        ours = measure(route, list(routes))
        plain = measure(plain_router(celery_app).route, list(routes))
    notes = {"tenants": len(routes), "loading_ms": round(loading * 1e3, 1)}
    return [
        Figure(
            "router_publish", ours, "µs", plain, "a dictionary of tasks", Target(20, "most"), notes
        )
    ]


def fill(installation: Installation, tenants: int) -> None:
    """Give so many clients a lane of their own."""
    with installation.owner.begin() as connection:
        for statement in _FILL:
            connection.exec_driver_sql(statement.format(n=tenants))
        connection.exec_driver_sql("ANALYZE")


def plain_router(app: Celery) -> Router:
    """Return Celery's router over a plain dictionary."""
    return Router(
        prepare([{TASK: {"queue": queues.VERIFICATION}}]),
        app.amqp.queues,
        create_missing=True,
        app=app,
    )


def measure(route: Callable[..., dict[str, Any]], tenants: list[str]) -> float:
    """Return the µs that one routing takes, every publish for another client."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for n in range(PUBLISHES):
            route({}, TASK, (), {"tenant_id": tenants[n % len(tenants)]})
        best = min(best, time.perf_counter() - started)
    return best / PUBLISHES * 1e6
