"""`celery_app`: broker, queues, router, Beat's schedule. Options and why; no logic.

Measured facts behind the options are in docs/operations.md ("What Celery on Redis promises, and what not").
"""

import os
import sys

from celery import Celery
from kombu import Exchange, Queue

from app.errors import Misconfigured
from app.settings import get_settings
from routing import queues
from tasks.bootsteps import install
from tasks.routes import router
from tasks.worker_mode import consumed_queues

try:
    settings = get_settings()
except Misconfigured as error:
    # One line instead of a traceback: the program that loads this file is run by people. 78 is EX_CONFIG (sysexits.h).
    print(error.message, file=sys.stderr)
    raise SystemExit(78) from None

celery_app = Celery("laneway")
# Threads other than the main one publish too.
celery_app.set_default()
celery_app.conf.update(
    broker_url=settings.redis_url,
    # A message is a hint; the ledger has the result. No result backend, so nothing of it can fill Redis.
    result_backend=None,
    task_ignore_result=True,
    # The message is done with once it is received: the lease and its recovery are what makes work certain. Late
    # acknowledgement on Redis would run long chunks again after the visibility timeout.
    task_acks_late=False,
    # A message leaves Redis only when a slot is free, so LLEN is what waits, and nothing waits unseen in a worker.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    task_routes=(router,),
    task_queues=[
        # The anonymous exchange: a binding kept in Redis would be lost with FLUSHALL, and messages with it.
        Queue(name, Exchange(""), routing_key=name)
        for name in consumed_queues(settings)
    ],
    task_default_queue=queues.MAINTENANCE,
    task_create_missing_queues=True,
    task_serializer="json",
    accept_content=["json"],
    enable_utc=True,
    timezone="UTC",
    broker_transport_options={
        # Without these a silent network cut hangs a worker for ever.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "retry_on_timeout": True,
        # Several queues on one worker take turns; by priority one client would starve the others.
        "queue_order_strategy": "round_robin",
    },
    broker_connection_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Publishing is tried once: a wake-up that is not sent now is sent by the next dispatch.
    task_publish_retry=False,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=True,
    imports=(
        "tasks.uploads",
        "tasks.verification",
        "tasks.enrichment",
        "tasks.acts",
        "tasks.maintenance",
    ),
    beat_schedule={
        "maintenance": {
            "task": "tasks.maintenance.housekeeping",
            "schedule": 300.0,
            # A housekeeping that waited longer is replaced by the next.
            "options": {"expires": 290},
        },
    },
    # Beat's memory of when it last ran is no more than a hint: ticks are rows in the database.
    beat_schedule_filename=str(settings.storage_path.parent / f"celerybeat-schedule-{os.getuid()}"),
)
install(celery_app)
