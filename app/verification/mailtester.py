"""MailTester Ninja as a verification provider; how it is called and what it says is `app.mailtester`."""

from app.mailtester.answers import NAME
from app.mailtester.client import Contract, MailTesterCalls
from app.verification.provider import Answer, utc_now

__all__ = ["Contract", "MailTester"]


class MailTester(MailTesterCalls):
    """Satisfies `VerificationProvider` for MailTester Ninja."""

    name = NAME

    async def verify(self, email: str, key_secret: str) -> Answer:
        """Ask about `email` in one call at most. Raises `ProviderError`, as `MailTesterCalls.check`."""
        said = await self.check(email, key_secret)
        return Answer(said.verdict, said.code, said.message, said.mx, NAME, utc_now())
