"""A client with two keys, and readers of what is printed for its worker."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import yaml

from app.clients.clients import ClientRow
from app.clients.keys import KeyFacts
from app.clients.worker_files import worker_files
from app.settings import Settings

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


def read_settings(environment: dict[str, str]) -> Settings:
    given = {name.lower(): value for name, value in environment.items()}
    # What is the same for all workers is not of interest here.
    given |= {"secret_key": "x" * 32, "encryption_keys": "x" * 44}
    return Settings(**given)  # type: ignore[arg-type]


#: Nothing is set otherwise than by default.
PLAIN = read_settings({})


def read_env(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def environments(*, in_environment: bool, settings: Settings = PLAIN) -> dict[str, dict[str, str]]:
    """The worker's environment as each kind of host would give it."""
    files = worker_files(ACME, in_environment, KEYS, settings)
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
