"""One process with many lanes, in simulated time: what limiter, pools and crews make of the limits.

Real are Redis and its scripts, `KeyPool`, `Crew` and the provider's meter; simulated are the clock (`bench.virtual_time`), the
ledger (a chunk ends its slice and another comes a little later) and the network. So what is measured is what the code leaves
unused of the limits, without what the machine leaves unused: the same on any machine, however busy.

The process is as slow as a real one was measured to be with 34 lanes: a call takes it a millisecond in all, in which nothing
else can leave, and once in a while it stands still for as long as a garbage collection or another thread keeps it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from math import ceil
from random import Random
from typing import TypeVar

from pydantic import SecretStr

from app.work.crew import Crew
from bench.virtual_time import VirtualLoop, run_virtually
from routing.key_pool import KeyPool, Throttled
from routing.provider_key import ProviderKey
from routing.rate_limits import calls
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import Reservation
from routing.rate_limits.registration import PriorUse
from sandbox.limits import KeyConfig, Meter

T = TypeVar("T")
#: Chunks of a client at once, and items that a chunk may have under way: as in the real run.
IN_FLIGHT, CONCURRENCY = 2, 64
#: A chunk's slice, and how long its successor is on its way: release, message, lease, reading the addresses.
SLICE_SECONDS, NEXT_SECONDS = (10.0, 20.0), (0.03, 0.3)
#: Of a call, in the process: before it leaves and after its answer.
BEFORE_SECONDS, AFTER_SECONDS = 0.0005, 0.0005
#: The process stands still, so long and so often.
STALL_SECONDS, STALL_EVERY_SECONDS = (0.005, 0.02), (0.2, 2.0)
#: From leaving to arriving, the provider's answer after that, and a round trip to Redis.
WAY_SECONDS, ANSWER_SECONDS, REDIS_SECONDS = (0.0001, 0.0011), (0.03, 0.2), (0.0002, 0.0006)


class SimulatedLimiter(AsyncLimiter):
    """The limiter, with the loop's clock for the server's."""

    rng: Random

    async def run(self, call: calls.Call[T]) -> T:
        """Run a script at the simulated moment, a round trip away."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await asyncio.sleep(self.rng.uniform(*REDIS_SECONDS) / 2)
        now = loop.time()
        if call.script in (calls.RESERVE, calls.REGISTER, calls.FEEDBACK):
            call = replace(call, args=(ceil(now * 1e3), *call.args[1:]))
        with loop.owing():
            answer = await super().run(call)
        await asyncio.sleep(self.rng.uniform(*REDIS_SECONDS) / 2)
        if isinstance(answer, Reservation):
            # The server tells its clock in microseconds; the script was told milliseconds.
            return answer._replace(now_us=int(now * 1e6))
        return answer


class Unused:
    """A record of keys' use in which no key was used before."""

    def begin_use(self, fingerprint: str) -> PriorUse:
        """Return that nothing is known."""
        del fingerprint
        return PriorUse(None, 0)


@dataclass
class Provider:
    """The simulated provider's record of one process's keys."""

    meters: dict[str, Meter] = field(default_factory=dict)
    arrivals: dict[str, list[float]] = field(default_factory=dict)
    early_ms: list[float] = field(default_factory=list)
    #: Set when every key has been in use.
    all_used: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, key: ProviderKey) -> None:
        """Judge a key by its own limits."""
        config = KeyConfig(key.fingerprint, key.spacing_ms, key.windows, key.daily_limit)
        self.meters[key.fingerprint], self.arrivals[key.fingerprint] = Meter(config), []

    def arrive(self, fingerprint: str, now: float) -> None:
        """Take a call in."""
        if violation := self.meters[fingerprint].arrive(now * 1e3, now * 1e3):
            self.early_ms.append(violation.early_ms)
        else:
            self.arrivals[fingerprint].append(now)
            if not self.all_used.is_set() and all(self.arrivals.values()):
                self.all_used.set()

    def counted(self, since: float, seconds: float) -> dict[str, int]:
        """Return how many good calls of each key arrived in a stretch of time."""
        return {
            key: sum(since <= at < since + seconds for at in moments)
            for key, moments in self.arrivals.items()
        }


@dataclass(frozen=True)
class Simulation:
    """What became of one process's lanes: good calls by key within the stretch, calls that came too early, by how many ms."""

    calls: dict[str, int]
    early_ms: list[float]


