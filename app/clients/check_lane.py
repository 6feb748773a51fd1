"""The first steps of a check: the routing row, the lane in force, and the workers that say they serve it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.clients.check_workers import LaneWorker
from app.clients.clients import ClientRow
from routing.queues import VERIFICATION


@dataclass(frozen=True)
class CheckLine:
    """One step of the check; `remedy` says what to do where it is not `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


def passed(name: str, detail: str) -> CheckLine:
    """Return a step that went well."""
    return CheckLine(name, ok=True, detail=detail)


def failed(name: str, detail: str, remedy: str) -> CheckLine:
    """Return a step that did not, with what to do."""
    return CheckLine(name, ok=False, detail=detail, remedy=remedy)


def routing_row(client: ClientRow) -> CheckLine:
    """Tell whether one of the client's people has an active dedicated row."""
    name = "Routing row"
    if client.config_id is None:
        return failed(
            name,
            "worker_configs has no row of this client's people",
            f"Onboard it: clients onboard {client.user_email or 'EMAIL'} --queue {VERIFICATION}:client-{client.slug}",
        )
    if not client.is_dedicated:
        return failed(
            name,
            f"the row of {client.user_email} is not in use (worker_mode {client.worker_mode}, not active or the shared lane)",
            f"Put it back: clients enable {client.slug}",
        )
    return passed(name, f"{client.user_email} has {client.configured_queue}")


def lane_in_force(client: ClientRow) -> CheckLine:
    """Tell whether the client's work goes to its own lane now."""
    name = "Lane in force"
    if client.fallback_since is not None:
        return failed(
            name,
            f"work uses the shared lane since {client.fallback_since:%Y-%m-%d %H:%M} UTC: its own had no worker",
            "Start the client's worker; its work comes back by itself within seconds.",
        )
    is_right = client.is_dedicated and client.queue == client.configured_queue
    detail = f"work goes to {client.queue}"
    return (
        passed(name, detail) if is_right else failed(name, detail, "See the line before this one.")
    )


_NO_LANE = "Give it one: clients onboard EMAIL --queue verification-queue:client-NAME"


def queue_names(client: ClientRow, workers: Sequence[LaneWorker]) -> CheckLine:
    """Tell whether the client's worker consumes the queue that the row names."""
    name = "Queue names agree"
    if client.configured_queue is None:
        return failed(name, "the client has no lane of its own", _NO_LANE)
    own = [worker for worker in workers if worker.serves(client)]
    wrong = [worker for worker in own if not worker.consumes(client)]
    if wrong:
        consumed = ", ".join(
            f"{worker.name} consumes {' '.join(worker.queues)}" for worker in wrong
        )
        return failed(
            name, f"{consumed}, but the row says {client.configured_queue}", _queue(client, wrong)
        )
    unnamed = [w.name for w in workers if not w.named and w.consumes(client)]
    if not own and unnamed:
        return passed(
            name,
            f"{', '.join(unnamed)} consumes {client.configured_queue}, by its command line",
        )
    if not own:
        return failed(
            name,
            "no live worker says it is this client's",
            f"Start it with the environment that `clients worker {client.slug}` prints (DEDICATED_CLIENT_ID={client.id}).",
        )
    return passed(name, f"{client.configured_queue} in the row and in VERIFICATION_QUEUE")


def _queue(client: ClientRow, wrong: Sequence[LaneWorker]) -> str:
    if any(worker.named > 1 for worker in wrong):
        return f"Put {client.configured_queue} into its VERIFICATION_QUEUE, at the place that the client has in DEDICATED_CLIENT_ID, and restart it."
    return f"Set VERIFICATION_QUEUE={client.configured_queue} for that worker and restart it."


def worker_alive(client: ClientRow, workers: Sequence[LaneWorker]) -> CheckLine:
    """Tell whether somebody consumes the lane, and for this client; and whose keys are used there."""
    name = "Worker alive"
    if client.configured_queue is None:
        return failed(name, "the client has no lane that a worker could serve", _NO_LANE)
    there = [worker for worker in workers if worker.consumes(client)]
    if not there:
        return failed(
            name,
            f"nobody consumes {client.configured_queue}",
            f"Start the worker: clients worker {client.slug}. It runs? Look for its sentence of refusal in its log.",
        )
    strangers = [worker for worker in there if worker.named and not worker.serves(client)]
    if strangers:
        names = ", ".join(worker.name for worker in strangers)
        several = any(worker.named > 1 for worker in strangers)
        return failed(
            name,
            f"{names} consumes this lane for {'other clients' if several else 'another client'}",
            f"Name {client.id} in its DEDICATED_CLIENT_ID, at the place of the queue, and restart it."
            if several
            else f"Set DEDICATED_CLIENT_ID={client.id} there and restart it.",
        )
    return passed(name, ", ".join(worker.described() for worker in there))
