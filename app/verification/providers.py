"""The registry of verification providers: one line a vendor.

A new vendor is a client beside these, a line here and a word in the setting VERIFICATION_PROVIDER; nothing else looks
at a vendor's name.
"""

from collections.abc import Callable
from typing import Final

import aiohttp

from app.errors import InvalidInput
from app.settings import Settings
from app.verification.hunter import HunterVerifier
from app.verification.mailtester import MailTester
from app.verification.provider import VerificationProvider

Maker = Callable[[aiohttp.ClientSession, Settings], VerificationProvider]

#: How each vendor's client is made. The session is the process's own; a client never closes it.
PROVIDERS: Final[dict[str, Maker]] = {
    "mailtester": MailTester.from_settings,
    "hunter": HunterVerifier.from_settings,
}


def build_all(
    session: aiohttp.ClientSession, settings: Settings
) -> dict[str, VerificationProvider]:
    """Make every registered client, by name."""
    return {name: make(session, settings) for name, make in PROVIDERS.items()}


def check_provider(name: str) -> str:
    """Return the name of a provider that verifies. Raises `InvalidInput` that names those there are."""
    if name not in PROVIDERS:
        raise InvalidInput(
            f"There is no provider {name!r} that verifies addresses; there are: {', '.join(sorted(PROVIDERS))}."
        )
    return name
