"""What can be said about an address without paying for it: syntax, throw-away domains, no mail host.

These checks only ever say "invalid", and only where it is sure; for all else a provider is asked. Each
can be switched off.
"""

from typing import Final

from disposable_email_domains import blocklist

from app.errors import InvalidInput
from app.mail_addresses import parse_address
from app.plain_text import clean_text
from app.settings import Settings
from app.verdicts import Verdict
from app.verification.dns_lookup import Mail, MailDomains, system_resolver
from app.verification.provider import LOCAL, Answer, utc_now

#: `code` of a local answer.
SYNTAX: Final = "syntax"
DISPOSABLE: Final = "disposable"
NO_MX: Final = "no_mx"


class LocalChecks:
    """The checks of one process. `domains` None switches the question to DNS off."""

    def __init__(
        self,
        *,
        check_syntax: bool = True,
        check_disposable: bool = True,
        domains: MailDomains | None = None,
    ) -> None:
        self._check_syntax = check_syntax
        self._check_disposable = check_disposable
        self._domains = domains

    @classmethod
    def from_settings(cls, settings: Settings) -> "LocalChecks":
        """Build the checks that the environment asks for."""
        domains = None
        if settings.check_mx:
            seconds = settings.dns_timeout_seconds
            domains = MailDomains(system_resolver(seconds), timeout_seconds=seconds)
        return cls(
            check_syntax=settings.check_syntax,
            check_disposable=settings.check_disposable,
            domains=domains,
        )

    async def check(self, email: str) -> Answer | None:
        """Return an `invalid` answer where no provider need be asked, else None. Raises nothing.

        An address that can't be read has no domain to judge: with the syntax check off it goes to the
        provider as it is.
        """
        try:
            domain = parse_address(email).domain
        except InvalidInput as error:
            return _invalid(SYNTAX, error.message) if self._check_syntax else None
        # The list is taken at its word, name by name: a parent on it says nothing sure about a child.
        if self._check_disposable and domain in blocklist:
            return _invalid(DISPOSABLE, "The domain hands out throw-away addresses.")
        if self._domains is not None:
            finding = await self._domains.find(domain)
            if finding.mail is Mail.NO:
                return _invalid(NO_MX, finding.reason)
        return None


def _invalid(code: str, message: str) -> Answer:
    return Answer(Verdict.INVALID, code, clean_text(message), None, LOCAL, utc_now())
