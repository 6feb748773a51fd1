"""What moves the demo (environment variables of `make demo`) and the secrets that it keeps.

Secrets are made once and kept in `secrets.json` of the home, mode 0600: the encryption keys belong to
the data beside them.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from app.settings import Settings
from devtools.errors import SetupError
from devtools.ports import is_free
from devtools.private_files import HOME_MODE, make_folder, read_private, write_private

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Options:
    """Where the demo serves and keeps its things; `once` ends it after the sample."""

    home: Path
    port: int
    flower_port: int
    once: bool
    database_url: str | None
    database_owner_url: str | None
    redis_url: str | None

    @property
    def url(self) -> str:
        """The address of pages and API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def flower_url(self) -> str:
        """The address of Flower."""
        return f"http://127.0.0.1:{self.flower_port}"

    def check_ports(self) -> None:
        """Raise `SetupError` when somebody listens where the demo should."""
        for name, port in (("PORT", self.port), ("FLOWER_PORT", self.flower_port)):
            if not is_free(port):
                raise SetupError(
                    f"Port {port} is taken. Stop what listens there, or choose another: "
                    f"make demo {name}={port + 10}"
                )


def read_options(environment: Mapping[str, str] = os.environ) -> Options:
    """Return the options. Raises `SetupError` for what makes no sense."""
    port = _read_port(environment, "PORT", "8000")
    flower_port = _read_port(environment, "FLOWER_PORT", "5555")
    if port == flower_port:
        raise SetupError(f"PORT and FLOWER_PORT are both {port}: choose two.")
    home = Path(environment.get("LANEWAY_HOME") or ".local").expanduser()
    return Options(
        home=home if home.is_absolute() else ROOT / home,
        port=port,
        flower_port=flower_port,
        once=environment.get("ONCE", "").lower() not in {"", "0", "no", "false"},
        database_url=environment.get("DATABASE_URL") or None,
        database_owner_url=environment.get("DATABASE_OWNER_URL") or None,
        redis_url=environment.get("REDIS_URL") or None,
    )


def make_home(home: Path) -> None:
    """Create the home and what is in it for its owner alone. Raises `SetupError`."""
    try:
        make_folder(home, HOME_MODE)
        make_folder(home / "storage", 0o700)
        make_folder(home / "logs", 0o700)
    except OSError as error:
        raise SetupError(
            f"{home} can't be used ({error.strerror}): set LANEWAY_HOME to another folder."
        ) from None


@dataclass(frozen=True)
class Secrets:
    """What is generated once and kept."""

    secret_key: str
    encryption_keys: str
    database_app_password: str
    flower_password: str
    passwords: Mapping[str, str]


def load_secrets(home: Path, emails: tuple[str, ...]) -> Secrets:
    """Return the home's secrets, making those that are missing. Raises `SetupError`."""
    path = home / "secrets.json"
    kept = read_private(path)
    passwords = {email: secrets.token_urlsafe(9) for email in emails} | kept.get("passwords", {})
    wanted = {
        "secret_key": secrets.token_urlsafe(48),
        "encryption_keys": Fernet.generate_key().decode(),
        "database_app_password": secrets.token_urlsafe(24),
        "flower_password": secrets.token_urlsafe(9),
    } | {name: value for name, value in kept.items() if name != "passwords"}
    if wanted | {"passwords": passwords} != kept:
        write_private(path, wanted | {"passwords": passwords})
    try:
        return Secrets(**wanted, passwords=passwords)
    except TypeError:
        raise SetupError(f"{path} is another version's. Remove it to start afresh.") from None


#: What may be set for the demo: it opens calls of the API that are shut without, and leads nowhere by itself.
PASSED_ON = {
    "LOG_LEVEL",
    "CRON_SECRET",
    "APOLLO_WEBHOOK_SECRET",
    "CLEARBIT_WEBHOOK_SECRET",
    "ENRICHMENT_WEBHOOK_SECRET",
    "HUNTER_WEBHOOK_SECRET",
}


def base_environment() -> dict[str, str]:
    """Return the runner's environment without the settings of Laneway, but for `PASSED_ON`.

    The demo must never meet real keys, real providers or another database by accident.
    """
    dropped = {name.upper() for name in Settings.model_fields} - PASSED_ON
    dropped |= {"PYTHONHOME", "PYTHONSAFEPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _read_port(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name) or default
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise SetupError(f"{name}={text} is no port: give a number from 1 to 65535.")
    return int(text)
