"""How many workers a lane wants, and when it will be empty: arithmetic over what the ledger and the keys say, nothing else.

Speed is the keys'. A slot (one chunk) has several calls under way, so it serves slots x calls / seconds a call; what the
keys allow, divided by that, is what they can feed. More than that only waits.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

from app.jobs.lane_keys import DAY_SECONDS, LaneKeys
from app.settings import Settings

#: A lane this near to its keys' rate is held back by them; how long its chunks run says nothing of the provider then.
_AT_THE_KEYS = 0.8
#: A client alone may have half of a lane's slots (`ledger_release`), so twice as many are needed as will be busy.
_SPARE = 2


@dataclass(frozen=True)
class Assumptions:
    """What is taken as given, from settings: seconds, calls of one slot at once, slots of a worker yet to be started."""

    target_seconds: float = 3600.0
    call_seconds: float = 2.0
    calls_a_slot: int = 32
    slots_a_worker: int = 64
    longest_call_seconds: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from the environment."""
        return cls(
            target_seconds=settings.drain_target_seconds,
            call_seconds=settings.typical_call_seconds,
            calls_a_slot=settings.chunk_concurrency,
            slots_a_worker=settings.slots_per_worker,
            longest_call_seconds=settings.provider_timeout_seconds,
        )


@dataclass(frozen=True)
class Load:
    """A lane's work and workers. `rate` is rows a second; `is_wanted` without open work: clients wait to come back."""

    rows: int
    rate: float
    running: int
    workers: int
    slots: int
    has_work: bool
    is_wanted: bool = False


@dataclass(frozen=True)
class Advice:
    """`workers` is the number that an autoscaler would set. `workers_fed` and `slots_fed` are the most that the keys can
    keep busy, None where no limit is known. `is_surplus`: whole workers have nothing to do but wait.
    """

    workers: int
    workers_fed: int | None
    slots_fed: int | None
    call_seconds: float
    is_measured: bool
    is_surplus: bool
    is_bound_by_keys: bool
    text: str | None


def advise(load: Load, keys: LaneKeys | None, given: Assumptions) -> Advice:
    """Recommend workers for a lane; `keys` None: its work makes no calls, and one worker while there is work is enough."""
    is_open = load.has_work or load.is_wanted
    if keys is None:
        return _alone(load, given, is_open=is_open)
    seconds, is_measured = _call_seconds(load, keys, given)
    slot_rate = given.calls_a_slot / seconds
    slots_a_worker = (
        load.slots / load.workers if load.workers and load.slots else given.slots_a_worker
    )
    worker_rate = slot_rate * max(1.0, slots_a_worker / _SPARE)
    fed = _at_least_one(keys.per_second / worker_rate) if keys.per_second else None
    if not keys.count:
        # Whoever looks, sees why nothing runs; a second one would see no more.
        fed = 1
    needed = _at_least_one(load.rows / given.target_seconds / worker_rate)
    workers = min(needed, fed or needed) if is_open else 0
    advice = Advice(
        workers=workers,
        workers_fed=fed,
        slots_fed=_SPARE * _at_least_one(keys.per_second / slot_rate) if keys.per_second else None,
        call_seconds=round(seconds, 2),
        is_measured=is_measured,
        is_surplus=fed is not None and load.workers > fed,
        is_bound_by_keys=bool(keys.per_second)
        and load.rows > given.target_seconds * (keys.per_second or 0),
        text=None,
    )
    return replace(advice, text=_words(advice, load, keys))


def _alone(load: Load, given: Assumptions, *, is_open: bool) -> Advice:
    text = "Start a worker: one is enough." if is_open and not load.workers else None
    return Advice(
        workers=int(is_open),
        workers_fed=None,
        slots_fed=None,
        call_seconds=given.call_seconds,
        is_measured=False,
        is_surplus=False,
        is_bound_by_keys=False,
        text=text,
    )


def _call_seconds(load: Load, keys: LaneKeys, given: Assumptions) -> tuple[float, bool]:
    """Return how long a call takes, and whether this lane shows it: its slots busy, its keys not the limit."""
    is_busy = load.running > 0 and load.running * _SPARE >= load.slots
    if load.rate > 0 and is_busy and load.rate < _AT_THE_KEYS * (keys.per_second or math.inf):
        # What takes longer is not a call; more of the same would not help.
        seconds = load.running * given.calls_a_slot / load.rate
        return min(seconds, given.longest_call_seconds), True
    return given.call_seconds, False


def _at_least_one(number: float) -> int:
    return max(1, math.ceil(round(number, 6)))


def _words(advice: Advice, load: Load, keys: LaneKeys) -> str | None:
    if not advice.workers:
        return None
    if not keys.count:
        return "No key is in force for its clients: add one. More workers do not help."
    if load.workers < advice.workers:
        more = f"{advice.workers - load.workers} more: it wants " if load.workers else ""
        return f"Start {more}{_workers(advice.workers)}."
    if advice.is_surplus:
        return f"More slots than the keys can feed: {_workers(advice.workers_fed or 1)} would do."
    if advice.is_bound_by_keys:
        return "The keys set the pace: another key is faster, another worker is not."
    return None


def _workers(count: int) -> str:
    return f"{count} worker" + ("" if count == 1 else "s")


def drain_seconds(
    rows: int, rate: float, keys: LaneKeys, wait_seconds: float = 0.0
) -> float | None:
    """Return the seconds until `rows` are done at `rate` rows a second, or at the keys' rate where nothing runs.

    `wait_seconds` is a hold that must end first. What the keys' days don't hold waits for the next ones. None: unknown.
    """
    pace = rate or keys.per_second or 0.0
    if not rows or not pace or (not rate and not keys.count):
        return None
    if rows <= keys.left_today:
        return wait_seconds + rows / pace
    if not keys.per_day:
        return None
    rest = rows - keys.left_today
    whole_days = math.ceil(rest / keys.per_day) - 1
    last_day = (rest - whole_days * keys.per_day) / pace
    return max(wait_seconds, keys.resets_in) + whole_days * DAY_SECONDS + last_day
