"""What the installation has set otherwise than the default reaches a printed worker; nothing printed breaks out of its line."""

import re
from dataclasses import replace

import pytest
import yaml

from app.clients.worker_files import FORMATS, worker_files
from app.clients.worker_settings import READ_BY_WORKERS, changed_settings
from app.errors import Conflict
from app.settings import Settings
from tests.unit.worker_prints import (
    ACME,
    KEYS,
    PLAIN,
    environments,
    read_env,
    read_settings,
)

#: As in the demo: another provider, another Redis for limits, no resolver.
OTHER = {
    "RATE_LIMIT_REDIS_URL": "redis://:secret@limits:6379/1",
    "MAILTESTER_BASE_URL": "http://127.0.0.1:9000/$x",
    "MAILTESTER_CONTRACT": "token",
    "CHECK_MX": "false",
    "LEASE_SECONDS": "45",
    "FLUSH_SECONDS": "0.5",
}
#: What no verification worker reads, or what each is told for itself.
NOT_FOR_WORKERS = {
    "database_url": "a place to be filled",
    "redis_url": "a place to be filled",
    "rate_limit_redis_url": "a place to be filled",
    "secret_key": "a place to be filled",
    "encryption_keys": "a place to be filled",
    "worker_mode": "each for itself",
    "dedicated_client_id": "each for itself",
    "verification_queue": "each for itself",
    "mailtester_api_keys": "each for itself",
    "mailtester_key_spacings": "each for itself",
    "mailtester_key_daily_limits": "each for itself",
    "mailtester_key_requests_per_30s": "each for itself",
    "database_owner_url": "migrations and the command line",
    "database_app_password": "migrations",
    "access_token_minutes": "web",
    "session_cookie_secure": "web",
    "login_limit": "web",
    "login_email_limit": "web",
    "session_max_days": "web",
    "api_limit": "web",
    "upload_limit": "web",
    "metrics_token": "web",
    "prometheus_multiproc_dir": "web",
    "trusted_proxies": "web",
    "storage_path": "web and ingest",
    "upload_max_bytes": "web",
    "upload_max_rows": "web and ingest",
    "upload_parse_seconds": "web and ingest",
    "bad_rows_kept": "ingest",
    "chunk_rows": "ingest",
    "enrichment_chain": "looked up by the web, and by workers of another queue",
    "enrichment_cache_days": "read by workers of another queue",
    "enrichment_costs": "web",
    "enrichment_flight_seconds": "read by workers of another queue",
    "enrichment_shared_answers": "read by workers of another queue",
    "cron_secret": "web",
    "apollo_webhook_secret": "web, and workers of another queue",
    "clearbit_webhook_secret": "web, and workers of another queue",
    "enrichment_event_days": "web, and workers of another queue",
    "enrichment_late_seconds": "web, and workers of another queue",
    "enrichment_webhook_limit": "web, and workers of another queue",
    "enrichment_webhook_secret": "web, and workers of another queue",
    "hunter_webhook_secret": "web, and workers of another queue",
    "public_url": "web, and workers of another queue",
    "rate_limit_per_hour": "limits that a new key begins with",
    "rate_limit_per_minute": "limits that a new key begins with",
    "rate_limit_per_second": "limits that a new key begins with",
    "webhook_allow_http": "web, and workers of another queue",
    "webhook_allow_loopback": "web, and workers of another queue",
    "webhook_concurrency": "web, and workers of another queue",
    "webhook_disable_after_days": "web, and workers of another queue",
    "webhook_log_days": "web, and workers of another queue",
    "webhook_rotation_hours": "web, and workers of another queue",
    "webhook_timeout_seconds": "web, and workers of another queue",
    "tenant_limit": "web",
    "event_streams": "web",
    "event_streams_per_client": "web",
    "event_heartbeat_seconds": "web",
    "poll_interval": "another name: dispatch_interval_seconds has what it says",
    "health_check_interval": "another name: presence_seconds has what it says",
    "graceful_shutdown_timeout": "another name: shutdown_grace_seconds has what it says",
    "health_check_port": "each worker's own",
    "health_check_host": "each worker's own",
    "max_concurrent_jobs": "web",
    "figures_days": "read by housekeeping",
    "apollo_base_url": "workers of another queue",
    "hunter_base_url": "workers of another queue",
    "clearbit_base_url": "workers of another queue",
    "drain_target_seconds": "advice",
    "typical_call_seconds": "advice",
    "slots_per_worker": "advice",
}


