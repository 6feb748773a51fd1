"""What is printed for a client's worker: read back by the tools that will read it."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.clients.capacity import capacity
from app.clients.clients import ClientRow
from app.clients.keys import KeyFacts
from app.clients.message import welcome
from app.clients.worker_files import FORMATS, worker_files
from app.errors import Conflict
from app.settings import Settings
from app.work.key_forms import provider_key
from routing.provider_key import ProviderKey
from tasks import worker_mode

USER = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
QUEUE = "verification-queue:client-acme"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ACME = ClientRow(
    id=UUID(int=1),
    slug="acme",
    name='Acme: "GmbH" & Co #1',
    weight=1,
    max_in_flight=None,
    max_in_flight_per_job=None,
    key_policy="own_then_platform",
    fallback_after_seconds=None,
    created_at=NOW,
    config_id=UUID(int=2),
    user_id=USER,
    user_email="client@example.com",
    worker_mode="dedicated",
    configured_queue=QUEUE,
    is_active=True,
    api_key_hint="z789",
    notes=None,
    queue=QUEUE,
    changed_at=NOW,
    fallback_since=None,
    unattended_since=None,
    workers=0,
    ready=0,
    released=0,
    running=0,
    open_jobs=0,
    keys=2,
    rows_last_hour=0,
    shared_rows_last_hour=0,
    shared_part=None,
)
FIRST = KeyFacts(
    id=UUID(int=3),
    tenant_id=ACME.id,
    tenant_slug="acme",
    provider="mailtester",
    fingerprint="f" * 32,
    hint="z789",
    spacing_ms=250,
    requests_per_window=165,
    window_seconds=30,
    extra_windows=(),
    daily_limit=500_000,
    reset_hour=0,
    is_enabled=True,
    in_force=True,
    notes=None,
    used_today=0,
    last_used_at=None,
    source="database",
)
SECOND = replace(FIRST, id=UUID(int=4), hint="w012", spacing_ms=125)
KEYS = [FIRST, SECOND]


@pytest.fixture(autouse=True, scope="module")
def _fingerprints() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.work.key_forms.fingerprint", lambda *_: "ab" * 16)
        yield


def read_env(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def read_settings(environment: dict[str, str]) -> Settings:
    given = {name.lower(): value for name, value in environment.items()}
    # What is the same for all workers is not of interest here.
    given |= {"secret_key": "x" * 32, "encryption_keys": "x" * 44}
    return Settings(**given)  # type: ignore[arg-type]


def environments(*, in_environment: bool) -> dict[str, dict[str, str]]:
    """The worker's environment as each kind of host would give it."""
    files = worker_files(ACME, in_environment, KEYS)
    compose: dict[str, Any] = yaml.safe_load(files["compose"])
    service = compose["services"]["worker-verification-acme"]
    secret, deployment = yaml.safe_load_all(files["kubernetes"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    inline = {entry["name"]: entry["value"] for entry in container["env"]}
    words = shlex.split(files["procfile"].partition("exec env ")[2])
    assigned = [word.split("=", 1) for word in words[: words.index("celery")]]
    procfile = dict(assigned) | (
        {"MAILTESTER_API_KEYS": "one-key,two-key"} if in_environment else {}
    )
    return {
        "env": read_env(files["env"]),
        "compose": service["environment"],
        "kubernetes": secret["stringData"] | inline,
        "procfile": procfile,
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_the_worker_accepts_its_environment(kind: str) -> None:
    settings = read_settings(environments(in_environment=True)[kind])
    assert worker_mode.dedicated_lanes(settings) == [worker_mode.DedicatedLane(ACME.id, QUEUE)]
    first, second = worker_mode.environment_keys(settings)
    assert (first.spacing_ms, first.daily_limit, first.requests_per_30s) == (250, 500_000, 165)
    assert second.spacing_ms == 125
    assert worker_mode.consumed_queues(settings) == [QUEUE]


@pytest.mark.parametrize("kind", FORMATS)
def test_without_keys_it_takes_them_from_the_database(kind: str) -> None:
    environment = environments(in_environment=False)[kind]
    assert [name for name in environment if name.startswith("MAILTESTER")] == []
    assert worker_mode.environment_keys(read_settings(environment)) == []


@pytest.mark.parametrize("kind", ["env", "compose", "kubernetes"])
def test_secrets_are_places_to_be_filled(kind: str) -> None:
    environment = environments(in_environment=True)[kind]
    assert environment["MAILTESTER_API_KEYS"] == "<key ending in …z789>,<key ending in …w012>"
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS"):
        assert environment[name] == "<as for the other workers>"


def test_commands_are_those_of_the_installation() -> None:
    files = worker_files(ACME, keys_in_environment=False)
    flags = ["-P", "threads", "-c", "64", "-n"]
    for kind in ("procfile", "compose", "kubernetes"):
        words = re.findall(r"[^\s\"',\[\]]+", files[kind])
        assert [flag for flag in flags if flag not in words] == []
        assert {"--without-gossip", "--without-mingle", "-E"} <= set(words)
    line = files["procfile"].partition(": ")[2]
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


def test_a_worker_is_given_time_to_hand_back() -> None:
    files = worker_files(ACME, keys_in_environment=False)
    (service,) = yaml.safe_load(files["compose"])["services"].values()
    assert service["stop_grace_period"] == "35s"
    pod = list(yaml.safe_load_all(files["kubernetes"]))[1]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 35


def printed(key: KeyFacts) -> tuple[ProviderKey, str]:
    """Return a key as its worker would have it, and all of the text."""
    text = worker_files(ACME, keys_in_environment=True, keys=[key])["env"]
    (read,) = worker_mode.environment_keys(read_settings(read_env(text)))
    return provider_key(read), text


def limited(
    windows: Sequence[tuple[int, int]],
    *,
    spacing_ms: int = 0,
    daily_limit: int | None = None,
    reset_hour: int = 0,
) -> KeyFacts:
    return replace(
        FIRST,
        spacing_ms=spacing_ms,
        requests_per_window=None,
        extra_windows=tuple(windows),
        daily_limit=daily_limit,
        reset_hour=reset_hour,
    )


def test_limits_that_the_variables_cannot_say_become_narrower() -> None:
    odd = limited([(10, 1), (1000, 3600)], spacing_ms=250)
    key, text = printed(odd)
    assert (key.windows, key.spacing_ms) == (((8, 30_000),), 250)
    assert "the 30 s window is narrower and the spacing longer" in text


def test_a_key_without_limits_stays_without() -> None:
    key, text = printed(limited([]))
    assert (key.windows, key.daily_limit, key.spacing_ms) == ((), None, 0)
    assert key.limits.is_unlimited
    assert "MAILTESTER_KEY_REQUESTS_PER_30S=0\n" in text
    assert "can't say" not in text


@pytest.mark.parametrize(
    ("key", "spacing_ms", "per_30s"),
    [
        (limited([(100, 3600)]), 36_000, ()),
        (limited([(10, 50)]), 0, ((5, 30_000),)),
        (limited([(165, 30), (7, 86_400)], spacing_ms=250), 12_342_858, ((165, 30_000),)),
        # Two of its days may touch one of the key's: spread, they never have more than one.
        (limited([], daily_limit=500_000, reset_hour=5), 173, ()),
        (limited([], daily_limit=500_000, reset_hour=5, spacing_ms=250), 250, ()),
    ],
)
def test_what_no_window_of_30_seconds_can_keep_is_kept_by_spacing(
    key: KeyFacts, spacing_ms: int, per_30s: tuple[tuple[int, int], ...]
) -> None:
    found, text = printed(key)
    assert (found.spacing_ms, found.windows) == (spacing_ms, per_30s)
    assert "can't say" in text


def earliest_calls(key: ProviderKey, n: int) -> list[int]:
    """Return the moments (ms) of a worker's first calls, each as early as its limits allow."""
    calls: list[int] = []
    for _ in range(n):
        bounds = [0, *(at + key.spacing_ms for at in calls[-1:])]
        bounds += [calls[-limit] + ms for limit, ms in key.windows if len(calls) >= limit]
        calls.append(max(bounds))
    return calls


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 400)), max_size=3, unique_by=lambda w: w[1]
    ),
    st.sampled_from([0, 250, 7_000]),
)
def test_printed_limits_never_allow_more_than_the_keys(
    windows: list[tuple[int, int]], spacing_ms: int
) -> None:
    key, _ = printed(limited(windows, spacing_ms=spacing_ms))
    assert key.spacing_ms >= spacing_ms
    calls = earliest_calls(key, 150)
    for limit, seconds in windows:
        assert all(b - a >= seconds * 1000 for a, b in zip(calls, calls[limit:], strict=False))


def test_without_a_lane_there_is_no_worker() -> None:
    shared = replace(ACME, config_id=None, user_id=None, worker_mode=None, configured_queue=None)
    with pytest.raises(Conflict, match="clients onboard"):
        worker_files(shared, keys_in_environment=False)


def test_the_message_has_the_figures() -> None:
    text = welcome(ACME, capacity(KEYS))
    subject, _, body = text.partition("\n")
    assert subject == "Subject: Your Dedicated Email Verification Setup is Ready"
    assert f"Hi {ACME.name}," in body
    assert "- API Keys configured: 2 keys" in body
    assert "- Daily capacity: 820,800 verifications/day" in body
    assert "- Speed: 9.5 verifications/second" in body
    assert "[" not in text
