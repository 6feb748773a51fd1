"""What a chunk of verification is run with."""

from dataclasses import dataclass

from app.verification.local_checks import LocalChecks
from app.verification.provider import VerificationProvider
from app.work.tools import PoolFor, Tools


@dataclass(frozen=True, kw_only=True)
class VerificationTools(Tools):
    """With the checks that cost nothing, the provider, and the keys that serve a client with it."""

    provider: VerificationProvider
    checks: LocalChecks
    pool_for: PoolFor
