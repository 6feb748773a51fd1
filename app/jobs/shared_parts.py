"""What each client had of the shared lane in the last hour."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

_PARTS = text("SELECT slug, rows, part FROM shared_lane_parts()")


@dataclass(frozen=True)
class SharedPart:
    """A client's rows on the shared lane in the last hour, and their part (0 to 1) of everybody's."""

    tenant: str
    rows: int
    part: float


def shared_parts(connection: Connection) -> list[SharedPart]:
    """Return the clients that had rows done, the largest part first. Needs no tenant's scope."""
    return [SharedPart(row.slug, row.rows, row.part) for row in connection.execute(_PARTS)]
