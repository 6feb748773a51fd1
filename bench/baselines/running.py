"""Starts the plain programs in an installation: their workers and their publishers."""

from bench.installation import Installation
from devtools.processes import Process
from devtools.supervisor import run as run_to_end

_WORKER = {
    "celery": "-m celery -A bench.baselines.celery_app worker -P threads -c 64 --without-gossip --without-mingle",
    "dramatiq": "-m dramatiq bench.baselines.dramatiq_app --processes 1 --threads 64",
}
PUBLISH_SECONDS = 300


def plain_program(
    installation: Installation, kind: str, arguments: list[str] | None = None, /, **more: str
) -> Process:
    """Return a program of the baselines, by default the worker of `kind`, not yet started."""
    name = kind if arguments else f"{kind}-worker"
    environment = {
        "BENCH_URL": installation.sandbox.url,
        "BENCH_REDIS": installation.redis.url_of(1),
    }
    return installation.make_python(name, arguments or _WORKER[kind].split(), **environment | more)


def publisher(
    installation: Installation, kind: str, prefix: str, calls: int, **more: str
) -> Process:
    """Return a program that publishes `calls` e-mails, a message each."""
    arguments = ["-m", "bench.baselines.publish", kind, prefix, str(calls)]
    return plain_program(installation, kind, arguments, **more)


def publish(installation: Installation, kind: str, prefix: str, calls: int, **more: str) -> None:
    """Publish and wait until it is done."""
    run_to_end(publisher(installation, kind, prefix, calls, **more), PUBLISH_SECONDS)