@pytest.mark.parametrize("kind", ["env", "compose", "kubernetes"])
def test_what_is_set_otherwise_is_there(kind: str) -> None:
    installation = read_settings(OTHER)
    found = environments(in_environment=False, settings=installation)[kind]
    # A single $ would be a variable's in a compose file.
    found = {
        name: value.replace("$$", "$") if kind == "compose" else value
        for name, value in found.items()
    }
    assert found.pop("RATE_LIMIT_REDIS_URL") == "<as for the other workers>"
    assert {name: found[name] for name in OTHER if name in found} == {
        name: value for name, value in OTHER.items() if name != "RATE_LIMIT_REDIS_URL"
    }
    assert changed_settings(read_settings(found)) == changed_settings(installation)


@pytest.mark.parametrize("kind", ["env", "compose", "kubernetes"])
def test_what_is_as_by_default_is_not(kind: str) -> None:
    found = environments(in_environment=False)[kind]
    assert set(found) - {"WORKER_NAME"} == {
        "WORKER_MODE",
        "DEDICATED_CLIENT_ID",
        "VERIFICATION_QUEUE",
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "ENCRYPTION_KEYS",
    }


def test_a_password_in_an_address_is_not_printed() -> None:
    address = "https://ann:secret@provider.example/v1"
    told = changed_settings(read_settings({"MAILTESTER_BASE_URL": address}))
    assert told == {"MAILTESTER_BASE_URL": "https://<login>@provider.example/v1"}


def test_every_setting_is_for_workers_or_for_a_reason_not() -> None:
    assert set(READ_BY_WORKERS) | set(NOT_FOR_WORKERS) == set(Settings.model_fields)
    assert not set(READ_BY_WORKERS) & set(NOT_FOR_WORKERS)


def test_the_environment_names_the_command_that_it_is_for() -> None:
    text = worker_files(ACME, keys_in_environment=False, settings=PLAIN)["env"]
    [line] = [line for line in text.splitlines() if "celery" in line]
    assert line.startswith("# Start it with: celery -A celery_config worker -P threads -c 64 -n ")
    assert '"acme@%h"' in line


@pytest.mark.parametrize(
    "name",
    [
        "Acme\nSECRET_KEY=mine",
        "Acme\r\nSECRET_KEY=mine",
        "Acme\x85SECRET_KEY=mine",
        "Acme\u2028SECRET_KEY=mine",
        "Acme\x0bSECRET_KEY=mine",
        "Acme\x00\x1b[2JSECRET_KEY=mine",
        "Acme' \"$(id)` \\ #: {x}\n---\nkind: Pod",
    ],
)
def test_no_name_of_a_client_breaks_out_of_its_comment(name: str) -> None:
    odd = worker_files(replace(ACME, name=name), True, KEYS, PLAIN)
    plain = worker_files(ACME, True, KEYS, PLAIN)
    assert read_env(odd["env"]) == read_env(plain["env"])
    assert len(odd["env"].splitlines()) == len(plain["env"].splitlines())
    assert not re.search(r"[^\n -~…]", odd["env"]), "nothing that moves a cursor"
    for kind in ("procfile", "compose", "kubernetes"):
        assert odd[kind] == plain[kind], "the name is in no other form"


@pytest.mark.parametrize(
    "queue", ["verification-queue:client-x\nEVIL=1", "x; id", "$(id)", "a b", "x#"]
)
def test_a_lane_out_of_use_with_an_odd_name_is_refused(queue: str) -> None:
    """The database looks at names of lanes in use only; SQL may have written this one."""
    odd = replace(ACME, configured_queue=queue, is_active=False)
    with pytest.raises(Conflict, match="No queue is named"):
        worker_files(odd, keys_in_environment=False, settings=PLAIN)


def test_what_a_key_ends_in_stays_in_its_line() -> None:
    odd = [replace(KEYS[0], hint="x\nA=1"), KEYS[1]]
    files = worker_files(ACME, True, odd, PLAIN)
    assert "A" not in read_env(files["env"])
    for kind in FORMATS:
        if kind != "procfile":
            assert "\\nA=1" in files[kind]
    list(yaml.safe_load_all(files["kubernetes"]))
