"""What operators of the installation see: the lanes and the keys."""

from apiflask import APIBlueprint

from app.db.scope import system_scope
from app.http.auth import for_operators
from app.http.extensions import broker, provider_limits
from app.http.models_operators import KeyListOut, KeyOut, LaneListOut, LaneOut
from app.jobs.lanes import LaneRow, lane_overview
from app.jobs.provider_keys import KeyRow, key_overview
from app.settings import get_settings

lanes = APIBlueprint("lanes", __name__, url_prefix="/api", tag="Operators")


def read_lanes() -> list[LaneRow]:
    """Return every lane as it stands, for the API, the pages and the metrics."""
    redis = broker().client if broker().is_up() else None
    presence = get_settings().presence_timeout_seconds
    with system_scope() as connection:
        return lane_overview(connection, redis, presence_seconds=presence)


def read_keys() -> list[KeyRow]:
    """Return every key as it stands, for the API, the pages and the metrics."""
    with system_scope() as connection:
        return key_overview(connection, provider_limits() if broker().is_up() else None)


@lanes.get("/lanes")
@lanes.output(LaneListOut)
@lanes.doc(security="bearer", responses=[403])
@for_operators
def show_lanes() -> LaneListOut:
    """List the lanes: what waits, what runs, who serves them."""
    return LaneListOut(lanes=[LaneOut.model_validate(row) for row in read_lanes()])


@lanes.get("/keys")
@lanes.output(KeyListOut)
@lanes.doc(security="bearer", responses=[403])
@for_operators
def show_keys() -> KeyListOut:
    """List the providers' keys, by their last four characters."""
    return KeyListOut(keys=[KeyOut.model_validate(row) for row in read_keys()])
