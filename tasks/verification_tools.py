"""Builds what verification needs once per worker process."""

from collections.abc import Callable
from typing import Any, Self

from app.verification.local_checks import LocalChecks
from app.verification.mailtester import MailTester
from app.verification.tools import VerificationTools
from tasks.calling import Calling
from tasks.worker_mode import environment_keys


class VerificationWork:
    """The process's provider, checks and key pools."""

    def __init__(self, calling: Calling) -> None:
        settings = calling.settings
        self._calling = calling
        self._provider = MailTester.from_settings(calling.session, settings)
        self._checks = LocalChecks.from_settings(settings)
        self._keys = calling.keys_of(self._provider.name, environment_keys(settings))

    @classmethod
    async def build(cls, calling: Calling) -> Self:
        """Make it on the running loop."""
        work = cls(calling)
        await work._provider.open_ahead()
        return work

    def tools_for(self, on_recorded: Callable[[int], Any]) -> VerificationTools:
        """Return the collaborators of one chunk's run, which tells `on_recorded` how many rows it recorded."""
        return VerificationTools(
            **vars(self._calling.tools_for(on_recorded)),
            provider=self._provider,
            checks=self._checks,
            pool_for=self._keys.pool_for,
        )
