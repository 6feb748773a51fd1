"""Plain Celery, one task an e-mail: no result backend, early acknowledgement, its own defaults otherwise."""

import os

from celery import Celery

from bench.baselines.one_call import verify

app = Celery("plain", broker=os.environ["BENCH_REDIS"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task(name="plain.verify")
def verify_one(email: str) -> None:
    """Verify one address."""
    verify(email)
