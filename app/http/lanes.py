"""What operators of the installation see: the lanes and the keys."""

from apiflask import APIBlueprint

from app.db.scope import system_scope
from app.http.auth import for_operators
from app.http.extensions import broker, provider_limits
from app.http.models_operators import KeyListOut, KeyOut, LaneListOut, LaneOut, SharedPartOut
from app.jobs.advice import Assumptions
from app.jobs.lanes import LaneRow, lane_overview
from app.jobs.provider_keys import KeyRow, key_overview
from app.jobs.release import tend_lanes
from app.jobs.shared_parts import SharedPart, shared_parts
from app.settings import get_settings

lanes = APIBlueprint("lanes", __name__, url_prefix="/api", tag="Operators")
#: Of thousands of clients those with the largest parts are what one asks for.
PARTS_SHOWN = 100


def read_lanes() -> list[LaneRow]:
    """Return every lane as it stands, for the API, the pages and the metrics."""
    redis = broker().client if broker().is_up() else None
    settings = get_settings()
    presence = settings.presence_timeout_seconds
    # Workers do this too; when the last one is gone, nobody but who looks is left to note it.
    with system_scope() as connection:
        tend_lanes(connection, presence)
    with system_scope() as connection:
        return lane_overview(
            connection, redis, presence_seconds=presence, assumptions=Assumptions.of(settings)
        )


def read_shared_parts() -> list[SharedPart]:
    """Return what each client had of the shared lane in the last hour."""
    with system_scope() as connection:
        return shared_parts(connection)


def read_keys() -> list[KeyRow]:
    """Return every key as it stands, for the API, the pages and the metrics."""
    with system_scope() as connection:
        return key_overview(connection, provider_limits() if broker().is_up() else None)


@lanes.get("/lanes")
@lanes.output(LaneListOut)
@lanes.doc(security="bearer", responses=[403])
@for_operators
def show_lanes() -> LaneListOut:
    """List the lanes: what waits and runs, who serves them, what they want; and who had how much of the shared one."""
    parts = read_shared_parts()
    return LaneListOut(
        lanes=[LaneOut.model_validate(row) for row in read_lanes()],
        shared_last_hour=[SharedPartOut.model_validate(part) for part in parts[:PARTS_SHOWN]],
        shared_clients=len(parts),
    )


@lanes.get("/keys")
@lanes.output(KeyListOut)
@lanes.doc(security="bearer", responses=[403])
@for_operators
def show_keys() -> KeyListOut:
    """List the providers' keys, by their last four characters."""
    return KeyListOut(keys=[KeyOut.model_validate(row) for row in read_keys()])
