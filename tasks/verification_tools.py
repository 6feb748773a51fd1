"""Builds what verification needs once per worker process."""

from collections.abc import Callable
from typing import Any, Self

from app.verification.local_checks import LocalChecks
from app.verification.providers import build_all
from app.verification.tools import VerificationTools
from tasks.calling import Calling


class VerificationWork:
    """The process's providers with the keys of each, and its checks."""

    def __init__(self, calling: Calling) -> None:
        settings = calling.settings
        self._calling = calling
        self._providers = build_all(calling.session, settings)
        self._checks = LocalChecks.from_settings(settings)
        self._pools = {name: calling.keys_of(name).pool_for for name in self._providers}

    @classmethod
    async def build(cls, calling: Calling) -> Self:
        """Make it on the running loop."""
        work = cls(calling)
        # Of the others the first call of a process may be late, and is then accounted so.
        await work._providers[calling.settings.verification_provider].open_ahead()
        return work

    def tools_for(self, on_recorded: Callable[[int], Any]) -> VerificationTools:
        """Return the collaborators of one chunk's run, which tells `on_recorded` how many rows it recorded."""
        return VerificationTools(
            **vars(self._calling.tools_for(on_recorded)),
            providers=self._providers,
            checks=self._checks,
            pools=self._pools,
        )
