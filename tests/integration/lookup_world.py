"""Jobs of leads, run in this process against PostgreSQL, Redis and the simulated providers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from pydantic import SecretStr

from app.departures import NotingRequest
from app.enrichment.lookup import Kind
from app.enrichment.memory import Memory
from app.enrichment.providers import PROVIDERS, build_all
from app.enrichment.run import run_chunk
from app.enrichment.submit import Wish, lookup_params, normal_lead
from app.enrichment.tools import EnrichmentTools
from app.jobs.new_job import NewJob, submit
from app.jobs.release import Released
from app.settings import Settings, get_settings
from app.work.key_usage import KeyUsage
from routing.key_pool import KeyPool, ProviderKey
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import LimitPolicy
from sandbox.process import RunningSandbox
from tests.integration.ledger_world import World

KEY = "sandbox-key-0001"


def lead(word: str, ref: str = "", **more: str) -> dict[str, str]:
    """A lead that every finder can be asked about; `word` begins the last name, by which the simulated vendors decide."""
    known = {"first_name": "Anna", "last_name": f"{word}-Smith", "domain": "acme.example", **more}
    return normal_lead(ref or f"lead_{word}", known)


class Lookups:
    """Submits leads and runs their chunks; a process's memory lives as long as this does."""

    def __init__(
        self, world: World, sandbox: RunningSandbox, redis_url: str, *, shares: bool = False
    ) -> None:
        self.world, self.sandbox, self.redis_url = world, sandbox, redis_url
        self.memory = Memory(get_settings().enrichment_cache_days, shares=shares)
        self.keys = {name: {"spacing_ms": 0} for name in PROVIDERS}

    def submit(
        self,
        *leads: Mapping[str, str],
        wanted: Sequence[Kind] = (Kind.EMAIL,),
        chain: Sequence[str] = ("apollo", "hunter"),
        max_retries: int = 3,
        tenant: str = "acme",
        costs: Mapping[str, float] | None = None,
        **wish: Any,
    ) -> UUID:
        settings = get_settings().model_copy(
            update={"enrichment_chain": list(chain), "enrichment_costs": dict(costs or {})}
        )
        with self.world.scope(tenant) as c:
            params = lookup_params(c, Wish(wanted, **wish), settings)
            job = NewJob(
                "batch_lead_enrichment",
                "enrich",
                leads,
                settings.chunk_rows,
                max_retries=max_retries,
                params=params,
            )
            return submit(c, self.world.tenants[tenant], job).id

    @asynccontextmanager
    async def tools(self, settings: Settings) -> AsyncIterator[EnrichmentTools]:
        executor = ThreadPoolExecutor(4)
        limiter = AsyncLimiter.connect(self.redis_url, LimitPolicy.from_settings(settings))
        pools = {name: self._pool(name, key, limiter) for name, key in self.keys.items()}

        def pool_for(pool: KeyPool) -> Any:
            async def found(_tenant: UUID) -> KeyPool:
                return pool

            return found

        def in_thread(call: Any) -> Any:
            return asyncio.get_running_loop().run_in_executor(executor, call)

        async with aiohttp.ClientSession(request_class=NotingRequest) as session:
            yield EnrichmentTools(
                settings=settings,
                worker_id=uuid4(),
                in_thread=in_thread,
                drain_by=lambda: None,
                on_recorded=lambda _rows: None,
                on_call=lambda _fingerprint: None,
                providers=build_all(session, settings),
                pools={name: pool_for(pool) for name, pool in pools.items()},
                memory=self.memory,
            )
            for pool in pools.values():
                await pool.close()
            await limiter.close()
        executor.shutdown()

    def _pool(self, name: str, key: Mapping[str, Any] | None, limiter: AsyncLimiter) -> KeyPool:
        known = {"fingerprint": uuid4().hex, "secret": SecretStr(KEY), "hint": "0001"}
        keys = [] if key is None else [ProviderKey(**{**known, **key})]
        return KeyPool(f"{name}:test", keys, limiter, KeyUsage())

    def run(
        self, *messages: Released, tools: Mapping[str, Any] | None = None, **settings: Any
    ) -> list[str]:
        """Run released chunks side by side to their ends; `tools` replace the real ones."""
        waiting = messages or self.world.release()
        urls = {f"{name}_base_url": self.sandbox.url for name in self.keys}
        chosen = get_settings().model_copy(update={**urls, **settings})

        async def work() -> list[str]:
            async with self.tools(chosen) as real:
                used = replace(real, **(tools or {}))
                return await asyncio.gather(
                    *(run_chunk(used, m.chunk_id, m.fence, m.tenant_id) for m in waiting)
                )

        return asyncio.run(work())

    def results(self, job: UUID) -> dict[str, dict[str, Any]]:
        """The job's results by the lead's ref."""
        rows = self.world.rows(
            """SELECT i.lead ->> 'ref' AS ref, r.* FROM job_results r JOIN job_items i USING (job_id, item_no)
               WHERE job_id = :j""",
            j=job,
        )
        return {str(row["ref"]): row for row in rows}

    def attempts(self, job: UUID) -> list[tuple[str, str, str, bool]]:
        """(ref, provider, outcome, from memory?) of every question, in order."""
        rows = self.world.rows(
            """SELECT i.lead ->> 'ref' AS ref, a.provider, a.outcome, a.is_cached
               FROM lookup_attempts a JOIN job_items i USING (job_id, item_no) WHERE job_id = :j ORDER BY a.id""",
            j=job,
        )
        return [
            (str(r["ref"]), str(r["provider"]), str(r["outcome"]), bool(r["is_cached"]))
            for r in rows
        ]
