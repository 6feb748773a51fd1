"""Who is in the demo: two clients on the shared lane, one on a lane of its own, keys of both speeds."""

from dataclasses import dataclass

from routing import queues

OPERATOR = "operator@example.com"
STANDARD_MS = 250
UPGRADED_MS = 125


@dataclass(frozen=True)
class Key:
    """A provider key, which only the sandbox knows."""

    secret: str
    spacing_ms: int
    per_30s: int = 165
    daily: int = 500_000


@dataclass(frozen=True)
class Client:
    """A client with its first person; `queue` is its own lane, whose worker brings the keys."""

    slug: str
    name: str
    keys: tuple[Key, ...]
    queue: str | None = None

    @property
    def email(self) -> str:
        """The address its person signs in with."""
        return f"{self.slug}@example.com"

    @property
    def lane(self) -> str:
        """The queue its verification goes to."""
        return self.queue or queues.VERIFICATION


ACME = Client(
    "acme",
    "ACME Corp",
    (Key("sandbox-acme-1", UPGRADED_MS), Key("sandbox-acme-2", UPGRADED_MS)),
    queue=f"{queues.DEDICATED_PREFIX}client-acme",
)
CLIENTS = (
    ACME,
    Client("birch", "Birch & Daughters", (Key("sandbox-birch-1", STANDARD_MS),)),
    Client("cedar", "Cedar Studio", ()),
)
PLATFORM_KEYS = (Key("sandbox-platform-1", STANDARD_MS), Key("sandbox-platform-2", UPGRADED_MS))
#: Who looks leads up -> the platform's key there.
FINDER_KEYS = {"apollo": "sandbox-apollo-1", "hunter": "sandbox-hunter-1"}
EMAILS = (*(client.email for client in CLIENTS), OPERATOR)
