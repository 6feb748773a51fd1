"""What to deploy for a client's own worker, for four kinds of hosts. Secrets are never in it: places for them are."""

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal

from app.clients.clients import ClientRow
from app.clients.keys import WINDOW_SECONDS, KeyFacts
from app.errors import Conflict

WorkerFormat = Literal["env", "procfile", "compose", "kubernetes"]
FORMATS: tuple[WorkerFormat, ...] = ("env", "procfile", "compose", "kubernetes")
#: As in Procfile.worker and docker-compose.dev.yml.
SLOTS = 64
FLAGS = ("--without-gossip", "--without-mingle", "-E")
STOP_SECONDS = 35
#: Where a key has no such limit but the variable wants a number.
NO_LIMIT = 0
DAY_MS = 86_400_000
_SHARED = "<as for the other workers>"
_CONNECTIONS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS")
_KEYS = "MAILTESTER_API_KEYS"


def worker_files(
    client: ClientRow,
    keys_in_environment: bool,  # noqa: FBT001 - the one question there is
    keys: Sequence[KeyFacts] = (),
) -> dict[WorkerFormat, str]:
    """Return the worker's environment, Procfile line, compose service and Kubernetes objects.

    With `keys_in_environment` the worker carries the client's `keys` itself (their secrets are to be put in by hand),
    else it takes them from the database. Raises `Conflict` for a client without a lane of its own.
    """
    if (
        client.configured_queue is None
        or client.user_id is None
        or client.worker_mode != "dedicated"
    ):
        raise Conflict(
            f"The client {client.slug} has no lane of its own, so no worker. `clients onboard` gives it one."
        )
    mode = {
        "WORKER_MODE": "dedicated",
        "DEDICATED_CLIENT_ID": str(client.id),
        "VERIFICATION_QUEUE": client.configured_queue,
    }
    limits = _limits(keys) if keys_in_environment else {}
    secrets = dict.fromkeys(_CONNECTIONS, _SHARED)
    if keys_in_environment:
        secrets[_KEYS] = ",".join(place_for(key) for key in keys)
    name = client.slug
    return {
        "env": _env(
            mode, limits, secrets, _remarks(client, keys, in_environment=keys_in_environment)
        ),
        "procfile": _procfile(name, mode | limits, needs_keys=keys_in_environment),
        "compose": _compose(name, mode | limits, secrets),
        "kubernetes": _kubernetes(name, mode | limits, secrets),
    }


def place_for(key: KeyFacts) -> str:
    """Return what stands where a key's secret belongs."""
    return f"<key ending in …{key.hint}>"


def _limits(keys: Sequence[KeyFacts]) -> dict[str, str]:
    def joined(numbers: Sequence[int]) -> str:
        return ",".join(map(str, numbers))

    return {
        "MAILTESTER_KEY_SPACINGS": joined([_spacing_ms(key) for key in keys]),
        "MAILTESTER_KEY_DAILY_LIMITS": joined([key.daily_limit or NO_LIMIT for key in keys]),
        "MAILTESTER_KEY_REQUESTS_PER_30S": joined([_per_30s(key) for key in keys]),
    }


def _per_30s(key: KeyFacts) -> int:
    """Return the calls that a window of 30 s may have so that all of the key's windows hold that it can keep."""
    fits = [_in_30s(calls, seconds) for calls, seconds in key.windows]
    return min((calls for calls in fits if calls), default=NO_LIMIT)


def _in_30s(calls: int, seconds: int) -> int:
    """Return how many calls each 30 s may have so that a window holds; 0: not even one.

    A shorter window may be met by all of them at once, a longer one by as many 30 s as it touches.
    """
    return calls // ceil(max(seconds, WINDOW_SECONDS) / WINDOW_SECONDS)


def _spacing_ms(key: KeyFacts) -> int:
    """Return the spacing with which also those limits hold that are no window of 30 s and no day from 0:00 UTC."""
    spread = [
        ceil(seconds * 1000 / calls)
        for calls, seconds in key.windows
        if not _in_30s(calls, seconds)
    ]
    if key.daily_limit and key.reset_hour:
        spread.append(ceil(DAY_MS / key.daily_limit))
    return max(key.spacing_ms, *spread, 0)


