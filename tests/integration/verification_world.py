"""Jobs of addresses, run in this process against PostgreSQL, Redis and the simulated providers."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from pydantic import SecretStr
from sqlalchemy import text

from app.jobs.ids import new_job_id
from app.jobs.release import Released
from app.jobs.submit import create_job, cut_chunks, verifier_params
from app.settings import Settings, get_settings
from app.verification.local_checks import LocalChecks
from app.verification.providers import PROVIDERS, build_all
from app.verification.run import run_chunk
from app.verification.tools import VerificationTools
from app.work.key_usage import KeyUsage
from routing.key_pool import KeyPool, ProviderKey
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import LimitPolicy
from sandbox.process import RunningSandbox
from tests.integration.ledger_world import World

KEY = "sandbox-key-0001"


class Runs:
    """Submits addresses and runs their chunks in this process."""

    def __init__(self, world: World, sandbox: RunningSandbox, redis_url: str) -> None:
        self.world, self.sandbox, self.redis_url = world, sandbox, redis_url
        self.drain_by: float | None = None

    def submit(self, *emails: str, verifier: str | None = None) -> UUID:
        job = new_job_id()
        with self.world.scope("acme") as c:
            params = verifier_params(c, verifier, get_settings())
            create_job(c, kind="email_validation", title="t", params=params, job_id=job)
            leaf = c.execute(text("SELECT items_partition(:j)"), {"j": job}).scalar_one()
            c.execute(
                text(f"""INSERT INTO {leaf} (job_id, item_no, line_no, email, cells)
                         SELECT :j, n, n, e, '[]' FROM unnest(CAST(:e AS text[])) WITH ORDINALITY AS t(e, n)"""),
                {"j": job, "e": list(emails)},
            )
            c.execute(
                text("UPDATE jobs SET total_items = :n WHERE id = :j"), {"n": len(emails), "j": job}
            )
            cut_chunks(c, job, "verify", len(emails), 1000)
        return job

    @asynccontextmanager
    async def tools(
        self, settings: Settings, key: dict[str, Any]
    ) -> AsyncIterator[VerificationTools]:
        executor = ThreadPoolExecutor(4)
        limiter = AsyncLimiter.connect(self.redis_url, LimitPolicy.from_settings(settings))
        keys = [
            ProviderKey(
                **(
                    {
                        "fingerprint": uuid4().hex,
                        "secret": SecretStr(KEY),
                        "hint": "0001",
                        "spacing_ms": 0,
                    }
                    | key
                )
            )
        ]
        pool = KeyPool("test", keys if key.get("secret") != "" else [], limiter, KeyUsage())

        async def pool_for(_tenant: UUID) -> KeyPool:
            return pool

        def in_thread(call: Any) -> Any:
            return asyncio.get_running_loop().run_in_executor(executor, call)

        async with aiohttp.ClientSession() as session:
            yield VerificationTools(
                settings=settings,
                worker_id=uuid4(),
                providers=build_all(session, settings),
                checks=LocalChecks.from_settings(settings),
                pools=dict.fromkeys(PROVIDERS, pool_for),
                in_thread=in_thread,
                drain_by=lambda: self.drain_by,
                on_recorded=lambda _rows: None,
                on_call=lambda _fingerprint: None,
            )
            await pool.close()
            await limiter.close()
        executor.shutdown()

    def run(
        self,
        message: Released | None = None,
        *,
        key: dict[str, Any] | None = None,
        during: Any = None,
        tools: dict[str, Any] | None = None,
        **settings: Any,
    ) -> str:
        """Run one released chunk to its end; `during` is started beside it, `tools` replace the real ones."""
        message = message or self.world.release()[0]
        chosen = get_settings().model_copy(
            update={
                "mailtester_base_url": self.sandbox.url,
                "hunter_base_url": self.sandbox.url,
                **settings,
            }
        )

        async def work() -> str:
            async with self.tools(chosen, key or {}) as real:
                beside = asyncio.create_task(during()) if during else None
                used = replace(real, **(tools or {}))
                how = await run_chunk(used, message.chunk_id, message.fence, message.tenant_id)
                if beside:
                    await beside
                return how

        return asyncio.run(work())

    def results(self, job: UUID) -> dict[str, dict[str, Any]]:
        rows = self.world.rows(
            """SELECT i.email, r.* FROM job_results r JOIN job_items i USING (job_id, item_no) WHERE job_id = :j""",
            j=job,
        )
        return {str(row["email"]): row for row in rows}

    def hold(self) -> dict[str, Any] | None:
        rows = self.world.rows("SELECT reason, until, until > now() AS holds FROM lane_holds")
        return rows[0] if rows else None
