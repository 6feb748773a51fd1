"""The demo's clients, people and keys, loaded through the ordinary command line.

`python -m devtools.demo_tenants` reads {"e-mail": "password"} from standard input, adds what is missing
and prints the id of the person whose client has a worker of its own. What somebody has changed since
(a route, a key, a password) stays as it is.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from click.testing import Result
from flask import Flask
from sqlalchemy import text

from app.db.engine import owner_engine
from app.factory import create_app
from devtools.demo_clients import ACME, CLIENTS, FINDER_KEYS, OPERATOR, PLATFORM_KEYS, Client, Key
from devtools.errors import SetupError

_FIND_USER = text("SELECT id FROM users WHERE email = :email")
_HAS_ROUTE = text("SELECT EXISTS (SELECT 1 FROM worker_configs WHERE user_id = :user_id)")
#: As in the guide for a client with a worker of its own.
_ADD_ROUTE = text("""
    INSERT INTO worker_configs (user_id, worker_mode, verification_queue, api_key_hint, notes, is_active)
    VALUES (:user_id, 'dedicated', :queue, :hint, :notes, true)
""")


@dataclass(frozen=True)
class CommandLine:
    """`flask --app app.factory …` without starting a process for each command."""

    app: Flask

    def run(self, *arguments: str, stdin: str | None = None) -> None:
        """Run one command. Raises `SetupError` with what it printed."""
        result: Result = self.app.test_cli_runner().invoke(args=arguments, input=stdin)
        if result.exit_code != 0:
            reason = result.output.strip() or repr(result.exception)
            raise SetupError(f"flask {' '.join(arguments[:2])} failed: {reason}")


def load(command_line: CommandLine, passwords: Mapping[str, str]) -> str:
    """Add what is missing and return the id of the dedicated client's person. Raises `SetupError`."""
    for client in CLIENTS:
        command_line.run("tenants", "create", client.name, "--slug", client.slug, "--if-missing")
        _add_user(
            command_line, client.email, ["--tenant", client.slug, "--role", "admin"], passwords
        )
        if client.queue is None:
            _add_keys(command_line, client.keys, ["--tenant", client.slug])
    _add_user(command_line, OPERATOR, ["--role", "operator"], passwords)
    _add_keys(command_line, PLATFORM_KEYS, ["--platform"])
    for provider, secret in FINDER_KEYS.items():
        words = ["--platform", "--provider", provider, "--if-missing"]
        command_line.run("keys", "add", *words, stdin=secret + "\n")
    return route(ACME)


def route(client: Client) -> str:
    """Give the client its own lane unless it ever had one; return its person's id."""
    with owner_engine().begin() as connection:
        user_id = connection.execute(_FIND_USER, {"email": client.email}).scalar_one()
        if not connection.execute(_HAS_ROUTE, {"user_id": user_id}).scalar_one():
            values = {"user_id": user_id, "queue": client.queue, "hint": client.keys[0].secret[-4:]}
            connection.execute(_ADD_ROUTE, values | {"notes": f"{client.name} - demo"})
    return str(user_id)


def _add_user(
    command_line: CommandLine, email: str, options: Sequence[str], passwords: Mapping[str, str]
) -> None:
    flags = ["--password-stdin", "--if-missing"]
    command_line.run("users", "create", email, *options, *flags, stdin=passwords[email] + "\n")


def _add_keys(command_line: CommandLine, keys: Sequence[Key], owner: Sequence[str]) -> None:
    for key in keys:
        limits = [f"--spacing-ms={key.spacing_ms}", f"--per-30s={key.per_30s}"]
        limits += [f"--daily-limit={key.daily}", "--if-missing"]
        command_line.run("keys", "add", *owner, *limits, stdin=key.secret + "\n")


def main() -> int:
    """Load everything; the result is the exit code."""
    try:
        print(load(CommandLine(create_app()), json.load(sys.stdin)))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
