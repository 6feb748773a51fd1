"""What is printed for a client's worker: read back by the tools that will read it."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from app.clients.capacity import capacity
from app.clients.message import welcome
from app.clients.worker_files import FORMATS, worker_files
from app.errors import Conflict
from tasks import worker_mode
from tests.unit.worker_prints import (
    ACME,
    KEYS,
    PLAIN,
    QUEUE,
    environments,
    read_settings,
)


@pytest.fixture(autouse=True, scope="module")
def _fingerprints() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.work.key_forms.fingerprint", lambda *_: "ab" * 16)
        yield


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
    files = worker_files(ACME, keys_in_environment=False, settings=PLAIN)
    flags = ["-P", "threads", "-c", "64", "-n"]
    for kind in ("procfile", "compose", "kubernetes"):
        words = re.findall(r"[^\s\"',\[\]]+", files[kind])
        assert [flag for flag in flags if flag not in words] == []
        assert {"--without-gossip", "--without-mingle", "-E"} <= set(words)
    line = files["procfile"].partition(": ")[2]
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


def test_a_worker_is_given_time_to_hand_back() -> None:
    files = worker_files(ACME, keys_in_environment=False, settings=PLAIN)
    (service,) = yaml.safe_load(files["compose"])["services"].values()
    assert service["stop_grace_period"] == "35s"
    pod = list(yaml.safe_load_all(files["kubernetes"]))[1]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 35


def test_without_a_lane_there_is_no_worker() -> None:
    shared = replace(ACME, config_id=None, user_id=None, worker_mode=None, configured_queue=None)
    with pytest.raises(Conflict, match="clients onboard"):
        worker_files(shared, keys_in_environment=False, settings=PLAIN)


def test_the_message_has_the_figures() -> None:
    text = welcome(ACME, capacity(KEYS))
    subject, _, body = text.partition("\n")
    assert subject == "Subject: Your Dedicated Email Verification Setup is Ready"
    assert f"Hi {ACME.name}," in body
    assert "- API Keys configured: 2 keys" in body
    assert "- Daily capacity: 820,800 verifications/day" in body
    assert "- Speed: 9.5 verifications/second" in body
    assert "[" not in text
