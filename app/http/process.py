"""Drive ready work from outside, for installations whose only clock is a service that calls an address (`CRON_SECRET`)."""

import hmac

from apiflask import APIBlueprint
from flask import request

from app.errors import BadToken, NotFound
from app.http.gates import gate
from app.http.health import health_answer
from app.http.models import HealthOut
from app.http.models_process import DrivenOut, ProcessIn
from app.http.stopping import stopping
from app.settings import get_settings

process = APIBlueprint("process", __name__, url_prefix="/api/enrichment/process", tag="Operation")


def _check_secret() -> None:
    secret = get_settings().cron_secret
    if secret is None:
        raise NotFound("CRON_SECRET is not set, so work is driven by workers only.")
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), secret.get_secret_value().encode()):
        raise BadToken("Send CRON_SECRET as `Authorization: Bearer …`.")


@process.post("")
@process.input(ProcessIn, location="json")
@process.output(DrivenOut)
@process.doc(
    security="cron",
    responses={401: "Not the secret.", 404: "CRON_SECRET is not set.", 503: "A server is away."},
)
@gate(_check_secret)
def drive_work(json_data: ProcessIn) -> DrivenOut:
    """Run ready work in this process, up to `maxJobs` chunks and `timeout` ms; safe beside workers and other calls.

    A chunk is a small job whole, or a part of a large one. Chunks of a queue that a live worker serves are left to it, because
    it may have keys of its own. What is not finished in time goes on at the next call.
    """
    # Loads Celery and the tasks, which the pages can do without.
    from celery_config import celery_app  # noqa: PLC0415
    from tasks.driving import drive  # noqa: PLC0415
    from tasks.runtime import runtime  # noqa: PLC0415

    if stopping().is_asked():
        # Asked to end before this was loaded: nothing is begun, and the call is answered.
        runtime.drain()
    settings = get_settings()
    done = drive(
        json_data.max_jobs,
        json_data.timeout / 1e3,
        concurrency=settings.max_concurrent_jobs,
        app=celery_app,
    )
    return DrivenOut.model_validate(done)


@process.get("")
@process.output(HealthOut)
@process.doc(responses={503: "Something that Laneway stands on does not answer."})
def show_process_health() -> tuple[HealthOut, int, dict[str, str]]:
    """Say whether work could be driven now."""
    return health_answer()
