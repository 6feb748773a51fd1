"""A file for an operator's shell, so that `celery`, `redis-cli` and `psql` reach the demo's servers.

It holds secrets, so only its owner can read it. It is written anew at each start: ports may have changed.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import make_url

from app.settings import Settings
from devtools.demo_options import ROOT


def shell_file(home: Path) -> Path:
    """Return where the file is."""
    return home / "shell"


def write_shell_environment(home: Path, environment: Mapping[str, str], owner_url: str) -> None:
    """Write the demo's settings, psql's variables (as the schema's owner) and the PATH to `.venv/bin`."""
    known = {name.upper() for name in Settings.model_fields}
    values = {name: value for name, value in environment.items() if name in known}
    owner = make_url(owner_url)
    parts = {
        "PGHOST": owner.host,
        "PGPORT": owner.port,
        "PGUSER": owner.username,
        "PGPASSWORD": owner.password,
        "PGDATABASE": owner.database,
    }
    values |= {name: str(value) for name, value in parts.items() if value}
    # `users`, `tenants` and `keys` write as the schema's owner.
    values["DATABASE_OWNER_URL"] = owner_url
    redis = urlsplit(environment["REDIS_URL"])
    if redis.password:
        values["REDISCLI_AUTH"] = unquote(redis.password)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(values.items())]
    lines.append(f"export PATH={shlex.quote(str(ROOT / '.venv' / 'bin'))}:$PATH")
    lines.append(
        f"alias redis-cli={shlex.quote(f'redis-cli -h {redis.hostname} -p {redis.port or 6379}')}"
    )
    path = shell_file(home)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write("\n".join(lines) + "\n")