def simulate(
    redis_url: str,
    lanes: Sequence[str],
    *,
    keys_each: int,
    spacing_ms: int,
    seconds: float,
    seed: int,
) -> Simulation:
    """Let one process serve `lanes` for so many simulated seconds, counted from when all of their keys are in use."""
    return run_virtually(
        lambda loop: _Process(loop, redis_url, Random(seed)).run(
            lanes, keys_each, spacing_ms, seconds
        )
    )


class _Process:
    def __init__(self, loop: VirtualLoop, redis_url: str, rng: Random) -> None:
        self._loop, self._rng = loop, rng
        self._limiter = SimulatedLimiter.connect(redis_url)
        self._limiter.rng = rng
        self._provider = Provider()
        self._over = asyncio.Event()

    async def run(
        self, lanes: Sequence[str], keys_each: int, spacing_ms: int, seconds: float
    ) -> Simulation:
        pools = [self._make_pool(lane, keys_each, spacing_ms) for lane in lanes]
        async with asyncio.TaskGroup() as group:
            for pool in pools:
                for _ in range(IN_FLIGHT):
                    group.create_task(self._serve(pool))
            stalls = group.create_task(self._stall())
            await self._provider.all_used.wait()
            since = self._loop.time()
            await asyncio.sleep(seconds)
            self._over.set()
            stalls.cancel()
        for pool in pools:
            await pool.close()
        with self._loop.owing():
            await self._limiter.close()
        return Simulation(self._provider.counted(since, seconds), self._provider.early_ms)

    def _make_pool(self, lane: str, keys_each: int, spacing_ms: int) -> KeyPool:
        keys = []
        for number in range(keys_each):
            secret = f"{lane}-{number}"
            fingerprint = blake2b(secret.encode(), digest_size=8).hexdigest()
            keys.append(
                ProviderKey(
                    fingerprint, SecretStr(secret), secret[-4:], spacing_ms, ((165, 30_000),)
                )
            )
            self._provider.add(keys[-1])
        return KeyPool(lane, keys, self._limiter, Unused())

    async def _serve(self, pool: KeyPool) -> None:
        """Work on one chunk after another, as the ledger hands them out."""
        while not self._over.is_set():
            chunk = _Chunk(self._loop.time() + self._rng.uniform(*SLICE_SECONDS), self._over)
            crew = chunk.crew = Crew(partial(self._work, pool, chunk), CONCURRENCY)
            ender = asyncio.create_task(chunk.end())
            await crew.run(1_000_000)
            ender.cancel()
            held = max(0.0, chunk.held_until - self._loop.time())
            await asyncio.sleep(held + self._rng.uniform(*NEXT_SECONDS))

    async def _work(self, pool: KeyPool, chunk: "_Chunk") -> None:
        """Call until the chunk's slice is over, as `VerificationRun` does."""
        while not chunk.is_over and not chunk.crew.is_too_large:
            asked_at, task = self._loop.time(), asyncio.current_task()
            assert task is not None
            chunk.waiting.add(task)
            try:
                grant = await pool.acquire("client")
            except asyncio.CancelledError:
                if not chunk.is_over:
                    raise
                task.uncancel()
                return
            except Throttled as throttled:
                # As a lane is held: nothing is released before the keys have something to give.
                chunk.held_until = self._loop.time() + throttled.wait_seconds
                chunk.let_go()
                return
            finally:
                chunk.waiting.discard(task)
            chunk.crew.begin_call(self._loop.time() - asked_at, 1_000_000)
            try:
                self._loop.spend(BEFORE_SECONDS)
                pool.note_sent(grant)
                # Told at once: what the loop does next does not hold up what has left.
                arrives_at = self._loop.time() + self._rng.uniform(*WAY_SECONDS)
                self._provider.arrive(grant.key.fingerprint, arrives_at)
                await asyncio.sleep(self._rng.uniform(*ANSWER_SECONDS))
                self._loop.spend(AFTER_SECONDS)
                await pool.report(grant, "clean")
            finally:
                chunk.crew.end_call()

    async def _stall(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(*STALL_EVERY_SECONDS))
            self._loop.spend(self._rng.uniform(*STALL_SECONDS))


class _Chunk:
    def __init__(self, ends_at: float, over: asyncio.Event) -> None:
        self._ends_at = ends_at
        self._over = over
        self.crew: Crew
        self.is_over = False
        self.held_until = 0.0
        #: Those who wait for a key, and are told to let go.
        self.waiting: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Let go when the slice is over, or the simulation."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(self._ends_at, loop.time() + 1e6)):
                await self._over.wait()
        except TimeoutError:
            pass
        self.let_go()

    def let_go(self) -> None:
        """Take no further item: who waits for a key stops waiting."""
        self.is_over = True
        for task in self.waiting - {asyncio.current_task()}:
            task.cancel()
