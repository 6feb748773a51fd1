"""Keeps the streams of a hub in order: heartbeats, an end for those who may not watch any more, an end by age.

Who watches is asked again within a minute. Where that can't be found out, because the database is away, the stream ends
when the minute is over: it may come back, and is asked then.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.http.live.frames import frame
from app.http.live.viewer import Viewer

if TYPE_CHECKING:
    from app.http.live.hub import EventHub

log = structlog.get_logger(__name__)
ROUND_SECONDS = 1.0
#: Asked again after so long, and let go of when it could not be asked for so long.
CHECK_SECONDS = 40.0
TRUST_SECONDS = 60.0
#: Viewers asked about at a time.
BATCH = 25


async def keep_viewers(hub: "EventHub") -> None:
    """Go round for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        now = loop.time()
        viewers = [v for audience in hub.audiences.values() for v in audience.viewers]
        beat = frame(hub.ids.next(), "beat") if viewers else b""
        for viewer in viewers:
            if now >= viewer.ends_at or now - viewer.checked_at > TRUST_SECONDS:
                viewer.end()
            elif now - viewer.sent_at > hub.heartbeat_seconds - ROUND_SECONDS:
                viewer.send(beat, now)
        due = [v for v in viewers if now - v.checked_at >= CHECK_SECONDS]
        for batch in (due[at : at + BATCH] for at in range(0, len(due), BATCH)):
            await _check(hub, batch)


async def _check(hub: "EventHub", batch: list[Viewer]) -> None:
    now = asyncio.get_running_loop().time()
    for viewer, may_watch in await hub.in_thread(_ask, batch):
        if may_watch:
            viewer.checked_at = now
        else:
            viewer.send(frame(hub.ids.next(), "end"), now)
            viewer.end()


def _ask(batch: list[Viewer]) -> list[tuple[Viewer, bool]]:
    """Return what could be found out."""
    try:
        return [(viewer, viewer.may_watch()) for viewer in batch]
    except SQLAlchemyError as error:
        log.warning("viewers_not_checked", error=type(error).__name__)
        return []
