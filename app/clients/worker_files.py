"""What to deploy for a client's own worker, for four kinds of hosts. Secrets are never in it: places for them are."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from app.clients.clients import ClientRow
from app.clients.keys import KeyFacts
from app.clients.worker_limits import is_narrowed, limit_lists, place_for
from app.clients.worker_settings import changed_settings
from app.errors import Conflict
from app.plain_text import escaped
from app.settings import Settings, get_settings

WorkerFormat = Literal["env", "procfile", "compose", "kubernetes"]
FORMATS: tuple[WorkerFormat, ...] = ("env", "procfile", "compose", "kubernetes")
#: As in Procfile.worker and docker-compose.dev.yml.
SLOTS = 64
FLAGS = ("--without-gossip", "--without-mingle", "-E")
STOP_SECONDS = 35
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._:-]+")
_SHARED = "<as for the other workers>"
_CONNECTIONS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS")
_KEYS = "MAILTESTER_API_KEYS"


def worker_files(
    client: ClientRow,
    keys_in_environment: bool,  # noqa: FBT001 - the one question there is
    keys: Sequence[KeyFacts] = (),
    settings: Settings | None = None,
) -> dict[WorkerFormat, str]:
    """Return the worker's environment, Procfile line, compose service and Kubernetes objects.

    What the installation (`settings`; None: this process's) has set otherwise than the default is there, too; a Procfile's
    processes have it already. With `keys_in_environment` the worker carries the client's `keys` itself (their secrets are to be put in by hand),
    else it takes them from the database. Raises `Conflict` for a client without a lane of its own, or with one by an odd name.
    """
    if (
        client.configured_queue is None
        or client.user_id is None
        or client.worker_mode != "dedicated"
    ):
        raise Conflict(
            f"The client {client.slug} has no lane of its own, so no worker. `clients onboard` gives it one."
        )
    if not _PLAIN_NAME.fullmatch(client.configured_queue):
        # A row out of use is not checked by the database; a name with a line break would be a line of its own here.
        raise Conflict(
            f"No queue is named {escaped(client.configured_queue)!r}. Correct verification_queue of the client's row in "
            "worker_configs, or remove it: `clients onboard` gives the client another lane."
        )
    mode = {
        "WORKER_MODE": "dedicated",
        "DEDICATED_CLIENT_ID": str(client.id),
        "VERIFICATION_QUEUE": client.configured_queue,
    }
    limits = limit_lists(keys) if keys_in_environment else {}
    settings = settings or get_settings()
    changed = changed_settings(settings)
    secrets = dict.fromkeys(_CONNECTIONS, _SHARED)
    if settings.rate_limit_redis_url:
        secrets["RATE_LIMIT_REDIS_URL"] = _SHARED
    if keys_in_environment:
        secrets[_KEYS] = ",".join(place_for(key) for key in keys)
    name = client.slug
    return {
        "env": _env(
            mode | secrets | limits | changed,
            _remarks(client, keys, in_environment=keys_in_environment),
        ),
        "procfile": _procfile(name, mode | limits, needs_keys=keys_in_environment),
        "compose": _compose(name, mode | limits | changed, secrets),
        "kubernetes": _kubernetes(name, mode | limits | changed, secrets),
    }


def _remarks(client: ClientRow, keys: Sequence[KeyFacts], *, in_environment: bool) -> list[str]:
    # A comment is one line, whatever the name: nothing of it may become a line, or a command, of its own.
    name = escaped(" ".join(client.name.split()))
    start = " ".join(_command(f'"{client.slug}@%h"'))
    remarks = [f"The worker of {name} ({client.slug})", f"Start it with: {start}"]
    if not in_environment:
        return [*remarks, "Its keys come from the database."]
    if any(map(is_narrowed, keys)):
        remarks.append(
            "Keys have limits that these variables can't say; the 30 s window is narrower and the spacing longer where that "
            "keeps within them. Better: keys in the database."
        )
    return [*remarks, "Keys here win over those in the database."]


def _env(variables: Mapping[str, str], remarks: Sequence[str]) -> str:
    lines = [f"# {remark}" for remark in remarks]
    lines += [f"{name}={value}" for name, value in variables.items()]
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


def _uninterpolated(value: str) -> str:
    """Return what compose reads as the value: it takes a single $ for a variable's."""
    return _quoted(value.replace("$", "$$"))


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
        *(f"      {key}: {_uninterpolated(value)}" for key, value in given.items()),
        *(f"      {key}: {_uninterpolated(value)}" for key, value in secrets.items()),
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
