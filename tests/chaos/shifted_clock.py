"""Celery's command on a host whose clock is wrong: `python -m tests.chaos.shifted_clock SECONDS <celery's arguments>`.

Everything in the process that asks Python for the present gets it shifted: `time` and `datetime` are changed before
anything else is loaded. The monotonic clock stays, as it does on a host whose clock is set wrong.
"""

import datetime as dt
import sys
import time
from typing import Any

SECONDS = float(sys.argv.pop(1))
_SHIFT = dt.timedelta(seconds=SECONDS)
_Real = dt.datetime
_epoch, _epoch_ns = time.time, time.time_ns


class _AnyDatetime(type):
    """Real datetimes, which the database's driver makes, are instances as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _Real)


class ShiftedDatetime(_Real, metaclass=_AnyDatetime):
    """Makes real datetimes; only the present is shifted."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _Real(*args, **kwargs)

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return _Real.now(tz) + _SHIFT

    @classmethod
    def utcnow(cls) -> Any:
        return _Real.now(dt.UTC).replace(tzinfo=None) + _SHIFT


dt.datetime = ShiftedDatetime  # type: ignore[misc]
time.time = lambda: _epoch() + SECONDS
time.time_ns = lambda: _epoch_ns() + int(SECONDS * 1e9)

from celery.__main__ import main  # noqa: E402 - after the clock is shifted

sys.exit(main())  # type: ignore[no-untyped-call]
