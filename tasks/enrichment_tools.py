"""Builds what enrichment needs once per worker process."""

from collections.abc import Callable
from typing import Any, Self

from app.enrichment.memory import Memory
from app.enrichment.providers import build_all
from app.enrichment.tools import EnrichmentTools
from tasks.calling import Calling


class EnrichmentWork:
    """The process's providers with the keys of each, and its memory of answers."""

    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        self._providers = build_all(calling.session, calling.settings)
        self._pools = {name: calling.keys_of(name).pool_for for name in self._providers}
        settings = calling.settings
        self._memory = Memory(
            settings.enrichment_cache_days, shares=settings.enrichment_shared_answers
        )

    @classmethod
    async def build(cls, calling: Calling) -> Self:
        """Make it on the running loop."""
        return cls(calling)

    def tools_for(self, on_recorded: Callable[[int], Any]) -> EnrichmentTools:
        """Return the collaborators of one chunk's run, which tells `on_recorded` how many rows it recorded."""
        return EnrichmentTools(
            **vars(self._calling.tools_for(on_recorded)),
            providers=self._providers,
            pools=self._pools,
            memory=self._memory,
        )
