"""What a provider's class can do is looked up once, and is what it is."""

from typing import Any, cast

import pytest

from app.enrichment.provider import (
    LateProvider,
    StepwiseProvider,
    is_late,
    is_stepwise,
)
from app.enrichment.providers import PROVIDERS
from app.settings import Settings


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_what_is_kept_of_a_class_is_what_its_protocols_say(name: str) -> None:
    settings = Settings(secret_key="s" * 32, encryption_keys="k" * 44)
    provider = PROVIDERS[name](cast("Any", None), settings)
    # Both, and twice: neither may stand for the other.
    for _ in range(2):
        assert is_stepwise(provider) == isinstance(provider, StepwiseProvider)
        assert is_late(provider) == isinstance(provider, LateProvider)
