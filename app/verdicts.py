"""The four verdicts about an address. An error is never one of them.

`unknown` is a verdict too: a provider looked and could not tell, or the last attempt failed and the row
says why. It never stands for "not tried yet".
"""

from enum import StrEnum


class Verdict(StrEnum):
    """What is known about an address, the same for every provider."""

    VALID = "valid"
    INVALID = "invalid"
    CATCH_ALL = "catch_all"
    UNKNOWN = "unknown"