def _is_narrowed(key: KeyFacts) -> bool:
    others = [window for window in key.windows if window[1] != WINDOW_SECONDS]
    return bool(others) or _spacing_ms(key) != key.spacing_ms


def _remarks(client: ClientRow, keys: Sequence[KeyFacts], *, in_environment: bool) -> list[str]:
    # A comment is one line, whatever the name.
    remarks = [f"The worker of {' '.join(client.name.split())} ({client.slug})"]
    if not in_environment:
        return [*remarks, "Its keys come from the database."]
    if any(key.reset_hour or _is_narrowed(key) for key in keys):
        remarks.append(
            "Keys have limits that these variables can't say; the 30 s window is narrower and the spacing longer where that "
            "keeps within them. Better: keys in the database."
        )
    return [*remarks, "Keys here win over those in the database."]


def _env(
    mode: Mapping[str, str],
    limits: Mapping[str, str],
    secrets: Mapping[str, str],
    remarks: Sequence[str],
) -> str:
    lines = [f"# {remark}" for remark in remarks]
    lines += [f"{name}={value}" for name, value in {**mode, **secrets, **limits}.items()]
    return "\n".join(lines) + "\n"


def _command(name: str) -> list[str]:
    command = ["celery", "-A", "celery_config", "worker", "-P", "threads", "-c", str(SLOTS)]
    return [*command, "-n", name, *FLAGS]


def _procfile(name: str, variables: Mapping[str, str], *, needs_keys: bool) -> str:
    setting = " ".join(f"{variable}={value}" for variable, value in variables.items())
    check = (
        f': "${{{_KEYS}:?set it to the keys of the client, separated by commas}}" && '
        if needs_keys
        else ""
    )
    command = " ".join(_command(f'"{name}-$$@%h"'))
    return f"verification-{name}: {check}exec env {setting} {command}\n"


def _quoted(value: str) -> str:
    """Return a YAML scalar: what is a JSON string is one too."""
    return json.dumps(value, ensure_ascii=False)


def _compose(name: str, variables: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    command = json.dumps(_command(f"{name}@%h"))
    given = {"WORKER_NAME": name, **variables}
    lines = [
        "services:",
        f"  worker-verification-{name}:",
        "    image: laneway:dev",
        "    init: true",
        "    restart: unless-stopped",
        f"    command: {command}",
        "    environment:",
        *(f"      {key}: {_quoted(value)}" for key, value in given.items()),
        *(f"      {key}: {_quoted(value)}" for key, value in secrets.items()),
        f"    stop_grace_period: {STOP_SECONDS}s",
        "    healthcheck:",
        f'      test: ["CMD-SHELL", {_quoted(_ping("$$WORKER_NAME@$$HOSTNAME"))}]',
        "      interval: 30s",
        "      timeout: 15s",
        "      start_period: 30s",
    ]
    return "\n".join(lines) + "\n"


def _ping(worker: str) -> str:
    return f'celery -A celery_config inspect ping --timeout 5 -d "{worker}"'


def _kubernetes(name: str, variables: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    full = f"laneway-worker-{name}"[:63].rstrip("-")
    given = {"WORKER_NAME": name, **variables}
    probe = json.dumps(["sh", "-c", _ping("$WORKER_NAME@$HOSTNAME")])
    lines = [
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f"  name: {full}",
        "stringData:",
        *(f"  {key}: {_quoted(value)}" for key, value in secrets.items()),
        "---",
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        f"  name: {full}",
        "spec:",
        "  replicas: 1",
        "  selector:",
        f"    matchLabels: {{app: {full}}}",
        "  template:",
        "    metadata:",
        f"      labels: {{app: {full}}}",
        "    spec:",
        f"      terminationGracePeriodSeconds: {STOP_SECONDS}",
        "      containers:",
        "        - name: worker",
        "          image: laneway:dev",
        f"          args: {json.dumps(_command(f'{name}@%h'))}",
        "          envFrom:",
        f"            - secretRef: {{name: {full}}}",
        "          env:",
        *(
            line
            for key, value in given.items()
            for line in (f"            - name: {key}", f"              value: {_quoted(value)}")
        ),
        "          livenessProbe:",
        f"            exec: {{command: {probe}}}",
        "            initialDelaySeconds: 30",
        "            periodSeconds: 30",
        "            timeoutSeconds: 15",
    ]
    return "\n".join(lines) + "\n"
