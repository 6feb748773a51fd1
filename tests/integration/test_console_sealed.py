"""What a form carries sealed: nobody reads it, changes it, or borrows it."""

from uuid import uuid4

import pytest

from app.console.sealed import SEALED_SECONDS, seal, unseal
from app.crypto import encrypt
from app.errors import Conflict, InvalidInput
from tests.conftest import Environment

SECRET = "mt_abc123xyz789"


def test_what_is_sealed_opens_only_for_its_person_and_purpose_and_for_a_while(
    environment: Environment,
) -> None:
    ann, bob = uuid4(), uuid4()
    sealed = seal("onboarding", ann, {"secret": SECRET}, now=1000.0)
    assert SECRET not in sealed
    assert unseal("onboarding", ann, sealed, now=1000.0) == {"secret": SECRET}
    for purpose, person, text in (
        ("onboarding", bob, sealed),
        ("other", ann, sealed),
        ("onboarding", ann, sealed[1:]),
        ("onboarding", ann, ""),
        ("onboarding", ann, encrypt("[]").decode()),
    ):
        with pytest.raises(InvalidInput):
            unseal(purpose, person, text, now=1000.0)
    with pytest.raises(Conflict):
        unseal("onboarding", ann, sealed, now=1001.0 + SEALED_SECONDS)
