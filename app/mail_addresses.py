"""The syntax of an address: what is surely not an address, and the domain a mail would go to.

Nearly every address of a real list is plain ASCII and passes one pattern, which is stricter than the
standard (RFC 5321/5322); whatever does not pass it is judged by email-validator, which knows the rest
and says in words what is wrong, at 22,000 a second.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from app.errors import InvalidInput

_LONGEST = 254
_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+[A-Za-z]{{2,63}}")
#: Names that lead nowhere on the public net (RFC 6761); email-validator says so in words. Labels with
#: "--" in third place are IDNA and need decoding.
_NEEDS_A_CLOSER_LOOK = re.compile(
    r"(?:^|\.)(?:..--[^.]*|arpa|invalid|local|localhost|onion)(?:\.|$)", re.IGNORECASE
)


@lru_cache(maxsize=10_000)
def _is_plain(domain: str) -> bool:
    """Whether a domain needs no closer look. Lists have many addresses of few domains."""
    return _DOMAIN.fullmatch(domain) is not None and not _NEEDS_A_CLOSER_LOOK.search(domain)


@dataclass(slots=True)
class Address:
    """`local` as it was written, `domain` in lower case and in ASCII (IDNA)."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_address(text: str) -> Address:
    """Read an address. Raises `InvalidInput` that says what is wrong, in a sentence.

    `.test` (RFC 6761) passes: it is for tests, and only DNS can say that it leads nowhere.
    """
    local, at, domain = text.partition("@")
    if at and _LOCAL.fullmatch(local) and len(text) <= _LONGEST and _is_plain(domain):
        return Address(local, domain.lower())
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidInput(str(error)) from None
    return Address(found.local_part, found.ascii_domain.lower())
