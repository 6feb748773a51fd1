"""The dispatcher: recovers, releases and publishes.

`dispatch` may be called by anybody at any time: when a job arrives, when a chunk ends, and by the loop that every
worker runs in a thread of its own, so that nothing depends on Beat being alive. Chunks are released in a committed
transaction first; when publishing fails they are taken back, and when the process dies in between they are found
because Redis holds fewer messages than the ledger says.
"""

import time
from collections.abc import Sequence
from functools import lru_cache

import redis
import structlog
from celery import Celery, current_app
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.db.scope import system_scope
from app.jobs import release as ledger
from app.settings import get_settings
from routing import queues
from tasks.lost_messages import LostMessages, task_id
from tasks.routes import router

log = structlog.get_logger(__name__)
BATCH = 256
#: Workers renew once a second; after PostgreSQL was away they get this long to do so before any lease is ended.
DATABASE_BACK_SECONDS = 5.0
#: What reaching Redis can raise: through kombu, and directly.
REDIS_ERRORS = (OperationalError, redis.RedisError, ConnectionError, TimeoutError, OSError)


_lost_messages = LostMessages()


@lru_cache
def broker_client() -> "redis.Redis":
    """Return this process's plain client of the broker's Redis, for LLEN and PING."""
    return redis.Redis.from_url(
        get_settings().redis_url,
        socket_timeout=3,
        socket_connect_timeout=2,
        health_check_interval=5,
        # The next round asks again. With redis-py's ten tries a silent Redis would hold up a round, and with it this
        # worker's presence and everybody's recovery, for half a minute.
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )


def dispatch(app: Celery | None = None, *, asked_at: float | None = None) -> int:
    """Release and publish until nothing more fits; return how many messages were sent.

    `asked_at` is the monotonic moment from which on there was cause for it (default: now); another's release since
    then makes this one needless. Answers 0 without releasing anything while Redis does not answer: the work stays ready. Raises only what the
    database raises.
    """
    settings = get_settings()
    try:
        broker_client().ping()
    except REDIS_ERRORS as error:
        log.warning("broker_unreachable", error=type(error).__name__)
        return 0
    sent = 0
    asked_at = time.monotonic() if asked_at is None else asked_at
    while True:
        with system_scope() as connection:
            released = ledger.release(
                connection,
                limit=BATCH,
                unattended_window=settings.unattended_window,
                presence_seconds=settings.presence_timeout_seconds,
                asked_seconds_ago=time.monotonic() - asked_at,
            )
        asked_at = time.monotonic()
        done = publish(app or current_app, released)
        sent += done
        if done < len(released) or len(released) < BATCH:
            return sent


def publish(app: Celery, released: Sequence[ledger.Released]) -> int:
    """Send the wake-ups in order; return how many went out. What could not be sent is ready again."""
    if not released:
        return 0
    sent = 0
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            for chunk in released:
                router.learn(chunk.tenant_id, chunk.queue)
                app.send_task(
                    queues.KINDS[chunk.kind].task,
                    kwargs={
                        "chunk": chunk.chunk_id,
                        "fence": chunk.fence,
                        "tenant": chunk.tenant_slug,
                        "tenant_id": str(chunk.tenant_id),
                        "job": str(chunk.job_id),
                    },
                    task_id=task_id(chunk.chunk_id, chunk.fence),
                    producer=producer,
                    retry=False,
                )
                sent += 1
    except REDIS_ERRORS as error:
        log.warning("wake_up_not_sent", error=type(error).__name__, unsent=len(released) - sent)
        with system_scope() as connection:
            ledger.recall(connection, [chunk.chunk_id for chunk in released[sent:]])
    return sent


def recover() -> bool:
    """End expired leases and take back chunks whose message is gone; False: Redis could not be asked for them."""
    settings = get_settings()
    with system_scope() as connection:
        for chunk in ledger.recover(
            connection, settings.chunk_max_attempts, grace_seconds=DATABASE_BACK_SECONDS
        ):
            log.warning(
                "chunk_recovered",
                chunk_id=chunk.chunk_id,
                job_id=str(chunk.job_id),
                tenant_id=str(chunk.tenant_id),
                now=chunk.status,
            )
        overdue = ledger.overdue(connection, settings.lost_message_seconds)
    try:
        lost = _lost_messages.find(broker_client(), overdue)
    except REDIS_ERRORS:
        return False
    if lost:
        with system_scope() as connection:
            recalled = ledger.recall(connection, lost)
        log.warning("messages_lost", chunks=recalled)
    return True
