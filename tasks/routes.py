"""The router of this process, loaded from the database."""

from collections.abc import Mapping

from app.db.scope import system_scope
from routing.router import TenantRouter
from routing.worker_configs import load_routes


def _load() -> Mapping[str, str]:
    with system_scope() as connection:
        return load_routes(connection)


router = TenantRouter(_load)
