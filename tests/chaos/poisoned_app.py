"""`celery -A tests.chaos.poisoned_app worker`: the product's own app, in a process that some addresses kill.

Stands for whatever ends a process and not just a task: a crash in a C library, the kernel's out-of-memory killer.
"""

import os
import signal

from app.verification.mailtester import MailTester
from app.verification.provider import Answer
from celery_config import celery_app

__all__ = ["celery_app"]

POISON = "poison-"
_verify = MailTester.verify


async def _verify_or_die(self: MailTester, email: str, key_secret: str) -> Answer:
    if email.startswith(POISON):
        os.kill(os.getpid(), signal.SIGKILL)
    return await _verify(self, email, key_secret)


MailTester.verify = _verify_or_die  # type: ignore[method-assign]
