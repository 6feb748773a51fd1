"""A dispatcher that dies between its commit and its first message: `python -m tests.chaos.crashing_dispatcher`.

It runs the real `dispatch`; only the step after the commit is replaced, by the end of the process.
"""

import os
import sys
from collections.abc import Sequence

from celery import Celery

from app.jobs.release import Released
from celery_config import celery_app
from tasks import dispatcher

CRASHED = 9


def _crash(app: Celery, released: Sequence[Released]) -> int:
    print(released, flush=True)
    os._exit(CRASHED)


dispatcher.publish = _crash
dispatcher.dispatch(celery_app)
sys.exit("nothing was released, so nothing crashed")
