"""Settings under their other names, in milliseconds."""

import pytest
from pydantic import ValidationError

from app.settings import Settings

GIVEN = {"secret_key": "x" * 32, "encryption_keys": "x" * 44}


def read(**more: str) -> Settings:
    return Settings.model_validate({**GIVEN, **more})


def test_names_in_milliseconds_set_those_in_seconds() -> None:
    found = read(
        poll_interval="500", health_check_interval="2000", graceful_shutdown_timeout="12000"
    )
    assert (found.dispatch_interval_seconds, found.presence_seconds) == (0.5, 2.0)
    assert found.shutdown_grace_seconds == 12.0
    assert found.presence_timeout_seconds == 15.0


def test_the_name_in_seconds_counts_where_both_are_given() -> None:
    assert read(poll_interval="500", dispatch_interval_seconds="2").dispatch_interval_seconds == 2.0


def test_a_slow_heartbeat_does_not_make_its_worker_look_gone() -> None:
    assert read(health_check_interval="30000").presence_timeout_seconds == 90.0
    with pytest.raises(ValidationError, match="at least twice"):
        read(presence_seconds="30")


def test_days_of_memory_are_read_kind_by_kind() -> None:
    found = read(enrichment_cache_days="email=1,miss=0").enrichment_cache_days
    assert (found["email"], found["miss"], found["company"]) == (1.0, 0.0, 90.0)
    with pytest.raises(ValidationError, match="shoes"):
        read(enrichment_cache_days="shoes=1")


def test_costs_are_read_provider_by_provider() -> None:
    found = read(enrichment_costs="apollo=0.04, apollo.phone=0.3,hunter=0").enrichment_costs
    assert found == {"apollo": 0.04, "apollo.phone": 0.3, "hunter": 0.0}
    assert read().enrichment_costs == {}
    for wrong in ("apollo=-1", "apollo", "apollo=cheap", "apollo=nan"):
        with pytest.raises(ValidationError):
            read(enrichment_costs=wrong)
