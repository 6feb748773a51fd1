"""Publish N e-mails, one message each, to plain Celery or dramatiq.

python -m bench.baselines.publish celery lead 5000
"""

import sys
from collections.abc import Iterator


def addresses(prefix: str, total: int) -> Iterator[str]:
    """Yield `total` invented addresses."""
    return (f"{prefix}{n}@company{n % 5000}.com" for n in range(total))


def publish(kind: str, prefix: str, total: int) -> None:
    """Send them all."""
    if kind == "celery":
        from bench.baselines.celery_app import app  # noqa: PLC0415 - each needs its broker's address
        from bench.baselines.celery_app import verify_one as task  # noqa: PLC0415

        with app.producer_pool.acquire(block=True) as producer:
            for email in addresses(prefix, total):
                task.apply_async((email,), producer=producer)
        return
    from bench.baselines.dramatiq_app import verify_one as actor  # noqa: PLC0415

    for email in addresses(prefix, total):
        actor.send(email)


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], int(sys.argv[3]))
