"""What a chunk of enrichment is run with."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.enrichment.memory import Memory
from app.enrichment.provider import EnrichmentProvider
from app.work.tools import PoolFor, Tools


@dataclass(frozen=True, kw_only=True)
class EnrichmentTools(Tools):
    """With the providers by name, the keys that serve a client with each, and what the process remembers of answers."""

    providers: Mapping[str, EnrichmentProvider]
    pools: Mapping[str, PoolFor]
    memory: Memory
