"""TenantRouter: (task, tenant) -> queue, from `worker_configs`.

Celery asks it at every publish through `task_routes`, the dispatcher before it. Routes are cached for at most one
second and dropped when PostgreSQL notifies a change. While the database can't be asked the last known routes hold:
a wake-up on the wrong queue costs time, never a row, because the chunk knows its fence.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from routing import queues

log = structlog.get_logger(__name__)
TTL_SECONDS = 1.0


class TenantRouter:
    """Celery's router interface over a loader of routes (tenant id -> queue of its own lane)."""

    def __init__(
        self,
        load: Callable[[], Mapping[str, str]],
        *,
        ttl_seconds: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._ttl = ttl_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._routes: dict[str, str] = {}
        self._fresh_until = float("-inf")
        # A pool child may be forked while the dispatcher's thread, which the child has not, holds the lock.
        os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def __call__(
        self,
        name: str,
        _args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        _options: Any = None,
        **_more: Any,
    ) -> dict[str, str] | None:
        """Answer Celery: the queue for a task of ours, None (Celery's default) for any other."""
        kind = queues.BY_TASK.get(name)
        if kind is None:
            return None
        return {"queue": self.queue_for(kind.name, (kwargs or {}).get("tenant_id"))}

    def queue_for(self, kind: str, tenant_id: object) -> str:
        """Return the queue of a kind of chunk for a tenant. Raises `KeyError` for an unknown kind."""
        known = queues.KINDS[kind]
        if not known.per_tenant or tenant_id is None:
            return known.base_queue
        return self._current().get(str(tenant_id), known.base_queue)

    def learn(self, tenant_id: object, queue: str) -> None:
        """Take over a route that was just read from the database by a release: nothing is newer."""
        shared = queue in {kind.base_queue for kind in queues.KINDS.values()}
        with self._lock:
            if shared:
                self._routes.pop(str(tenant_id), None)
            else:
                self._routes[str(tenant_id)] = queue

    def invalidate(self) -> None:
        """Ask the database again at the next publish."""
        self._fresh_until = float("-inf")

    def _current(self) -> Mapping[str, str]:
        now = self._clock()
        if now < self._fresh_until:
            return self._routes
        with self._lock:
            if now < self._fresh_until:
                return self._routes
            # Set first: while the database is down, one publish a second tries it, not every one.
            self._fresh_until = now + self._ttl
            try:
                self._routes = dict(self._load())
            except Exception as error:  # noqa: BLE001 - any failure to ask: the last known routes hold
                log.warning("routes_not_refreshed", error=type(error).__name__)
            return self._routes
