"""Small jobs that are wanted of one client at the same time are made together, by one statement and one commit.

Whoever comes while nobody is at it makes a job at once. Those who come in the meantime wait for that, and one of them then makes
the jobs of all of them. So nobody waits for others to come, and the more there are, the less each costs. A job has been
committed when its caller goes on; one that can't be made is tried by itself, so that it fails alone.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg2
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app.jobs.new_job import NewJob, submit_alone, submit_many
from app.jobs.queries import JobView

#: Jobs of one statement, and leads of a job that goes with others: nobody waits long for what somebody else wants.
MOST_JOBS = 25
MOST_LEADS = 5
#: SQLSTATEs with which a connection ends: what was under way may have been committed.
_ENDS = ("08", "57P")
Make = Callable[[UUID, Sequence[NewJob]], list[JobView | None]]
MakeAlone = Callable[[UUID, NewJob], JobView | None]


class _Unknown(psycopg2.OperationalError):
    """The connection ended: nobody knows whether that was before the commit, so it is for the caller to say, not to be tried again."""


class _Place:
    """A job that is waited for. `woken` is let go when it `is_done`, or when it is its caller's turn to make those that wait."""

    __slots__ = ("error", "is_done", "job", "made", "woken")

    def __init__(self, job: NewJob) -> None:
        self.job = job
        self.woken = threading.Lock()
        self.woken.acquire()
        self.is_done = False
        self.made: JobView | None = None
        self.error: Exception | None = None


class Together:
    """Makes jobs of all of a process's threads; `many` makes some in one transaction, `alone` one."""

    def __init__(self, many: Make = submit_many, alone: MakeAlone = submit_alone) -> None:
        self._many = many
        self._alone = alone
        self._lock = threading.Lock()
        #: Of the clients for whom somebody is at it: who has come since.
        self._waiting: dict[UUID, deque[_Place]] = {}

    def submit(self, tenant_id: UUID, job: NewJob) -> JobView | None:
        """Make a job, as `submit_alone` does and with what it raises."""
        if len(job.leads) > MOST_LEADS:
            return self._alone(tenant_id, job)
        place = _Place(job)
        if self._comes_first(tenant_id, place) or self._is_to_lead(place):
            self._lead(tenant_id, place)
        if isinstance(place.error, _Unknown):
            raise OperationalError(None, None, place.error)
        if isinstance(place.error, SQLAlchemyError):
            raise place.error
        if place.error is not None:
            return self._alone(tenant_id, job)
        return place.made

    def _comes_first(self, tenant_id: UUID, place: _Place) -> bool:
        with self._lock:
            if tenant_id in self._waiting:
                self._waiting[tenant_id].append(place)
                return False
            self._waiting[tenant_id] = deque()
            return True

    def _is_to_lead(self, place: _Place) -> bool:
        place.woken.acquire()
        return not place.is_done

    def _lead(self, tenant_id: UUID, place: _Place) -> None:
        """Make the job of `place` and of those who wait; then have the next of those who came meanwhile do the same."""
        with self._lock:
            waiting = self._waiting[tenant_id]
            places = [place, *(waiting.popleft() for _ in range(min(len(waiting), MOST_JOBS - 1)))]
        try:
            self._make(tenant_id, places)
        finally:
            with self._lock:
                following = waiting.popleft() if waiting else None
                if following is None:
                    del self._waiting[tenant_id]
            for woken in [following, *places[1:]]:
                if woken is not None:
                    woken.woken.release()

    def _make(self, tenant_id: UUID, places: Sequence[_Place]) -> None:
        made: list[JobView | None] = [None] * len(places)
        error: Exception | None = _Unknown("The thread that made jobs was ended.")
        try:
            made = self._many(tenant_id, [place.job for place in places])
            error = None
        except psycopg2.Error as raised:
            is_undone = raised.pgcode is not None and not raised.pgcode.startswith(_ENDS)
            error = raised if is_undone else _Unknown(str(raised))
        except Exception as raised:  # noqa: BLE001 - each finds out by itself whether it is its own
            error = raised
        finally:
            for place, view in zip(places, made, strict=True):
                place.made, place.error, place.is_done = view, error, True


#: This process's.
together = Together()
